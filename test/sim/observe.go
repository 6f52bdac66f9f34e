package sim

import (
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// observe is what internal/observe does on a cluster: the rollout is read past the cache,
// everything else from the given objects.
func (p *process) observe(c *rolloutObject, from *objects) rollout.Observed {
	o := rollout.Observed{
		Now: p.clock(), Rollout: c.spec, Record: *c.status.Record.DeepCopy(),
		Cluster:       rollout.Known(rollout.Cluster{Upgrading: p.sim.faults.upgrading}),
		OtherRollouts: rollout.Known(p.otherRollouts(c)),
	}
	sets, wanted := p.observeSets(c, from)
	policy := p.observePolicy(c.spec.Name)
	o.Sets, o.NodeDisruptionPolicy = rollout.Known(sets), rollout.Known(policy)
	o.Remedies = rollout.Known(p.observeRemedies(&o, from))
	if rollout.Ended(o.Record, o.Rollout) && policy.Record == nil {
		return o
	}
	all := mergedConf(from.sets.list())
	before, after := all.with(c.source, ""), all.with(c.source, wanted)
	if foreign, ok := from.sets.get(c.spec.Name); ok && foreign.owner != c.spec.Name {
		before = all
	}
	var pools []rollout.Pool
	for _, mcp := range from.pools.list() {
		observed, err := p.observePool(mcp, from, c.spec.Name)
		if err != nil {
			continue
		}
		p.matchRegistries(&observed, before, after, all)
		pools = append(pools, observed)
	}
	o.Pools = rollout.Known(pools)
	digest := planDigest(wanted, after, from.pools.names)
	refs := p.withReplacedOnNodes(from, changedRefs(p.sim.references(), before, after), after)
	o.SpecProblems = rollout.Known([]rollout.Problem{})
	o.Plan = rollout.Known(rollout.PlanSummary{Digest: digest, Total: len(p.sim.references()), Changed: len(refs)})
	p.engine.plan = enginePlan{digest: digest, refs: refs, conf: after}
	o.Transfers = rollout.Known(p.engine.summary())
	o.PullChecks = rollout.Known(p.pullChecks.summary())
	o.CanaryPulls = rollout.Known(p.canaryPulls.summary(digest, pools))
	if c.noCanaryPulls {
		o.CanaryPulls = rollout.Known(rollout.CanaryPulls{Disabled: true})
	}
	var released []string
	if r := o.Record.Release; r != nil {
		released = r.Nodes
	}
	o.Workloads = rollout.Known(p.unready(from, released))
	o.ControlPlane = rollout.Known([]rollout.Problem{})
	o.Operator = p.operatorReplicas()
	o.Forecast = p.forecast(from, o, pools)
	o.BlockedDrains = rollout.Known(p.blockedDrains(&o, from))
	o.Remedies = rollout.Known(p.observeRemedies(&o, from))
	p.hideUnreadable(&o)
	return o
}

// hideUnreadable takes out what the process cannot read at present.
func (p *process) hideUnreadable(o *rollout.Observed) {
	const why = "the API server does not answer"
	for part := range p.faults.unreadable { // the order does not matter: each names another field
		switch part {
		case "pools":
			o.Pools = rollout.Unknown[[]rollout.Pool](why)
		case "sets":
			o.Sets = rollout.Unknown[rollout.MirrorSets](why)
		case "plan":
			o.Plan = rollout.Unknown[rollout.PlanSummary](why)
		case "transfers":
			o.Transfers = rollout.Unknown[rollout.Transfers](why)
		case "workloads":
			o.Workloads = rollout.Unknown[[]rollout.Workload](why)
		case "forecast":
			o.Forecast = rollout.Unknown[rollout.Forecast](why)
		case "policy":
			o.NodeDisruptionPolicy = rollout.Unknown[rollout.NodeDisruptionPolicy](why)
		case "cluster":
			o.Cluster = rollout.Unknown[rollout.Cluster](why)
		}
	}
}

// readableParts are what blind can take out.
var readableParts = []string{"pools", "sets", "plan", "transfers", "workloads", "cluster", "policy"}

func (p *process) otherRollouts(c *rolloutObject) []rollout.OtherRollout {
	out := []rollout.OtherRollout{}
	for _, other := range p.sim.apiServer.rollouts.list() {
		if other.spec.Name == c.spec.Name {
			continue
		}
		out = append(out, rollout.OtherRollout{
			Name: other.spec.Name, Created: other.spec.Created,
			ActiveSince: rollout.ActiveSince(other.status.Record),
			Waiting:     rollout.WaitsToBegin(other.spec, other.status),
		})
	}
	return out
}

func itmsState(c *rolloutObject, from *objects, wanted MirrorSpec) rollout.SetState {
	s, exists := from.sets.get(c.spec.Name)
	switch {
	case !exists && wanted == "":
		return rollout.SetNotWanted
	case !exists:
		return rollout.SetMissing
	case s.owner != c.spec.Name && wanted == "":
		return rollout.SetNotWanted
	case s.owner != c.spec.Name:
		return rollout.SetForeign
	case wanted == "":
		return rollout.SetLeftOver
	case s.mirrors == wanted:
		return rollout.SetEqual
	default:
		return rollout.SetDiffers
	}
}

// observePool is the pool as internal/openshift/pool sees it.
func (p *process) observePool(mcp *mcfgv1.MachineConfigPool, from *objects, name string) (rollout.Pool, error) {
	members := from.members(mcp.Name)
	nodes := make([]corev1.Node, 0, len(members))
	for _, n := range members {
		nodes = append(nodes, *n)
	}
	return pool.FromMCP(mcp, nodes, name)
}

// matchRegistries says what the pool's rendered configuration means, and what would come along with
// it.
func (p *process) matchRegistries(observed *rollout.Pool, before, after, now registriesConf) {
	content := p.sim.rendered.content(observed.Rendered)
	switch content.conf {
	case after:
		observed.Registries = rollout.MatchesPlanned
	case before:
		observed.Registries = rollout.MatchesBefore
	case now:
		observed.Registries = rollout.MatchesEarlier
	default:
		observed.Registries, observed.Difference = rollout.MatchesOther, []string{string(content.conf)}
	}
	for _, n := range observed.Nodes {
		if runs := p.sim.rendered.content(n.CurrentConfig); n.CurrentConfig != "" &&
			runs.otherConfig != content.otherConfig {
			observed.PendingChanges = []string{"another MachineConfig: " + content.otherConfig}
		}
	}
}

func planDigest(wanted MirrorSpec, after registriesConf, poolNames []string) string {
	h := fnv.New32a()
	for _, part := range append([]string{string(wanted), string(after)}, poolNames...) {
		h.Write([]byte(part + "\n"))
	}
	return "plan-" + strconv.FormatUint(uint64(h.Sum32()), 16)
}

// changedRefs are the references whose pull sources are others after than before.
func changedRefs(refs []string, before, after registriesConf) []string {
	var out []string
	for _, ref := range refs {
		host, _ := splitReference(ref)
		if a, b := string(before), string(after); a != b {
			x, _ := before.mirrorsOf(host)
			y, _ := after.mirrorsOf(host)
			if x != y {
				out = append(out, ref)
			}
		}
	}
	return out
}

// withReplacedOnNodes adds the references that are pulled from elsewhere on some node than they
// will be: a node may run the mirrors of an earlier spec, or those that a rollback takes away. An
// updating node will run its desired configuration.
func (p *process) withReplacedOnNodes(from *objects, refs []string, after registriesConf) []string {
	for _, n := range from.nodes.list() {
		for _, name := range slices.Compact([]string{n.Annotations[currentConfig], n.Annotations[desiredConfig]}) {
			if name != "" {
				refs = append(refs, changedRefs(p.sim.references(), p.sim.rendered.content(name).conf, after)...)
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

func (p *process) unready(from *objects, released []string) []rollout.Workload {
	out := []rollout.Workload{}
	pods := from.pods.list()
	for _, k := range p.sim.workloads.list {
		desired, have, newest, missing, onNode, message := k.readiness(pods, released)
		if have < desired {
			out = append(out, rollout.Workload{Kind: "Deployment", Namespace: "shop", Name: k.name, Desired: desired,
				Ready:           have,
				NewestUnreadyAt: newest, MissingPods: missing, OnNode: onNode, Message: message})
		}
	}
	return out
}

// nodeStartRef is what a machine pulls before it becomes a node.
const nodeStartRef = shopSource + "/platform/daemon:v1"

// references are the images that can be needed: by the workloads, and by a machine that is born.
func (sim *Simulation) references() []string { return append(sim.workloads.references(), nodeStartRef) }

// age is how long ago something was.
func (sim *Simulation) age(t time.Time) time.Duration { return sim.now.Sub(t) }
