package rollout

import (
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// preloaded is what the workers with the new configuration have of what they are given; the canary
// has passed.
func (b *builder) preloaded(pools ...PreloadPool) *builder {
	b.o.CanaryPulls = Known(CanaryPulls{Groups: []CanaryGroup{workerGroup(func(*CanaryGroup) {})},
		Preload: Preload{Enabled: true, Pools: pools}})
	return b
}

func workerPreload(change func(l *PreloadPool)) PreloadPool {
	l := PreloadPool{Pool: "worker", Nodes: []string{"worker-0"}, Ready: 1, Wanted: 2, Loaded: 2}
	change(&l)
	return l
}

func TestPreload(t *testing.T) {
	const ensure = "ensure-canary/" + planDigest
	one := func() *builder { return observed().rendered().done("worker-0") }
	lacking := workerPreload(func(l *PreloadPool) { l.Ready, l.Loaded, l.Waiting = 0, 1, []string{"worker-0"} })
	goesOn := want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended master"}}
	waits := func(blocker string, says ...string) want {
		return want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure},
			blockers: []string{blocker}, says: says}
	}
	failed := workerPreload(func(l *PreloadPool) {
		l.Ready, l.Loaded, l.Failed, l.Waiting = 0, 1, 1, []string{"worker-0"}
		l.Problems = []Problem{{Reason: v1alpha1.ReasonNodesCannotPull, Kind: "Node", Name: "worker-0",
			Message: "node worker-0: cannot pull quay.io/acme/router:v1: manifest unknown"}}
	})
	fails := want{phase: PhaseRelease, reason: v1alpha1.ReasonNodesCannotPull, stalled: true, actions: []string{ensure},
		blockers: []string{"Node worker-0"},
		says:     []string{"quay.io/acme/router:v1", "manifest unknown"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"no node has the configuration": {
			o: observed().rendered().preloaded().build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				facts: []string{"ReleaseIntended worker"}},
		},
		"nothing was looked at": {o: one().preloaded().build(),
			want: waits("MachineConfigPool worker", "1 of 3 nodes", "no other node is released")},
		"it has all of them": {o: one().preloaded(workerPreload(func(*PreloadPool) {})).build(), want: goesOn},
		"it lacks one": {o: one().preloaded(lacking).build(),
			want: waits("Node worker-0", "1 of 2 images", "node worker-0 pulls")},
		"it lacks one, on record": {o: one().releaseIntended("master").preloaded(lacking).build(),
			want: waits("Node worker-0", "1 of 2 images")},
		"nothing is wanted there": {o: one().preloaded(workerPreload(func(l *PreloadPool) {
			l.Wanted, l.Loaded = 0,
				0
		})).build(), want: goesOn},
		"what finds no place": {o: one().preloaded(workerPreload(func(l *PreloadPool) {
			l.Ready, l.Skipped = 0,
				[]string{"too large"}
		})).build(), want: goesOn},
		"one cannot be pulled": {o: one().preloaded(failed).build(), want: fails},
		"another node is done": {o: one().done("worker-1").preloaded(workerPreload(func(*PreloadPool) {})).build(),
			want: waits("Node worker-1", "node worker-1 of pool worker can take pods")},
		"another took its place":    {o: observed().rendered().done("worker-1").preloaded(workerPreload(func(*PreloadPool) {})).build(), want: waits("Node worker-1")},
		"the user does not want it": {o: one().preloaded(lacking).with(func(o *Observed) { o.CanaryPulls = Known(CanaryPulls{Disabled: true}) }).build(), want: goesOn},
		"without the canary": {
			o: one().with(func(o *Observed) {
				o.CanaryPulls = Known(CanaryPulls{Disabled: true,
					Preload: Preload{Enabled: true}})
			}).build(),
			want: waits("MachineConfigPool worker"),
		},
		"it is not known": {
			o:    one().with(func(o *Observed) { o.CanaryPulls = Unknown[CanaryPulls]("connection refused") }).build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonUnreadable, blockers: []string{"Canary Canary"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

// A node that is cordoned takes no pods, so it is not waited for; as soon as it is not, it is.
func TestUncheckedNodes(t *testing.T) {
	on := func(name string, cordoned bool) Node {
		return Node{Name: name, CurrentConfig: "r1", DesiredConfig: "r1", State: stateDone, Ready: true,
			Unschedulable: cordoned}
	}
	l := PreloadPool{Nodes: []string{"worker-0"}}
	p := Pool{Rendered: "r1", Nodes: []Node{on("worker-0", false), on("worker-1", true),
		{Name: "worker-2", CurrentConfig: "r0", DesiredConfig: "r0", State: stateDone, Ready: true}}}
	if got := l.uncheckedNodes(p); len(got) != 0 {
		t.Errorf("missed %v", got)
	}
	p.Nodes[1].Unschedulable = false
	if got := l.uncheckedNodes(p); len(got) != 1 || got[0] != "worker-1" {
		t.Errorf("missed %v, want worker-1", got)
	}
}
