package inventory

import (
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// typedObjects are of every typed kind, with all that a real object has besides images.
func typedObjects() []client.Object {
	yes := true
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-0",
		Annotations: map[string]string{currentImageAnnotation: "quay.io/acme/os:v1"}}}
	node.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "arm64"}
	node.Status.Images = []corev1.ContainerImage{{Names: []string{"quay.io/acme/cached:v1"}, SizeBytes: 1 << 20}}
	running := richPod("app-1", "worker-0")
	running.Annotations["a"] = "b"
	d := deployment("app", replicas(2), "quay.io/acme/deployment:v1")
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"},
		Annotations: map[string]string{
			proxyImageAnnotation: "quay.io/mesh/proxy:v1", "other": "x",
		}}, Spec: richPod("", "").Spec}
	sts, ds := statefulSet("db", nil, ""), daemonSet("net", "")
	sts.Spec.Template.Spec, ds.Spec.Template.Spec = richPod("", "").Spec, richPod("", "").Spec
	sts.Spec.Template.Spec.Containers[0].Image, ds.Spec.Template.Spec.Containers[0].Image = "quay.io/acme/db:v1",
		"quay.io/acme/net"
	injector := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: global("istio-sidecar-injector"),
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:         "namespace.sidecar-injector.istio.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: "mesh"}},
			Rules:        []admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{"CREATE"}, Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, Resources: []string{"pods"}}}},
		}}}
	webhook := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: global("vault"),
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "vault.hashicorp.com", Rules: []admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{"*"}, Rule: admissionregistrationv1.Rule{APIGroups: []string{"*"}, Resources: []string{"*"}}}},
		}}}
	return []client.Object{
		node, running, pod("done", corev1.PodSucceeded, "quay.io/acme/done:v1"), d, sts, ds, webhook, injector,
		&corev1.ServiceAccount{ObjectMeta: named("default"), Secrets: []corev1.ObjectReference{{Name: "x"}},
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "quay"}}},
		replicaSet(owned("app-0", "Deployment"), replicas(0), "quay.io/acme/replicaset:v1"),
		replicationController(named("rc"), replicas(1), "quay.io/acme/rc:v1"),
		job("job", func(j *batchv1.Job) { j.Spec.Suspend = &yes }, "quay.io/acme/job:v1"),
		cronJob("cron", nil, "quay.io/acme/cron:v1"),
		&corev1.PodTemplate{ObjectMeta: named("t"), Template: template("quay.io/acme/template:v1")},
		controllerRevision("StatefulSet",
			`{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"quay.io/acme/revision:v1","env":[{"name":"A","value":"B"}]}]}}}}`),
		version(func(v *configv1.ClusterVersion) {
			v.Spec.DesiredUpdate = &configv1.Update{Image: "quay.io/ocp/release:4.21.0"}
		}),
		workers("rendered-worker-1", "a"),
		machineConfig("rendered-worker-1", ignition("/etc/kubernetes/manifests/proxy.yaml", staticPod, true), nil),
		&mcfgv1.MachineOSConfig{ObjectMeta: global("gpu"),
			Status: mcfgv1.MachineOSConfigStatus{CurrentImagePullSpec: "quay.io/acme/os@sha256:12"}},
		pinned("a", "quay.io/acme/pinned@sha256:1"), images("infraImageKey", "quay.io/ocp/pod:v1"),
		configMap("mesh", "istio-sidecar-injector", "values",
			`{"global":{"hub":"quay.io/mesh","tag":"v1","proxy":{"image":"proxyv2"}}}`),
		configMap("openshift-machine-config-operator", "machine-config-operator-images", "images.json",
			`{"releaseVersion":"4.20.1","infraImage":"quay.io/ocp/pod:v2"}`),
	}
}

// richPod has what pods of real clusters carry.
func richPod(name, node string) *corev1.Pod {
	p := pod(name, corev1.PodRunning, "quay.io/acme/app:v1")
	p.ObjectMeta = owned(name, "ReplicaSet")
	p.UID, p.Labels, p.CreationTimestamp = "uid", map[string]string{"app": "shop"}, metav1.NewTime(time.Unix(1000, 0))
	p.Annotations = map[string]string{mirrorPodAnnotation: "hash",
		"k8s.ovn.org/pod-networks": `{"default":{"ip_addresses":["10.128.2.17/23"],"mac_address":"0a:58:0a:80:02:11"}}`}
	p.Spec.NodeName, p.Spec.NodeSelector = node, map[string]string{corev1.LabelArchStable: "arm64"}
	p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "quay"}}
	p.Spec.Tolerations = []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists,
		Effect: corev1.TaintEffectNoExecute}}
	p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "quay.io/acme/init:latest",
		Command: []string{"/init"}}}
	c := &p.Spec.Containers[0]
	c.Name, c.Command, c.Args = "app", []string{"/app"}, []string{"--verbose", "--listen=:8080"}
	c.Env = []corev1.EnvVar{{Name: "A", Value: "B"}, {Name: "RELATED_IMAGE_X", Value: "quay.io/acme/related:v1"}}
	c.Ports = []corev1.ContainerPort{{ContainerPort: 8080}, {ContainerPort: 443, HostPort: 443}}
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}}
	c.ReadinessProbe, c.VolumeMounts = c.LivenessProbe,
		[]corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "config", MountPath: "/config"},
			{Name: "token", MountPath: "/var/run/secrets"}}
	c.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"),
			corev1.ResourceMemory: resource.MustParse("256Mi")},
		Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"),
			corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "quay.io/acme/debug:v1", Command: []string{"sh"}}}}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
		{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
		{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}},
		{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "quay.io/acme/model:v1"}}},
	}
	p.Status.PodIPs = []corev1.PodIP{{IP: "10.128.2.17"}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue},
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "app", Image: "quay.io/acme/app:v1",
		ImageID:     "quay.io/acme/app@sha256:1111111111111111111111111111111111111111111111111111111111111111",
		ContainerID: "cri-o://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Ready: true,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}
	return p
}

// Read says the same of trimmed objects as of whole ones, malformed ones included, and trimming
// twice is trimming once.
func TestTrimKeepsTheInventory(t *testing.T) {
	full := testCluster{objects: append(fullCluster().objects, brokenObjects()...)}
	want := full.read(t, Options{ReadPayload: releaseOf(t)})
	var trimmed testCluster
	for _, o := range full.objects {
		once := trim(t, managed(o))
		if twice := trim(t, once.DeepCopyObject()); !equality.Semantic.DeepEqual(once, twice) {
			t.Errorf("trimming %T %s again changes it (-once +twice):\n%s", o, o.GetName(), cmp.Diff(once, twice))
		}
		if _, pool := o.(*mcfgv1.MachineConfigPool); !pool && once.GetManagedFields() != nil {
			t.Errorf("%T %s keeps its managed fields", o, o.GetName())
		}
		once.SetManagedFields(nil)
		trimmed.objects = append(trimmed.objects, once)
	}
	if diff := cmp.Diff(want, trimmed.read(t, Options{ReadPayload: releaseOf(t)})); diff != "" {
		t.Errorf("inventory (-whole +trimmed):\n%s", diff)
	}
}

// managed is a copy as the API server serves it.
func managed(o client.Object) client.Object {
	c, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		panic("a copy of an object is one")
	}
	c.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}})
	return c
}

func trim(t *testing.T, o any) client.Object {
	t.Helper()
	got, err := Trim(o)
	if err != nil {
		t.Fatal(err)
	}
	object, ok := got.(client.Object)
	if !ok {
		t.Fatalf("a %T came back", got)
	}
	return object
}

// What a look at workloads and a forecast of drains need stays.
func TestTrimPod(t *testing.T) {
	p := richPod("app-1", "worker-0")
	p.ManagedFields = managed(p).GetManagedFields()
	p.Annotations["safemirror.io/probe-image"] = "mirror.local/app"
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}
	deleted := metav1.NewTime(time.Unix(2000, 0))
	p.DeletionTimestamp = &deleted
	trim(t, p)
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "app-1", UID: "uid", Labels: map[string]string{"app": "shop"},
			CreationTimestamp: metav1.NewTime(time.Unix(1000, 0)),
			DeletionTimestamp: &deleted, Annotations: map[string]string{mirrorPodAnnotation: "hash",
				"safemirror.io/probe-image": "mirror.local/app"}, OwnerReferences: owned("",
				"ReplicaSet").OwnerReferences,
		},
		Spec: corev1.PodSpec{
			NodeName: "worker-0", NodeSelector: map[string]string{corev1.LabelArchStable: "arm64"},
			ImagePullSecrets: []corev1.LocalObjectReference{{Name: "quay"}},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready",
				Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
			InitContainers: []corev1.Container{{Name: "init", Image: "quay.io/acme/init:latest"}},
			Containers: []corev1.Container{{
				Name: "app", Image: "quay.io/acme/app:v1",
				Ports:     []corev1.ContainerPort{{ContainerPort: 443, HostPort: 443}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi")}},
			}},
			EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "quay.io/acme/debug:v1"}}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
				{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "quay.io/acme/model:v1"}}},
			},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue},
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", ImageID: "quay.io/acme/app@sha256:1111111111111111111111111111111111111111111111111111111111111111", Ready: true,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff",
					Message: "not found"}},
			}},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
}

func TestTrimNode(t *testing.T) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-0", Labels: map[string]string{"a": "b"},
		Annotations: map[string]string{"c": "d"}}}
	n.Spec.Unschedulable, n.Status.NodeInfo.Architecture = true, "arm64"
	n.Status.Images = []corev1.ContainerImage{{Names: []string{"quay.io/acme/app@sha256:12", "quay.io/acme/app:v1"},
		SizeBytes: 7}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	want := n.DeepCopy()
	want.Status.Images[0].Names = []string{"quay.io/acme/app@sha256:12"}
	n.ManagedFields, n.Status.VolumesInUse = managed(n).GetManagedFields(), []corev1.UniqueVolumeName{"v"}
	trim(t, n)
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
}

// An informer hands over other things than objects of these kinds.
func TestTrimUnknownObjects(t *testing.T) {
	pools := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "oc"}}}}
	if got := trim(t, pools); len(got.GetManagedFields()) != 1 {
		t.Error("who paused a pool is told by its managed fields")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": "b"},
		ManagedFields: pools.ManagedFields}, Data: map[string][]byte{"a": {1}}}
	if got := trim(t, secret); got.GetManagedFields() != nil || len(got.GetAnnotations()) != 1 ||
		len(secret.Data) != 1 {
		t.Errorf("got %+v", secret)
	}
	gone := cache.DeletedFinalStateUnknown{Key: "shop/app"}
	if got, err := Trim(gone); err != nil || got != any(gone) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Any pod at all: what is read of it does not change with trimming.
func TestTrimKeepsTheInventoryOfRandomPods(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	pick := func(from ...string) string { return from[random.Intn(len(from))] }
	whole, trimmed := testCluster{}, testCluster{}
	for i := range 200 {
		p := richPod(pick("a", "b", "c")+string(rune('a'+i%26))+string(rune('a'+i/26)),
			pick("", "worker-0", "worker-1"))
		p.Status.Phase = corev1.PodPhase(pick("Running", "Pending", "Succeeded", "Failed"))
		for j := range p.Spec.Containers {
			p.Spec.Containers[j].Image = pick("", " ", "nginx", "quay.io/acme/a:v1", "quay.io/acme/a@sha256:1",
				"quay.io/acme/b:latest")
			p.Spec.Containers[j].ImagePullPolicy = corev1.PullPolicy(pick("", "Always", "IfNotPresent"))
		}
		p.Status.ContainerStatuses[0].ImageID = pick("", "abc", "quay.io/x@sha256:1", "quay.io/x@sha256:2")
		if random.Intn(2) == 0 {
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		}
		if random.Intn(2) == 0 {
			p.Spec.NodeSelector, p.Spec.ImagePullSecrets = nil, nil
		}
		whole.objects = append(whole.objects, p)
		trimmed.objects = append(trimmed.objects, trim(t, p.DeepCopy()))
	}
	if diff := cmp.Diff(whole.read(t, Options{}), trimmed.read(t, Options{})); diff != "" {
		t.Errorf("inventory (-whole +trimmed):\n%s", diff)
	}
}
