package pool

import (
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type poolBuilder struct{ *mcfgv1.MachineConfigPool }

// newPool is a pool that selects the nodes of its role.
func newPool(name string) poolBuilder {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 7}}
	p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/" + name: ""}}
	p.Spec.Configuration.Name = "rendered-" + name
	p.Status.ObservedGeneration = 6
	return poolBuilder{p}
}

func (b poolBuilder) paused() poolBuilder {
	b.Spec.Paused = true
	return b
}

func (b poolBuilder) selector(s *metav1.LabelSelector) poolBuilder {
	b.Spec.NodeSelector = s
	return b
}

// maxUnavailable takes what a user may write: 2 or 10%.
func (b poolBuilder) maxUnavailable(s string) poolBuilder {
	v := intstr.Parse(s)
	b.Spec.MaxUnavailable = &v
	return b
}

func (b poolBuilder) note(text string) poolBuilder {
	b.Annotations = map[string]string{PauseRecordAnnotation: text}
	return b
}

func (b poolBuilder) record(record rollout.PauseRecord) poolBuilder {
	text, err := encode(record)
	if err != nil {
		panic(err)
	}
	return b.note(text)
}

func (b poolBuilder) condition(kind mcfgv1.MachineConfigPoolConditionType, status corev1.ConditionStatus,
	message string) poolBuilder {
	b.Status.Conditions = append(b.Status.Conditions,
		mcfgv1.MachineConfigPoolCondition{Type: kind, Status: status, Message: message})
	return b
}

// written notes that the manager has written the fields at that second.
func (b poolBuilder) written(manager, fields string, second int) poolBuilder {
	t := metav1.NewTime(began.Add(time.Duration(second) * time.Second))
	b.ManagedFields = append(b.ManagedFields, metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: mcfgv1.GroupVersion.String(),
		Time:       &t,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	})
	return b
}

const pausedField = `{"f:spec":{"f:paused":{}}}`

const maxField = `{"f:spec":{"f:maxUnavailable":{}}}`

// someNode has the labels of the roles.
func someNode(name string, roles ...string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for _, r := range roles {
		n.Labels["node-role.kubernetes.io/"+r] = ""
	}
	return n
}

func somePauseRecord() rollout.PauseRecord {
	return rollout.PauseRecord{
		Rollout: "shop", UID: "uid-shop", Since: began, PriorMaxUnavailable: "10%", Unavailable: []string{"worker-2"},
		Undo: "oc patch …",
	}
}

func someWindow() *rollout.UnpauseWindow {
	return &rollout.UnpauseWindow{IntendedAt: began, Deadline: began.Add(time.Minute), Target: "rendered-worker",
		UpdatedBefore: 2, MaxUnavailable: 2}
}

// fakeCluster holds the objects; it checks resourceVersions as the API server does.
func fakeCluster(objects ...client.Object) client.Client {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{mcfgv1.Install, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}
