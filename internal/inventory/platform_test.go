package inventory

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory/payload"
)

func global(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

func machineConfig(name, ignition string, change func(*mcfgv1.MachineConfigSpec)) *mcfgv1.MachineConfig {
	mc := &mcfgv1.MachineConfig{ObjectMeta: global(name), Spec: mcfgv1.MachineConfigSpec{
		OSImageURL: "quay.io/ocp/os:v1", BaseOSExtensionsContainerImage: "quay.io/ocp/extensions:v1",
		Config: runtime.RawExtension{Raw: []byte(cmp.Or(ignition, "{}"))},
	}}
	if change != nil {
		change(&mc.Spec)
	}
	return mc
}

func workers(rendered string, pinned ...string) *mcfgv1.MachineConfigPool {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: global("worker")}
	p.Spec.Configuration.Name = rendered
	for _, name := range pinned {
		p.Spec.PinnedImageSets = append(p.Spec.PinnedImageSets, mcfgv1.PinnedImageSetRef{Name: name})
	}
	return p
}

// ignition has one file, as the MCO writes it.
func ignition(path, content string, zipped bool) string {
	type contents struct {
		Source      string `json:"source"`
		Compression string `json:"compression,omitempty"`
	}
	body := contents{Source: "data:;base64," + base64.StdEncoding.EncodeToString([]byte(content))}
	if zipped {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(content))
		_ = w.Close()
		body = contents{"data:;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), "gzip"}
	}
	raw, err := json.Marshal(map[string]any{"storage": map[string]any{"files": []map[string]any{
		{"path": "/etc/motd", "contents": contents{Source: "data:,hello"}}, {"path": path, "contents": body},
	}}})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

const staticPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: proxy}\nspec: {containers: [{image: 'quay.io/ocp/rbac-proxy:v1'}]}\n"

func images(pairs ...string) *mcfgv1.ControllerConfig {
	cc := &mcfgv1.ControllerConfig{ObjectMeta: global("machine-config-controller")}
	cc.Spec.Images = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		cc.Spec.Images[pairs[i]] = pairs[i+1]
	}
	return cc
}

func configMap(namespace, name, key, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data: map[string]string{key: value}}
}

// TestNodeSoftware: what a node pulls before it runs any pod of a user.
func TestNodeSoftware(t *testing.T) {
	osAndExtensions := []string{"quay.io/ocp/extensions:v1 Advisory: MachineConfig rendered-worker-1",
		"quay.io/ocp/os:v1 Blocking: MachineConfig rendered-worker-1, birth"}
	withPod := append(osAndExtensions[:2:2],
		"quay.io/ocp/rbac-proxy:v1 Blocking: MachineConfig rendered-worker-1, birth")
	cases := map[string]struct {
		objects []client.Object
		want    []string
		gaps    []string
	}{
		"the rendered configuration of a pool": {
			objects: []client.Object{workers("rendered-worker-1"), machineConfig("rendered-worker-1", "", nil),
				machineConfig("rendered-worker-0", "", func(s *mcfgv1.MachineConfigSpec) {
					s.OSImageURL = "quay.io/ocp/os:v0"
				})},
			want: osAndExtensions,
		},
		"one with extensions": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1", "", func(s *mcfgv1.MachineConfigSpec) {
					s.Extensions = []string{"usbguard"}
				})},
			want: []string{"quay.io/ocp/extensions:v1 Blocking: MachineConfig rendered-worker-1, birth",
				osAndExtensions[1]},
		},
		"one with another kernel": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1", "", func(s *mcfgv1.MachineConfigSpec) {
					s.KernelType = "realtime"
				})},
			want: []string{"quay.io/ocp/extensions:v1 Blocking: MachineConfig rendered-worker-1, birth",
				osAndExtensions[1]},
		},
		"a static pod": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1",
					ignition("/etc/kubernetes/manifests/proxy.yaml", staticPod, false), nil)},
			want: withPod,
		},
		"a zipped one": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1",
					ignition("/etc/kubernetes/manifests/proxy.yaml", staticPod, true), nil)},
			want: withPod,
		},
		"a pod that the kubelet does not look at": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1",
					ignition("/etc/kubernetes/manifests/old/proxy.yaml", staticPod, false), nil)},
			want: osAndExtensions,
		},
		"a file that is no pod": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1",
					ignition("/etc/kubernetes/manifests/proxy.yaml", "spec: [", false), nil)},
			want: osAndExtensions,
			gaps: []string{"MachineConfig rendered-worker-1 could not be understood: static pod /etc/kubernetes/manifests/proxy.yaml: error converting YAML to JSON: yaml: line 1: did not find expected node content"},
		},
		"what is no Ignition": {
			objects: []client.Object{workers("rendered-worker-1"),
				machineConfig("rendered-worker-1", `{"storage":7}`, nil)},
			want: osAndExtensions,
			gaps: []string{"MachineConfig rendered-worker-1 could not be understood: spec.config is not an Ignition configuration: json: cannot unmarshal number into Go struct field ignitionConfig.storage of type inventory.ignitionStorage"},
		},
		"one that is not there": {
			objects: []client.Object{workers("rendered-worker-9")},
			gaps:    []string{`rendered MachineConfig rendered-worker-9, which a pool names: machineconfigs.machineconfiguration.openshift.io "rendered-worker-9" not found`},
		},
		"a pool that has none yet": {objects: []client.Object{workers("")}},
		"the image of a node of its own": {
			objects: []client.Object{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-0",
				Annotations: map[string]string{
					currentImageAnnotation: "quay.io/acme/os:v1", desiredImageAnnotation: "quay.io/acme/os:v2",
				}}}},
			want: []string{"quay.io/acme/os:v1 Blocking: Node worker-0", "quay.io/acme/os:v2 Blocking: Node worker-0"},
		},
		"one that was built in the cluster": {
			objects: []client.Object{&mcfgv1.MachineOSConfig{ObjectMeta: global("gpu"),
				Status: mcfgv1.MachineOSConfigStatus{CurrentImagePullSpec: "quay.io/acme/os@sha256:12"}}},
			want: []string{"quay.io/acme/os@sha256:12 Blocking: MachineOSConfig gpu, birth"},
		},
		"pinned images of a pool, and of none": {
			objects: []client.Object{workers("", "a"), pinned("a", "quay.io/acme/a@sha256:1"),
				pinned("b", "quay.io/acme/b@sha256:1")},
			want: []string{"quay.io/acme/a@sha256:1 Blocking: PinnedImageSet a, birth",
				"quay.io/acme/b@sha256:1 Advisory: PinnedImageSet b"},
		},
		"images of the MCO": {
			objects: []client.Object{images("machineConfigOperator", "quay.io/ocp/mco:v1", "infraImageKey",
				"quay.io/ocp/pod:v1", "haproxyImage", "quay.io/ocp/haproxy:v1")},
			want: []string{
				"quay.io/ocp/haproxy:v1 Advisory: ControllerConfig machine-config-controller",
				"quay.io/ocp/mco:v1 Blocking: ControllerConfig machine-config-controller, birth",
				"quay.io/ocp/pod:v1 Blocking: ControllerConfig machine-config-controller, birth",
			},
		},
		"images that the release gives to it": {
			objects: []client.Object{configMap("openshift-machine-config-operator", "machine-config-operator-images",
				"images.json", `{"releaseVersion":"4.20.1","infraImage":"quay.io/ocp/pod:v1"}`)},
			want: []string{"quay.io/ocp/pod:v1 Advisory: ConfigMap openshift-machine-config-operator/machine-config-operator-images"},
		},
		"a list of them that is none": {
			objects: []client.Object{configMap("openshift-machine-config-operator", "machine-config-operator-images",
				"images.json", `[`)},
			gaps: []string{"ConfigMap openshift-machine-config-operator/machine-config-operator-images, key images.json: unexpected end of JSON input"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { expect(t, c.objects, Options{}, c.want, c.gaps) })
	}
}

// Whoever has a rendered configuration already may hand it over.
func TestRenderedOption(t *testing.T) {
	known := func(_ context.Context, name string) (*mcfgv1.MachineConfig, error) {
		if name != "rendered-worker-1" {
			return nil, errors.New("asked for " + name)
		}
		return machineConfig(name, "", nil), nil
	}
	expect(t, []client.Object{workers("rendered-worker-1")}, Options{Rendered: known}, []string{
		"quay.io/ocp/extensions:v1 Advisory: MachineConfig rendered-worker-1",
		"quay.io/ocp/os:v1 Blocking: MachineConfig rendered-worker-1, birth",
	}, nil)
	expect(t, []client.Object{workers("rendered-worker-2")}, Options{Rendered: known}, nil, []string{
		"rendered MachineConfig rendered-worker-2, which a pool names: asked for rendered-worker-2",
	})
}

func pinned(name string, images ...string) *mcfgv1.PinnedImageSet {
	s := &mcfgv1.PinnedImageSet{ObjectMeta: global(name)}
	for _, i := range images {
		s.Spec.PinnedImages = append(s.Spec.PinnedImages, mcfgv1.PinnedImageRef{Name: mcfgv1.ImageDigestFormat(i)})
	}
	return s
}

// expect compares the references and the holes. The ConfigMap and the singletons of a platform that
// a test does not have are absent, which is no hole.
func expect(t *testing.T, objects []client.Object, o Options, refs, unreadCases []string) {
	t.Helper()
	got := testCluster{objects: objects}.read(t, o)
	if diff := gocmp.Diff(refs, lines(got.References)); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	var found []string
	for _, g := range got.UnreadSources {
		if !g.Absent {
			found = append(found, g.Why)
		}
	}
	if diff := gocmp.Diff(unreadCases, found); diff != "" {
		t.Errorf("holes (-want +got):\n%s", diff)
	}
}

func version(change func(*configv1.ClusterVersion)) *configv1.ClusterVersion {
	v := &configv1.ClusterVersion{ObjectMeta: global("version")}
	v.Status.Desired = configv1.Release{Version: "4.20.1", Image: "quay.io/ocp/release:4.20.1"}
	if change != nil {
		change(v)
	}
	return v
}

// releaseOf answers for the release images of version().
func releaseOf(t *testing.T) func(context.Context, string) ([]payload.Component, error) {
	return func(_ context.Context, image string) ([]payload.Component, error) {
		switch image {
		case "quay.io/ocp/release:4.20.1":
			return []payload.Component{{Name: "cli", Image: "quay.io/ocp/cli:1"},
				{Name: "router", Image: "quay.io/ocp/router:1"}}, nil
		case "quay.io/ocp/release:4.21.0":
			return []payload.Component{{Name: "cli", Image: "quay.io/ocp/cli:2"}}, nil
		case "quay.io/ocp/release:broken":
			return nil, errors.New("connection refused")
		}
		t.Errorf("asked for %s", image)
		return nil, nil
	}
}

func TestReleasePayload(t *testing.T) {
	tools := []string{
		"registry.redhat.io/openshift4/ose-must-gather:latest Advisory: command oc adm must-gather",
		"registry.redhat.io/rhel9/support-tools Advisory: command oc debug node",
	}
	now := []string{"quay.io/ocp/cli:1 Advisory: release component cli",
		"quay.io/ocp/release:4.20.1 Advisory: ClusterVersion version",
		"quay.io/ocp/router:1 Advisory: release component router"}
	next := []string{
		now[0], "quay.io/ocp/cli:2 Advisory: next release component cli", now[1],
		"quay.io/ocp/release:4.21.0 Blocking: ClusterVersion version", now[2],
	}
	update := func(u configv1.Update) func(*configv1.ClusterVersion) {
		return func(v *configv1.ClusterVersion) {
			v.Spec.DesiredUpdate = &u
			v.Status.AvailableUpdates = []configv1.Release{{Version: "4.20.9", Image: "quay.io/ocp/release:4.20.9"},
				{Version: "4.21.0", Image: "quay.io/ocp/release:4.21.0"}}
			v.Status.ConditionalUpdates = []configv1.ConditionalUpdate{{Release: configv1.Release{Version: "4.21.1",
				Image: "quay.io/ocp/release:4.21.0"}}}
		}
	}
	cases := map[string]struct {
		change    func(*configv1.ClusterVersion)
		unread    bool
		want      []string
		wantHoles []string
	}{
		"the installed one": {want: now},
		"one that is not read": {unread: true, want: now[1:2],
			wantHoles: []string{"the components of quay.io/ocp/release:4.20.1 were not asked for: that needs access to its registry"}},
		"one that cannot be read": {change: func(v *configv1.ClusterVersion) { v.Status.Desired.Image = "quay.io/ocp/release:broken" }, want: []string{"quay.io/ocp/release:broken Advisory: ClusterVersion version"}, wantHoles: []string{"the components of quay.io/ocp/release:broken could not be read: connection refused"}},
		"none yet":                {change: func(v *configv1.ClusterVersion) { v.Status.Desired.Image = "" }},
		"the next one, by its image": {change: update(configv1.Update{Image: "quay.io/ocp/release:4.21.0"}),
			want: next},
		"the next one, by its version":         {change: update(configv1.Update{Version: "4.21.0"}), want: next},
		"one with known risks, by its version": {change: update(configv1.Update{Version: "4.21.1"}), want: next},
		"one of which nobody knows": {change: update(configv1.Update{Version: "4.22.0"}), want: now,
			wantHoles: []string{"spec.desiredUpdate asks for version 4.22.0, and no available update tells its image"}},
		"the one that is installed": {change: update(configv1.Update{Version: "4.20.1"}), want: now},
		"the same image": {change: update(configv1.Update{Image: "quay.io/ocp/release:4.20.1"}),
			want: now},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := Options{ReadPayload: releaseOf(t)}
			if c.unread {
				o.ReadPayload = nil
			}
			expect(t, []client.Object{version(c.change)}, o, append(c.want[:len(c.want):len(c.want)], tools...),
				c.wantHoles)
		})
	}
}

// The tools come from ImageStreams, where those have been imported.
func TestDiagnosisTools(t *testing.T) {
	stream := manifest(imageStreamKind, "must-gather",
		"status: {tags: [{tag: latest, items: [{dockerImageReference: 'quay.io/ocp/must-gather@sha256:12'}]}]}")
	stream.SetNamespace("openshift")
	v := version(func(v *configv1.ClusterVersion) { v.Status.Desired.Image = "" })
	expect(t, []client.Object{v, stream}, Options{}, []string{
		"quay.io/ocp/must-gather@sha256:12 Advisory: command oc adm must-gather",
		"registry.redhat.io/rhel9/support-tools Advisory: command oc debug node",
	}, nil)
}

func TestSidecarInjectors(t *testing.T) {
	webhook := func(configuration, name, revision, namespace,
		resource string) *admissionregistrationv1.MutatingWebhookConfiguration {
		c := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: global(configuration)}
		c.Labels = map[string]string{"istio.io/rev": revision}
		w := admissionregistrationv1.MutatingWebhook{Name: name, Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, Resources: []string{resource}},
		}}}
		if namespace != "" {
			w.ClientConfig.Service = &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: "istiod"}
		}
		c.Webhooks = append(c.Webhooks, w, w)
		return c
	}
	const istio = "rev.namespace.sidecar-injector.istio.io"
	values := func(name, text string) *corev1.ConfigMap { return configMap("istio-system", name, "values", text) }
	hub := `{"global":{"hub":"docker.io/istio","tag":"1.24","proxy":{"image":"proxyv2"},"proxy_init":{"image":"quay.io/mesh/init@sha256:12"}}}`
	cases := map[string]struct {
		objects           []client.Object
		want, unreadCases []string
	}{
		"the default revision": {
			objects: []client.Object{webhook("istio-sidecar-injector", istio, "default", "istio-system", "pods"),
				values("istio-sidecar-injector", hub)},
			want: []string{"docker.io/istio/proxyv2:1.24 Blocking: ConfigMap istio-system/istio-sidecar-injector",
				"quay.io/mesh/init@sha256:12 Blocking: ConfigMap istio-system/istio-sidecar-injector"},
		},
		"another revision": {
			objects: []client.Object{webhook("istio-sidecar-injector-canary", istio, "canary", "istio-system", "*"),
				values("istio-sidecar-injector-canary",
					`{"global":{"hub":"h.example","tag":1.5,"proxy":{"image":"proxyv2"}}}`)},
			want: []string{"h.example/proxyv2:1.5 Blocking: ConfigMap istio-system/istio-sidecar-injector-canary"},
		},
		"without its ConfigMap": {
			objects:     []client.Object{webhook("istio-sidecar-injector", istio, "", "istio-system", "pods")},
			unreadCases: []string{`the images that Istio adds to pods are in ConfigMap istio-system/istio-sidecar-injector: configmaps "istio-sidecar-injector" not found`},
		},
		"with values that are none": {
			objects: []client.Object{webhook("istio-sidecar-injector", istio, "", "istio-system", "pods"),
				values("istio-sidecar-injector", "[]")},
			unreadCases: []string{"the images that Istio adds to pods are in ConfigMap istio-system/istio-sidecar-injector, key values: json: cannot unmarshal array into Go value of type inventory.istioValues"},
		},
		"one outside the cluster": {
			objects: []client.Object{webhook("istio-sidecar-injector", istio, "", "", "pods")},
			unreadCases: []string{"istio-sidecar-injector (webhook " + istio +
				") may add images to pods as they are created; those of pods that run are known"},
		},
		"one that we do not know": {
			objects:     []client.Object{webhook("vault", "vault.hashicorp.com", "", "vault", "pods")},
			unreadCases: []string{"vault (webhook vault.hashicorp.com) may add images to pods as they are created; those of pods that run are known"},
		},
		"one of something else": {objects: []client.Object{webhook("routes", "routes.acme.example", "", "acme",
			"services")}},
		"one that adds no container": {objects: []client.Object{webhook("pod-identity-webhook",
			"pod-identity-webhook.amazonaws.com", "", "acme", "pods")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			expect(t, c.objects, Options{}, c.want, c.unreadCases)
		})
	}
}
