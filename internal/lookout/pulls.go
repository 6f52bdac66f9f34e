package lookout

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Pulls tells from the plan, and from what the registries have said, how a node would pull an image: under the configuration of before on
// a node that has not been told of the planned one, and under that on one that has.
func Pulls(p plan.Plan, results map[string]mirror.Result, configs []plan.Pool, pools []rollout.Pool) func(*corev1.Node, string) drain.Availability {
	l := &pulls{plan: p, results: results, configs: map[string]plan.Pool{}, where: map[string]group{}, items: map[string][]*plan.Item{}, known: map[wish]drain.Availability{}}
	for _, c := range configs {
		l.configs[c.Name] = c
	}
	for _, pool := range pools {
		for _, n := range pool.Nodes {
			l.where[n.Name] = group{pool.Name, pool.Meaning == rollout.MeansPlanned && n.Desired == pool.Rendered}
		}
	}
	for i := range p.Items {
		for _, s := range p.Items[i].Spellings {
			l.items[s] = append(l.items[s], &p.Items[i])
		}
	}
	return l.of
}

type pulls struct {
	plan    plan.Plan
	results map[string]mirror.Result
	configs map[string]plan.Pool
	where   map[string]group
	items   map[string][]*plan.Item
	known   map[wish]drain.Availability
}

// group are the nodes that pull alike.
type group struct {
	pool  string
	after bool
}

type wish struct {
	group
	image string
}

func (l *pulls) of(n *corev1.Node, image string) drain.Availability {
	w := wish{l.where[n.Name], image}
	a, ok := l.known[w]
	if !ok {
		a = l.find(w)
		l.known[w] = a
	}
	return a
}

// find takes the best of the candidates of a short name: they are tried one after another.
func (l *pulls) find(w wish) drain.Availability {
	best := drain.Availability{}
	for _, i := range l.items[w.image] {
		for _, pool := range i.Pools {
			if pool != w.pool {
				continue
			}
			if a := l.item(i, w.after); best.Fate == "" || better(a.Fate, best.Fate) {
				best = a
			}
		}
	}
	if best.Fate == "" {
		best = drain.Availability{Fate: drain.FateUnchanged}
		best.Endpoint, best.Others = l.endpoint(w)
	}
	return best
}

func better(a, b drain.Fate) bool { return order[a] < order[b] }

var order = map[drain.Fate]int{drain.FateVerified: 0, drain.FateUnchanged: 1, drain.FateUnverified: 2, drain.FateLost: 3}

// item judges a reference whose pull changes.
func (l *pulls) item(i *plan.Item, after bool) drain.Availability {
	resolution := i.Before
	if after {
		resolution = i.After
	}
	var a drain.Availability
	if usable := resolution.Usable(); len(usable) > 0 {
		a.Endpoint, a.Others = usable[0].Reference, len(usable) > 1
	}
	outlook := l.plan.Outlook(*i, l.results)
	switch {
	case outlook == plan.NoWorse:
		a.Fate, a.Why = drain.FateLost, "it cannot be pulled today either"
	case !after, outlook == plan.Accepted, outlook == plan.Spared:
		a.Fate = drain.FateUnchanged
	case outlook == plan.Proven:
		a.Fate = drain.FateVerified
		if e := l.results[i.Key()].Proof.Endpoint; e != "" {
			a.Endpoint = e
		}
	case outlook == plan.Lost:
		a.Fate, a.Why = drain.FateLost, l.plan.Failure(*i, l.results)
	default:
		a.Fate, a.Why = drain.FateUnverified, l.plan.Failure(*i, l.results)
	}
	return a
}

// endpoint is where an image comes from whose pull does not change.
func (l *pulls) endpoint(w wish) (string, bool) {
	c, ok := l.configs[w.pool]
	if !ok {
		return "", false
	}
	config := c.Before
	if w.after {
		config = c.After
	}
	r, err := config.Resolve(w.image)
	if err != nil || len(r.Usable()) == 0 {
		return "", false
	}
	return r.Usable()[0].Reference, len(r.Usable()) > 1
}

// Locations are where images come from beside their own registries: the mirrors of all pools that serve what is in the plan, and of the
// spec.
func Locations(p plan.Plan, more ...string) []string {
	out := more
	for i := range p.Items {
		for _, e := range p.Items[i].After.Usable() {
			if host, _, ok := strings.Cut(e.Reference, "/"); ok && e.Mirror {
				out = append(out, host)
			}
		}
	}
	return out
}
