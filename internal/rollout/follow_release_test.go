package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// windowOpen is a rollout that has just opened the worker pool.
func windowOpen() *builder { return observed().rendered().releaseIntended("worker").opened("worker") }

// windowClosed is one whose node has been taken and whose pool is closed again.
func windowClosed() *builder {
	return windowOpen().startsUpdate("worker-0", "Draining").repaused("worker").followed("worker-0")
}

func TestOpenPool(t *testing.T) {
	pause := []string{"pause-pool/worker"}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the MCO has not picked a node": {
			o: windowOpen().build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"paused again at 2026-03-01T12:00:20Z"}},
		},
		"a node is taken: closed at once, and noted": {
			o:    windowOpen().startsUpdate("worker-1", "Targeted").build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: pause, facts: []string{"NodesStarted worker-1"}},
		},
		"a node is done already": {
			o:    windowOpen().done("worker-1").build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: pause, facts: []string{"NodesStarted worker-1"}},
		},
		"two nodes are taken": {
			o: windowOpen().startsUpdate("worker-1", "Targeted").startsUpdate("worker-2", "Targeted").build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: pause,
				facts: []string{"NodesStarted worker-1 worker-2"}},
		},
		"a node is taken in the moment in which another with the target is deleted": {
			o: observed().rendered().done("worker-0").releaseIntended("worker").opened("worker").
				without("worker-0").startsUpdate("worker-1", "Targeted").build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: pause, facts: []string{"NodesStarted worker-1"}},
		},
		"its time is up": {
			o:    windowOpen().with(func(o *Observed) { o.Now = now.Add(20 * time.Second) }).build(),
			want: want{reason: v1alpha1.ReasonWaiting, actions: pause, blockers: []string{"MachineConfigPool worker"}},
		},
		"its time is not quite up": {
			o:    windowOpen().with(func(o *Observed) { o.Now = now.Add(20*time.Second - 1) }).build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"}},
		},
		"it is rendered anew": {
			o:    windowOpen().eachPool(func(p *Pool) { p.Rendered = "rendered-worker-other" }, "worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, actions: pause, blockers: []string{"MachineConfigPool worker"}},
		},
		"the user holds the rollout": {
			o:    windowOpen().held().build(),
			want: want{reason: v1alpha1.ReasonWaiting, actions: pause, blockers: []string{"MachineConfigPool worker"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
}

// What forbids a release closes the pool that is open for one (I6); what is proven anew all the
// time does not.
func TestOpenPoolIsRepausedWhenReleaseIsForbidden(t *testing.T) {
	cases := map[string]struct {
		o    Observed
		want []string
	}{
		"an upgrade": {windowOpen().with(func(o *Observed) { o.Cluster = Known(Cluster{Upgrading: "4.20.3"}) }).build(),
			[]string{"pause-pool/worker"}},
		"a degraded pool": {windowOpen().eachPool(func(p *Pool) { p.Degraded = "x" }, "master").build(),
			[]string{"pause-pool/worker"}},
		"a lost reference": {windowOpen().plan(func(p *PlanSummary) { p.Lost = 1 }).build(),
			[]string{"pause-pool/worker", copyAll}},
		"an image that vanished": {windowOpen().transfers(func(tr *Transfers) {
			tr.Verified, tr.Failed = 3,
				1
		}).build(), []string{"pause-pool/worker", copyAll}},
		"the cluster is unknown": {windowOpen().with(func(o *Observed) { o.Cluster = Unknown[Cluster]("timeout") }).build(), []string{"pause-pool/worker"}},
		"a reference to be proven": {windowOpen().transfers(func(tr *Transfers) { tr.Total = 5 }).build(),
			[]string{copyAll}},
		"a deleted rollout": {windowOpen().deleting().build(), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, keys(Decide(c.o).Actions)); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepauseKeepsThePauseRecord(t *testing.T) {
	o := windowOpen().startsUpdate("worker-1", "Targeted").build()
	pools, _ := o.Pools.Get()
	wanted := *pools[1].PauseRecord
	pulse := *wanted.Release
	pulse.Closed = true
	wanted.Release = &pulse
	if diff := cmp.Diff(PausePool{Pool: "worker", Record: wanted}, action[PausePool](t, Decide(o))); diff != "" {
		t.Errorf("pause (-want +got):\n%s", diff)
	}
	if pools[1].PauseRecord.Release.Closed {
		t.Error("deciding has changed what was observed")
	}
}

func TestUnpauseWindowOver(t *testing.T) {
	pool := func(b *builder) Pool {
		pools, _ := b.o.Pools.Get()
		return pools[1]
	}
	cases := map[string]struct {
		pool Pool
		want bool
	}{
		"no pause record":     {pool(observed()), false},
		"no unpause window":   {pool(observed().rendered()), false},
		"open":                {pool(windowOpen()), false},
		"open, and taken":     {pool(windowOpen().startsUpdate("worker-1", "Targeted")), true},
		"closed":              {pool(windowOpen().startsUpdate("worker-1", "Targeted").repaused("worker")), false},
		"open, rendered anew": {pool(windowOpen().eachPool(func(p *Pool) { p.Rendered = "x" }, "worker")), true},
		"open, and a node that was down since before is back": {
			pool(windowOpen().node("worker-2",
				func(n *Node) { n.Ready = false }).eachPool(func(p *Pool) { p.PauseRecord.Release.UnavailableBefore = 1 }, "worker").
				node("worker-2", func(n *Node) { n.Ready = true })), true},
		"open, and it is still down": {
			pool(windowOpen().node("worker-2",
				func(n *Node) { n.Ready = false }).eachPool(func(p *Pool) { p.PauseRecord.Release.UnavailableBefore = 1 }, "worker")), false},
		"open, taken while a stuck node has got through": {
			pool(windowOpen().startsUpdate("worker-1",
				"Targeted").eachPool(func(p *Pool) { p.PauseRecord.Release.StuckBefore = 1 }, "worker")), true},
		"open, a node degraded": {pool(windowOpen().node("worker-2", func(n *Node) { n.State = "Degraded" })), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.pool.UnpauseWindowOver(now); got != c.want {
				t.Errorf("over: %t, want %t", got, c.want)
			}
		})
	}
}

func TestReleaseWithoutNode(t *testing.T) {
	lapsed := func() *builder { return windowOpen().repaused("worker") }
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"the fence comes first": {
			o:    lapsed().eachPool(func(p *Pool) { p.ObservedGeneration-- }, "worker").build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"}},
		},
		"then it is tried again": {
			o: lapsed().build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"picked no node"}},
		},
		"a node that took it in the last moment": {
			o:    lapsed().startsUpdate("worker-2", "Draining").build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-2"}},
		},
		"one that took what was rendered meanwhile": {
			o: lapsed().eachPool(func(p *Pool) { p.Rendered = "rendered-worker-other" },
				"worker").startsUpdate("worker-2", "Draining").build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-2"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
	t.Run("a new attempt is a new intent", func(t *testing.T) {
		o := lapsed().with(func(o *Observed) { o.Record.Release = nil }).build()
		d := check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"ReleaseIntended worker"}})
		o.Record = Apply(o.Record, d.Facts)
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			actions: []string{"release-one/worker"}})
	})
}

func TestFollowNode(t *testing.T) {
	done := func() *builder { return windowClosed().done("worker-0") }
	ended := want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"}, says: []string{"pods are back"}}
	node := func(says ...string) want {
		return want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}, says: says}
	}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"it drains": {windowClosed().build(),
			node("from rendered-worker-earlier to rendered-worker-planned: Draining since 2026-03-01T11:59:55Z")},
		"it works":     {windowClosed().startsUpdate("worker-0", "Working").build(), node("Working")},
		"it uncordons": {windowClosed().startsUpdate("worker-0", "Uncordoning").build(), node("Uncordoning")},
		"it degrades": {windowClosed().startsUpdate("worker-0", "Degraded").build(),
			node("Degraded", "failed to drain node")},
		"it is done":   {done().build(), ended},
		"down with it": {done().down("worker-0").build(), node("runs rendered-worker-planned and is NotReady")},
		"cordoned":     {done().cordoned("worker-0").build(), node("is cordoned")},
		"it is deleted": {windowClosed().without("worker-0").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"worker-0 is gone and its pods"}}},
		"a second node is on its way": {done().startsUpdate("worker-1", "Draining").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-1"}}},
		"a second node is followed, too": {done().startsUpdate("worker-1", "Draining").followed("worker-0",
			"worker-1").build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"}}},
		"two are done": {done().done("worker-1").followed("worker-0", "worker-1").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"node worker-1 runs rendered-worker-planned and their pods are back"}}},
		"of two one is down with it": {done().done("worker-1").down("worker-1").followed("worker-0",
			"worker-1").build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"}}},
		"a node of another pool is on its way": {done().startsUpdate("master-1", "Draining").build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node master-1"}}},
		"the fence of the pause": {done().eachPool(func(p *Pool) { p.ObservedGeneration-- }, "worker").build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"has not seen it yet"}}},
		"it is deleted while its pool is open": {windowOpen().followed("worker-0").without("worker-0").build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
				says: []string{"is not paused"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
}

// The pods are back when every workload has as many ready ones as before. What lacks pods for an
// older reason, elsewhere, does not hold; what was short before holds when it gets shorter.
func TestAwaitPods(t *testing.T) {
	since, before := now.Add(-10*time.Second), now.Add(-time.Hour) // of the intent
	cart := Workload{Kind: "Deployment", Namespace: "shop", Name: "cart", Desired: 3, Ready: 2, NewestUnreadyAt: since,
		Message: "ImagePullBackOff"}
	change := func(w Workload, change func(*Workload)) Workload {
		change(&w)
		return w
	}
	cases := map[string]struct {
		workload      Workload
		unreadyBefore []string
		holds         bool
	}{
		"a new pod is not ready": {workload: cart, holds: true},
		"an old pod elsewhere is not ready": {workload: change(cart,
			func(w *Workload) { w.NewestUnreadyAt = before }), holds: false},
		"an old pod on the node is not ready": {workload: change(cart,
			func(w *Workload) { w.NewestUnreadyAt, w.OnNode = before, true }), holds: true},
		"a pod is missing": {workload: change(cart,
			func(w *Workload) { w.NewestUnreadyAt, w.MissingPods = time.Time{}, true }), holds: true},
		"it was as short before": {workload: cart,
			unreadyBefore: []string{"Deployment/shop/cart=2"}, holds: false},
		"it was shorter before": {workload: cart,
			unreadyBefore: []string{"Deployment/shop/cart=0"}, holds: false},
		"it was short before, and is shorter": {workload: change(cart, func(w *Workload) { w.Ready = 1 }),
			unreadyBefore: []string{"Deployment/shop/cart=2"}, holds: true},
		"it was short before, and lost an old pod": {workload: change(cart,
			func(w *Workload) { w.Ready, w.NewestUnreadyAt = 1, before }),
			unreadyBefore: []string{"Deployment/shop/cart=2"}, holds: false},
		"another one of that name was short before": {workload: cart,
			unreadyBefore: []string{"StatefulSet/shop/cart=2", "Deployment/books/cart=2"}, holds: true},
		"what was noted cannot be read": {workload: cart,
			unreadyBefore: []string{"Deployment/shop/cart=x"}, holds: true},
		"an unready pod of a second before is not counted": {workload: change(cart,
			func(w *Workload) { w.NewestUnreadyAt = since.Add(-time.Second) }), holds: false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := windowClosed().done("worker-0").unready(c.workload).with(func(o *Observed) { o.Record.Release.UnreadyWorkloads = c.unreadyBefore }).build()
			if !c.holds {
				check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
					facts: []string{"ReleaseEnded"}})
				return
			}
			check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting,
				blockers: []string{"Deployment shop/cart"},
				says:     []string{"of 3 pods ready since node worker-0 was released (ImagePullBackOff)"}})
		})
	}
	t.Run("without a message of its own", func(t *testing.T) {
		o := windowClosed().done("worker-0").unready(change(cart, func(w *Workload) { w.Message = "" })).build()
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting,
			blockers: []string{"Deployment shop/cart"},
			says:     []string{"was released; the next node waits"}})
	})
	t.Run("of a node that was deleted, too", func(t *testing.T) {
		check(t, windowClosed().without("worker-0").unready(cart).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Deployment shop/cart"}})
	})
}

// A status that is lost while a pool is open, or while a node is on its way, is found again on the
// pool.
func TestReleaseIsFoundInPauseRecord(t *testing.T) {
	found := func(o Observed) v1alpha1.ReleaseRecord {
		d := check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"ReleaseIntended worker"},
			says:  []string{"the pause record of pool worker tells of"}})
		return fact[ReleaseIntended](t, d).Release
	}
	forget := func(o *Observed) { o.Record.Release = nil }
	wanted := v1alpha1.ReleaseRecord{
		Pool: "worker", IntendedAt: metav1.NewTime(now.Add(-10 * time.Second)),
		TargetConfig: renderedName("worker", planned),
	}
	cases := map[string]Observed{
		"the pool is open":       windowOpen().with(forget).build(),
		"the node is on its way": windowClosed().with(forget).build(),
		"a node of two is deleted": windowClosed().startsUpdate("worker-1",
			"Draining").without("worker-0").with(forget).build(),
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(wanted, found(o)); diff != "" {
				t.Errorf("release (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a taken node closes the pool at the same time", func(t *testing.T) {
		check(t, windowOpen().startsUpdate("worker-0", "Targeted").with(forget).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				actions: []string{"pause-pool/worker"}, facts: []string{"ReleaseIntended worker"}})
	})
	t.Run("a release that has ended is not found again", func(t *testing.T) {
		check(t, windowClosed().done("worker-0").with(forget).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended master"}})
	})
	t.Run("nor is one of a node that has drifted since", func(t *testing.T) {
		check(t, windowClosed().done("worker-0").node("worker-0",
			func(n *Node) { n.State = "Degraded" }).with(forget).build(),
			want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}})
	})
}

// While a release is in progress its fence is its own matter: the phases above do not flicker for
// it.
func TestReleasePhaseIsStable(t *testing.T) {
	for name, o := range map[string]Observed{
		"open":                  windowOpen().build(),
		"closed, and not seen":  windowClosed().eachPool(func(p *Pool) { p.ObservedGeneration-- }, "worker").build(),
		"open, and not seen":    windowOpen().eachPool(func(p *Pool) { p.ObservedGeneration-- }, "worker").build(),
		"the node is back":      windowClosed().done("worker-0").build(),
		"the node has drained":  windowClosed().startsUpdate("worker-0", "Working").build(),
		"the intent is on file": observed().rendered().releaseIntended("worker").build(),
	} {
		t.Run(name, func(t *testing.T) {
			if got := Decide(o).Phase; got != PhaseRelease {
				t.Errorf("phase %s, want %s", got, PhaseRelease)
			}
		})
	}
}

func TestNodeUpdateStage(t *testing.T) {
	target := renderedName("worker", planned)
	at := somePool("worker", 1).Nodes[0]
	cases := map[string]Node{
		"Waiting":     at,
		"Targeted":    atStage(at, target, "Targeted"),
		"Draining":    atStage(at, target, "Draining"),
		"Working":     atStage(at, target, "Working"),
		"Uncordoning": atStage(at, target, "Uncordoning"),
		"Degraded":    atStage(at, target, "Degraded"),
		"Done":        atStage(at, target, stateDone),
	}
	for wanted, n := range cases {
		t.Run(wanted, func(t *testing.T) {
			if got := n.UpdateStage(target); got != wanted {
				t.Errorf("stage %s, want %s", got, wanted)
			}
		})
	}
	t.Run("Unreconcilable", func(t *testing.T) {
		if got := (Node{State: "Unreconcilable"}).UpdateStage(target); got != "Degraded" {
			t.Errorf("stage %s, want Degraded", got)
		}
	})
}
