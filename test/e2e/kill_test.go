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
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestKillInEachPhase kills the operator with SIGKILL as soon as it is seen in a phase, starts it again, and goes on so through all
// phases. The end is the same as without.
func TestKillInEachPhase(t *testing.T) {
	if !ours(t, 1) {
		return
	}
	s := scenario.All()[0]
	ctx, c := begin(t)
	stage(ctx, t, c, s, scenario.Safe)
	o := operator(ctx, t)
	witness, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Rollout()
	seen := phases(ctx, t, c, r.Name)
	if err := c.Client.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	killed := map[string]bool{}
	deadline := time.After(rolloutTime)
	for phase := ""; phase != string(rollout.PhaseComplete); {
		select {
		case phase = <-seen:
		case <-deadline:
			t.Fatalf("not complete; last phase %s", phase)
		}
		if killed[phase] || phase == string(rollout.PhaseComplete) {
			continue
		}
		killed[phase] = true
		o.Kill()
		if err := o.Start(); err != nil {
			t.Fatal(err)
		}
	}
	// The short phases may pass between two status writes; these cannot.
	for _, phase := range []rollout.Phase{rollout.PhaseMirror, rollout.PhasePause, rollout.PhaseVerify, rollout.PhaseRender, rollout.PhaseRelease, rollout.PhaseRestore} {
		if !killed[string(phase)] {
			t.Errorf("the operator was never killed in phase %s", phase)
		}
	}
	finished(ctx, t, c, s, r.Name, witness)
}

// TestKillMidPulse kills the operator right after it has opened a pool: the one that is started next finds the pool open, closes it
// and carries on.
func TestKillMidPulse(t *testing.T) {
	if !ours(t, 2) {
		return
	}
	s := scenario.All()[0]
	ctx, c := begin(t)
	stage(ctx, t, c, s, scenario.Safe)
	o := operator(ctx, t)
	r := s.Rollout()
	witness, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	err = lab.Eventually(ctx, rolloutTime, "a pool is open", func(ctx context.Context) (bool, string, error) {
		pools, err := c.Pools(ctx)
		return slices.ContainsFunc(pools, open), "every pool is paused", err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Kill()
	if err := o.Start(); err != nil {
		t.Fatal(err)
	}
	finished(ctx, t, c, s, r.Name, witness)
}

// TestLostStatus takes the status away in the middle, with the operator down: the pools that it left paused carry what is needed to
// find them, to go on and to give them back.
func TestLostStatus(t *testing.T) {
	if !ours(t, 3) {
		return
	}
	s := scenario.All()[0]
	ctx, c := begin(t)
	stage(ctx, t, c, s, scenario.Safe)
	o := operator(ctx, t)
	r := s.Rollout()
	witness, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	err = lab.Eventually(ctx, rolloutTime, "two nodes are updated", func(ctx context.Context) (bool, string, error) {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(r), r)
		return r.Status.Nodes.Updated >= 2, scenario.Describe(r), err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Kill()
	if err := c.Client.Get(ctx, client.ObjectKeyFromObject(r), r); err != nil {
		t.Fatal(err)
	}
	r.Status = v1alpha1.SafeMirrorRolloutStatus{}
	if err := c.Client.Status().Update(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := o.Start(); err != nil {
		t.Fatal(err)
	}
	finished(ctx, t, c, s, r.Name, witness)
}

func open(p mcfgv1.MachineConfigPool) bool {
	return !p.Spec.Paused && p.Annotations[pool.LedgerAnnotation] != ""
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
				out <- r.Status.Phase
			}
		}
	}()
	return out
}
