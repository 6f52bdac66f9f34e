package sim

import (
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// observe is what internal/observe does on a cluster: the rollout is read past the cache, everything else from the given objects.
func (p *process) observe(c *custom, from *objects) rollout.Observed {
	o := rollout.Observed{
		Now: p.clock(), Rollout: c.view, Record: *c.status.Record.DeepCopy(),
		Cluster: rollout.Seen(rollout.Cluster{Upgrading: p.w.faults.upgrading}),
		Others:  rollout.Seen(p.others(c)),
	}
	sets, wanted := p.setsOf(c, from)
	policy := p.policy(c.view.Name)
	o.Sets, o.Policy = rollout.Seen(sets), rollout.Seen(policy)
	o.Remedies = rollout.Seen(p.remedies(&o, from))
	if rollout.Ended(o.Record, o.Rollout) && policy.Ledger == nil {
		return o
	}
	all := union(from.sets.list())
	before, after := all.with(c.source, ""), all.with(c.source, wanted)
	if foreign, ok := from.sets.get(c.view.Name); ok && foreign.owner != c.view.Name {
		before = all
	}
	var pools []rollout.Pool
	for _, mcp := range from.pools.list() {
		view, err := p.viewOf(mcp, from, c.view.Name)
		if err != nil {
			continue
		}
		p.judge(&view, before, after, all)
		pools = append(pools, view)
	}
	o.Pools = rollout.Seen(pools)
	digest := planDigest(wanted, after, from.pools.names)
	refs := p.replaced(from, changed(p.w.references(), before, after), after)
	o.Spec = rollout.Seen([]rollout.Problem{})
	o.Plan = rollout.Seen(rollout.Plan{Digest: digest, Total: len(p.w.references()), Changed: len(refs)})
	p.engine.plan = enginePlan{digest: digest, refs: refs, conf: after}
	o.Transfers = rollout.Seen(p.engine.snapshot())
	o.Probes = rollout.Seen(p.probes.snapshot())
	o.Canary = rollout.Seen(p.birds.snapshot(digest, pools))
	if c.noCanary {
		o.Canary = rollout.Seen(rollout.Canary{Disabled: true})
	}
	var released []string
	if r := o.Record.Release; r != nil {
		released = r.Nodes
	}
	o.Workloads = rollout.Seen(p.unready(from, released))
	o.ControlPlane = rollout.Seen([]rollout.Problem{})
	o.Self = p.self()
	o.Forecast = p.forecast(from, o, pools)
	o.Obstacles = rollout.Seen(p.obstacles(&o, from))
	o.Remedies = rollout.Seen(p.remedies(&o, from))
	p.blind(&o)
	return o
}

// blind takes out what the process cannot read at present.
func (p *process) blind(o *rollout.Observed) {
	const why = "the API server does not answer"
	for part := range p.ills.unseen { // the order does not matter: each names another field
		switch part {
		case "pools":
			o.Pools = rollout.Unseen[[]rollout.Pool](why)
		case "sets":
			o.Sets = rollout.Unseen[rollout.MirrorSets](why)
		case "plan":
			o.Plan = rollout.Unseen[rollout.Plan](why)
		case "transfers":
			o.Transfers = rollout.Unseen[rollout.Transfers](why)
		case "workloads":
			o.Workloads = rollout.Unseen[[]rollout.Workload](why)
		case "forecast":
			o.Forecast = rollout.Unseen[rollout.Forecast](why)
		case "policy":
			o.Policy = rollout.Unseen[rollout.Policy](why)
		case "cluster":
			o.Cluster = rollout.Unseen[rollout.Cluster](why)
		}
	}
}

// parts are what blind can take out.
var parts = []string{"pools", "sets", "plan", "transfers", "workloads", "cluster", "policy"}

func (p *process) others(c *custom) []rollout.Other {
	out := []rollout.Other{}
	for _, other := range p.w.api.customs.list() {
		if other.view.Name == c.view.Name {
			continue
		}
		rec := other.status.Record
		out = append(out, rollout.Other{
			Name: other.view.Name, Created: other.view.Created,
			Since:   rollout.UnderWay(rec),
			Waiting: rec.CompletedGeneration == 0 || rec.CompletedSpecHash != other.view.Spec,
		})
	}
	return out
}

func setState(c *custom, from *objects, wanted Lists) rollout.SetState {
	s, exists := from.sets.get(c.view.Name)
	switch {
	case !exists && wanted == "":
		return rollout.SetNotWanted
	case !exists:
		return rollout.SetMissing
	case s.owner != c.view.Name && wanted == "":
		return rollout.SetNotWanted
	case s.owner != c.view.Name:
		return rollout.SetForeign
	case wanted == "":
		return rollout.SetLeftOver
	case s.lists == wanted:
		return rollout.SetEqual
	default:
		return rollout.SetDiffers
	}
}

// viewOf is the pool as internal/pool sees it.
func (p *process) viewOf(mcp *mcfgv1.MachineConfigPool, from *objects, name string) (rollout.Pool, error) {
	members := from.members(mcp.Name)
	nodes := make([]corev1.Node, 0, len(members))
	for _, n := range members {
		nodes = append(nodes, *n)
	}
	return pool.View(mcp, nodes, name)
}

// judge says what the pool's rendered configuration means, and what would come along with it.
func (p *process) judge(view *rollout.Pool, before, after, now conf) {
	content := p.w.renderings.content(view.Rendered)
	switch content.conf {
	case after:
		view.Meaning = rollout.MeansPlanned
	case before:
		view.Meaning = rollout.MeansBefore
	case now:
		view.Meaning = rollout.MeansEarlier
	default:
		view.Meaning, view.Difference = rollout.MeansOther, []string{string(content.conf)}
	}
	for _, n := range view.Nodes {
		if runs := p.w.renderings.content(n.Current); n.Current != "" && runs.other != content.other {
			view.Riders = []string{"another MachineConfig: " + content.other}
		}
	}
}

func planDigest(wanted Lists, after conf, poolNames []string) string {
	h := fnv.New32a()
	for _, part := range append([]string{string(wanted), string(after)}, poolNames...) {
		h.Write([]byte(part + "\n"))
	}
	return "plan-" + strconv.FormatUint(uint64(h.Sum32()), 16)
}

// changed are the references whose pull sources are others after than before.
func changed(refs []string, before, after conf) []string {
	var out []string
	for _, ref := range refs {
		host, _ := split(ref)
		if a, b := string(before), string(after); a != b {
			x, _ := before.lists(host)
			y, _ := after.lists(host)
			if x != y {
				out = append(out, ref)
			}
		}
	}
	return out
}

// replaced adds the references that are pulled from elsewhere on some node than they will be: a node may run the mirrors of an earlier
// spec, or those that a rollback takes away. One on its way will run what it was told to.
func (p *process) replaced(from *objects, refs []string, after conf) []string {
	for _, n := range from.nodes.list() {
		for _, name := range slices.Compact([]string{n.Annotations[currentConfig], n.Annotations[desiredConfig]}) {
			if name != "" {
				refs = append(refs, changed(p.w.references(), p.w.renderings.content(name).conf, after)...)
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

func (p *process) unready(from *objects, released []string) []rollout.Workload {
	out := []rollout.Workload{}
	pods := from.pods.list()
	for _, k := range p.w.workloads.list {
		desired, have, newest, missing, onNode, message := k.describe(pods, released)
		if have < desired {
			out = append(out, rollout.Workload{Kind: "Deployment", Namespace: "shop", Name: k.name, Desired: desired, Ready: have,
				Newest: newest, Missing: missing, OnNode: onNode, Message: message})
		}
	}
	return out
}

// birthRef is what a machine pulls before it becomes a node.
const birthRef = shopSource + "/platform/daemon:v1"

// references are the images that can be needed: by the workloads, and by a machine that is born.
func (w *World) references() []string { return append(w.workloads.references(), birthRef) }

// age is how long ago something was.
func (w *World) age(t time.Time) time.Duration { return w.now.Sub(t) }
