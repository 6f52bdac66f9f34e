//go:build lab

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
			u := underWayOf(t, v.Scenario, heldAfterOne)
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
		t.Log(strings.Join(append(diagnoses(held), blockers(held)...), "\n"))
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

// heldBy waits for the diagnosis: the right hindrance, and in the chain all that there is to say. A rollout that is held before the node is
// released has no drain to diagnose; there it is a blocker that says it: the forecast's, or that of the mirror that does not prove itself.
func (u *run) heldBy(t *testing.T, v scenario.Stuck) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	err := lab.Eventually(u.ctx, 2*inTime, v.Title+" is what holds the rollout", func(ctx context.Context) (bool, string, error) {
		if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, r); err != nil {
			return false, "", err
		}
		told := slices.ContainsFunc(diagnoses(r), diagnosing(v)) || v.Unproven() && slices.ContainsFunc(blockers(r), saying(v))
		return told, scenario.Describe(r) + "\n" + strings.Join(append(diagnoses(r), blockers(r)...), "\n"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// diagnosing tells whether a text is the diagnosis of the variant.
func diagnosing(v scenario.Stuck) func(string) bool {
	return func(text string) bool { return strings.HasPrefix(text, string(v.Hindrance)+" on ") && saying(v)(text) }
}

// saying tells whether a text mentions all that is to be mentioned.
func saying(v scenario.Stuck) func(string) bool {
	return func(text string) bool {
		return !slices.ContainsFunc(v.Says, func(s string) bool { return !strings.Contains(text, s) })
	}
}

// diagnoses are the obstacles of the drains, each in a line: its hindrance, and what waits for what.
func diagnoses(r *v1alpha1.SafeMirrorRollout) []string {
	var out []string
	for _, o := range r.Status.BlockedDrains {
		line := string(o.Reason) + " on " + o.Node + ":"
		for _, l := range o.CauseChain {
			line += " <- " + l.Message
		}
		out = append(out, line)
	}
	return out
}

// blockers are what is said to hold the rollout.
func blockers(r *v1alpha1.SafeMirrorRollout) []string {
	var out []string
	for _, b := range r.Status.Blockers {
		out = append(out, b.Message)
	}
	return out
}
