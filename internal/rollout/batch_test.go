package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// concurrent is a rendered rollout whose user wants so many nodes at once; the worker pool allows
// two of its three.
func concurrent(n int) *builder {
	b := observed().eachPool(func(p *Pool) { p.MaxUnavailable = "2" }, "worker").rendered()
	b.o.Rollout.MaxConcurrent = n
	return b
}

func TestMaxConcurrent(t *testing.T) {
	cases := map[string]struct {
		own     string // of the pool, before the rollout
		wants   int
		nodes   int
		control bool
		want    int
	}{
		"nobody says anything":                {"", 0, 4, false, 1},
		"the user alone":                      {"", 3, 4, false, 1},
		"the pool alone":                      {"3", 0, 4, false, 1},
		"the smaller is the pool's":           {"2", 3, 4, false, 2},
		"the smaller is the user's":           {"3", 2, 4, false, 2},
		"percentages round down":              {"50%", 9, 5, false, 2},
		"and are never less than one":         {"10%", 9, 4, false, 1},
		"nor is a number":                     {"0", 9, 4, false, 1},
		"what cannot be read is one":          {"many", 9, 4, false, 1},
		"the control plane goes one by one":   {"3", 3, 3, true, 1},
		"a pool that shrinks has less":        {"50%", 9, 2, false, 1},
		"a hundred per cent, if the user can": {"100%", 9, 4, false, 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := somePool("worker", c.nodes)
			p.ControlPlane = c.control
			o := Observed{Rollout: Spec{MaxConcurrent: c.wants},
				Record: v1alpha1.Record{Pools: []v1alpha1.PoolRecord{{Name: "worker", MaxUnavailable: c.own}}}}
			if got := maxConcurrent(o, p); got != c.want {
				t.Errorf("%d at once, want %d", got, c.want)
			}
		})
	}
	t.Run("nothing is known of the previous state", func(t *testing.T) {
		if got := maxConcurrent(Observed{Rollout: Spec{MaxConcurrent: 3}}, somePool("worker", 4)); got != 1 {
			t.Errorf("%d at once, want 1", got)
		}
	})
}

// Whose turn it is: the MCO's order, and with targets our own node at the end.
func TestUpdateOrder(t *testing.T) {
	at := func(name, zone string, age time.Duration) Node {
		return Node{Name: name, Zone: zone, Created: now.Add(-age), Ready: true, CurrentConfig: "old",
			DesiredConfig: "old", State: stateDone}
	}
	mco := func(n Node) Node {
		n.RunsMCO = true
		return n
	}
	cases := map[string]struct {
		nodes    []Node
		control  bool
		targeted bool
		self     string
		want     []string
	}{
		"zones by name, then age": {nodes: []Node{at("b", "b", 9*time.Hour), at("a2", "a", time.Hour),
			at("a1", "a", 2*time.Hour)}, want: []string{"a1", "a2", "b"}},
		"no zone is last": {nodes: []Node{at("old", "", 9*time.Hour), at("z", "z", time.Hour)},
			want: []string{"z", "old"}},
		"equals by name": {nodes: []Node{at("b", "", time.Hour), at("a", "", time.Hour)},
			want: []string{"a", "b"}},
		"the MCO's node is late": {nodes: []Node{mco(at("a", "", 2*time.Hour)), at("b", "", time.Hour)},
			control: true, want: []string{"b", "a"}},
		"of the control plane only": {nodes: []Node{mco(at("a", "", 2*time.Hour)), at("b", "", time.Hour)},
			want: []string{"a", "b"}},
		"our own is last of all": {nodes: []Node{at("a", "", 3*time.Hour), mco(at("b", "", 2*time.Hour)),
			at("c", "", time.Hour)}, control: true, targeted: true, self: "a", want: []string{"c", "b", "a"}},
		"the MCO does not know our node": {nodes: []Node{at("a", "", 3*time.Hour), at("c", "", time.Hour)}, self: "a",
			want: []string{"a", "c"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := Observed{Rollout: Spec{Targeted: c.targeted}, Operator: OperatorReplicas{LeaderNode: c.self}}
			got := namesOf(candidates(o, Pool{Name: "p", ControlPlane: c.control, Rendered: "new", Nodes: c.nodes}))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

// What comes next is a set where the MCO chooses, and exact where we do.
func TestNextNodes(t *testing.T) {
	three := observed().rendered()
	older := observed().rendered().node("worker-2", func(n *Node) { n.Created = now.Add(-time.Hour) }).
		eachPool(func(p *Pool) {
			for i := range p.Nodes[:2] {
				p.Nodes[i].Created = now
			}
		}, "worker")
	cases := map[string]struct {
		b    *builder
		size int
		want []string
	}{
		"equals are a set":          {three, 1, []string{"worker-0", "worker-1", "worker-2"}},
		"the oldest is alone":       {older, 1, []string{"worker-2"}},
		"with the next come equals": {older, 2, []string{"worker-2", "worker-0", "worker-1"}},
		"more than there are":       {three, 9, []string{"worker-0", "worker-1", "worker-2"}},
		"not what is down": {observed().rendered().down("worker-0").cordoned("worker-1"), 1,
			[]string{"worker-2"}},
		"targets are exact": {observed().rendered().with(targetedMechanism), 1, []string{"worker-0"}},
		"as many as there may be": {observed().rendered().with(targetedMechanism), 2,
			[]string{"worker-0", "worker-1"}},
		"a failing node for the MCO": {observed().rendered().done("worker-1", "worker-2").node("worker-0",
			degradedNode), 1, []string{"worker-0"}},
		"never a target: not at rest": {observed().rendered().done("worker-1", "worker-2").node("worker-0",
			degradedNode).with(targetedMechanism), 1, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := c.b.build()
			pools, _ := o.Pools.Get()
			if diff := cmp.Diff(c.want, namesOf(nextNodes(o, pools[1], c.size))); diff != "" {
				t.Errorf("next (-want +got):\n%s", diff)
			}
		})
	}
}

func targetedMechanism(o *Observed) { o.Rollout.Targeted = true }
func degradedNode(n *Node)          { n.DesiredConfig, n.State = "rendered-worker-other", "Degraded" }

func TestReleaseSize(t *testing.T) {
	canary := func(n int) func(*Observed) {
		return func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker", Nodes: n}} }
	}
	workers := func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker"}} }
	cases := map[string]struct {
		o    Observed
		want int32
	}{
		"one unless somebody asks":     {concurrent(0).with(workers).build(), 0},
		"as many as both allow":        {concurrent(9).with(workers).build(), 2},
		"a canary stays one":           {concurrent(2).with(canary(1)).build(), 0},
		"a stage of two in one":        {concurrent(2).with(canary(2)).build(), 2},
		"no more than the stage needs": {concurrent(2).with(canary(2)).done("worker-0").build(), 0},
		"no more than can go": {observed().eachPool(func(p *Pool) { p.MaxUnavailable = "2" },
			"worker").cordoned("worker-1").rendered().done("worker-0").
			with(workers).with(func(o *Observed) { o.Rollout.MaxConcurrent = 2 }).build(), 0},
		"the default canary is one": {concurrent(2).build(), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := check(t, c.o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				facts: []string{"ReleaseIntended worker"}})
			if got := fact[ReleaseIntended](t, d).Release.NodeCount; got != c.want {
				t.Errorf("size %d, want %d", got, c.want)
			}
		})
	}
}

// An unpause window of two has room for two beside the baseline; it ends with the second node, or
// with the end of the first.
func TestUnpauseWindowForTwoNodes(t *testing.T) {
	two := func(b *builder) *builder {
		b.releaseIntended("worker").o.Record.Release.NodeCount = 2
		return b
	}
	d := check(t, two(concurrent(2).done("worker-2")).build(),
		want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			actions: []string{"release-one/worker"},
			says:    []string{"releasing two nodes of pool worker: 1 of 3 done, room for 2"}})
	if got := action[ReleaseNodes](t, d); got.MaxUnavailable != 2 || got.Record.Release.Size != 2 {
		t.Errorf("room for %d, size %d, want both 2", got.MaxUnavailable, got.Record.Release.Size)
	}
	shrunk := two(concurrent(2)).with(func(o *Observed) { o.Record.Pools[1].MaxUnavailable = "1" })
	if got := action[ReleaseNodes](t, Decide(shrunk.build())); got.MaxUnavailable != 1 || got.Record.Release.Size != 0 {
		t.Errorf("the limit is one now: room for %d, size %d", got.MaxUnavailable, got.Record.Release.Size)
	}
	open := func() *builder {
		return two(concurrent(2)).opened("worker").eachPool(func(p *Pool) { p.PauseRecord.Release.Size = 2 }, "worker")
	}
	over := map[string]struct {
		b    *builder
		want bool
	}{
		"nobody yet":         {open(), false},
		"the first is taken": {open().startsUpdate("worker-0", "Draining"), false},
		"the second is taken": {open().startsUpdate("worker-0", "Draining").startsUpdate("worker-1",
			"Targeted"), true},
		"the first is done": {open().done("worker-0"), true},
		"one with another one": {open().startsUpdate("worker-0", "Draining").node("worker-1",
			func(n *Node) { n.DesiredConfig = "rendered-worker-other" }), true},
	}
	for name, c := range over {
		t.Run(name, func(t *testing.T) {
			pools, _ := c.b.build().Pools.Get()
			if got := pools[1].UnpauseWindowOver(now); got != c.want {
				t.Errorf("over %t, want %t", got, c.want)
			}
		})
	}
}

// A batch is no larger than what the forecast has looked at; nodes that are named have to be in it.
func TestBatchesAreInForecast(t *testing.T) {
	knows := func(nodes ...string) func(*Observed) {
		return func(o *Observed) {
			f := Forecast{ConcurrentDrains: []ConcurrentDrains{{Pool: "worker", Size: 2}}}
			for _, n := range nodes {
				f.Nodes = append(f.Nodes, NodeForecast{Pool: "worker", Node: n, Result: DrainSafe})
			}
			o.Forecast = Known(f)
		}
	}
	workers := func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker"}} }
	// Of different ages, so that what comes next is known: worker-0, then worker-1.
	base := func() *builder {
		return concurrent(2).with(workers).eachPool(func(p *Pool) {
			for i := range p.Nodes {
				p.Nodes[i].Created = now.Add(time.Duration(i-10) * time.Hour)
			}
		}, "worker")
	}
	size := func(o Observed) int {
		pools, _ := o.Pools.Get()
		return batchSize(o, o.Rollout.Stages[0], pools[1])
	}
	if got := size(base().with(knows("worker-0", "worker-1")).build()); got != 2 {
		t.Errorf("both are foreseen: a release of %d, want 2", got)
	}
	if got := size(base().with(knows("worker-0")).build()); got != 1 {
		t.Errorf("the second is not foreseen: a release of %d, want 1", got)
	}
	if got := size(base().with(knows("worker-0")).with(rollbackOnRecord).build()); got != 2 {
		t.Errorf("on the way back: a release of %d, want 2", got)
	}
	if diff := cmp.Diff([][]string{{"worker-0"}, {"worker-0", "worker-1"}},
		NextReleases(base().build(), poolAt(base().build(), 1))); diff != "" {
		t.Errorf("coming (-want +got):\n%s", diff)
	}
	named := base().with(targetedMechanism).with(knows("worker-2"))
	check(t, named.build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainForecast,
		blockers: []string{"MachineConfigPool worker"}})
	check(t, named.releaseIntended("worker").targetsOnRecord("worker-2",
		"worker-1").with(knows("worker-0", "worker-2")).build(),
		want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
			says: []string{"the drain of node worker-1 of pool worker"}})
}

// A batch is no larger than what can be drained at the same time, and says what keeps it from being
// so. An intent that has become too large is given up.
func TestBatchesDrainConcurrently(t *testing.T) {
	cross := []Problem{{Kind: "PodDisruptionBudget", Namespace: "shop", Name: "cart",
		Message: "with worker-0 and worker-1 drained at the same time PDB shop/cart allows 0"}}
	jointly := func(list ...ConcurrentDrains) func(*Observed) {
		return func(o *Observed) {
			f, _ := safeForecast(o.Pools).Get()
			f.ConcurrentDrains = list
			o.Forecast = Known(f)
		}
	}
	workers := func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker"}} }
	cases := map[string]struct {
		b    *builder
		size int32
		says string
	}{
		"both go": {concurrent(2).with(jointly(ConcurrentDrains{Pool: "worker", Size: 2})), 2,
			"about to release 2 more"},
		"only one after the other": {concurrent(2).with(jointly(ConcurrentDrains{Pool: "worker", Size: 1,
			Problems: cross})), 0, "about to release one more; two nodes at the same time would not go through: with worker-0 and worker-1"},
		"nobody has looked": {concurrent(2).with(jointly()), 0, "about to release one more"},
		"it is said of another pool": {concurrent(2).with(jointly(ConcurrentDrains{Pool: "master", Size: 2})), 0,
			"about to release one more"},
		"it is advice": {concurrent(2).with(jointly()).with(func(o *Observed) { o.Rollout.ForecastAdvisory = true }), 2,
			"about to release 2 more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := check(t, c.b.with(workers).build(),
				want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"},
					says: []string{c.says}})
			if got := fact[ReleaseIntended](t, d).Release.NodeCount; got != c.size {
				t.Errorf("size %d, want %d", got, c.size)
			}
		})
	}
	one := jointly(ConcurrentDrains{Pool: "worker", Size: 1, Problems: cross})
	tooLarge := map[string]*builder{
		"an unpause window": concurrent(2).releaseIntended("worker").with(func(o *Observed) { o.Record.Release.NodeCount = 2 }),
		"by name": concurrent(2).with(targetedMechanism).releaseIntended("worker").targetsOnRecord("worker-0",
			"worker-1"),
	}
	for name, b := range tooLarge {
		t.Run(name, func(t *testing.T) {
			check(t, b.with(one).build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				facts: []string{"ReleaseEnded"},
				says:  []string{"two nodes of pool worker cannot be drained at the same time any more; two nodes at the same time would not go through: with worker-0"}})
		})
	}
}

func poolAt(o Observed, i int) Pool {
	pools, _ := o.Pools.Get()
	return pools[i]
}
