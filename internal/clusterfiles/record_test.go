package clusterfiles

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const ignition = `{"ignition":{"version":"3.4.0"},
"passwd":{"users":[{"name":"core","passwordHash":"$6$hunter2"}]},
"systemd":{"units":[{"name":"a.service","contents":"Environment=TOKEN=hunter2","dropins":[{"name":"b","contents":"hunter2"}]}]},
"storage":{"files":[{"path":"/etc/containers/registries.conf","contents":{"source":"data:,unqualified"}},
{"path":"/var/lib/kubelet/config.json","contents":{"source":"data:,hunter2"}}]}}`

// liveCluster is an API server's answers, with a kind that it does not serve, one that may not be
// read, and one that fails.
func liveCluster(t *testing.T) client.Reader {
	t.Helper()
	metadata := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name,
			Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "hunter2",
				"note": "kept"}}
	}
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: metadata("openshift-config", "pull-secret"), Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte("hunter2")}},
		&mcfgv1.MachineConfig{ObjectMeta: metadata("", "rendered-worker-1"),
			Spec: mcfgv1.MachineConfigSpec{Config: runtime.RawExtension{Raw: []byte(ignition)}}},
		&mcfgv1.ControllerConfig{ObjectMeta: metadata("", "machine-config-controller"),
			Spec: mcfgv1.ControllerConfigSpec{InternalRegistryPullSecret: []byte("hunter2"),
				Images: map[string]string{"infraImageKey": "quay.io/x"},
				Proxy:  &configv1.ProxyStatus{HTTPProxy: "http://user:hunter2@proxy.example.com:3128"}}},
		&configv1.Proxy{ObjectMeta: metadata("", "cluster"),
			Spec: configv1.ProxySpec{HTTPSProxy: "http://user:hunter2@proxy.example.com:3128"}},
		&configv1.ImageTagMirrorSet{ObjectMeta: metadata("", "acme"),
			Spec: configv1.ImageTagMirrorSetSpec{ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "quay.io/acme"}}}},
	}
	for _, name := range []string{"a", "b", "c"} {
		objects = append(objects, &corev1.Pod{ObjectMeta: metadata("acme", name),
			Spec: corev1.PodSpec{NodeName: "worker-0",
				Containers: []corev1.Container{{Name: "app", Image: "quay.io/acme/" + name}}}})
	}
	list := func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		switch list.(type) {
		case *appsv1.DeploymentList:
			return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "apps", Kind: "Deployment"},
				SearchedVersions: []string{"v1"}}
		case *appsv1.DaemonSetList:
			return apierrors.NewForbidden(appsv1.Resource("daemonsets"), "", errors.New("no"))
		case *appsv1.StatefulSetList:
			return errors.New("connection lost")
		}
		return c.List(ctx, list, opts...)
	}
	return fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{List: list}).Build()
}

// queryAll puts questions of all forms, and returns what came back as text.
func queryAll(t *testing.T, r client.Reader) map[string]string {
	t.Helper()
	out := map[string]string{}
	note := func(name string, object any, err error) {
		if err != nil {
			out[name] = err.Error()
			return
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(text)
	}
	partial := &metav1.PartialObjectMetadataList{}
	partial.SetGroupVersionKind(podKind.GroupVersion().WithKind("PodList"))
	loose := &unstructured.UnstructuredList{}
	loose.SetGroupVersionKind(configv1.GroupVersion.WithKind("ImageTagMirrorSetList"))
	for name, row := range map[string]struct {
		list client.ObjectList
		opts []client.ListOption
	}{
		"pods":                {&corev1.PodList{}, nil},
		"pods of a namespace": {&corev1.PodList{}, []client.ListOption{client.InNamespace("acme")}},
		"pods by label":       {&corev1.PodList{}, []client.ListOption{client.HasLabels{"x"}}},
		"pods, only metadata": {partial, nil}, "unstructured": {loose, nil},
		"mirror sets": {&configv1.ImageTagMirrorSetList{}, nil}, "configs": {&mcfgv1.MachineConfigList{}, nil},
		"absent": {&appsv1.DeploymentList{}, nil}, "forbidden": {&appsv1.DaemonSetList{}, nil},
		"failed": {&appsv1.StatefulSetList{}, nil}, "nodes": {&corev1.NodeList{}, nil},
	} {
		err := r.List(ctx, row.list, row.opts...)
		items, _ := meta.ExtractList(row.list)
		note(name, items, err)
	}
	for name, object := range map[string]client.Object{"acme/a": &corev1.Pod{}, "acme/z": &corev1.Pod{},
		"/machine-config-controller": &mcfgv1.ControllerConfig{}, "/cluster": &configv1.Proxy{}} {
		namespace, short, _ := strings.Cut(name, "/")
		note(name, object, r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: short}, object))
	}
	return out
}

func saved(t *testing.T, r *Recorder, extra map[string]any) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Save(&out, extra); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReplayMatchesRecording(t *testing.T) {
	scheme := newScheme(t)
	r := NewRecorder(liveCluster(t), scheme, func(object any) (any, error) {
		if p, ok := object.(*corev1.Pod); ok {
			p.Spec.NodeName = "trimmed"
		}
		return object, nil
	})
	first := queryAll(t, r)
	if diff := cmp.Diff(first, queryAll(t, r)); diff != "" {
		t.Errorf("asked again: %s", diff)
	}
	if !strings.Contains(first["pods"], `"nodeName":"trimmed"`) {
		t.Error("the transform was not applied:", first["pods"])
	}
	file := saved(t, r, map[string]any{"rollout": map[string]string{"name": "acme"}})
	c, extra, err := Replay(bytes.NewReader(file), scheme)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, queryAll(t, c)); diff != "" {
		t.Error(diff)
	}
	if string(extra["rollout"]) != `{"name":"acme"}` {
		t.Errorf("extra %s", extra)
	}
	if !meta.IsNoMatchError(c.List(ctx, &appsv1.DeploymentList{})) ||
		!apierrors.IsForbidden(c.List(ctx, &appsv1.DaemonSetList{})) {
		t.Error("a refusal has lost its kind")
	}
}

func TestReplayUnrecordedRequests(t *testing.T) {
	scheme := newScheme(t)
	r := NewRecorder(liveCluster(t), scheme, nil)
	queryAll(t, r)
	c, _, err := Replay(bytes.NewReader(saved(t, r, nil)), scheme)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("about a kind of which all was seen", func(t *testing.T) {
		if err := c.Get(ctx, client.ObjectKey{Namespace: "acme", Name: "b"}, &corev1.Pod{}); err != nil {
			t.Error(err)
		}
		var list corev1.PodList
		if err := c.List(ctx, &list, client.MatchingFields{"spec.nodeName": "worker-0"}, client.Limit(2)); err != nil ||
			len(list.Items) != 2 || list.Continue == "" {
			t.Error(err, len(list.Items))
		}
		if !c.Has(podKind) || c.Has(mcfgv1.GroupVersion.WithKind("ControllerConfig")) {
			t.Error("Has")
		}
	})
	t.Run("about a kind that was not served", func(t *testing.T) {
		if err := c.Get(ctx, client.ObjectKey{Namespace: "a", Name: "b"},
			&appsv1.Deployment{}); !meta.IsNoMatchError(err) {
			t.Error(err)
		}
	})
	t.Run("about anything else", func(t *testing.T) {
		for _, err := range []error{c.List(ctx, &corev1.ServiceList{}),
			c.Get(ctx, client.ObjectKey{Name: "other"}, &configv1.Proxy{}),
			c.List(ctx, &appsv1.DaemonSetList{}, client.InNamespace("a"))} {
			if err == nil || !strings.Contains(err.Error(), "holds no answer to this question") {
				t.Error(err)
			}
		}
	})
}

func TestRecordingIsDeterministic(t *testing.T) {
	var files [2][]byte
	for i := range files {
		r := NewRecorder(liveCluster(t), newScheme(t), nil)
		queryAll(t, r)
		files[i] = saved(t, r, map[string]any{"b": 1, "a": 2})
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two recordings of one cluster differ")
	}
	c, extra, err := Replay(bytes.NewReader(files[0]), newScheme(t))
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecorder(c, newScheme(t), nil)
	queryAll(t, r)
	again := saved(t, r, map[string]any{"a": extra["a"], "b": extra["b"]})
	if diff := cmp.Diff(unzip(t, files[0]), unzip(t, again)); diff != "" {
		t.Error("a recording of a replay differs:", diff)
	}
}

func unzip(t *testing.T, file []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRecordingIsRedacted(t *testing.T) {
	scheme := newScheme(t)
	r := NewRecorder(liveCluster(t), scheme, nil)
	queryAll(t, r)
	key := client.ObjectKey{Namespace: "openshift-config", Name: "pull-secret"}
	loose, partial := &unstructured.Unstructured{}, &metav1.PartialObjectMetadata{}
	loose.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	partial.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	for range 2 {
		secret := &corev1.Secret{}
		for _, object := range []client.Object{secret, loose, partial} {
			if err := r.Get(ctx, key, object); err != nil {
				t.Fatal(err)
			}
		}
		if string(secret.Data[corev1.DockerConfigJsonKey]) != "hunter2" {
			t.Error("whoever reads through the recorder does not get the Secret itself")
		}
	}
	if err := r.List(ctx, &corev1.SecretList{}); err == nil {
		t.Error("Secrets can be listed")
	}
	file := saved(t, r, nil)
	text := unzip(t, file)
	for _, word := range []string{"hunter2", "aHVudGVyMg", "JDYkaHVudGVyMg"} {
		if strings.Contains(text, word) {
			t.Errorf("the recording holds %q", word)
		}
	}
	for _, word := range []string{"data:,unqualified", "pull-secret", "proxy.example.com:3128", "infraImageKey",
		`"note":"kept"`} {
		if !strings.Contains(text, word) {
			t.Errorf("the recording has lost %q", word)
		}
	}
	c, _, err := Replay(bytes.NewReader(file), scheme)
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{}
	if err := c.Get(ctx, key, secret); err != nil || len(secret.Data) != 0 ||
		secret.Type != corev1.SecretTypeDockerConfigJson {
		t.Error(err, secret)
	}
}

// growingCluster is a cluster with one more pod at each look.
type growingCluster struct {
	client.Reader
	reads int
}

func (g *growingCluster) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	pods, ok := list.(*corev1.PodList)
	if !ok {
		return errors.New("only pods")
	}
	if g.reads++; g.reads == 1 {
		return errors.New("connection lost")
	}
	pods.Items = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p" + o.Continue}}}
	pods.Continue = map[string]string{"": "1", "1": "2"}[o.Continue]
	return nil
}

func TestRecorderCachesAndReadsAllPages(t *testing.T) {
	g := &growingCluster{}
	r := NewRecorder(g, newScheme(t), nil)
	var list corev1.PodList
	if err := r.List(ctx, &list); err == nil {
		t.Error("the failure was swallowed")
	}
	var got []string
	for token := ""; ; token = list.Continue {
		if err := r.List(ctx, &list, client.Limit(1), client.Continue(token)); err != nil {
			t.Fatal(err)
		}
		if got = append(got, names(list.Items)...); list.Continue == "" {
			break
		}
	}
	if err := r.List(ctx, &list); err != nil {
		t.Fatal(err)
	}
	if want := []string{"p", "p1", "p2"}; !reflect.DeepEqual(got, want) ||
		!reflect.DeepEqual(names(list.Items), want) || g.reads != 4 {
		t.Errorf("%v %v after %d looks", got, names(list.Items), g.reads)
	}
}

func TestRecorderIgnoresCancelledRequests(t *testing.T) {
	r := NewRecorder(interceptor.NewClient(fake.NewClientBuilder().WithScheme(newScheme(t)).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object,
			opts ...client.GetOption) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.Get(ctx, key, obj, opts...)
		}}), newScheme(t), nil)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := r.Get(cancelled, client.ObjectKey{Name: "a"}, &corev1.Node{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := r.Get(ctx, client.ObjectKey{Name: "a"}, &corev1.Node{}); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

func TestReplayRejectsDamagedRecordings(t *testing.T) {
	r := NewRecorder(liveCluster(t), newScheme(t), nil)
	queryAll(t, r)
	file := saved(t, r, nil)
	text := unzip(t, file)
	zip := func(text string) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		if _, err := z.Write([]byte(text)); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for name, row := range map[string]struct {
		file []byte
		says string
	}{
		"not gzip":            {[]byte(text), "not gzip"},
		"cut off":             {file[:len(file)-20], "damaged"},
		"something else":      {zip(`{"kind":"List"}`), "no recording"},
		"a newer version":     {zip(`{"format":"safe-mirror-recording","version":2}`), "version 2"},
		"an object is gone":   {zip(text[:strings.LastIndex(strings.TrimSpace(text), "\n")+1]), "object "},
		"an unknown kind":     {zip(`{"format":"safe-mirror-recording","version":1}{"question":{"verb":"list","form":"typed","version":"v9","kind":"Pod"}}`), "does not know the kind"},
		"a get without":       {zip(`{"format":"safe-mirror-recording","version":1}{"question":{"verb":"get","form":"typed","version":"v1","kind":"Pod"}}`), "has 0 objects"},
		"rubbish at its end":  {zip(text + "]"), "damaged"},
		"a malformed object":  {zip(`{"format":"safe-mirror-recording","version":1}{"question":{"verb":"list","form":"typed","version":"v1","kind":"Pod"},"objects":1}{"spec":7}`), "object 1 of 1"},
		"empty":               {nil, "not gzip"},
		"a header and no end": {zip(`{"format":"safe-mirror-recording","version":1}{"question"`), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Replay(bytes.NewReader(row.file), newScheme(t)); err == nil ||
				!strings.Contains(err.Error(), row.says) {
				t.Error(err)
			}
		})
	}
}
