package printer

import (
	"bytes"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/evidence"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var observedAt = time.Date(2026, 3, 1, 10, 1, 0, 0, time.UTC)

func link(kind, message string) rollout.CauseLink {
	return rollout.CauseLink{Kind: kind, Message: message}
}

// blockedByBudget is a drain that a budget of routers refuses.
func blockedByBudget(h rollout.DrainBlockReason, head string, links ...rollout.CauseLink) rollout.BlockedDrain {
	chain := []rollout.CauseLink{link("Node", head),
		link("PodDisruptionBudget", "PDB openshift-ingress/router-default allows 0 (2 of 3 healthy, 2 wanted) and keeps pod router-default-b")}
	return rollout.BlockedDrain{
		Pool: "worker", Node: "worker-2", Reason: h, Since: observedAt.Add(-48 * time.Second),
		CauseChain: append(chain, links...),
		Budget: &rollout.DisruptionBudget{Namespace: "openshift-ingress", Name: "router-default",
			CurrentHealthy: 2, DesiredHealthy: 2, ExpectedPods: 3},
		ProtectedPod: &rollout.PodRef{Namespace: "openshift-ingress", Name: "router-default-b"},
	}
}

func failingPod(pulls ...rollout.FailedPull) rollout.FailingPod {
	return rollout.FailingPod{PodRef: rollout.PodRef{Namespace: "openshift-ingress", Name: "router-default-a"},
		Node: "worker-1", Reason: "ImagePullBackOff",
		Owner: "Deployment/openshift-ingress/router-default", NeverStarted: true, Pulls: pulls}
}

func blockedByPull(f rollout.FailedPull) rollout.BlockedDrain {
	o := blockedByBudget(rollout.DrainBlockPull, "drain of worker-2 is blocked",
		link("Pod", "pod router-default-a on worker-1 is not ready"), link("Container", "ImagePullBackOff"),
		link("Image", f.Reference), link("Registry", f.Message))
	o.Pods = []rollout.FailingPod{failingPod(f)}
	return o
}

func result(list ...rollout.BlockedDrain) evidence.Result {
	node := func(name, current, state string) rollout.Node {
		return rollout.Node{Name: name, CurrentConfig: current, DesiredConfig: "new", State: state,
			DesiredDrain: "drain-new", LastAppliedDrain: "uncordon-old"}
	}
	rest := rollout.Node{Name: "worker-3", CurrentConfig: "old", DesiredConfig: "old", State: "Done"}
	return evidence.Result{At: observedAt, BlockedDrains: list,
		Pools: []rollout.Pool{{Name: "worker", Rendered: "new",
			Nodes: []rollout.Node{node("worker-1", "new", "Done"), node("worker-2", "old", "Working"), rest}}}}
}

func TestGoldenDiagnoses(t *testing.T) {
	const tag, mirror = "quay.io/acme/router:v1", "mirror.example.com/acme/router:v1"
	missing := rollout.FailedPull{Reference: tag, Cause: rollout.PullMissing, Endpoint: mirror,
		BlockedBy: "ImageTagMirrorSet/quay",
		Message:   mirror + " answers 404 (manifest unknown); the source is blocked by ImageTagMirrorSet/quay"}
	blocked := rollout.FailedPull{Reference: "quay.io/acme/router" + sha, Cause: rollout.PullBlocked,
		Endpoint: "quay.io/acme/router" + sha, BlockedBy: "ImageTagMirrorSet/quay",
		Message: "the source quay.io/acme/router" + sha +
			" is blocked by ImageTagMirrorSet/quay, and no mirror serves it by digest"}
	busy := blockedByPull(missing)
	busy.Pods[0].NeverStarted = false
	nothing := result()
	nothing.Pools[0].Nodes = nothing.Pools[0].Nodes[2:]
	gaps := result(blockedByPull(missing))
	gaps.UnreadKinds = []evidence.UnreadKind{{Kind: "Event",
		Why: "events is forbidden: User \"alice\" cannot list resource \"events\""}}
	unschedulable := blockedByBudget(rollout.DrainBlockUnschedulable, "drain of worker-2 is blocked",
		link("Pod", "pod router-default-a has no node to go to"),
		link("Scheduler", "of the nodes that it may use, worker-2 is being drained; the scheduler says: 0/3 nodes are available"))
	unschedulable.Pods = []rollout.FailingPod{failingPod()}
	for name, r := range map[string]evidence.Result{
		"missing": result(blockedByPull(missing)), "blocked": result(blockedByPull(blocked)), "busy": result(busy),
		"unschedulable": result(unschedulable),
		"slow": result(blockedByBudget(rollout.DrainBlockStarting, "drain of worker-2 waits",
			link("Pod", "pod router-default-a on worker-1 is being started, with image "+tag))),
		"nothing": nothing, "on-its-way": result(), "gaps": gaps,
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"text", "json"} {
				var got bytes.Buffer
				if err := NewDiagnosis(r).Write(&got, format); err != nil {
					t.Fatal(err)
				}
				golden(t, "diagnosis-"+name+map[string]string{"text": ".txt", "json": ".json"}[format], got.String())
			}
		})
	}
}

func TestExitCodesOfDiagnoses(t *testing.T) {
	slow := blockedByBudget(rollout.DrainBlockTerminating, "drain of worker-2 waits")
	for name, c := range map[string]struct {
		r    evidence.Result
		want int
	}{"nothing": {result(), 0}, "slow": {result(slow), 2},
		"stuck": {result(blockedByBudget(rollout.DrainBlockOverlap, "x")), 3},
		"both":  {result(slow, blockedByBudget(rollout.DrainBlockOverlap, "x")), 3}} {
		if got := NewDiagnosis(c.r).Verdict.ExitCode(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if err := NewDiagnosis(result()).Write(&bytes.Buffer{}, "wide"); err == nil {
		t.Error("an unknown format was taken")
	}
}

// TestEveryBlockReasonHasAdvice: nobody is left alone with a name.
func TestEveryBlockReasonHasAdvice(t *testing.T) {
	for _, h := range []rollout.DrainBlockReason{
		rollout.DrainBlockTerminating, rollout.DrainBlockMigrating, rollout.DrainBlockStarting,
		rollout.DrainBlockRetrying, rollout.DrainBlockUnschedulable, rollout.DrainBlockCrashing,
		rollout.DrainBlockBudgetZero, rollout.DrainBlockOverlap, rollout.DrainBlockFinalizer, rollout.DrainBlockWebhook,
		rollout.DrainBlockBudgetStale, rollout.DrainBlockNodeLost,
		rollout.DrainBlockNotDraining, rollout.DrainBlockUnknown,
	} {
		if len(diagnosis.Advise(blockedByBudget(h, "x")).Helps) == 0 {
			t.Errorf("%s: no advice", h)
		}
	}
	for _, cause := range []rollout.PullCause{rollout.PullMissing, rollout.PullIncomplete, rollout.PullDenied,
		rollout.PullUntrusted, rollout.PullUnreachable, rollout.PullBlocked,
		rollout.PullSignature, rollout.PullThrottled, rollout.PullOther} {
		a := diagnosis.Advise(blockedByPull(rollout.FailedPull{Reference: "quay.io/a:v1", Cause: cause,
			Endpoint: "m.local:5000/a:v1"}))
		if len(a.Helps) == 0 || len(a.Ineffective) == 0 {
			t.Errorf("%s: %+v", cause, a)
		}
		never := strings.Join(a.Helps, " ")
		for _, bad := range []string{"--disable-eviction", "--force", "delete the PDB", "edit the PDB"} {
			if strings.Contains(never, bad) {
				t.Errorf("%s advises %q", cause, bad)
			}
		}
	}
}

func TestGoldenStatusReports(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: "Waiting", Message: message}
	}
	complete := v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "done", Generation: 1}}
	complete.Status = v1alpha1.SafeMirrorRolloutStatus{ObservedGeneration: 1, Phase: "Complete",
		Nodes: v1alpha1.NodeCounts{Total: 3, Updated: 3, Summary: "3/3"},
		Conditions: []metav1.Condition{condition("Ready", metav1.ConditionTrue,
			"every node has the declared mirror sets and every pool is as it was before")}}
	moving := v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "release", Generation: 2}}
	moving.Status = v1alpha1.SafeMirrorRolloutStatus{ObservedGeneration: 2, Phase: "Release",
		Nodes:  v1alpha1.NodeCounts{Total: 3, Updated: 1, Summary: "1/3"},
		Images: v1alpha1.ImageCounts{Total: 40, Changed: 12, Verified: 12, Copied: 7, NoWorse: 2},
		Pools: []v1alpha1.PoolStatus{{Name: "worker", Total: 3, Updated: 1, Paused: true, Node: "worker-2",
			NodeState: "Draining"}},
		Conditions: []metav1.Condition{condition("Ready", metav1.ConditionFalse,
			"Release: node worker-2 of pool worker is on its way"), condition("Stalled", metav1.ConditionFalse, "")},
		Blockers: []v1alpha1.Blocker{{Kind: "Node", Name: "worker-2",
			Message: "node worker-2 of pool worker is on its way",
			Since:   metav1.NewTime(observedAt.Add(-time.Minute))}}}
	held := *moving.DeepCopy()
	held.Status.BlockedDrains = []v1alpha1.BlockedDrain{{Pool: "worker", Node: "worker-2", Reason: "Pull",
		PullFailure: "Missing", Since: metav1.NewTime(observedAt.Add(-48 * time.Second)),
		CauseChain: []v1alpha1.CauseLink{
			{Kind: "Node", Message: "drain of worker-2 is blocked"},
			{Kind: "PodDisruptionBudget", Message: "PDB openshift-ingress/router-default allows 0 (2 of 3 healthy, 2 wanted) and keeps pod router-default-b"},
			{Kind: "Registry", Message: "mirror.example.com/acme/router:v1 answers 404 (manifest unknown)"}}}}
	outdated := *moving.DeepCopy()
	outdated.Generation = 3
	for name, c := range map[string]struct {
		list []v1alpha1.SafeMirrorRollout
		code int
	}{
		"none": {nil, 0}, "complete": {[]v1alpha1.SafeMirrorRollout{complete}, 0},
		"moving":   {[]v1alpha1.SafeMirrorRollout{moving}, 2},
		"held":     {[]v1alpha1.SafeMirrorRollout{complete, held}, 3},
		"outdated": {[]v1alpha1.SafeMirrorRollout{outdated}, 2},
		"unseen":   {[]v1alpha1.SafeMirrorRollout{{ObjectMeta: metav1.ObjectMeta{Name: "new"}}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStatus(c.list, observedAt)
			if got := s.Code.ExitCode(); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
			var got bytes.Buffer
			if err := s.Write(&got, "text"); err != nil {
				t.Fatal(err)
			}
			golden(t, "standing-"+name+".txt", got.String())
		})
	}
}
