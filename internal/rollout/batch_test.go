package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// several is a rendered rollout whose user wants so many nodes at once; the worker pool allows two of its three.
func several(n int) *builder {
	b := observed().eachPool(func(p *Pool) { p.MaxUnavailable = "2" }, "worker").rendered()
	b.o.Rollout.AtOnce = n
	return b
}

func TestAtOnce(t *testing.T) {
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
			o := Observed{Rollout: View{AtOnce: c.wants}, Record: v1alpha1.Record{Pools: []v1alpha1.PoolRecord{{Name: "worker", MaxUnavailable: c.own}}}}
			if got := atOnce(o, p); got != c.want {
				t.Errorf("%d at once, want %d", got, c.want)
			}
		})
	}
	t.Run("nothing is known of before", func(t *testing.T) {
		if got := atOnce(Observed{Rollout: View{AtOnce: 3}}, somePool("worker", 4)); got != 1 {
			t.Errorf("%d at once, want 1", got)
		}
	})
}

// Whose turn it is: the MCO's order, and with targets our own node at the end.
func TestTurn(t *testing.T) {
	at := func(name, zone string, age time.Duration) Node {
		return Node{Name: name, Zone: zone, Created: now.Add(-age), Ready: true, Current: "old", Desired: "old", State: stateDone}
	}
	mco := func(n Node) Node {
		n.MCO = true
		return n
	}
	cases := map[string]struct {
		nodes    []Node
		control  bool
		targeted bool
		self     string
		want     []string
	}{
		"zones by name, then age":        {nodes: []Node{at("b", "b", 9*time.Hour), at("a2", "a", time.Hour), at("a1", "a", 2*time.Hour)}, want: []string{"a1", "a2", "b"}},
		"no zone is last":                {nodes: []Node{at("old", "", 9*time.Hour), at("z", "z", time.Hour)}, want: []string{"z", "old"}},
		"equals by name":                 {nodes: []Node{at("b", "", time.Hour), at("a", "", time.Hour)}, want: []string{"a", "b"}},
		"the MCO's node is late":         {nodes: []Node{mco(at("a", "", 2*time.Hour)), at("b", "", time.Hour)}, control: true, want: []string{"b", "a"}},
		"of the control plane only":      {nodes: []Node{mco(at("a", "", 2*time.Hour)), at("b", "", time.Hour)}, want: []string{"a", "b"}},
		"our own is last of all":         {nodes: []Node{at("a", "", 3*time.Hour), mco(at("b", "", 2*time.Hour)), at("c", "", time.Hour)}, control: true, targeted: true, self: "a", want: []string{"c", "b", "a"}},
		"the MCO does not know our node": {nodes: []Node{at("a", "", 3*time.Hour), at("c", "", time.Hour)}, self: "a", want: []string{"a", "c"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := Observed{Rollout: View{Targeted: c.targeted}, Self: Self{Node: c.self}}
			got := names(candidates(o, Pool{Name: "p", ControlPlane: c.control, Rendered: "new", Nodes: c.nodes}))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

// What comes next is a set where the MCO chooses, and exact where we do.
func TestNext(t *testing.T) {
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
		"equals are a set":            {three, 1, []string{"worker-0", "worker-1", "worker-2"}},
		"the oldest is alone":         {older, 1, []string{"worker-2"}},
		"with the next come equals":   {older, 2, []string{"worker-2", "worker-0", "worker-1"}},
		"more than there are":         {three, 9, []string{"worker-0", "worker-1", "worker-2"}},
		"not what is down":            {observed().rendered().down("worker-0").cordoned("worker-1"), 1, []string{"worker-2"}},
		"targets are exact":           {observed().rendered().with(byName), 1, []string{"worker-0"}},
		"as many as there may be":     {observed().rendered().with(byName), 2, []string{"worker-0", "worker-1"}},
		"a failing node for the MCO":  {observed().rendered().done("worker-1", "worker-2").node("worker-0", fails), 1, []string{"worker-0"}},
		"never a target: not at rest": {observed().rendered().done("worker-1", "worker-2").node("worker-0", fails).with(byName), 1, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := c.b.build()
			pools, _ := o.Pools.Get()
			if diff := cmp.Diff(c.want, names(next(o, pools[1], c.size))); diff != "" {
				t.Errorf("next (-want +got):\n%s", diff)
			}
		})
	}
}

func byName(o *Observed) { o.Rollout.Targeted = true }
func fails(n *Node)      { n.Desired, n.State = "rendered-worker-other", "Degraded" }

func TestTheSizeOfARelease(t *testing.T) {
	canary := func(n int) func(*Observed) {
		return func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker", Nodes: n}} }
	}
	workers := func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker"}} }
	cases := map[string]struct {
		o    Observed
		want int32
	}{
		"one unless somebody asks":     {several(0).with(workers).build(), 0},
		"as many as both allow":        {several(9).with(workers).build(), 2},
		"a canary stays one":           {several(2).with(canary(1)).build(), 0},
		"a stage of two in one":        {several(2).with(canary(2)).build(), 2},
		"no more than the stage needs": {several(2).with(canary(2)).done("worker-0").build(), 0},
		"no more than can go": {observed().eachPool(func(p *Pool) { p.MaxUnavailable = "2" }, "worker").cordoned("worker-1").rendered().done("worker-0").
			with(workers).with(func(o *Observed) { o.Rollout.AtOnce = 2 }).build(), 0},
		"the default canary is one": {several(2).build(), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := check(t, c.o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}})
			if got := fact[ReleaseIntended](t, d).Release.NodeCount; got != c.want {
				t.Errorf("size %d, want %d", got, c.want)
			}
		})
	}
}

// A pulse of two has room for two beside the baseline; it ends with the second node, or with the end of the first.
func TestAPulseOfTwo(t *testing.T) {
	two := func(b *builder) *builder {
		b.intends("worker").o.Record.Release.NodeCount = 2
		return b
	}
	d := check(t, two(several(2).done("worker-2")).build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
		actions: []string{"release-one/worker"}, says: []string{"releasing two nodes of pool worker: 1 of 3 done, room for 2"}})
	if got := action[ReleaseOne](t, d); got.MaxUnavailable != 2 || got.Ledger.Release.Size != 2 {
		t.Errorf("room for %d, size %d, want both 2", got.MaxUnavailable, got.Ledger.Release.Size)
	}
	shrunk := two(several(2)).with(func(o *Observed) { o.Record.Pools[1].MaxUnavailable = "1" })
	if got := action[ReleaseOne](t, Decide(shrunk.build())); got.MaxUnavailable != 1 || got.Ledger.Release.Size != 0 {
		t.Errorf("the limit is one now: room for %d, size %d", got.MaxUnavailable, got.Ledger.Release.Size)
	}
	open := func() *builder {
		return two(several(2)).opens("worker").eachPool(func(p *Pool) { p.Ledger.Release.Size = 2 }, "worker")
	}
	over := map[string]struct {
		b    *builder
		want bool
	}{
		"nobody yet":           {open(), false},
		"the first is taken":   {open().takes("worker-0", "Draining"), false},
		"the second is taken":  {open().takes("worker-0", "Draining").takes("worker-1", "Targeted"), true},
		"the first is done":    {open().done("worker-0"), true},
		"one with another one": {open().takes("worker-0", "Draining").node("worker-1", func(n *Node) { n.Desired = "rendered-worker-other" }), true},
	}
	for name, c := range over {
		t.Run(name, func(t *testing.T) {
			pools, _ := c.b.build().Pools.Get()
			if got := pools[1].PulseOver(now); got != c.want {
				t.Errorf("over %t, want %t", got, c.want)
			}
		})
	}
}

// A batch is no larger than what the forecast has looked at; nodes that are named have to be in it.
func TestBatchesAreForeseen(t *testing.T) {
	knows := func(nodes ...string) func(*Observed) {
		return func(o *Observed) {
			f := Forecast{Together: []Together{{Pool: "worker", Size: 2}}}
			for _, n := range nodes {
				f.Nodes = append(f.Nodes, NodeForecast{Pool: "worker", Node: n, Outlook: OutlookSafe})
			}
			o.Forecast = Seen(f)
		}
	}
	workers := func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker"}} }
	// Of different ages, so that what comes next is known: worker-0, then worker-1.
	base := func() *builder {
		return several(2).with(workers).eachPool(func(p *Pool) {
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
	if got := size(base().with(knows("worker-0")).with(goesBack).build()); got != 2 {
		t.Errorf("on the way back: a release of %d, want 2", got)
	}
	if diff := cmp.Diff([][]string{{"worker-0"}, {"worker-0", "worker-1"}}, Coming(base().build(), mustPool(base().build(), 1))); diff != "" {
		t.Errorf("coming (-want +got):\n%s", diff)
	}
	named := base().with(byName).with(knows("worker-2"))
	check(t, named.build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonDrainForecast, blockers: []string{"MachineConfigPool worker"}})
	check(t, named.intends("worker").names("worker-2", "worker-1").with(knows("worker-0", "worker-2")).build(),
		want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"}, says: []string{"the drain of node worker-1 of pool worker"}})
}

// A batch is no larger than what can be drained at the same time, and says what keeps it from being so. An intent that has become too
// large is given up.
func TestBatchesGoTogether(t *testing.T) {
	cross := []Problem{{Kind: "PodDisruptionBudget", Namespace: "shop", Name: "cart", Message: "with worker-0 and worker-1 drained at the same time PDB shop/cart allows 0"}}
	jointly := func(list ...Together) func(*Observed) {
		return func(o *Observed) {
			f, _ := safe(o.Pools).Get()
			f.Together = list
			o.Forecast = Seen(f)
		}
	}
	workers := func(o *Observed) { o.Rollout.Stages = []Stage{{Pool: "worker"}} }
	cases := map[string]struct {
		b    *builder
		size int32
		says string
	}{
		"both go":                    {several(2).with(jointly(Together{Pool: "worker", Size: 2})), 2, "about to release 2 more"},
		"only one after the other":   {several(2).with(jointly(Together{Pool: "worker", Size: 1, Problems: cross})), 0, "about to release one more; two nodes at the same time would not go through: with worker-0 and worker-1"},
		"nobody has looked":          {several(2).with(jointly()), 0, "about to release one more"},
		"it is said of another pool": {several(2).with(jointly(Together{Pool: "master", Size: 2})), 0, "about to release one more"},
		"it is advice":               {several(2).with(jointly()).with(func(o *Observed) { o.Rollout.ForecastAdvisory = true }), 2, "about to release 2 more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := check(t, c.b.with(workers).build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}, says: []string{c.says}})
			if got := fact[ReleaseIntended](t, d).Release.NodeCount; got != c.size {
				t.Errorf("size %d, want %d", got, c.size)
			}
		})
	}
	one := jointly(Together{Pool: "worker", Size: 1, Problems: cross})
	tooLarge := map[string]*builder{
		"a pulse": several(2).intends("worker").with(func(o *Observed) { o.Record.Release.NodeCount = 2 }),
		"by name": several(2).with(byName).intends("worker").names("worker-0", "worker-1"),
	}
	for name, b := range tooLarge {
		t.Run(name, func(t *testing.T) {
			check(t, b.with(one).build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"},
				says: []string{"two nodes of pool worker cannot be drained at the same time any more; two nodes at the same time would not go through: with worker-0"}})
		})
	}
}

func mustPool(o Observed, i int) Pool {
	pools, _ := o.Pools.Get()
	return pools[i]
}
