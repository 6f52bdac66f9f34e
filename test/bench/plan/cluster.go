package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

const (
	rules = 200
	// newRules are those of the rules that the rollout brings.
	newRules = 50
	base     = "unqualified-search-registries = ['registry.access.redhat.com', 'docker.io']\n"
)

// cluster is how big it is. Everything in it follows from the seed.
type cluster struct {
	nodes, pods, images int
	random              *rand.Rand
}

func newCluster(size float64) *cluster {
	part := func(n int) int { return max(10, int(float64(n)*size)) }
	return &cluster{nodes: part(2000), pods: part(50_000), images: part(5000), random: rand.New(rand.NewPCG(20, 26))}
}

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// image is the i-th of the cluster: a third by tag, the rest by digest, in 400 places of which half
// have a rule.
func image(i int) string {
	name := fmt.Sprintf("registry%d.example.com/team%d/group/app-%d", i%20, i%400, i)
	if i%3 == 0 {
		return fmt.Sprintf("%s:v1.%d", name, i%7)
	}
	return fmt.Sprintf("%s@sha256:%064x", name, i)
}

// rulesOf are rules from one number to another: digest mirrors first, and tag mirrors for the last
// quarter.
func rulesOf(from, to int) registriesconf.Sets {
	digests := configv1.ImageDigestMirrorSet{TypeMeta: metav1.TypeMeta{APIVersion: "config.openshift.io/v1",
		Kind: "ImageDigestMirrorSet"}, ObjectMeta: metav1.ObjectMeta{Name: "site"}}
	tags := configv1.ImageTagMirrorSet{TypeMeta: metav1.TypeMeta{APIVersion: "config.openshift.io/v1",
		Kind: "ImageTagMirrorSet"}, ObjectMeta: metav1.ObjectMeta{Name: "wished"}}
	for i := from; i < to; i++ {
		source := fmt.Sprintf("registry%d.example.com/team%d", i%20, i)
		mirror := configv1.ImageMirror(fmt.Sprintf("mirror.example.com/team%d", i))
		if i < rules-newRules {
			digests.Spec.ImageDigestMirrors = append(digests.Spec.ImageDigestMirrors,
				configv1.ImageDigestMirrors{Source: source, Mirrors: []configv1.ImageMirror{mirror}})
		} else {
			tags.Spec.ImageTagMirrors = append(tags.Spec.ImageTagMirrors,
				configv1.ImageTagMirrors{Source: source, Mirrors: []configv1.ImageMirror{mirror}})
		}
	}
	return registriesconf.Sets{IDMSs: []configv1.ImageDigestMirrorSet{digests},
		ITMSs: []configv1.ImageTagMirrorSet{tags}}
}

// rollout has the last of the rules.
func rollout() *v1alpha1.SafeMirrorRollout {
	r := &v1alpha1.SafeMirrorRollout{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(),
		Kind: "SafeMirrorRollout"}, ObjectMeta: metav1.ObjectMeta{Name: "bench"}}
	for _, m := range rulesOf(rules-newRules, rules).ITMSs[0].Spec.ImageTagMirrors {
		r.Spec.ImageTagMirrors = append(r.Spec.ImageTagMirrors,
			v1alpha1.ImageMirrors{Source: m.Source, Mirrors: []string{string(m.Mirrors[0])}})
	}
	return r
}

func (c *cluster) meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, ResourceVersion: fmt.Sprint(c.random.IntN(1 << 30)), Generation: 3,
		UID:               types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", c.random.Uint32(), c.random.IntN(1<<40))),
		CreationTimestamp: metav1.NewTime(began.Add(time.Duration(c.random.IntN(1000)) * time.Hour)),
	}
}

func nodeName(i int) string { return fmt.Sprintf("worker-%04d.site.example.com", i) }

// node is the i-th; the first three are the control plane. It lists 50 images, as kubelets do.
func (c *cluster) node(i int) *corev1.Node {
	role, pool := "node-role.kubernetes.io/worker", "worker"
	if i < 3 {
		role, pool = "node-role.kubernetes.io/master", "master"
	}
	n := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: c.meta("", nodeName(i))}
	n.Labels = map[string]string{role: "", corev1.LabelTopologyZone: fmt.Sprintf("zone-%c", 'a'+i%3),
		corev1.LabelArchStable: "amd64", corev1.LabelHostname: n.Name}
	n.Annotations = map[string]string{}
	for key, value := range map[string]string{"currentConfig": "rendered-" + pool + "-0", "desiredConfig": "rendered-" +
		pool + "-0", "state": "Done", "desiredDrain": "uncordon-rendered-" + pool + "-0",
		"lastAppliedDrain": "uncordon-rendered-" + pool + "-0"} {
		n.Annotations["machineconfiguration.openshift.io/"+key] = value
	}
	n.Status.NodeInfo = corev1.NodeSystemInfo{Architecture: "amd64", OperatingSystem: "linux",
		KubeletVersion: "v1.33.4", ContainerRuntimeVersion: "cri-o://1.33.4"}
	for _, t := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure,
		corev1.NodePIDPressure, corev1.NodeReady} {
		status := corev1.ConditionFalse
		if t == corev1.NodeReady {
			status = corev1.ConditionTrue
		}
		n.Status.Conditions = append(n.Status.Conditions,
			corev1.NodeCondition{Type: t, Status: status, Reason: "Kubelet", Message: "kubelet has said so",
				LastHeartbeatTime: metav1.NewTime(began)})
	}
	for j := range 50 {
		n.Status.Images = append(n.Status.Images,
			corev1.ContainerImage{Names: []string{image((i*50 + j) % c.images)}, SizeBytes: int64(j) << 20})
	}
	return n
}

// podSpec has what a usual one has: in every fourth a sidecar, and mounts, probes, resources and an
// environment.
func (c *cluster) podSpec(i int) corev1.PodSpec {
	limits := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"),
		corev1.ResourceMemory: resource.MustParse("256Mi")}
	var env []corev1.EnvVar
	for j := range 3 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", j), Value: strings.Repeat("v", 20+j)})
	}
	probe := &corev1.Probe{PeriodSeconds: 10,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}}
	container := corev1.Container{
		Name: "app", Image: image(i % c.images), Env: env,
		Resources: corev1.ResourceRequirements{Limits: limits, Requests: limits}, LivenessProbe: probe,
		ReadinessProbe:  probe,
		ImagePullPolicy: corev1.PullIfNotPresent,
		VolumeMounts: []corev1.VolumeMount{{Name: "kube-api-access",
			MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	containers := []corev1.Container{container}
	if i%4 == 0 {
		sidecar := container
		sidecar.Name, sidecar.Image = "proxy", image((i*7)%c.images)
		containers = append(containers, sidecar)
	}
	return corev1.PodSpec{
		Containers: containers, ServiceAccountName: "default", RestartPolicy: corev1.RestartPolicyAlways,
		DNSPolicy: corev1.DNSClusterFirst,
		Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists,
			Effect: corev1.TaintEffectNoExecute}},
		Volumes: []corev1.Volume{{Name: "kube-api-access",
			VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
}

func (c *cluster) namespace(i int) string { return fmt.Sprintf("project-%d", i%500) }

func (c *cluster) pod(i int) *corev1.Pod {
	app := fmt.Sprintf("app-%d", i%c.images)
	yes := true
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: c.meta(c.namespace(i%c.images), fmt.Sprintf("%s-5d4f9c7b8d-%05x", app, i))}
	p.Labels = map[string]string{"app": app, "pod-template-hash": "5d4f9c7b8d"}
	p.Annotations = map[string]string{"k8s.ovn.org/pod-networks": `{"default":{"ip_addresses":["10.128.2.15/23"],"mac_address":"0a:58:0a:80:02:0f"}}`, "openshift.io/scc": "restricted-v2"}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-5d4f9c7b8d",
		UID: types.UID(app), Controller: &yes}}
	p.Spec = c.podSpec(i % c.images)
	p.Spec.NodeName = nodeName(i % c.nodes)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.128.2.15", HostIP: "10.0.0.1",
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for _, container := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image,
			ImageID: fmt.Sprintf("registry.example.com/x@sha256:%064x", i%c.images), Ready: true,
			ContainerID: fmt.Sprintf("cri-o://%064x", i),
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(began)}},
		})
	}
	return p
}

func (c *cluster) deployment(i int) *appsv1.Deployment {
	app := fmt.Sprintf("app-%d", i)
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: c.meta(c.namespace(i), app)}
	replicas := int32(10)
	d.Spec.Replicas = &replicas
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: c.podSpec(i)}
	d.Status = appsv1.DeploymentStatus{Replicas: 10, ReadyReplicas: 10}
	return d
}

func (c *cluster) replicaSet(i int) *appsv1.ReplicaSet {
	d := c.deployment(i)
	yes := true
	s := &appsv1.ReplicaSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"},
		ObjectMeta: c.meta(d.Namespace, d.Name+"-5d4f9c7b8d")}
	s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID,
		Controller: &yes}}
	s.Spec = appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template}
	return s
}

func (c *cluster) daemonSet(i int) *appsv1.DaemonSet {
	d := c.deployment(i % c.images)
	s := &appsv1.DaemonSet{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"},
		ObjectMeta: c.meta("openshift-agents", fmt.Sprintf("agent-%d", i))}
	s.Spec = appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}
	return s
}

// singletons are the objects of which there is one, or a few.
func (c *cluster) singletons() ([]runtime.Object, error) {
	sets := rulesOf(0, rules-newRules)
	image := &configv1.Image{TypeMeta: metav1.TypeMeta{APIVersion: "config.openshift.io/v1", Kind: "Image"},
		ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
	version := &configv1.ClusterVersion{TypeMeta: metav1.TypeMeta{APIVersion: "config.openshift.io/v1",
		Kind: "ClusterVersion"}, ObjectMeta: metav1.ObjectMeta{Name: "version"}}
	version.Status.Desired = configv1.Release{Version: "4.20.1",
		Image: "quay.io/openshift-release-dev/ocp-release@sha256:" + strings.Repeat("0", 64)}
	version.Status.History = []configv1.UpdateHistory{{State: configv1.CompletedUpdate, Version: "4.20.1"}}
	infrastructure := &configv1.Infrastructure{TypeMeta: metav1.TypeMeta{APIVersion: "config.openshift.io/v1",
		Kind: "Infrastructure"}, ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
	infrastructure.Status.ControlPlaneTopology = configv1.HighlyAvailableTopologyMode
	sets.Image = image
	text, err := registriesconf.Render([]byte(base), sets)
	if err != nil {
		return nil, err
	}
	out := []runtime.Object{image, version, infrastructure, &sets.IDMSs[0]}
	for _, pool := range []string{"master", "worker"} {
		mcp := &mcfgv1.MachineConfigPool{TypeMeta: metav1.TypeMeta{APIVersion: "machineconfiguration.openshift.io/v1",
			Kind: "MachineConfigPool"}, ObjectMeta: metav1.ObjectMeta{Name: pool}}
		mcp.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/" +
			pool: ""}}
		mcp.Spec.Configuration.Name = "rendered-" + pool + "-0"
		out = append(out, mcp, machineConfig("01-"+pool+"-container-runtime", base),
			machineConfig("rendered-"+pool+"-0", string(text)))
	}
	return out, nil
}

func machineConfig(name, text string) *mcfgv1.MachineConfig {
	raw, err := json.Marshal(map[string]any{"ignition": map[string]any{"version": "3.5.0"},
		"storage": map[string]any{"files": []any{map[string]any{
			"path":     registriesconf.RegistriesPath,
			"contents": map[string]any{"source": "data:;base64," + base64.StdEncoding.EncodeToString([]byte(text))},
		}}}})
	if err != nil {
		panic(err) // maps and strings always marshal
	}
	mc := &mcfgv1.MachineConfig{TypeMeta: metav1.TypeMeta{APIVersion: "machineconfiguration.openshift.io/v1",
		Kind: "MachineConfig"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
	mc.Spec.Config.Raw = raw
	return mc
}
