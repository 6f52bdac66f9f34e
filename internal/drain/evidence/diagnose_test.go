package evidence

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// drainStarted is when worker-1 was cordoned, looked when it is diagnosed.
var (
	drainStarted = minicluster.StartTime
	observedAt   = drainStarted.Add(time.Minute)
)

const blockedConf = minicluster.BaseRegistriesConf + `
[[registry]]
  prefix = ""
  location = "quay.io/acme"
  blocked = true

  [[registry.mirror]]
    location = "mirror.local/acme"
    pull-from-mirror = "tag-only"
`

// stuck is a cluster in which worker-0 has the new configuration and cannot pull the shop, and
// worker-1 is therefore not drained.
func stuck() []client.Object {
	objects := minicluster.Objects("worker-0", "worker-1")
	objects = append(objects, minicluster.MachineConfig("rendered-worker-1", minicluster.RegistriesFile(blockedConf)),
		mirrorset.ITMS(minicluster.Rollout("shop")))
	minicluster.Edit(objects, "worker-0", func(n *corev1.Node) {
		n.Annotations[minicluster.CurrentConfig], n.Annotations[minicluster.DesiredConfig] = "rendered-worker-1",
			"rendered-worker-1"
	})
	minicluster.Edit(objects, "worker-1", func(n *corev1.Node) {
		n.Annotations[minicluster.DesiredConfig], n.Annotations[minicluster.DaemonState] = "rendered-worker-1",
			"Working"
		n.Annotations["machineconfiguration.openshift.io/desiredDrain"] = "drain-rendered-worker-1"
		n.Spec.Unschedulable = true
		n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule,
			TimeAdded: &metav1.Time{Time: drainStarted}}}
	})
	two, most := int32(2), intstr.FromInt32(1)
	labels, yes := map[string]string{"app": "shop"}, true
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: "rs"}}
	rs.Spec.Replicas = &two
	pdb := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}}
	pdb.Spec.MaxUnavailable, pdb.Spec.Selector = &most, &metav1.LabelSelector{MatchLabels: labels}
	pod := func(name, node string, ready corev1.ConditionStatus, state corev1.ContainerState) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name),
			Labels: labels, CreationTimestamp: metav1.NewTime(drainStarted),
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "shop", UID: "rs", Controller: &yes}}}}
		p.Spec = corev1.PodSpec{NodeName: node,
			Containers: []corev1.Container{{Name: "shop", Image: "quay.io/acme/shop:v1"}}}
		p.Status = corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready,
				LastTransitionTime: metav1.NewTime(drainStarted)}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "shop", State: state}}}
		return p
	}
	failing := pod("shop-a", "worker-0", corev1.ConditionFalse,
		corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "ImagePullBackOff", Message: `Back-off pulling image "quay.io/acme/shop:v1"`}})
	failing.Status.Phase = corev1.PodPending
	return append(objects, rs, pdb, failing,
		pod("shop-b", "worker-1", corev1.ConditionTrue,
			corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}))
}

func failedEvent(at time.Time, message string) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e" + at.Format("150405")},
		Reason: "Failed", Message: message, LastTimestamp: metav1.NewTime(at),
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "shop-a", UID: "uid-shop-a"}}
}

func sourceOf(funcs interceptor.Funcs, objects ...client.Object) Source {
	c := minicluster.Client(funcs, objects...)
	// The fake client has no index of events; files have none either, and are read by namespace.
	return Source{Reader: c, API: c, Predictor: &prediction.Predictor{}, Now: observedAt, Partial: true}
}

func diagnose(t *testing.T, s Source) Result {
	t.Helper()
	pools, err := s.Pools(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Diagnose(context.Background(), pools)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDiagnose: what the pod does not say is taken from its events and from the registries
// configuration of its node.
func TestDiagnose(t *testing.T) {
	const failed = `Failed to pull image "quay.io/acme/shop:v1": `
	cases := map[string]struct {
		objects []client.Object
		cause   rollout.PullCause
		says    []string
	}{
		"nobody says why": {append(stuck(), failedEvent(observedAt, "Error: ImagePullBackOff")), rollout.PullOther,
			[]string{"drain of worker-1 is blocked",
				"PDB shop/shop allows 0 (1 of 2 healthy, 1 wanted) and keeps pod shop-b", "pod shop-a on worker-0",
				"asks mirror.local/acme/shop:v1 first", "the source is blocked by ImageTagMirrorSet/shop"}},
		"the newest event says why": {append(stuck(),
			failedEvent(observedAt.Add(-20*time.Second), failed+
				`(Mirrors also failed: [mirror.local/acme/shop:v1: reading manifest v1 in mirror.local/acme/shop: manifest unknown]): quay.io/acme/shop:v1: x`),
			failedEvent(observedAt, failed+
				`(Mirrors also failed: [mirror.local/acme/shop:v1: reading manifest v1 in mirror.local/acme/shop: unauthorized: authentication required]): quay.io/acme/shop:v1: registry quay.io/acme is blocked in /etc/containers/registries.conf`)),
			rollout.PullDenied, []string{"mirror.local/acme/shop:v1 refuses the node's login",
				"blocked by ImageTagMirrorSet/shop"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := diagnose(t, sourceOf(interceptor.Funcs{}, c.objects...))
			if len(got.BlockedDrains) != 1 || got.BlockedDrains[0].Reason != rollout.DrainBlockPull ||
				got.BlockedDrains[0].Pods[0].Pulls[0].Cause != c.cause {
				t.Fatalf("got %+v", got.BlockedDrains)
			}
			for _, part := range c.says {
				if !strings.Contains(got.BlockedDrains[0].String(), part) {
					t.Errorf("it does not say %q:\n%s", part, got.BlockedDrains[0])
				}
			}
		})
	}
}

// TestNothingIsReadWithoutUpdates: while no node is updating, pods and budgets are nobody's
// business.
func TestNothingIsReadWithoutUpdates(t *testing.T) {
	down := errors.New("connection refused")
	got := diagnose(t, sourceOf(minicluster.FailingReads[*corev1.PodList](down), minicluster.Objects("worker-0")...))
	if len(got.BlockedDrains) > 0 || len(got.Pools) != 1 {
		t.Errorf("got %+v", got)
	}
}

// TestReadErrors: without pods a chain would be wrong, so there is none; without what only adds to
// it, there is a gap.
func TestReadErrors(t *testing.T) {
	down := errors.New("connection refused")
	for name, funcs := range map[string]interceptor.Funcs{"pods": minicluster.FailingReads[*corev1.PodList](down),
		"budgets": minicluster.FailingReads[*policyv1.PodDisruptionBudgetList](down)} {
		s := sourceOf(funcs, stuck()...)
		pools, err := s.Pools(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Diagnose(context.Background(), pools); !errors.Is(err, down) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got := diagnose(t, sourceOf(minicluster.FailingReads[*mcfgv1.MachineConfigNodeList](down),
		append(stuck(), failedEvent(observedAt, "x"))...))
	if len(got.BlockedDrains) != 1 || len(got.UnreadKinds) != 1 || got.UnreadKinds[0].Kind != "MachineConfigNode" {
		t.Errorf("got %+v", got)
	}
}

// TestFilesUseTheirNewestTimestamp: what was slow when a must-gather was collected is not stuck a
// week later.
func TestFilesUseTheirNewestTimestamp(t *testing.T) {
	s := sourceOf(interceptor.Funcs{}, append(stuck(), failedEvent(observedAt, "x"))...)
	s.Now = observedAt.Add(7 * 24 * time.Hour)
	if got := diagnose(t, s); !got.At.Equal(observedAt) {
		t.Errorf("the look was at %s, want that of the newest entry, %s", got.At, observedAt)
	}
}

// TestDryRunEvictions: where nothing else says why a pod stays, the API server is asked, and a
// webhook's words get into the chain.
func TestDryRunEvictions(t *testing.T) {
	free := minicluster.Edit(stuck(), "shop", func(b *policyv1.PodDisruptionBudget) { // nothing is in the way
		two := intstr.FromInt32(2)
		b.Spec.MaxUnavailable, b.Status.DisruptionsAllowed = &two, 1
	})
	s := sourceOf(interceptor.Funcs{}, append(free, failedEvent(observedAt, "x"))...)
	asked := 0
	s.DryRunEvict = func(context.Context, *corev1.Pod) (*diagnosis.EvictionRefusal, error) {
		asked++
		return &diagnosis.EvictionRefusal{Code: 403,
			Message: `admission webhook "guard.example.com" denied the request: no`}, nil
	}
	got := diagnose(t, s)
	if asked != 1 || len(got.BlockedDrains) != 1 || got.BlockedDrains[0].Reason != rollout.DrainBlockWebhook ||
		!strings.Contains(got.BlockedDrains[0].RootCause(), "guard.example.com") {
		t.Errorf("asked %d times, got %+v", asked, got.BlockedDrains)
	}
	asked, s.DryRunAfter = 0, time.Hour
	if got := diagnose(t, s); asked != 0 || got.BlockedDrains[0].Reason != rollout.DrainBlockRetrying {
		t.Errorf("before its time: asked %d times, got %+v", asked, got.BlockedDrains)
	}
	s = sourceOf(interceptor.Funcs{}, append(stuck(), failedEvent(observedAt, "x"))...)
	s.DryRunEvict = func(context.Context, *corev1.Pod) (*diagnosis.EvictionRefusal, error) {
		t.Error("the budget says why, and the API server was asked all the same")
		return nil, nil
	}
	diagnose(t, s)
}

func TestRefusals(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	budget := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	budget.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause}}
	cases := map[string]struct {
		err    error
		want   *diagnosis.EvictionRefusal
		failed bool
	}{
		"granted":        {nil, nil, false},
		"gone meanwhile": {apierrors.NewNotFound(pods, "shop-b"), nil, false},
		"a budget": {budget,
			&diagnosis.EvictionRefusal{Code: 429, Message: budget.ErrStatus.Message, ByBudget: true}, false},
		"a virtual machine": {apierrors.NewTooManyRequests("Eviction triggered evacuation of VMI", 0),
			&diagnosis.EvictionRefusal{Code: 429, Message: "Eviction triggered evacuation of VMI"}, false},
		"a webhook": {apierrors.NewForbidden(pods, "shop-b",
			errors.New(`admission webhook "x" denied the request`)), &diagnosis.EvictionRefusal{Code: 403}, false},
		"a webhook that is dead": {apierrors.NewInternalError(errors.New(`failed calling webhook "x"`)),
			&diagnosis.EvictionRefusal{Code: 500}, false},
		"no dry runs": {apierrors.NewBadRequest(`admission webhook "x" does not support dry run`),
			nil, false},
		"not allowed to ask": {apierrors.NewForbidden(pods, "shop-b", errors.New("no")), nil, true},
		"no answer":          {errors.New("connection refused"), nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := refusalOf(c.err)
			if (err != nil) != c.failed || (got == nil) != (c.want == nil) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got != nil && (got.Code != c.want.Code || got.ByBudget != c.want.ByBudget || c.want.Message != "" &&
				got.Message != c.want.Message) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestVMMigrations(t *testing.T) {
	vmi := func(strategy string, migration map[string]any, conditions ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"evictionStrategy": strategy},
			"status": map[string]any{"conditions": conditions, "migrationState": migration,
				"evacuationNodeName": "worker-1"}}}
	}
	fixed := map[string]any{"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable",
		"message": "PVC is not shared"}
	cases := map[string]struct {
		object *unstructured.Unstructured
		want   diagnosis.VMMigration
	}{
		"cannot move": {vmi("LiveMigrate", nil, fixed),
			diagnosis.VMMigration{NotMigratable: "DisksNotLiveMigratable: PVC is not shared", Evacuating: true}},
		"twin: it may be shut down": {vmi("LiveMigrateIfPossible", nil, fixed), diagnosis.VMMigration{Evacuating: true}},
		"is moving": {vmi("",
			map[string]any{"targetNode": "worker-2", "startTimestamp": "2026-03-01T12:00:30Z"}),
			diagnosis.VMMigration{Target: "worker-2", Started: drainStarted.Add(30 * time.Second), Evacuating: true}},
		"has moved before": {vmi("",
			map[string]any{"targetNode": "worker-1", "endTimestamp": "2026-03-01T11:00:00Z"}),
			diagnosis.VMMigration{Evacuating: true}},
		"has failed to": {vmi("",
			map[string]any{"targetNode": "worker-2", "endTimestamp": "2026-03-01T12:00:50Z", "failed": true,
				"failureReason": "timeout"}), diagnosis.VMMigration{LastFailure: "its migration to worker-2 has failed: timeout", Evacuating: true}},
		"says nothing about anything": {&unstructured.Unstructured{Object: map[string]any{}}, diagnosis.VMMigration{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := vmMigrationOf(c.object); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
