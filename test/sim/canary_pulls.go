package sim

import (
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// canaryPulls are the pulls that a process asks of the first node of each pool which has the new
// configuration, and of a later one where the first had the layers already. All nodes of a pool are
// of one kind here. A pull is one of that node, in the configuration that its daemon has applied:
// see daemon.conf.
type canaryPulls struct {
	p    *process
	plan string
	// pods are the pods, by pool, rendered configuration and reference; seen is how many nodes of
	// each pool had the configuration when they were chosen. Both are lost with the process.
	pods                map[canaryKey]*canaryPod
	updatedWhenSelected map[string]int
}

type canaryKey struct{ pool, config, ref string }

type canaryPod struct {
	node         string
	imageMissing bool // the node did not have the image
	running      bool
	provenAt     time.Time
	failure      string
	failures     int
	retryAt      time.Time
}

func newCanaryPulls(p *process) *canaryPulls {
	return &canaryPulls{p: p, pods: map[canaryKey]*canaryPod{}, updatedWhenSelected: map[string]int{}}
}

// canaryBackoff is the pause after a pull that has failed; it doubles.
const canaryBackoff = 20 * time.Second

// updatedNodes are the pools that have a node with the planned configuration, and those of these
// nodes that are up, by name.
func (c *canaryPulls) updatedNodes(pools []rollout.Pool) map[string][]string {
	out := map[string][]string{}
	for _, p := range pools {
		if p.Registries != rollout.MatchesPlanned {
			continue
		}
		for _, n := range p.Nodes {
			if n.CurrentConfig == p.Rendered && n.DesiredConfig == p.Rendered && n.State == stateDone && n.Ready &&
				!n.Unschedulable {
				out[p.Name] = append(out[p.Name], n.Name)
			}
		}
	}
	return out
}

// criticalRefs are the references of workloads with a budget that run in the pool, and what a new
// node needs.
func (c *canaryPulls) criticalRefs(pool string) []string {
	out := []string{nodeStartRef}
	for _, group := range c.p.sim.workloads.list {
		if group.pool == pool && (group.budget >= 0 || group.overlapping) && !slices.Contains(out, group.ref) {
			out = append(out, group.ref)
		}
	}
	slices.Sort(out)
	return slices.DeleteFunc(out, func(ref string) bool { return !slices.Contains(c.p.engine.plan.refs, ref) })
}

// ensure makes the pods that are due, and forgets those that are not wanted any more.
func (c *canaryPulls) ensure(plan string, pools []rollout.Pool) {
	if c.plan != plan {
		c.plan, c.pods = plan, map[canaryKey]*canaryPod{}
	}
	nodes := c.updatedNodes(pools)
	for _, p := range pools {
		c.updatedWhenSelected[p.Name] = p.Updated()
		if len(nodes[p.Name]) == 0 {
			continue
		}
		for _, ref := range c.criticalRefs(p.Name) {
			c.ensurePod(canaryKey{p.Name, p.Rendered, ref}, nodes[p.Name])
		}
	}
}

// ensurePod lets a pull stand that has shown the layers. One that has shown the manifest stands
// until there is a node that lacks the image.
func (c *canaryPulls) ensurePod(key canaryKey, nodes []string) {
	lacking := slices.IndexFunc(nodes,
		func(name string) bool { return c.p.sim.nodes[name] != nil && !c.p.sim.nodes[name].images[key.ref] })
	node := nodes[max(0, lacking)]
	pod := c.pods[key]
	if pod == nil || (!pod.provenAt.IsZero() && !pod.imageMissing && lacking >= 0) {
		pod = &canaryPod{node: node}
		c.pods[key] = pod
	}
	d := c.p.sim.nodes[node]
	if pod.running || !pod.provenAt.IsZero() || c.p.sim.now.Before(pod.retryAt) || d == nil {
		return
	}
	pod.node, pod.running, pod.imageMissing = node, true, !d.images[key.ref]
	host, _ := splitReference(key.ref)
	c.p.later(c.p.sim.between(2*time.Second, 8*time.Second)+c.p.sim.registries.latency(host),
		func() { c.podEnded(key, pod, d) })
}

// podEnded is the end of a pod: the node asks the registry even for an image that it has.
func (c *canaryPulls) podEnded(key canaryKey, pod *canaryPod, d *daemon) {
	pod.running = false
	switch {
	case d.gone, d.down, d.applied != key.config:
		pod.failure = "node " + pod.node + " did not get to it"
	default:
		pod.failure = c.p.sim.registries.pullErrorOnNode(key.ref, d.activeConf())
	}
	if pod.failure == "" {
		pod.provenAt = c.p.clock()
		d.images[key.ref] = true
		c.p.sim.checker.recordCanaryPull(key)
	} else {
		pod.failures++
		pod.retryAt = c.p.sim.now.Add(canaryBackoff << min(pod.failures-1, 4))
		if pod.failures == 1 {
			c.p.sim.logf("kubelet", "canary of %s on %s cannot pull: %s", key.ref, pod.node, pod.failure)
		}
	}
	c.p.wake(minRequeue)
}

// cleanUp takes away the pods.
func (c *canaryPulls) cleanUp() {
	for key, pod := range c.pods {
		if pod.running {
			delete(c.pods, key)
		}
	}
}

// summary is what the loop sees.
func (c *canaryPulls) summary(plan string, pools []rollout.Pool) rollout.CanaryPulls {
	var out rollout.CanaryPulls
	nodes := c.updatedNodes(pools)
	for _, p := range pools {
		if len(nodes[p.Name]) == 0 {
			continue
		}
		group := rollout.CanaryGroup{Pool: p.Name, Selected: c.plan == plan,
			UpdatedWhenSelected: c.updatedWhenSelected[p.Name]}
		for _, ref := range c.criticalRefs(p.Name) {
			pod := c.pods[canaryKey{p.Name, p.Rendered, ref}]
			if pod == nil {
				group.Selected = false // a workload that came later, or another rendering
				continue
			}
			c.count(&out, &group, ref, pod)
		}
		out.Groups = append(out.Groups, group)
	}
	return out
}

func (c *canaryPulls) count(out *rollout.CanaryPulls, group *rollout.CanaryGroup, ref string, pod *canaryPod) {
	group.Wanted++
	if !slices.Contains(group.Nodes, pod.node) {
		group.Nodes = append(group.Nodes, pod.node)
	}
	switch {
	case !pod.provenAt.IsZero() && pod.imageMissing:
		group.Proven++
	case !pod.provenAt.IsZero():
		group.ManifestOnly++
	case pod.running:
		out.PodsLeft++
	case pod.failure != "":
		group.Failed++
		group.Problems = append(group.Problems,
			rollout.Problem{Reason: v1alpha1.ReasonNodesCannotPull, Kind: "Node", Name: pod.node, Message: ref + ": " +
				pod.failure})
		if next := pod.retryAt.Add(c.p.faults.skew); out.RecheckAt.IsZero() || next.Before(out.RecheckAt) {
			out.RecheckAt = next
		}
	}
}
