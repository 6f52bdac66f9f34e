package inventory

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

const image = "quay.io/acme/app:v1"

// TestWorkloads: pods, and what starts them, with the class by their state.
func TestWorkloads(t *testing.T) {
	yes, no := true, false
	as := func(class Class, owner string) []string { return []string{image + " " + string(class) + ": " + owner} }
	plain := func(*batchv1.Job) {}
	cases := map[string]struct {
		object client.Object
		want   []string
	}{
		"a running pod": {pod("app", corev1.PodRunning, image),
			as(Blocking, "Pod shop/app")},
		"a pending pod": {pod("app", corev1.PodPending, image),
			as(Blocking, "Pod shop/app")},
		"a pod that has succeeded": {pod("app", corev1.PodSucceeded, image),
			as(Historical, "Pod shop/app")},
		"a pod that has failed": {pod("app", corev1.PodFailed, image),
			as(Historical, "Pod shop/app")},
		"a Deployment": {deployment("app", replicas(2), image),
			as(Blocking, "Deployment shop/app")},
		"a Deployment that says no number": {deployment("app", nil, image),
			as(Blocking, "Deployment shop/app")},
		"a Deployment scaled to zero": {deployment("app", replicas(0), image),
			as(Advisory, "Deployment shop/app")},
		"a StatefulSet": {statefulSet("app", replicas(1), image),
			as(Blocking, "StatefulSet shop/app")},
		"a StatefulSet scaled to zero": {statefulSet("app", replicas(0), image),
			as(Advisory, "StatefulSet shop/app")},
		"a DaemonSet, with or without pods": {daemonSet("app", image),
			as(Blocking, "DaemonSet shop/app, birth")},
		"a ReplicaSet at work": {replicaSet(owned("app-1", "Deployment"), replicas(2), image),
			as(Blocking, "ReplicaSet shop/app-1")},
		"a ReplicaSet of the past": {replicaSet(owned("app-1", "Deployment"), replicas(0), image),
			as(Historical, "ReplicaSet shop/app-1")},
		"a ReplicaSet without a Deployment": {replicaSet(named("app"), replicas(1), image),
			as(Blocking, "ReplicaSet shop/app")},
		"one of those scaled to zero": {replicaSet(named("app"), replicas(0), image),
			as(Advisory, "ReplicaSet shop/app")},
		"a ReplicationController at work": {replicationController(owned("app-1", "DeploymentConfig"),
			replicas(1), image), as(Blocking, "ReplicationController shop/app-1")},
		"a ReplicationController of the past": {replicationController(owned("app-1", "DeploymentConfig"),
			replicas(0), image), as(Historical, "ReplicationController shop/app-1")},
		"a ReplicationController on its own": {replicationController(named("app"), replicas(0), image),
			as(Advisory, "ReplicationController shop/app")},
		"a ReplicationController without a template": {&corev1.ReplicationController{ObjectMeta: named("app")}, nil},
		"a Job": {job("app", plain, image), as(Blocking, "Job shop/app")},
		"a suspended Job": {job("app", func(j *batchv1.Job) { j.Spec.Suspend = &yes }, image),
			as(Advisory, "Job shop/app")},
		"a resumed Job": {job("app", func(j *batchv1.Job) { j.Spec.Suspend = &no }, image),
			as(Blocking, "Job shop/app")},
		"a Job that has completed": {job("app", func(j *batchv1.Job) {
			j.Status.CompletionTime = &metav1.Time{Time: time.Unix(1, 0)}
		}, image), as(Historical, "Job shop/app")},
		"a Job that says it is complete": {job("app", condition(batchv1.JobComplete, corev1.ConditionTrue), image),
			as(Historical, "Job shop/app")},
		"a Job that has failed": {job("app", condition(batchv1.JobFailed, corev1.ConditionTrue), image),
			as(Historical, "Job shop/app")},
		"a Job that has not failed": {job("app", condition(batchv1.JobFailed, corev1.ConditionFalse), image),
			as(Blocking, "Job shop/app")},
		"a CronJob":           {cronJob("app", nil, image), as(Blocking, "CronJob shop/app")},
		"a suspended CronJob": {cronJob("app", &yes, image), as(Advisory, "CronJob shop/app")},
		"a pod template": {&corev1.PodTemplate{ObjectMeta: named("app"),
			Template: template(image)}, as(Advisory, "PodTemplate shop/app")},
		"a revision of a StatefulSet": {controllerRevision("StatefulSet",
			`{"spec":{"template":{"spec":{"containers":[{"image":"`+image+`"}]}}}}`), as(Historical,
			"ControllerRevision shop/app-1")},
		"somebody else's revision": {controllerRevision("VirtualMachine",
			`{"spec":{"template":{"spec":{"containers":[{"image":"`+image+`"}]}}}}`), nil},
		"a revision without data": {controllerRevision("DaemonSet", ``), nil},
		"a DeploymentConfig": {manifest(deploymentConfigKind, "app",
			"spec: {replicas: 1, template: {spec: {containers: [{image: '"+image+"'}]}}}"), as(Blocking,
			"DeploymentConfig shop/app")},
		"a DeploymentConfig scaled to zero": {manifest(deploymentConfigKind, "app",
			"spec: {replicas: 0, template: {spec: {containers: [{image: '"+image+"'}]}}}"), as(Advisory,
			"DeploymentConfig shop/app")},
		"a DeploymentConfig without template": {manifest(deploymentConfigKind, "app", "spec: {replicas: 1}"), nil},
		"a container without an image":        {pod("app", corev1.PodRunning, ""), nil},
		"one that a trigger will fill in":     {deployment("app", replicas(1), " "), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := lines(testCluster{objects: []client.Object{c.object}}.read(t, Options{}).References)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

func condition(kind batchv1.JobConditionType, status corev1.ConditionStatus) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: status}} }
}

func controllerRevision(of, data string) *appsv1.ControllerRevision {
	return &appsv1.ControllerRevision{ObjectMeta: owned("app-1", of), Data: runtime.RawExtension{Raw: []byte(data)}}
}

// Everything that a pod of the spec makes a node pull.
func TestContainers(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := pod("app", corev1.PodRunning, "quay.io/acme/app:v1", "quay.io/acme/proxy:v1")
	p.Spec.InitContainers = []corev1.Container{
		{Image: "quay.io/acme/migrate:v1"},
		{Image: "quay.io/acme/sidecar:v1", RestartPolicy: &always}, // a native sidecar
	}
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Image: "quay.io/acme/debug:v1"}}}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "quay.io/acme/model:v1", PullPolicy: corev1.PullAlways}}},
		{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	want := []string{
		"quay.io/acme/app:v1 Blocking: Pod shop/app", "quay.io/acme/debug:v1 Blocking: Pod shop/app",
		"quay.io/acme/migrate:v1 Blocking: Pod shop/app", "quay.io/acme/model:v1 Blocking: Pod shop/app, always",
		"quay.io/acme/proxy:v1 Blocking: Pod shop/app", "quay.io/acme/sidecar:v1 Blocking: Pod shop/app",
	}
	if diff := cmp.Diff(want, lines(testCluster{objects: []client.Object{p}}.read(t,
		Options{}).References)); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
}

// What a Deployment's environment and annotations name besides its containers.
func TestDeploymentImages(t *testing.T) {
	d := deployment("app", replicas(1), "quay.io/acme/operator:v1")
	d.Spec.Template.Annotations = map[string]string{proxyImageAnnotation: "quay.io/mesh/proxy:v2"}
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "RELATED_IMAGE_DB", Value: "quay.io/acme/db@sha256:1111111111111111111111111111111111111111111111111111111111111111"},
		{Name: "HAPROXY_28_IMAGE", Value: "quay.io/ocp/haproxy:v1"}, {Name: "IMAGE", Value: "quay.io/ocp/router:v1"},
		{Name: "RELATED_IMAGE_NONE"}, {Name: "DISK_IMAGE", Value: "/var/lib/disk.img"},
		{Name: "BASE_IMAGE", Value: "ubuntu"},
		{Name: "IMAGE_PULL_POLICY", Value: "quay.io/acme/no:v1"},
		{Name: "LOGO_IMAGE", Value: "https://acme.example/logo.png"},
	}
	want := []string{
		"quay.io/acme/db@sha256:1111111111111111111111111111111111111111111111111111111111111111 Advisory: Deployment shop/app",
		"quay.io/acme/operator:v1 Blocking: Deployment shop/app", "quay.io/mesh/proxy:v2 Blocking: Deployment shop/app",
		"quay.io/ocp/haproxy:v1 Advisory: Deployment shop/app", "quay.io/ocp/router:v1 Advisory: Deployment shop/app",
	}
	if diff := cmp.Diff(want, lines(testCluster{objects: []client.Object{d}}.read(t,
		Options{}).References)); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
}

func TestPullPolicy(t *testing.T) {
	cases := map[string]struct {
		image  string
		policy corev1.PullPolicy
		want   bool
	}{
		"said":                             {"quay.io/acme/app:v1", corev1.PullAlways, true},
		"not by default":                   {"quay.io/acme/app:v1", "", false},
		"latest":                           {"quay.io/acme/app:latest", "", true},
		"no tag":                           {"quay.io/acme/app", "", true},
		"no tag, a registry with a port":   {"quay.io:443/acme/app", "", true},
		"a digest":                         {"quay.io/acme/app@sha256:12", "", false},
		"a digest beside the tag latest":   {"quay.io/acme/app:latest@sha256:12", "", false},
		"latest, with a policy of its own": {"quay.io/acme/app:latest", corev1.PullIfNotPresent, false},
		"nothing":                          {"", "", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := pullsAlways(c.image, c.policy); got != c.want {
				t.Errorf("always %t, want %t", got, c.want)
			}
		})
	}
}

// A pod that runs tells which digest and where; one that names no pull secret has those of its
// ServiceAccount already.
func TestRunningPod(t *testing.T) {
	node := func(name, system, arch string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: system, Architecture: arch},
		}}
	}
	on := func(name, node, id string, running bool) *corev1.Pod {
		p := pod(name, corev1.PodRunning, image)
		p.Spec.Containers[0].Name, p.Spec.NodeName = "app", node
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "quay"}, {Name: "default-dockercfg-x7k2p"}}
		status := corev1.ContainerStatus{Name: "app", ImageID: id}
		if running {
			status.State.Running = &corev1.ContainerStateRunning{}
		}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "other",
			ImageID: "quay.io/acme/other@sha256:99"}, status}
		return p
	}
	account := &corev1.ServiceAccount{ObjectMeta: named("builder"),
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "harbor"}, {Name: "builder-dockercfg-abcde"}}}
	templated := func(name string, change func(*corev1.PodSpec)) *appsv1.Deployment {
		d := deployment(name, replicas(1), image)
		change(&d.Spec.Template.Spec)
		return d
	}
	cases := map[string]struct {
		objects []client.Object
		want    string
	}{
		"two digests on two platforms": {[]client.Object{
			node("n1", "linux", "arm64"), node("n2", "", "amd64"),
			on("a", "n1", "quay.io/acme/app@sha256:22", true), on("b", "n2", "mirror.local/app@sha256:11", true),
		}, "Pod shop/a and 1 more, on [linux/amd64 linux/arm64], runs [sha256:11 sha256:22], with [shop/quay]"},
		"an ID without a digest": {[]client.Object{on("a", "", "0123456789ab", true)}, "Pod shop/a, with [shop/quay]"},
		"a container that waits": {[]client.Object{on("a", "", "quay.io/acme/app@sha256:22", false)},
			"Pod shop/a, with [shop/quay]"},
		"a node that is gone": {[]client.Object{on("a", "n9", "", true)}, "Pod shop/a, with [shop/quay]"},
		"a workload that may run anywhere as well": {[]client.Object{
			node("n1", "linux", "arm64"), on("a", "n1", "", true), deployment("app", replicas(1), image),
		}, "Deployment shop/app and 1 more, with [shop/quay]"},
		"an old revision that might": {[]client.Object{
			node("n1", "linux", "arm64"), on("a", "n1", "", true),
			replicaSet(owned("old", "Deployment"), replicas(0), image),
		}, "Pod shop/a and 1 more, on [linux/arm64], with [shop/quay]"},
		"a template with a ServiceAccount": {[]client.Object{account, templated("app", func(s *corev1.PodSpec) {
			s.ServiceAccountName = "builder"
		})}, "Deployment shop/app, with [shop/harbor]"},
		"one that names a secret itself": {[]client.Object{account, templated("app", func(s *corev1.PodSpec) {
			s.ServiceAccountName, s.ImagePullSecrets = "builder", []corev1.LocalObjectReference{{Name: "quay"}}
		})}, "Deployment shop/app, with [shop/quay]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := []string{image + " Blocking: " + c.want}
			if diff := cmp.Diff(want, lines(testCluster{objects: c.objects}.read(t,
				Options{}).References)); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlatforms(t *testing.T) {
	arch := func(operator corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelArchStable,
			Operator: operator, Values: values}}}
	}
	affinity := func(terms ...corev1.NodeSelectorTerm) *corev1.Affinity {
		return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
	}
	elsewhere := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone",
		Operator: corev1.NodeSelectorOpExists}}}
	cases := map[string]struct {
		spec corev1.PodSpec
		want []string
	}{
		"any": {corev1.PodSpec{}, nil},
		"a selector": {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelArchStable: "arm64"}},
			[]string{"linux/arm64"}},
		"the selector of old": {corev1.PodSpec{NodeSelector: map[string]string{oldArchLabel: "s390x"}},
			[]string{"linux/s390x"}},
		"one that we do not know": {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelArchStable: "riscv64"}},
			[]string{"linux/riscv64"}},
		"an affinity": {corev1.PodSpec{Affinity: affinity(arch(corev1.NodeSelectorOpIn, "arm64",
			"amd64"))}, []string{"linux/amd64", "linux/arm64"}},
		"an affinity that excludes": {corev1.PodSpec{Affinity: affinity(arch(corev1.NodeSelectorOpNotIn, "amd64"))},
			[]string{"linux/arm64", "linux/ppc64le", "linux/s390x"}},
		"one of two terms": {corev1.PodSpec{Affinity: affinity(arch(corev1.NodeSelectorOpIn, "arm64"),
			elsewhere)}, nil},
		"each of two terms": {corev1.PodSpec{Affinity: affinity(arch(corev1.NodeSelectorOpIn, "arm64"),
			arch(corev1.NodeSelectorOpIn, "arm64", "s390x"))}, []string{"linux/arm64", "linux/s390x"}},
		"that it exists":           {corev1.PodSpec{Affinity: affinity(arch(corev1.NodeSelectorOpExists))}, nil},
		"an affinity to something": {corev1.PodSpec{Affinity: affinity(elsewhere)}, nil},
		"no node affinity":         {corev1.PodSpec{Affinity: &corev1.Affinity{}}, nil},
		"a selector and an affinity": {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelArchStable: "arm64"},
			Affinity: affinity(arch(corev1.NodeSelectorOpIn, "arm64", "amd64"))}, []string{"linux/arm64"}},
		"a contradiction": {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelArchStable: "arm64"},
			Affinity: affinity(arch(corev1.NodeSelectorOpIn, "amd64"))}, nil},
		"Windows": {corev1.PodSpec{OS: &corev1.PodOS{Name: corev1.Windows}},
			[]string{"windows/amd64"}},
		"Windows by selector":          {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelOSStable: "windows"}}, []string{"windows/amd64"}},
		"Linux by selector, as always": {corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelOSStable: "linux"}}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := platforms(&c.spec)
			if len(got) == 0 {
				got = nil
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("platforms (-want +got):\n%s", diff)
			}
		})
	}
}

// nonPagingCache hands everything out at once, and refuses to go on, as the caches of
// controller-runtime do.
type nonPagingCache struct{ client.Reader }

func (c nonPagingCache) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	if o.Continue != "" {
		return errors.New("continue list option is not supported by the cache")
	}
	err := c.Reader.List(ctx, list, opts...)
	list.SetContinue("continue-not-supported")
	return err
}

func TestNonPagingCache(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(pod("app", corev1.PodRunning,
		image)).Build()
	found, err := Read(context.Background(), nonPagingCache{c}, Options{})
	if err != nil || len(found.References) != 1 {
		t.Errorf("%d references, %v", len(found.References), err)
	}
}
