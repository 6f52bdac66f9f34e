//go:build lab

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// inTime is how soon what goes wrong has to be healed, or held with its cause.
const inTime = 60 * time.Second

// TestStuck lets something go wrong when the first worker has the new configuration. Either the rollout gets over it by itself, or it says
// exactly what holds it, and goes on as soon as a person has done something about that. However it goes, no budget is violated.
func TestStuck(t *testing.T) {
	for i, v := range scenario.StuckVariants() {
		t.Run(v.ID, func(t *testing.T) {
			if !ours(t, i) {
				return
			}
			one := int32(1)
			u := underWayOf(t, v.Scenario, func(s *v1alpha1.SafeMirrorRolloutSpec) {
				s.Release.Stages = []v1alpha1.ReleaseStage{
					{Name: "first", Pool: "worker", Nodes: &one}, {Name: "second", Pool: "worker", Approval: v1alpha1.ApprovalRequired},
				}
			})
			guard, err := u.cluster.Guard(u.ctx)
			if err != nil {
				t.Fatal(err)
			}
			u.goesWrong(t, v)
			// The cure is not for the witness: that something failed meanwhile is the point of this test.
			if _, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, rolloutTime); err != nil {
				t.Fatal(err)
			}
			if err := u.cluster.Restored(u.ctx); err != nil {
				t.Error(err)
			}
			tally := guard.Report()
			for _, violation := range tally.Violations {
				t.Error(violation)
			}
			if tally.Gone == 0 {
				t.Error("no protected pod was ever evicted: this run proves nothing")
			}
			t.Logf("RESULT variant=%s evicted=%d violations=%d", v.ID, tally.Gone, len(tally.Violations))
		})
	}
}

// goesWrong injects the fault at its moment, and sees to the end of it.
func (u *run) goesWrong(t *testing.T, v scenario.Stuck) {
	t.Helper()
	before := u.atGate(t, "second").Status.Nodes.Updated
	if v.Moment == scenario.Draining {
		u.openGate(t, "second")
		if err := u.cluster.AwaitEviction(u.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Inject(u.ctx, u.cluster); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if v.Moment == scenario.Between {
		u.openGate(t, "second")
	}
	if v.Healed() {
		await(u.ctx, t, u.cluster, u.rollout.Name, "it is healed", func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated > before })
	} else {
		held := u.heldBy(t, v)
		if held.Status.Nodes.Updated > before {
			t.Errorf("%d nodes are updated, and %d were before", held.Status.Nodes.Updated, before)
		}
	}
	took := time.Since(begun).Round(time.Second / 10)
	if took > inTime {
		t.Errorf("it took %s, and %s are allowed", took, inTime)
	}
	t.Logf("healed or held after %s", took)
	if v.Cure != nil {
		if err := v.Cure(u.ctx, u.cluster); err != nil {
			t.Fatal(err)
		}
	}
}

// heldBy waits for the diagnosis.
func (u *run) heldBy(t *testing.T, v scenario.Stuck) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	err := lab.Eventually(u.ctx, 2*inTime, v.Title+" is what holds the rollout", func(ctx context.Context) (bool, string, error) {
		r = await(ctx, t, u.cluster, u.rollout.Name, "it is read", func(*v1alpha1.SafeMirrorRollout) bool { return true })
		said := said(r)
		for _, s := range v.Says {
			if !strings.Contains(said, s) {
				return false, "it does not say " + s + ":\n" + said, nil
			}
		}
		return true, "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(said(r))
	return r
}

// said is all that the rollout waits for.
func said(r *v1alpha1.SafeMirrorRollout) string {
	var lines []string
	for _, b := range r.Status.Blockers {
		lines = append(lines, b.Message)
	}
	return strings.Join(lines, "\n")
}
