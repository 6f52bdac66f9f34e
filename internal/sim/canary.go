package sim

import (
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// canaries are the pulls that a process asks of the first node of each pool which has the new configuration, and of a later one where the
// first had the layers already. All nodes of a pool are of one kind here. A pull is one of that node, in the configuration that its daemon
// has applied: see daemon.conf.
type canaries struct {
	p    *process
	plan string
	// asked are the pods, by pool, rendered configuration and reference; seen is how many nodes of each pool had the configuration when they
	// were chosen. Both are lost with the process.
	asked map[canaryKey]*canaryPod
	seen  map[string]int
}

type canaryKey struct{ pool, config, ref string }

type canaryPod struct {
	node    string
	fresh   bool // the node did not have the image
	running bool
	at      time.Time
	why     string
	tries   int
	next    time.Time
}

func newCanaries(p *process) *canaries {
	return &canaries{p: p, asked: map[canaryKey]*canaryPod{}, seen: map[string]int{}}
}

// canaryBackoff is the pause after a pull that has failed; it doubles.
const canaryBackoff = 20 * time.Second

// kinds are the pools that have a node with the planned configuration, and those of these nodes that are up, by name.
func (c *canaries) kinds(pools []rollout.Pool) map[string][]string {
	out := map[string][]string{}
	for _, p := range pools {
		if p.Meaning != rollout.MeansPlanned {
			continue
		}
		for _, n := range p.Nodes {
			if n.Current == p.Rendered && n.Desired == p.Rendered && n.State == stateDone && n.Ready && !n.Unschedulable {
				out[p.Name] = append(out[p.Name], n.Name)
			}
		}
	}
	return out
}

// guarded are the references of workloads with a budget that run in the pool, and what a new node needs.
func (c *canaries) guarded(pool string) []string {
	out := []string{birthRef}
	for _, k := range c.p.w.workloads.list {
		if k.pool == pool && (k.budget >= 0 || k.overlapping) && !slices.Contains(out, k.ref) {
			out = append(out, k.ref)
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(out, func(ref string) bool { return !slices.Contains(c.p.engine.plan.refs, ref) })
}

// ensure makes the pods that are due, and forgets those that are not wanted any more.
func (c *canaries) ensure(plan string, pools []rollout.Pool) {
	if c.plan != plan {
		c.plan, c.asked = plan, map[canaryKey]*canaryPod{}
	}
	kinds := c.kinds(pools)
	for _, p := range pools {
		c.seen[p.Name] = p.Updated()
		if len(kinds[p.Name]) == 0 {
			continue
		}
		for _, ref := range c.guarded(p.Name) {
			c.ask(canaryKey{p.Name, p.Rendered, ref}, kinds[p.Name])
		}
	}
}

// ask lets a pull stand that has shown the layers. One that has shown the manifest stands until there is a node that lacks the image.
func (c *canaries) ask(key canaryKey, nodes []string) {
	lacking := slices.IndexFunc(nodes, func(name string) bool { return c.p.w.nodes[name] != nil && !c.p.w.nodes[name].images[key.ref] })
	node := nodes[max(0, lacking)]
	pod := c.asked[key]
	if pod == nil || (!pod.at.IsZero() && !pod.fresh && lacking >= 0) {
		pod = &canaryPod{node: node}
		c.asked[key] = pod
	}
	d := c.p.w.nodes[node]
	if pod.running || !pod.at.IsZero() || c.p.w.now.Before(pod.next) || d == nil {
		return
	}
	pod.node, pod.running, pod.fresh = node, true, !d.images[key.ref]
	host, _ := split(key.ref)
	c.p.later(c.p.w.between(2*time.Second, 8*time.Second)+c.p.w.registries.patience(host), func() { c.pulled(key, pod, d) })
}

// pulled is the end of a pod: the node asks the registry even for an image that it has.
func (c *canaries) pulled(key canaryKey, pod *canaryPod, d *daemon) {
	pod.running = false
	switch {
	case d.gone, d.down, d.applied != key.config:
		pod.why = "node " + pod.node + " did not get to it"
	default:
		pod.why = c.p.w.registries.pullByNode(key.ref, d.conf())
	}
	if pod.why == "" {
		pod.at = c.p.clock()
		d.images[key.ref] = true
		c.p.w.check.shown(key)
	} else {
		pod.tries++
		pod.next = c.p.w.now.Add(canaryBackoff << min(pod.tries-1, 4))
		if pod.tries == 1 {
			c.p.w.tell("kubelet", "canary of %s on %s cannot pull: %s", key.ref, pod.node, pod.why)
		}
	}
	c.p.wake(soon)
}

// sweep takes away the pods.
func (c *canaries) sweep() {
	for key, pod := range c.asked {
		if pod.running {
			delete(c.asked, key)
		}
	}
}

// snapshot is what the loop sees.
func (c *canaries) snapshot(plan string, pools []rollout.Pool) rollout.Canary {
	var out rollout.Canary
	kinds := c.kinds(pools)
	for _, p := range pools {
		if len(kinds[p.Name]) == 0 {
			continue
		}
		k := rollout.CanaryKind{Pool: p.Name, Chosen: c.plan == plan, Seen: c.seen[p.Name]}
		for _, ref := range c.guarded(p.Name) {
			pod := c.asked[canaryKey{p.Name, p.Rendered, ref}]
			if pod == nil {
				k.Chosen = false // a workload that came later, or another rendering
				continue
			}
			c.count(&out, &k, ref, pod)
		}
		out.Kinds = append(out.Kinds, k)
	}
	return out
}

func (c *canaries) count(out *rollout.Canary, k *rollout.CanaryKind, ref string, pod *canaryPod) {
	k.Wanted++
	if !slices.Contains(k.Nodes, pod.node) {
		k.Nodes = append(k.Nodes, pod.node)
	}
	switch {
	case !pod.at.IsZero() && pod.fresh:
		k.Proven++
	case !pod.at.IsZero():
		k.Resolved++
	case pod.running:
		out.Left++
	case pod.why != "":
		k.Failed++
		k.Worst = append(k.Worst, rollout.Problem{Reason: v1alpha1.ReasonNodesCannotPull, Kind: "Node", Name: pod.node, Message: ref + ": " + pod.why})
		if next := pod.next.Add(c.p.ills.skew); out.Until.IsZero() || next.Before(out.Until) {
			out.Until = next
		}
	}
}
