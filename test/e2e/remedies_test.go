//go:build lab

package e2e

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestRemedies lets an image vanish from the mirror after it was proven, and lets the rollout get
// over it by itself: the image is copied again, and the pod in back-off replaced. The operator may
// be killed at any point of that.
func TestRemedies(t *testing.T) {
	// That which is killed is killed at the last of the two, the pod's replacement: an operator
	// that is away after the first leaves the kubelet the time to try again by itself, and then
	// there is nothing to replace.
	dies := map[string]v1alpha1.RemedyState{"killed with the intent on record": v1alpha1.RemedyIntended,
		"killed when it is over": v1alpha1.RemedyEnding}
	for i, name := range []string{"undisturbed", "killed with the intent on record", "killed when it is over"} {
		t.Run(name, func(t *testing.T) {
			if !inShard(t, i) {
				return
			}
			v := faultCase(t, "image-deleted")
			u := startHeldAtSecond(t, v)
			monitor, err := u.cluster.MonitorPDBs(u.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Inject(u.ctx, u.cluster); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			u.openGate(t, "second")
			if state := dies[name]; state != "" {
				u.killAtRemedyState(t, state)
			}
			recovered := await(u.ctx, t, u.cluster, u.rollout.Name, "the second worker is done",
				func(r *v1alpha1.SafeMirrorRollout) bool { return updated(r, "worker") == 2 })
			took := time.Since(begun)
			if dies[name] == "" && took > maxRecoveryTime {
				t.Errorf("healed after %s, and %s are allowed", took.Round(time.Second), maxRecoveryTime)
			}
			copied, replaced := outcomeOf(recovered, v1alpha1.MirrorMissingImages),
				outcomeOf(recovered, v1alpha1.RestartFailingPods)
			if copied != v1alpha1.OutcomeHelped {
				t.Errorf("the copy has come to %q: %+v", copied, recovered.Status.Record.Remedies)
			}
			u.checkRestored(t)
			tally := monitor.Report()
			for _, violation := range tally.Violations {
				t.Error(violation)
			}
			u.checkPodReplaced(t, replaced, dies[name] == v1alpha1.RemedyIntended)
			t.Logf("RESULT copied=%s replaced=%s seconds=%.1f evicted=%d violations=%d", copied, replaced,
				took.Seconds(), tally.ProtectedDeletions, len(tally.Violations))
		})
	}
}

func faultCase(t *testing.T, id string) scenario.FaultCase {
	t.Helper()
	all := scenario.FaultCases()
	i := slices.IndexFunc(all, func(v scenario.FaultCase) bool { return v.ID == id })
	if i < 0 {
		t.Fatalf("no variant %s", id)
	}
	return all[i]
}

// stopAfterFirstWorker holds the rollout when one worker has the new configuration; the gate is
// called second.
func stopAfterFirstWorker(s *v1alpha1.SafeMirrorRolloutSpec) {
	one := int32(1)
	s.Release.Stages = []v1alpha1.ReleaseStage{
		{Name: "first", Pool: "worker", Nodes: &one},
		{Name: "second", Pool: "worker", Approval: v1alpha1.ApprovalRequired},
	}
}

// startHeldAtSecond is a rollout whose first worker is done, and whose second waits for an
// approval.
func startHeldAtSecond(t *testing.T, v scenario.FaultCase) *rolloutRun {
	t.Helper()
	u := startScenario(t, v.Scenario, stopAfterFirstWorker)
	u.atGate(t, "second")
	return u
}

// updated is how many nodes of the pool have the new configuration.
func updated(r *v1alpha1.SafeMirrorRollout, pool string) int32 { return poolOf(r, pool).Updated }

// poolOf is what the status says of the pool; nothing when it does not name it.
func poolOf(r *v1alpha1.SafeMirrorRollout, pool string) v1alpha1.PoolStatus {
	i := slices.IndexFunc(r.Status.Pools, func(p v1alpha1.PoolStatus) bool { return p.Name == pool })
	if i < 0 {
		return v1alpha1.PoolStatus{}
	}
	return r.Status.Pools[i]
}

// killAtRemedyState kills the operator as soon as the replacement of a pod on record has the state,
// or is further, and starts it again.
func (u *rolloutRun) killAtRemedyState(t *testing.T, state v1alpha1.RemedyState) {
	t.Helper()
	await(u.ctx, t, u.cluster, u.rollout.Name, "the replacement of a pod is "+string(state),
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return slices.ContainsFunc(r.Status.Record.Remedies, func(m v1alpha1.RemedyRecord) bool {
				return m.Action == v1alpha1.RestartFailingPods && (m.State == state || m.State == v1alpha1.RemedyEnded)
			})
		})
	u.killAndRestart(t)
}

// outcomeOf is what the last remedy of this sort has come to; empty when there was none.
func outcomeOf(r *v1alpha1.SafeMirrorRollout, action v1alpha1.RemedyAction) v1alpha1.RemedyOutcome {
	out := v1alpha1.RemedyOutcome("")
	for _, m := range r.Status.Record.Remedies {
		if m.Action == action {
			out = m.Outcome
		}
	}
	return out
}

// checkRestored waits for the end, and expects the cluster as it was.
func (u *rolloutRun) checkRestored(t *testing.T) {
	t.Helper()
	done, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
		rolloutTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.cluster.CheckRestored(u.ctx); err != nil {
		t.Error(err)
	}
	for _, m := range done.Status.Record.Remedies {
		if m.State != v1alpha1.RemedyEnded {
			t.Errorf("a remedy is open at the end: %+v", m)
		}
	}
	nodes := &corev1.NodeList{}
	if err := u.cluster.Client.List(u.ctx, nodes); err != nil {
		t.Fatal(err)
	}
	for i := range nodes.Items {
		if note, ok := remediation.ReadNote(&nodes.Items[i]); ok {
			t.Errorf("node %s carries a note at the end: %s", nodes.Items[i].Name, note)
		}
	}
}

// replaced: the operator has deleted a pod outside of its own namespace, or the remedy was none of
// its doing. That it was not among those that ran is for the guard to say. An operator that is
// killed between the intent and the deed is away for seconds, in which the kubelet may try again by
// itself: then the pod runs, and must not have been touched.
func (u *rolloutRun) checkPodReplaced(t *testing.T, outcome v1alpha1.RemedyOutcome, away bool) {
	t.Helper()
	audit, err := u.cluster.Lab.Audit()
	if err != nil {
		t.Fatal(err)
	}
	deleted := 0
	for _, e := range audit {
		if e.Verb == "delete" && e.Resource == "pods" && e.Subresource == "" && e.Namespace != "safe-mirror-operator" &&
			e.User == operatorUser {
			deleted++
		}
	}
	switch {
	case outcome == v1alpha1.OutcomeHelped && deleted > 0, away && outcome == v1alpha1.OutcomeNotNeeded && deleted == 0:
	default:
		t.Errorf("the replacement of a pod has come to %q, and the operator has deleted %d pods", outcome, deleted)
	}
}
