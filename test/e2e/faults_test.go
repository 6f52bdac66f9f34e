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

// maxRecoveryTime is how soon what goes wrong has to be healed, or held with its cause.
const maxRecoveryTime = 60 * time.Second

// TestFaults lets something go wrong when the first worker has the new configuration. Either the
// rollout gets over it by itself, or it says exactly what holds it, and goes on as soon as a person
// has done something about that. However it goes, no budget is violated.
func TestFaults(t *testing.T) {
	for i, v := range scenario.FaultCases() {
		t.Run(v.ID, func(t *testing.T) {
			if !inShard(t, i) {
				return
			}
			u := startScenario(t, v.Scenario, stopAfterFirstWorker)
			monitor, err := u.cluster.MonitorPDBs(u.ctx)
			if err != nil {
				t.Fatal(err)
			}
			u.injectFault(t, v)
			// The cure is not for the witness: that something failed meanwhile is the point of this
			// test.
			if _, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
				rolloutTime); err != nil {
				t.Fatal(err)
			}
			if err := u.cluster.CheckRestored(u.ctx); err != nil {
				t.Error(err)
			}
			tally := monitor.Report()
			for _, violation := range tally.Violations {
				t.Error(violation)
			}
			if tally.ProtectedDeletions == 0 {
				t.Error("no protected pod was ever evicted: this run proves nothing")
			}
			t.Logf("RESULT variant=%s evicted=%d violations=%d", v.ID, tally.ProtectedDeletions, len(tally.Violations))
		})
	}
}

// injectFault injects the fault at its moment, and sees to the end of it.
func (u *rolloutRun) injectFault(t *testing.T, v scenario.FaultCase) {
	t.Helper()
	before := u.atGate(t, "second").Status.Nodes.Updated
	if v.Moment == scenario.DuringDrain {
		u.openGate(t, "second")
		if err := u.cluster.AwaitEviction(u.ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Inject(u.ctx, u.cluster); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if v.Moment == scenario.BeforeRelease {
		u.openGate(t, "second")
	}
	if v.RecoversByItself() {
		await(u.ctx, t, u.cluster, u.rollout.Name, "it is healed",
			func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated > before })
	} else {
		held := u.awaitHeld(t, v)
		t.Log(strings.Join(append(diagnoses(held), blockers(held)...), "\n"))
		if held.Status.Nodes.Updated > before {
			t.Errorf("%d nodes are updated, and %d were before", held.Status.Nodes.Updated, before)
		}
	}
	took := time.Since(begun).Round(time.Second / 10)
	if took > maxRecoveryTime {
		t.Errorf("it took %s, and %s are allowed", took, maxRecoveryTime)
	}
	t.Logf("healed or held after %s", took)
	if v.Fix != nil {
		if err := v.Fix(u.ctx, u.cluster); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitHeld waits for the diagnosis: the right block reason, and the complete cause chain. A
// rollout that is held before the node is released has no drain to diagnose; there it is a blocker
// that says it: the forecast's, or that of the mirror that does not prove itself.
func (u *rolloutRun) awaitHeld(t *testing.T, v scenario.FaultCase) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	err := lab.Eventually(u.ctx, 2*maxRecoveryTime, v.Title+" is what holds the rollout",
		func(ctx context.Context) (bool, string, error) {
			if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, r); err != nil {
				return false, "", err
			}
			told := slices.ContainsFunc(diagnoses(r), diagnosing(v)) || v.MayBeHeldBeforeRelease() &&
				slices.ContainsFunc(blockers(r), saying(v))
			return told, scenario.Describe(r) + "\n" + strings.Join(append(diagnoses(r), blockers(r)...), "\n"), nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// diagnosing tells whether a text is the diagnosis of the variant.
func diagnosing(v scenario.FaultCase) func(string) bool {
	return func(text string) bool {
		return strings.HasPrefix(text, string(v.BlockReason)+" on ") && saying(v)(text)
	}
}

// saying tells whether a text mentions all that is to be mentioned.
func saying(v scenario.FaultCase) func(string) bool {
	return func(text string) bool {
		return !slices.ContainsFunc(v.Mentions, func(s string) bool { return !strings.Contains(text, s) })
	}
}

// diagnoses are the obstacles of the drains, each in a line: its block reason and its cause
// chain.
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
