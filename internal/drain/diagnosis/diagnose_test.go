package diagnosis

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// drainStarted is when worker-2 was cordoned; every diagnosis is made at looked.
var (
	drainStarted = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	observedAt   = drainStarted.Add(time.Minute)
)

// drainFixture is a cluster in which worker-1 has the new configuration, worker-2 is being drained,
// and worker-3 waits for its turn. Three routers run there, with a budget of one; what is wrong is
// for each case to say.
type drainFixture struct {
	drain.Snapshot
	Evidence
	pods map[string]*corev1.Pod
	pdb  *policyv1.PodDisruptionBudget
}

func newDrainFixture(t *testing.T) *drainFixture {
	t.Helper()
	w := &drainFixture{pods: map[string]*corev1.Pod{}}
	w.Now = observedAt
	w.Pulls = pullContext(t, registriesconf.Sets{},
		tagMirrors("quay", "quay.io/acme", "mirror.local/acme", configv1.NeverContactSource))
	state := func(name, current, desired, state string) rollout.Node {
		return rollout.Node{Name: name, CurrentConfig: current, DesiredConfig: desired, State: state, Ready: true,
			DesiredDrain: "uncordon-" + current, LastAppliedDrain: "uncordon-" + current}
	}
	worker2 := state("worker-2", "before", "after", "Working")
	worker2.DesiredDrain, worker2.Unschedulable = "drain-after", true
	w.Pools = []drain.PoolNodes{{Pool: rollout.Pool{Name: "worker", Rendered: "after", Nodes: []rollout.Node{
		state("worker-1", "after", "after", "Done"), worker2, state("worker-3", "before", "before", "Done")}}}}
	for _, name := range []string{"worker-1", "worker-2", "worker-3"} {
		w.Nodes = append(w.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}})
	}
	cordoned := w.Nodes[1]
	cordoned.Spec.Unschedulable = true
	cordoned.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule,
		TimeAdded: &metav1.Time{Time: drainStarted}}}
	w.Scales = drain.Scales{"rs-router": {UID: "d-router", Kind: "Deployment", Namespace: "openshift-ingress",
		Name: "router-default", Replicas: 3}}
	w.pdb = w.budget("router-default", 1)
	for name, node := range map[string]string{"router-a": "worker-1", "router-b": "worker-2", "router-c": "worker-3"} {
		w.router(name, node)
	}
	return w
}

func (w *drainFixture) budget(name string, maxUnavailable int32) *policyv1.PodDisruptionBudget {
	limit := intstr.FromInt32(maxUnavailable)
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "openshift-ingress", Name: name,
		UID: types.UID(name), Generation: 1}}
	b.Spec.MaxUnavailable, b.Spec.Selector = &limit,
		&metav1.LabelSelector{MatchLabels: map[string]string{"app": "router"}}
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, ExpectedPods: 3, DesiredHealthy: 2,
		CurrentHealthy: 2, Conditions: []metav1.Condition{
			{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse,
				Reason:             policyv1.InsufficientPodsReason,
				LastTransitionTime: metav1.NewTime(drainStarted.Add(12 * time.Second))}}}
	w.Budgets = append(w.Budgets, b)
	return b
}

// router is a ready pod, an hour old.
func (w *drainFixture) router(name, node string) *corev1.Pod {
	yes, old := true, metav1.NewTime(drainStarted.Add(-time.Hour))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "openshift-ingress", Name: name, UID: types.UID(name),
		Labels: map[string]string{"app": "router"}, CreationTimestamp: old,
		OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "router-default-1", UID: "rs-router",
			Controller: &yes}}}}
	p.Spec = corev1.PodSpec{NodeName: node,
		Containers: []corev1.Container{{Name: "router", Image: routerTag}, {Name: "logs", Image: routerTag}}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &old, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: old},
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: old}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "router", Ready: true, State: runningSince(old)},
			{Name: "logs", Ready: true, State: runningSince(old)}}}
	w.Pods = append(w.Pods, p)
	w.pods[name] = p
	return p
}

func runningSince(at metav1.Time) corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
}

// unready makes router-a a pod that is not ready since then, in phase Pending, with this state of
// its first container.
func (w *drainFixture) unready(at time.Time, state corev1.ContainerState) *corev1.Pod {
	p := w.pods["router-a"]
	p.Status.Phase, p.CreationTimestamp, p.Status.StartTime = corev1.PodPending, metav1.NewTime(at),
		&metav1.Time{Time: at}
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].LastTransitionTime = metav1.NewTime(at)
	}
	p.Status.Conditions[1].Status = corev1.ConditionFalse
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "router", State: state},
		{Name: "logs", State: waiting("ContainerCreating", "")}}
	return p
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// unplaced makes router-a a pod without a node.
func (w *drainFixture) unplaced(at time.Time, message string) *corev1.Pod {
	p := w.unready(at, corev1.ContainerState{})
	p.Spec.NodeName, p.Status.ContainerStatuses, p.Status.StartTime = "", nil, nil
	p.Status.Conditions = nil
	if message != "" {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonUnschedulable, Message: message, LastTransitionTime: metav1.NewTime(at)}}
	}
	return p
}

func (w *drainFixture) deleted(name string, at time.Time, grace time.Duration, finalizers ...string) {
	p, seconds := w.pods[name], int64(grace.Seconds())
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds, p.Finalizers = &metav1.Time{Time: at.Add(grace)}, &seconds,
		finalizers
}

// notReporting is a node of which the node controller has not heard for its grace period; notReady
// is one that says so itself.
func (w *drainFixture) notReporting(node string, at time.Time) {
	w.ready(node, corev1.ConditionUnknown, at)
}
func (w *drainFixture) notReady(node string, at time.Time) { w.ready(node, corev1.ConditionFalse, at) }

func (w *drainFixture) ready(node string, status corev1.ConditionStatus, at time.Time) {
	for _, n := range w.Nodes {
		if n.Name == node {
			n.Status.Conditions[0] = corev1.NodeCondition{Type: corev1.NodeReady, Status: status,
				LastTransitionTime: metav1.NewTime(at)}
		}
	}
}

func (w *drainFixture) draining() *rollout.Node { return &w.Pools[0].Nodes[1] }

func missingAtMirror(w *drainFixture) {
	w.unready(drainStarted.Add(12*time.Second),
		waiting("ImagePullBackOff", pullMessages["mirror lacks it, source blocked"].message))
}

// TestDiagnose: every hindrance, and a twin of it that looks alike and is something else, or
// nothing.
func TestDiagnose(t *testing.T) {
	after := drainStarted.Add
	cases := map[string]struct {
		change func(*drainFixture)
		want   rollout.DrainBlockReason // empty for a drain that gets on
		says   []string
	}{
		"a replacement cannot be pulled": {missingAtMirror, rollout.DrainBlockPull, []string{
			"drain of worker-2 is blocked since 2026-03-01T10:00:12Z <- PDB openshift-ingress/router-default allows 0 (2 of 3 healthy, 2 wanted) and keeps pod router-b <- " +
				"pod router-a on worker-1 is not ready <- ImagePullBackOff <- quay.io/acme/router:v1 <- mirror.local/acme/router:v1 answers 404 (manifest unknown); the source is blocked by ImageTagMirrorSet/quay"}},
		"an administrator had cordoned it long before": {func(w *drainFixture) {
			missingAtMirror(w)
			w.Nodes[1].Spec.Taints[0].TimeAdded = &metav1.Time{Time: drainStarted.Add(-24 * time.Hour)}
			w.UpdateStarted = map[string]time.Time{"worker-2": after(20 * time.Second)}
		}, rollout.DrainBlockPull, []string{"drain of worker-2 is blocked since 2026-03-01T10:00:20Z"}},
		"twin: it is being pulled": {func(w *drainFixture) {
			w.unready(after(12*time.Second),
				waiting("ContainerCreating", ""))
		}, rollout.DrainBlockStarting,
			[]string{"drain of worker-2 waits since 2026-03-01T10:00:12Z",
				"pod router-a on worker-1 is being started, with image quay.io/acme/router:v1"}},
		"the pull hangs": {func(w *drainFixture) {
			w.unready(after(12*time.Second), waiting("ContainerCreating", ""))
			w.Now = after(6 * time.Minute)
		}, rollout.DrainBlockPull, []string{"has not ended since 2026-03-01T10:00:12Z",
			"asked first: mirror.local/acme/router:v1"}},
		"twin: the sandbox is not there": {func(w *drainFixture) {
			w.unready(after(12*time.Second),
				waiting("ContainerCreating", "")).Status.Conditions[0].Status = corev1.ConditionFalse
			w.Now = after(6 * time.Minute)
		}, rollout.DrainBlockUnknown, []string{"sandbox is not ready"}},
		"the event says it, the pod does not": {func(w *drainFixture) {
			w.unready(after(12*time.Second),
				waiting("ImagePullBackOff", `Back-off pulling image "quay.io/acme/router:v1"`))
			w.PullEventMessage = func(*corev1.Pod,
				string) string {
				return pullMessages["an artifact is tried next"].message
			}
		}, rollout.DrainBlockPull, []string{"mirror.local/acme/router:v1 has a certificate that the node does not trust"}},
		"a signature is wanted": {func(w *drainFixture) {
			w.unready(after(12*time.Second),
				waiting("SignatureValidationFailed",
					"Source image rejected: A signature was required, but no signature exists"))
		}, rollout.DrainBlockPull, []string{"SignatureValidationFailed", "image policy refuses"}},

		"it fits nowhere": {func(w *drainFixture) {
			w.unplaced(after(12*time.Second), "0/3 nodes are available: 3 node(s) didn't have free ports.")
		}, rollout.DrainBlockUnschedulable,
			[]string{"pod router-a has no node to go to", "worker-2 is being drained", "didn't have free ports"}},
		"twin: the scheduler has not looked yet": {func(w *drainFixture) {
			w.unplaced(observedAt.Add(-time.Second),
				"")
		}, rollout.DrainBlockStarting, nil},

		"it crashes": {func(w *drainFixture) {
			w.unready(after(0), waiting("CrashLoopBackOff",
				"back-off 40s restarting failed container")).Status.ContainerStatuses[0].RestartCount = 4
		}, rollout.DrainBlockCrashing, []string{"CrashLoopBackOff: container router, restarted 4 times"}},
		"it runs and does not become ready": {func(w *drainFixture) {
			p := w.unready(after(0), runningSince(metav1.NewTime(after(0))))
			p.Status.Phase, p.Status.ContainerStatuses = corev1.PodRunning, p.Status.ContainerStatuses[:1]
			w.Now = after(6 * time.Minute)
		}, rollout.DrainBlockCrashing, []string{"readiness probe has failed since 2026-03-01T10:00:00Z"}},
		"twin: it has only begun to run": {func(w *drainFixture) {
			p := w.unready(after(0), runningSince(metav1.NewTime(after(20*time.Second))))
			p.Status.Phase, p.Status.ContainerStatuses = corev1.PodRunning, p.Status.ContainerStatuses[:1]
		}, rollout.DrainBlockStarting, []string{"becoming ready"}},

		"the budget is zero": {func(w *drainFixture) { zero := intstr.FromInt32(0); w.pdb.Spec.MaxUnavailable = &zero },
			rollout.DrainBlockBudgetZero,
			[]string{"with maxUnavailable 0 it never allows a disruption, even when all of its 3 pods are healthy"}},
		"twin: storage recovers": {func(w *drainFixture) {
			zero := intstr.FromInt32(0)
			w.pdb.Spec.MaxUnavailable, w.pdb.Name = &zero, "rook-ceph-osd-host-worker-2"
		}, rollout.DrainBlockMigrating, []string{"active+clean"}},
		"two budgets overlap": {func(w *drainFixture) { w.budget("everything", 2) }, rollout.DrainBlockOverlap,
			[]string{"pod openshift-ingress/router-b is selected by 2 PDBs, openshift-ingress/everything and openshift-ingress/router-default", "500"}},

		"the budget cannot be computed": {func(w *drainFixture) {
			w.pdb.Status.Conditions[0].Reason, w.pdb.Status.Conditions[0].Message = policyv1.SyncFailedReason,
				"no scale subresource"
		}, rollout.DrainBlockBudgetStale,
			[]string{"allows 0: the disruption controller cannot compute it: no scale subresource"}},
		"the budget's numbers are old": {func(*drainFixture) {}, rollout.DrainBlockBudgetStale,
			[]string{"the status of PDB openshift-ingress/router-default allows 0", "its pods would allow 1"}},
		"twin: the pods have only become ready": {func(w *drainFixture) {
			w.pods["router-a"].Status.Conditions[1].LastTransitionTime = metav1.NewTime(observedAt.Add(-5 * time.Second))
		}, rollout.DrainBlockRetrying, []string{"may be evicted now"}},
		"nothing is in the way any more": {func(w *drainFixture) { w.pdb.Status.DisruptionsAllowed = 1 },
			rollout.DrainBlockRetrying, []string{"pod openshift-ingress/router-b may be evicted now"}},

		"its time is up, and it stays": {func(w *drainFixture) {
			w.deleted("router-b", drainStarted.Add(-time.Minute), 30*time.Second, "example.com/guard")
		}, rollout.DrainBlockFinalizer,
			[]string{"pod openshift-ingress/router-b on worker-2 was to be gone by 2026-03-01T09:59:30Z and is held by its finalizers example.com/guard"}},
		"its time is up, and its kubelet does nothing": {func(w *drainFixture) {
			w.deleted("router-b",
				drainStarted.Add(-time.Minute), 30*time.Second)
		}, rollout.DrainBlockFinalizer,
			[]string{"its kubelet has not ended it"}},
		"twin: it is within its grace period": {func(w *drainFixture) {
			w.deleted("router-b", drainStarted, time.Hour,
				"example.com/guard")
		}, rollout.DrainBlockTerminating,
			[]string{"drain of worker-2 waits", "has until 2026-03-01T11:00:00Z"}},

		"the other node is lost": {func(w *drainFixture) {
			w.pods["router-a"].Status.Conditions[1].Status = corev1.ConditionFalse
			w.notReady("worker-1", drainStarted.Add(-2*time.Minute))
		}, rollout.DrainBlockNodeLost,
			[]string{"pod router-a on worker-1 is not ready <- node worker-1 is NotReady since 2026-03-01T09:58:00Z"}},
		"the other node is silent": {func(w *drainFixture) {
			w.pods["router-a"].Status.Conditions[1].Status = corev1.ConditionFalse
			w.notReporting("worker-1", observedAt.Add(-2*time.Second))
		}, rollout.DrainBlockNodeLost, []string{"node worker-1 is NotReady since"}},
		"the node itself is lost": {func(w *drainFixture) {
			w.notReady("worker-2",
				drainStarted.Add(-2*time.Minute))
		}, rollout.DrainBlockNodeLost, []string{"node worker-2 is NotReady"}},
		"twin: its kubelet restarts": {func(w *drainFixture) {
			missingAtMirror(w)
			w.notReady("worker-1",
				observedAt.Add(-20*time.Second))
		}, rollout.DrainBlockPull, nil},

		"a webhook refuses": {func(w *drainFixture) {
			w.pdb.Status.DisruptionsAllowed = 1
			w.EvictionRefusals = map[types.UID]EvictionRefusal{"router-b": {Code: 403,
				Message: `admission webhook "drain.example.com" denied the request: not on a Friday`}}
		}, rollout.DrainBlockWebhook, []string{"is answered 403", "not on a Friday"}},
		"twin: the asker may not evict": {func(w *drainFixture) {
			w.pdb.Status.DisruptionsAllowed = 1
			w.EvictionRefusals = map[types.UID]EvictionRefusal{"router-b": {Code: 403,
				Message: `pods "router-b" is forbidden: User "viewer" cannot create resource "pods/eviction"`}}
		}, rollout.DrainBlockRetrying, nil},
		"no replacement is created": {func(w *drainFixture) {
			w.Pods = w.Pods[:0]
			w.Pods = append(w.Pods, w.pods["router-b"], w.pods["router-c"])
			w.PodCreateErrors = map[types.UID]string{"rs-router": `Internal error occurred: failed calling webhook "pods.mesh.example.com": no endpoints available`}
		}, rollout.DrainBlockWebhook, []string{"Deployment openshift-ingress/router-default has 2 of 3 pods and cannot create the next", "failed calling webhook"}},
		"twin: it is being created": {func(w *drainFixture) {
			w.Pods = w.Pods[:0]
			w.Pods = append(w.Pods, w.pods["router-b"], w.pods["router-c"])
		}, rollout.DrainBlockStarting, []string{"and creates the next"}},

		"the daemon is at fault": {func(w *drainFixture) {
			n := w.draining()
			n.LastAppliedDrain, n.State, n.Reason = n.DesiredDrain, "Degraded",
				"unexpected on-disk state validating against rendered-worker-1"
		}, rollout.DrainBlockNotDraining, []string{"node worker-2 makes no progress",
			"its daemon is Degraded: unexpected on-disk state"}},
		"twin: the daemon gave up on the drain, and it is the drain": {func(w *drainFixture) {
			missingAtMirror(w)
			w.draining().State, w.draining().Reason = "Degraded", "failed to drain node: worker-2 after 1 hour"
		}, rollout.DrainBlockPull, nil},
		"the daemon says nothing": {func(w *drainFixture) {
			n := w.draining()
			n.LastAppliedDrain = n.DesiredDrain
			w.UpdateStarted = map[string]time.Time{"worker-2": observedAt.Add(-11 * time.Minute)}
		}, rollout.DrainBlockNotDraining, []string{"it is Working since 2026-03-01T09:50:00Z"}},
		"twin: the daemon is at work": {func(w *drainFixture) {
			n := w.draining()
			n.LastAppliedDrain = n.DesiredDrain
			w.UpdateStarted = map[string]time.Time{"worker-2": observedAt.Add(-2 * time.Minute)}
		}, "", nil},
		"it is not cordoned": {func(w *drainFixture) {
			w.draining().Unschedulable, w.Nodes[1].Spec.Taints = false, nil
			w.UpdateStarted = map[string]time.Time{"worker-2": drainStarted.Add(-time.Minute)}
			w.pdb.Status.DisruptionsAllowed = 1
		}, rollout.DrainBlockNotDraining, []string{"has not cordoned it"}},
		"twin: it is about to be": {func(w *drainFixture) {
			w.draining().Unschedulable, w.Nodes[1].Spec.Taints = false, nil
			w.UpdateStarted = map[string]time.Time{"worker-2": observedAt.Add(-3 * time.Second)}
		}, "", nil},

		"a virtual machine cannot move": {func(w *drainFixture) {
			w.virtLauncher("vm-1", VMMigration{NotMigratable: "DisksNotLiveMigratable: cannot migrate VMI: PVC disk is not shared"})
		}, rollout.DrainBlockWebhook, []string{"virtual machine shop/vm-1 cannot be migrated (DisksNotLiveMigratable"}},
		"twin: a virtual machine moves": {func(w *drainFixture) {
			w.virtLauncher("vm-1", VMMigration{Target: "worker-3", Started: after(20 * time.Second)})
		}, rollout.DrainBlockMigrating,
			[]string{"virtual machine shop/vm-1 is being migrated to worker-3"}},

		"only what stays is left": {func(w *drainFixture) {
			w.pods["router-b"].Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		}, rollout.DrainBlockRetrying, []string{"no pod is left that has to leave"}},
		"the drain has only begun": {func(w *drainFixture) { missingAtMirror(w); w.Now = drainStarted.Add(14 * time.Second) }, "", nil},
		"twin: it is read from files, whose time is only the least": {func(w *drainFixture) {
			missingAtMirror(w)
			w.Now, w.SkipSettlePeriod = drainStarted.Add(14*time.Second), true
		}, rollout.DrainBlockPull, nil},
		"nothing is in progress": {func(w *drainFixture) { *w.draining() = w.Pools[0].Nodes[0] }, "", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newDrainFixture(t)
			c.change(w)
			got := Diagnose(&w.Snapshot, w.Evidence)
			if c.want == "" {
				if len(got) > 0 {
					t.Fatalf("it is held by %s: %s", got[0].Reason, got[0])
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d obstacles, want one: %v", len(got), got)
			}
			if got[0].Reason != c.want {
				t.Errorf("it is held by %s, want %s: %s", got[0].Reason, c.want, got[0])
			}
			for _, part := range c.says {
				if !strings.Contains(got[0].String(), part) {
					t.Errorf("it does not say %q:\n%s", part, got[0])
				}
			}
			if len(got[0].CauseChain) > maxChain || got[0].Pool != "worker" || got[0].Node != "worker-2" {
				t.Errorf("pool %s, node %s, %d links", got[0].Pool, got[0].Node, len(got[0].CauseChain))
			}
		})
	}
}

// virtLauncher puts the pod of a virtual machine on the node.
func (w *drainFixture) virtLauncher(name string, m VMMigration) {
	p := w.router("virt-launcher-"+name, "worker-2")
	p.Namespace, p.Labels = "shop", map[string]string{launcherLabel: launcherValue, vmiNameLabel: name}
	w.Pods = []*corev1.Pod{p}
	w.VMMigrations = map[types.NamespacedName]VMMigration{{Namespace: "shop", Name: name}: m}
}

// TestWorstChainIsReported: of several that hold a drain, that one is told whose cause does not
// pass.
func TestWorstChainIsReported(t *testing.T) {
	w := newDrainFixture(t)
	missingAtMirror(w)
	bare := w.router("batch", "worker-2")
	bare.Labels, bare.OwnerReferences = nil, nil
	w.deleted("batch", observedAt.Add(-time.Second), time.Hour)
	got := Diagnose(&w.Snapshot, w.Evidence)
	if len(got) != 1 || got[0].Reason != rollout.DrainBlockPull {
		t.Errorf("got %v", got)
	}
}

// TestDiagnoseIsDeterministic: in whatever order lists come, and however much later it is asked,
// nothing changes.
func TestDiagnoseIsDeterministic(t *testing.T) {
	w := newDrainFixture(t)
	missingAtMirror(w)
	want := Diagnose(&w.Snapshot, w.Evidence)
	for range 10 {
		later := newDrainFixture(t) // its pods come in the order of a map
		missingAtMirror(later)
		later.Now = later.Now.Add(40 * time.Second)
		if diff := cmp.Diff(want, Diagnose(&later.Snapshot, later.Evidence)); diff != "" {
			t.Fatalf("it changes (-want +got):\n%s", diff)
		}
	}
}

// TestHasStarted: a pod in phase Pending may have containers that run, or have run, and a remedy
// must not take those away.
func TestHasStarted(t *testing.T) {
	old := metav1.NewTime(drainStarted)
	cases := map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"every container waits": {func(*corev1.Pod) {}, true},
		"one runs":              {func(p *corev1.Pod) { p.Status.ContainerStatuses[1].State = runningSince(old) }, false},
		"one has run before":    {func(p *corev1.Pod) { p.Status.ContainerStatuses[1].RestartCount = 1 }, false},
		"a sidecar runs": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "proxy", State: runningSince(old)}}
		}, false},
		"an init container is through": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init",
				State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}
		}, false},
		"one ran until its node was restarted": {func(p *corev1.Pod) {
			p.Status.ContainerStatuses[1].LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		}, false},
		"somebody debugs it": {func(p *corev1.Pod) {
			p.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "shell", State: runningSince(old)}}
		}, false},
		"it is past Pending": {func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newDrainFixture(t)
			missingAtMirror(w)
			c.change(w.pods["router-a"])
			got := Diagnose(&w.Snapshot, w.Evidence)
			if len(got) != 1 || len(got[0].Pods) != 1 || got[0].Pods[0].NeverStarted != c.want {
				t.Errorf("got %+v, want AllWaiting %t", got, c.want)
			}
		})
	}
}

// TestDiagnoseForRemedies: the budget in numbers, the pod that is kept, and those that fail with
// their owner and pulls.
func TestDiagnoseForRemedies(t *testing.T) {
	w := newDrainFixture(t)
	missingAtMirror(w)
	got := Diagnose(&w.Snapshot, w.Evidence)[0]
	if diff := cmp.Diff(&rollout.DisruptionBudget{Namespace: "openshift-ingress", Name: "router-default",
		UID: "router-default", CurrentHealthy: 2, DesiredHealthy: 2, ExpectedPods: 3, MaxUnavailable: "1"},
		got.Budget); diff != "" {
		t.Errorf("budget (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&rollout.PodRef{Namespace: "openshift-ingress", Name: "router-b", UID: "router-b"},
		got.ProtectedPod); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	p := got.Pods[0]
	if p.Name != "router-a" || p.Node != "worker-1" || p.Owner != "Deployment/openshift-ingress/router-default" ||
		p.Reason != "ImagePullBackOff" {
		t.Errorf("pod %+v", p)
	}
	if len(p.Pulls) != 1 || p.Pulls[0].Cause != rollout.PullMissing || p.Pulls[0].Endpoint != mirrorRouterTag ||
		p.Pulls[0].BlockedBy != "ImageTagMirrorSet/quay" || len(p.Pulls[0].Attempts) != 2 {
		t.Errorf("pulls %+v", p.Pulls)
	}
}
