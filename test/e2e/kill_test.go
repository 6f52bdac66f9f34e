//go:build lab

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestKillInEachPhase kills the operator with SIGKILL as soon as it is seen in a phase, starts it
// again, and goes on so through all phases. The end is the same as without.
func TestKillInEachPhase(t *testing.T) {
	if !inShard(t, 1) {
		return
	}
	u := startRollout(t)
	killed := map[string]bool{}
	deadline := time.After(rolloutTime)
	for phase := ""; phase != string(rollout.PhaseComplete); {
		select {
		case phase = <-u.phases:
		case <-deadline:
			t.Fatalf("not complete; last phase %s", phase)
		}
		if killed[phase] || phase == string(rollout.PhaseComplete) {
			continue
		}
		killed[phase] = true
		u.killAndRestart(t)
	}
	// The short phases may pass between two status writes; these cannot.
	for _, phase := range []rollout.Phase{rollout.PhaseMirror, rollout.PhasePause, rollout.PhaseVerify,
		rollout.PhaseRender, rollout.PhaseRelease, rollout.PhaseRestore} {
		if !killed[string(phase)] {
			t.Errorf("the operator was never killed in phase %s", phase)
		}
	}
	u.awaitComplete(t)
}

// TestKillInUnpauseWindow kills the operator right after it has opened a pool: the one that is
// started next finds the pool open, closes it and carries on.
func TestKillInUnpauseWindow(t *testing.T) {
	if !inShard(t, 2) {
		return
	}
	u := startRollout(t)
	err := lab.Eventually(u.ctx, rolloutTime, "a pool is open", func(ctx context.Context) (bool, string, error) {
		pools, err := u.cluster.Pools(ctx)
		return slices.ContainsFunc(pools, isUnpaused), "every pool is paused", err
	})
	if err != nil {
		t.Fatal(err)
	}
	u.killAndRestart(t)
	u.awaitComplete(t)
}

// TestLostStatus takes the status away in the middle, with the operator down: the pools that it
// left paused carry what is needed to find them, to go on and to give them back.
func TestLostStatus(t *testing.T) {
	if !inShard(t, 3) {
		return
	}
	u := startRollout(t)
	ctx, c, r := u.ctx, u.cluster.Client, u.rollout
	err := lab.Eventually(ctx, rolloutTime, "two nodes are updated", func(ctx context.Context) (bool, string, error) {
		err := c.Get(ctx, client.ObjectKeyFromObject(r), r)
		return r.Status.Nodes.Updated >= 2, scenario.Describe(r), err
	})
	if err != nil {
		t.Fatal(err)
	}
	u.operator.Kill()
	if err := c.Get(ctx, client.ObjectKeyFromObject(r), r); err != nil {
		t.Fatal(err)
	}
	r.Status = v1alpha1.SafeMirrorRolloutStatus{}
	if err := c.Status().Update(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := u.operator.Start(); err != nil {
		t.Fatal(err)
	}
	u.awaitComplete(t)
}

func isUnpaused(p mcfgv1.MachineConfigPool) bool {
	return !p.Spec.Paused && p.Annotations[pool.PauseRecordAnnotation] != ""
}

// rolloutRun is a rollout of the first scenario that has just been created.
type rolloutRun struct {
	ctx      context.Context //nolint:containedctx // the test's own, for as long as the test
	cluster  *scenario.Cluster
	scenario scenario.Scenario
	operator *scenario.Operator
	witness  *scenario.Recorder
	rollout  *v1alpha1.SafeMirrorRollout
	phases   <-chan string
	before   map[string]string // what each pool had rendered
}

// startRollout creates the rollout of the first scenario, with these changes to its spec.
func startRollout(t *testing.T, changes ...func(*v1alpha1.SafeMirrorRolloutSpec)) *rolloutRun {
	t.Helper()
	return startScenario(t, scenario.All()[0], changes...)
}

// startScenario is startRollout for another scenario.
func startScenario(t *testing.T, s scenario.Scenario, changes ...func(*v1alpha1.SafeMirrorRolloutSpec)) *rolloutRun {
	t.Helper()
	u := &rolloutRun{scenario: s}
	u.ctx, u.cluster = resetLab(t)
	stage(u.ctx, t, u.cluster, u.scenario, scenario.Safe)
	var err error
	if u.before, err = u.cluster.Rendered(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.operator = operator(u.ctx, t)
	u.rollout = u.scenario.Rollout()
	for _, change := range changes {
		change(&u.rollout.Spec)
	}
	if u.witness, err = u.cluster.Watch(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.phases = phases(u.ctx, t, u.cluster, u.rollout.Name)
	if err := u.cluster.Client.Create(u.ctx, u.rollout); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *rolloutRun) killAndRestart(t *testing.T) {
	t.Helper()
	u.operator.Kill()
	if err := u.operator.Start(); err != nil {
		t.Fatal(err)
	}
}

func (u *rolloutRun) awaitComplete(t *testing.T) {
	t.Helper()
	awaitComplete(u.ctx, t, u.cluster, u.scenario, u.rollout.Name, u.witness)
}

// phases follows the phases of the rollout as they are written.
func phases(ctx context.Context, t *testing.T, c *scenario.Cluster, name string) <-chan string {
	t.Helper()
	w, err := c.Client.Watch(ctx, &v1alpha1.SafeMirrorRolloutList{}, client.MatchingFields{"metadata.name": name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	out := make(chan string, 4096)
	go func() {
		for e := range w.ResultChan() {
			if r, ok := e.Object.(*v1alpha1.SafeMirrorRollout); ok && r.Status.Phase != "" {
				out <- string(r.Status.Phase)
			}
		}
	}()
	return out
}
