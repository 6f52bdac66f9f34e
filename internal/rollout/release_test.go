package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestStages(t *testing.T) {
	three := func() *builder { return observed().addPool(somePool("infra", 2)).rendered() }
	stages := func(list ...Stage) func(*Observed) { return func(o *Observed) { o.Rollout.Stages = list } }
	masters, workers := []string{"master-0", "master-1", "master-2"}, []string{"worker-0", "worker-1", "worker-2"}
	cases := map[string]struct {
		o    Observed
		want string // the pool that is released next
	}{
		"by default a canary of the first worker pool": {three().build(), "worker"},
		"then one of the next":                         {three().done("worker-0").build(), "infra"},
		"then the control plane":                       {three().done("worker-0", "infra-0").build(), "master"},
		"all of it": {three().done("worker-0", "infra-0", "master-0",
			"master-1").build(), "master"},
		"then the rest in order": {three().done("worker-0", "infra-0").done(masters...).build(),
			"worker"},
		"to the last node": {three().done(workers...).done("infra-0").done(masters...).build(), "infra"},
		"stages come in their order": {three().with(stages(Stage{Pool: "infra"},
			Stage{Pool: "worker", Nodes: 1})).build(), "infra"},
		"a stage is done with its number of nodes": {three().with(stages(Stage{Pool: "worker", Nodes: 2},
			Stage{Pool: "infra"})).done("worker-0").build(), "worker"},
		"then comes the next": {three().with(stages(Stage{Pool: "worker", Nodes: 2},
			Stage{Pool: "infra"})).done("worker-0", "worker-1").build(), "infra"},
		"a number above the pool's size is all of it": {three().with(stages(Stage{Pool: "infra",
			Nodes: 9})).done("infra-0", "infra-1").build(), "master"},
		"pools without a stage come last": {three().with(stages(Stage{Pool: "infra"})).done("infra-0",
			"infra-1").build(), "master"},
		"a stage that no node can take is passed over": {three().done("worker-0").
			with(func(o *Observed) { poolRecord(o.Record, "infra").Unavailable = []string{"infra-0", "infra-1"} }).
			down("infra-0").cordoned("infra-1").build(), "master"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			check(t, c.o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				facts: []string{"ReleaseIntended " + c.want}})
		})
	}
}

func TestReleaseIntent(t *testing.T) {
	o := observed().rendered().done("worker-0", "master-0", "master-1", "master-2").unready(
		Workload{Kind: "Deployment", Namespace: "shop", Name: "cart", Desired: 3, Ready: 2,
			NewestUnreadyAt: now.Add(-time.Hour)},
		Workload{Kind: "DaemonSet", Namespace: "shop", Name: "agent", Desired: 6, Ready: 0},
	).with(func(o *Observed) { o.Now = now.Add(700 * time.Millisecond) }).build()
	d := check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
		facts: []string{"ReleaseIntended worker"},
		says:  []string{"pool worker: 1 of 3 nodes done"}})
	got := fact[ReleaseIntended](t, d).Release
	wanted := v1alpha1.ReleaseRecord{
		Pool: "worker", IntendedAt: *apiTime(now), TargetConfig: renderedName("worker", planned), UpdatedNodes: 1,
		UnreadyWorkloads: []string{"DaemonSet/shop/agent=0", "Deployment/shop/cart=2"},
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("intent (-want +got):\n%s", diff)
	}
}

func TestUnreadyIsBounded(t *testing.T) {
	var list []Workload
	for i := range maxUnready + 10 {
		list = append(list, Workload{Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("w%d", i)})
	}
	if got := len(unreadyNow(append(list, list...))); got != maxUnready {
		t.Errorf("%d workloads on record, want %d", got, maxUnready)
	}
}

// More nodes are down before the rollout than the record holds: those that the bound cuts off are
// not new, they do not hold a release, and maxUnavailable makes room for them.
func TestMoreNodesDownThanOnRecord(t *testing.T) {
	p := somePool("worker", maxBaseline+8)
	for i := range p.Nodes {
		p.Nodes[i].Name = fmt.Sprintf("worker-%02d", i)
		p.Nodes[i].Ready = i < 2
	}
	slices.Reverse(p.Nodes) // the order of the read is not the order of names
	rec := poolBaseline(p)
	if len(rec.Unavailable) != maxBaseline {
		t.Fatalf("%d nodes on record, want %d", len(rec.Unavailable), maxBaseline)
	}
	o := observed().rendered().with(func(o *Observed) {
		o.Record.Pools = []v1alpha1.PoolRecord{rec}
	}).build()
	if got := newlyUnavailable(o, []Pool{p}); len(got) > 0 {
		t.Errorf("%d nodes count as new, first: %s", len(got), got[0].Message)
	}
	if got, want := baseline(o, p), maxBaseline+6; got != want {
		t.Errorf("%d nodes count as unavailable before, want %d", got, want)
	}
	p.Nodes[len(p.Nodes)-1].Ready = false // worker-00 sorts before the end of the list, so it is known to be new
	got := newlyUnavailable(o, []Pool{p})
	if len(got) != 1 || got[0].Name != "worker-00" {
		t.Errorf("new are %v, want worker-00 alone", got)
	}
}

// The list of unready workloads is cut off, too. A workload beyond its end is not known to be new.
func TestMoreWorkloadsUnreadyThanOnRecord(t *testing.T) {
	var list []Workload
	for i := range maxUnready + 10 {
		list = append(list, Workload{Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("w%03d", i), Desired: 1,
			MissingPods: true})
	}
	r := v1alpha1.ReleaseRecord{Pool: "worker", UnreadyWorkloads: unreadyNow(list)}
	await := func(list []Workload) Step {
		o := observed().build()
		o.Workloads = Known(list)
		return awaitPods(o, r)
	}
	if step := await(list); step != nil {
		t.Errorf("workloads that were short before hold the release: %v", step)
	}
	list = append(list, Workload{Kind: "Deployment", Namespace: "shop", Name: "a", Desired: 1, MissingPods: true})
	step, ok := await(list).(Wait)
	if !ok || len(step.Blockers) != 1 || step.Blockers[0].Name != "a" {
		t.Errorf("got %v, want a wait for workload a alone", step)
	}
}

// No message names one configuration twice where it says that two differ.
func TestUpdateMessageOfOneConfiguration(t *testing.T) {
	o := observed().rendered().build()
	p := somePool("worker", 1)
	p.Nodes[0].CurrentConfig, p.Nodes[0].DesiredConfig, p.Nodes[0].State = p.Rendered, p.Rendered, "Working"
	got := updatingMessage(o, p, p.Nodes[0])
	if strings.Count(got, p.Rendered) != 1 {
		t.Errorf("message names %s more than once: %s", p.Rendered, got)
	}
}

func TestReleaseWaitsBeforeIntent(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the user": {
			o:    observed().held().rendered().build(),
			want: want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"a node on its way, in whatever pool (I11)": {
			o: observed().rendered().startsUpdate("master-1", "Uncordoning").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node master-1"},
				says: []string{"pool master", "Uncordoning"}},
		},
		"what its daemon and its drain report": {
			o: observed().rendered().startsUpdate("master-1", "Degraded").node("master-1",
				func(n *Node) { n.DrainMessage = "error when evicting pods/router" }).build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node master-1"},
				says: []string{"its daemon reports: failed to drain node",
					"the drain reports: error when evicting pods/router"}},
		},
		"a node that went down since the start": {
			o: observed().rendered().down("worker-1").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"},
				says: []string{"is NotReady and was not when the rollout began"}},
		},
		"nodes that were cordoned since the start, too": {
			o: observed().rendered().down("worker-1").cordoned("worker-1").cordoned("master-0").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node master-0", "Node worker-1"},
				says: []string{"NotReady and cordoned"}},
		},
		"a node that is new": {
			o: observed().rendered().eachPool(func(p *Pool) { p.Nodes = append(p.Nodes, Node{Name: "worker-3"}) },
				"worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-3"},
				says: []string{"is new, and the MCO has not taken it up yet"}},
		},
		"another pool that was restored and is being updated for something else": {
			o: observed().rendered().done("master-0", "master-1", "master-2").restored("master").
				eachPool(func(p *Pool) { p.Rendered = "rendered-master-kernel" }, "master").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool master"},
				says: []string{"is not paused", "3 of its 3 nodes do not run rendered-master-kernel"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
	t.Run("not a node that was down before the start", func(t *testing.T) {
		o := observed().down("worker-1").rendered().build()
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"ReleaseIntended worker"}})
	})
}

// The unpause window is one action: unpause, room for one more node than was missing before, and a
// deadline on the pool itself (R1).
func TestUnpauseWindow(t *testing.T) {
	d := check(t, observed().rendered().done("worker-1").releaseIntended("worker").build(),
		want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"release-one/worker"}})
	got := action[ReleaseNodes](t, d)
	wanted := *poolRecord(observed().started().build().Record, "worker")
	ledger := newPauseRecord(observed().started().build(), wanted)
	ledger.Release = &UnpauseWindow{
		IntendedAt: now.Add(-10 * time.Second), Target: renderedName("worker", planned), UpdatedBefore: 1,
		// 30 s, and three quarters of one for each of three nodes, in whole seconds
		Deadline: now.Add(32 * time.Second),
	}
	if diff := cmp.Diff(ReleaseNodes{Pool: "worker", MaxUnavailable: 1, Record: ledger}, got); diff != "" {
		t.Errorf("unpause window (-want +got):\n%s", diff)
	}
}

// The budget: what was missing before and still is, and one more (I1, R11).
func TestBaseline(t *testing.T) {
	cases := map[string]struct {
		b    *builder
		want int
	}{
		"nothing was missing":      {observed().rendered(), 1},
		"one was down, and is":     {observed().down("worker-2").rendered(), 2},
		"one was cordoned, and is": {observed().cordoned("worker-2").rendered(), 2},
		"two were missing":         {observed().down("worker-1").cordoned("worker-2").rendered(), 3},
		"one was down, and is back": {observed().down("worker-2").rendered().node("worker-2",
			func(n *Node) { n.Ready = true }), 1},
		"one went down afterwards":      {observed().rendered().down("worker-2"), 1},
		"one was down, and was deleted": {observed().down("worker-2").rendered().without("worker-2"), 1},
		"one is down, and stuck on its way when it rolls back": {observed().down("worker-2").rendered().with(func(o *Observed) {
			o.Record.Rollback = &v1alpha1.RollbackRecord{}
		}).node("worker-2", func(n *Node) { n.DesiredConfig, n.State = "rendered-worker-x", "Degraded" }), 1},
		"one of another pool is missing": {observed().down("master-2").rendered(), 1},
		"nothing is known of the previous state": {observed().rendered().with(func(o *Observed) {
			o.Record.Pools = o.Record.Pools[:1]
		}), 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := c.b.build()
			pools, _ := o.Pools.Get()
			if got := baseline(o, pools[1]) + 1; got != c.want {
				t.Errorf("room for %d, want %d", got, c.want)
			}
		})
	}
}

func TestUnpauseWindowTime(t *testing.T) {
	// Measured: the first node is taken 5 s after the unpause with 4 nodes, and 101 s after it with
	// 200.
	for nodes, seen := range map[int]time.Duration{0: 0, 4: 5 * time.Second, 200: 101 * time.Second,
		2000: 13 * time.Minute} {
		if got := unpauseWindowTime(nodes); got < seen+20*time.Second {
			t.Errorf("%d nodes: open for %s, and the MCO takes %s", nodes, got, seen)
		}
	}
}

func TestReleaseWaitsAfterIntent(t *testing.T) {
	intended := func() *builder { return observed().rendered().releaseIntended("worker") }
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the user": {
			o:    intended().held().build(),
			want: want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"a node on its way in another pool": {
			o:    intended().startsUpdate("master-0", "Working").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node master-0"}},
		},
		"a node that went down": {
			o:    intended().cordoned("master-0").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node master-0"}},
		},
		"a fence of another pool": {
			o:    intended().eachPool(func(p *Pool) { p.ObservedGeneration-- }, "master").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool master"}},
		},
		"somebody paused the pool while it was open, and means it": {
			o: observed().rendered().releaseIntended("worker").opened("worker").repaused("worker").
				eachPool(func(p *Pool) { p.PauseRecord.Release.Closed, p.PausedBy = false, "kubectl-patch" },
					"worker").releaseIntended("worker").
				with(func(o *Observed) { o.Record.Release.IntendedAt.Time = now }).build(),
			want: want{reason: v1alpha1.ReasonPoolNotReady, blockers: []string{"MachineConfigPool worker"},
				says: []string{`paused by "kubectl-patch"`, "taken as a stop", "unpause it to go on"}},
		},
		"a new configuration: this intent is void": {
			o: intended().eachPool(func(p *Pool) { p.Rendered = "rendered-worker-other" }, "worker").build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"rendered anew"}},
		},
		"the pool is gone": {
			o: intended().with(func(o *Observed) {
				pools, _ := o.Pools.Get()
				o.Pools = Known(pools[:1])
			}).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"pool worker is gone"}},
		},
		"the pool is somebody else's now": {
			o: intended().eachPool(func(p *Pool) { p.PauseRecord, p.PausedByUs = nil, false }, "worker").build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"not held by this rollout"}},
		},
		"it was held for long: what it meets is looked at again": {
			o: intended().with(func(o *Observed) { o.Record.Release.IntendedAt.Time = now.Add(-time.Minute - time.Second) }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"held for long"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
	t.Run("not a minute of waiting", func(t *testing.T) {
		o := intended().with(func(o *Observed) { o.Record.Release.IntendedAt.Time = now.Add(-time.Minute) }).build()
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			actions: []string{"release-one/worker"}})
	})
}

// An action that was decided is checked on a fresh look, by the same rule.
func TestStillSafe(t *testing.T) {
	release := ReleaseNodes{Pool: "worker"}
	cases := map[string]struct {
		fresh Observed
		ok    bool
		why   string
	}{
		"nothing has changed": {observed().rendered().releaseIntended("worker").build(), true, ""},
		"a node went down": {observed().rendered().releaseIntended("worker").down("master-0").build(), false,
			"node master-0 of pool master is NotReady"},
		"an image vanished": {observed().rendered().releaseIntended("worker").transfers(func(tr *Transfers) { tr.Verified = 3 }).build(), false, "3 of 4 references"},
		"another pool is to be next": {observed().rendered().releaseIntended("master").build(), false,
			"releasing one node of pool master"},
		"the end was reached": {observed().completed().build(), false, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			why, ok := StillSafe(c.fresh, release)
			if ok != c.ok || len(c.why) > len(why) || why[:len(c.why)] != c.why {
				t.Errorf("got (%q, %t), want (%q…, %t)", why, ok, c.why, c.ok)
			}
		})
	}
}
