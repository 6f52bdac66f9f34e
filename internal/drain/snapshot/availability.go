package snapshot

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// PullAvailability tells from the plan, and from what the registries have said, how a node would
// pull an image: under the previous configuration on a node that has not been told of the planned
// one, and under that on one that has.
func PullAvailability(p plan.Plan, results map[string]mirror.Result, configs []plan.PoolConfig,
	pools []rollout.Pool) func(*corev1.Node, string) drain.Availability {
	pp := &pullPredictor{plan: p, results: results, configs: map[string]plan.PoolConfig{},
		groupByNode: map[string]nodeGroup{}, items: map[string][]*plan.Item{}, cache: map[pullKey]drain.Availability{}}
	for _, c := range configs {
		pp.configs[c.Name] = c
	}
	for _, pool := range pools {
		for _, n := range pool.Nodes {
			pp.groupByNode[n.Name] = nodeGroup{pool.Name, pool.Registries == rollout.MatchesPlanned &&
				n.DesiredConfig == pool.Rendered}
		}
	}
	for i := range p.Items {
		for _, s := range p.Items[i].Spellings {
			pp.items[s] = append(pp.items[s], &p.Items[i])
		}
	}
	return pp.availability
}

type pullPredictor struct {
	plan        plan.Plan
	results     map[string]mirror.Result
	configs     map[string]plan.PoolConfig
	groupByNode map[string]nodeGroup
	items       map[string][]*plan.Item
	cache       map[pullKey]drain.Availability
}

// nodeGroup are the nodes that pull alike.
type nodeGroup struct {
	pool    string
	updated bool
}

type pullKey struct {
	nodeGroup
	image string
}

func (pp *pullPredictor) availability(n *corev1.Node, image string) drain.Availability {
	key := pullKey{pp.groupByNode[n.Name], image}
	a, ok := pp.cache[key]
	if !ok {
		a = pp.compute(key)
		pp.cache[key] = a
	}
	return a
}

// compute takes the best of the candidates of a short name: they are tried one after another.
func (pp *pullPredictor) compute(key pullKey) drain.Availability {
	best := drain.Availability{}
	for _, i := range pp.items[key.image] {
		for _, pool := range i.Pools {
			if pool != key.pool {
				continue
			}
			if a := pp.itemAvailability(i, key.updated); best.State == "" || isBetter(a.State, best.State) {
				best = a
			}
		}
	}
	if best.State == "" {
		best = drain.Availability{State: drain.ImageUnchanged}
		best.Endpoint, best.HasFallback = pp.unchangedEndpoint(key)
	}
	return best
}

func isBetter(a, b drain.ImageState) bool { return stateRank[a] < stateRank[b] }

var stateRank = map[drain.ImageState]int{drain.ImageVerified: 0, drain.ImageUnchanged: 1, drain.ImageUnverified: 2,
	drain.ImageUnpullable: 3}

// itemAvailability judges a reference whose pull changes.
func (pp *pullPredictor) itemAvailability(i *plan.Item, updated bool) drain.Availability {
	resolution := i.Before
	if updated {
		resolution = i.After
	}
	var a drain.Availability
	if usable := resolution.Usable(); len(usable) > 0 {
		a.Endpoint, a.HasFallback = usable[0].Reference, len(usable) > 1
	}
	forecast := pp.plan.PullForecast(*i, pp.results)
	switch {
	case forecast == plan.NoWorse:
		a.State, a.Why = drain.ImageUnpullable, "it cannot be pulled today either"
	case !updated, forecast == plan.Accepted, forecast == plan.NotBlocking:
		a.State = drain.ImageUnchanged
	case forecast == plan.Proven:
		a.State = drain.ImageVerified
		if e := pp.results[i.Key()].Proof.Endpoint; e != "" {
			a.Endpoint = e
		}
	case forecast == plan.Lost:
		a.State, a.Why = drain.ImageUnpullable, pp.plan.FailureMessage(*i, pp.results)
	default:
		a.State, a.Why = drain.ImageUnverified, pp.plan.FailureMessage(*i, pp.results)
	}
	return a
}

// unchangedEndpoint is where an image comes from whose pull does not change.
func (pp *pullPredictor) unchangedEndpoint(key pullKey) (string, bool) {
	c, ok := pp.configs[key.pool]
	if !ok {
		return "", false
	}
	config := c.Before
	if key.updated {
		config = c.After
	}
	r, err := config.Resolve(key.image)
	if err != nil || len(r.Usable()) == 0 {
		return "", false
	}
	return r.Usable()[0].Reference, len(r.Usable()) > 1
}

// MirrorLocations are where images come from beside their own registries: the mirrors of all pools
// that serve what is in the plan, and of the spec.
func MirrorLocations(p plan.Plan, more ...string) []string {
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
