package sim

import (
	"slices"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
)

// pausesOf are the entries about spec.paused, the newest last.
func pausesOf(p *mcfgv1.MachineConfigPool) []metav1.ManagedFieldsEntry {
	return slices.DeleteFunc(slices.Clone(p.ManagedFields), func(f metav1.ManagedFieldsEntry) bool { return f.FieldsV1.GetRawString() != fieldPaused })
}

func byOperator(f metav1.ManagedFieldsEntry) bool { return f.Manager == pool.FieldManager }

// pausedByOperator tells whether the operator wrote spec.paused last.
func pausedByOperator(p *mcfgv1.MachineConfigPool) bool {
	all := pausesOf(p)
	return len(all) > 0 && byOperator(all[len(all)-1])
}

// sameStatus compares what a status write would change.
func sameStatus(a, b v1alpha1.SafeMirrorRolloutStatus) bool { return equality.Semantic.DeepEqual(a, b) }

// end judges how the run has ended: settled with everything as it was, or held up by something that the scenario accounts for (I5, I7).
func (c *checker) end(why string) {
	switch {
	case len(c.violations) > 0:
	case why == "too many steps":
		c.violate("I7", "the world does not come to rest: %d steps", c.w.steps)
	case !c.w.settled():
		if c.w.excuse() == "" {
			c.violate("I7", "%s, nothing accounts for it, and the rollout is not settled: %s", why, c.w.hangs())
		}
		c.leftBehind()
	default:
		c.policyAsBefore()
		c.notesLeft()
		for _, p := range c.w.api.live.pools.list() {
			if prior, known := c.prior[p.Name]; known && !c.w.faults.meddled[p.Name] {
				c.asBefore(p, prior)
			}
		}
	}
}

// asBefore: a pool is as it was, and so are its nodes.
func (c *checker) asBefore(p *mcfgv1.MachineConfigPool, prior priorPool) {
	excused := c.w.excuse() != ""
	l, err := pool.ReadLedger(p)
	switch {
	case (err != nil || l != nil) && excused:
		return
	case err != nil || l != nil:
		c.violate("I5", "pool %s carries a ledger at the end", p.Name)
		return
	case len(c.force) > 0 && c.w.faults.hit["ledger-removed"] > 0:
		return // nothing is left that tells of the pause
	case p.Spec.Paused != prior.paused || maxText(p) != prior.maxUnavailable:
		c.violate("I5", "pool %s is left paused=%t maxUnavailable=%q, and was paused=%t maxUnavailable=%q",
			p.Name, p.Spec.Paused, maxText(p), prior.paused, prior.maxUnavailable)
	}
	if !excused && !p.Spec.Paused && !c.w.moves() {
		c.nodesAsBefore(p)
	}
}

func (c *checker) nodesAsBefore(p *mcfgv1.MachineConfigPool) {
	for _, n := range c.w.api.live.members(p.Name) {
		if tainted(n) || n.Spec.Unschedulable || n.Annotations[currentConfig] != p.Spec.Configuration.Name {
			c.violate("I5", "node %s is left tainted=%t cordoned=%t on %s, its pool has %s",
				n.Name, tainted(n), n.Spec.Unschedulable, n.Annotations[currentConfig], p.Spec.Configuration.Name)
		}
	}
}

// leftBehind: a node that is stuck in a drain does not keep a rollback from bringing the others back. One that is at rest and has been
// cordoned, or went down, since the beginning does: that is somebody else's doing, and holds every release until it is undone (R11).
func (c *checker) leftBehind() {
	for _, look := range []func() string{c.w.nobodyLeads, c.w.podsSick, c.w.nowhere, c.w.registriesShut, c.w.poolsTaken, c.w.peopleWant, c.w.ridersQueued} {
		if look() != "" {
			return
		}
	}
	for _, r := range c.w.api.customs.list() {
		if r.status.Record.Rollback == nil || c.gone(r) {
			continue
		}
		for _, n := range c.w.api.live.nodes.list() {
			lists, _ := c.w.renderings.content(n.Annotations[currentConfig]).conf.lists(r.source)
			if done(n) && !unavailable(n) && lists != previousOf(r.status.Record) {
				c.violate("I7", "node %s is at rest with mirrors that were rolled back, and nothing keeps it there: %s", n.Name, c.w.hangs())
				return
			}
		}
	}
}

// gone tells whether a node is at rest and unavailable that was available when the rollout wrote down what its pools were like.
func (c *checker) gone(r *custom) bool {
	for _, p := range c.w.api.live.pools.list() {
		if slices.ContainsFunc(c.w.api.live.members(p.Name), func(n *corev1.Node) bool { return done(n) && unavailable(n) && c.onRecord(r, p.Name, n.Name) }) {
			return true
		}
	}
	return false
}

// hangs says where the rollouts stand.
func (w *World) hangs() string {
	var out []string
	for _, r := range w.api.customs.list() {
		text := r.view.Name + " in " + string(r.status.Phase)
		for _, b := range r.status.Blockers {
			text += "; " + b.Message
		}
		out = append(out, text)
	}
	return strings.Join(out, " / ")
}

// excuse names what in the world keeps a rollout from going on, for as long as it is so; empty when there is nothing.
func (w *World) excuse() string {
	for _, look := range []func() string{w.nobodyLeads, w.nodesMissing, w.budgetsShut, w.podsSick, w.nowhere, w.registriesShut, w.poolsTaken, w.peopleWant, w.ridersQueued} {
		if why := look(); why != "" {
			return why
		}
	}
	return ""
}

func (w *World) nobodyLeads() string {
	for _, p := range w.procs {
		if p.alive && p.leads {
			if p.ills.refused || p.ills.lost {
				return p.name + " cannot write"
			}
			if len(p.ills.unseen) > 0 {
				return p.name + " cannot read"
			}
			return ""
		}
	}
	return "no replica leads"
}

func (w *World) nodesMissing() string {
	for _, n := range w.api.live.nodes.list() {
		switch {
		case !ready(n):
			return "node " + n.Name + " is down"
		case n.Spec.Unschedulable && done(n):
			return "node " + n.Name + " is cordoned"
		}
	}
	return ""
}

func (w *World) budgetsShut() string {
	for _, k := range w.workloads.list {
		if k.overlapping || k.budget == 0 {
			return "the budget of " + k.name + " allows nothing"
		}
	}
	return ""
}

func (w *World) podsSick() string {
	for _, k := range w.workloads.list {
		if k.sick {
			return "the pods of " + k.name + " are not ready anywhere"
		}
	}
	return ""
}

// nowhere: a pod that fits on no node stays without one, and its workload short of it.
func (w *World) nowhere() string {
	for _, p := range w.api.live.pods.list() {
		if p.node == "" && w.workloads.place(w.workloads.find(p.workload)) == "" {
			return "no node has room for pod " + p.name
		}
	}
	return ""
}

// registriesShut looks at the hosts that a rollout needs: the source, and the mirror that it goes to. On the way back to no mirror the
// mirror is needed no more.
func (w *World) registriesShut() string {
	shop, there := w.api.customs.get("shop")
	ended := !there || shop.status.Record.CompletedGeneration != 0 // nobody fills the mirror any more
	for _, k := range w.workloads.list {
		lost := w.faults.hit["image-vanishes"] + w.faults.hit["mirror-wiped"] + w.faults.hit["workload-added"]
		if host, image := split(k.ref); ended && host == shopSource && lost > 0 && w.registries.serves("m1", image) != "" {
			return "m1 lacks " + image
		}
	}
	for _, r := range w.api.customs.list() {
		wanted, _, _ := (&process{w: w}).aim(r, &w.api.live)
		for _, host := range []string{wanted.mirror(), r.source} {
			if h := w.registries.hosts[host]; h != nil && h.down {
				return "registry " + host + " is down"
			} else if h != nil && h.refuses {
				return "registry " + host + " refuses nodes"
			} else if h != nil && h.flaky {
				return "registry " + host + " fails every other request"
			}
		}
	}
	return ""
}

func (w *World) poolsTaken() string {
	for _, p := range w.api.live.pools.list() {
		ledger, err := pool.ReadLedger(p)
		_, forced := w.check.force["shop"]
		switch {
		case forced && err == nil && ledger != nil && ledger.Rollout == "shop":
			return "pool " + p.Name + " is held for a rollout whose finalizer was taken off by force"
		case w.faults.unpaused[p.Name] > 1:
			return "somebody keeps unpausing pool " + p.Name
		case w.faults.hit["user-pauses"] > 0 && p.Spec.Paused && !pausedByOperator(p):
			return "somebody has paused pool " + p.Name
		}
	}
	return ""
}

func (w *World) peopleWant() string {
	if w.faults.upgrading != "" {
		return "the cluster is being upgraded"
	}
	if w.faults.hit["status-lost"] > 0 && w.faults.hit["ledger-removed"] > 0 {
		return "both places where a pause is on record were taken away"
	}
	if p := w.api.policy; w.faults.hit["policy-edited"] > 0 && p.ledger != nil && p.entry != reloads {
		return "somebody has changed the policy for registries.conf"
	}
	if w.faults.gitops {
		return "a pipeline takes the mirror set away"
	}
	for _, r := range w.api.customs.list() {
		aborted := slices.ContainsFunc(r.status.Blockers, func(b v1alpha1.Blocker) bool { return strings.Contains(b.Message, "aborts the rollout") })
		switch {
		case r.view.Held:
			return r.view.Name + " is held"
		case r.view.ApplyApproval && (len(r.status.Record.Approvals) == 0 || (r.status.Pass == v1alpha1.PassEnforce && len(r.status.Record.Approvals) < 2)):
			return r.view.Name + " waits for an approval"
		case aborted && r.status.Record.Rollback == nil:
			return r.view.Name + " is aborted and waits for a choice"
		}
	}
	return ""
}

func (w *World) ridersQueued() string {
	for _, p := range w.api.live.pools.list() {
		for _, n := range w.api.live.members(p.Name) {
			if w.renderings.content(n.Annotations[currentConfig]).other != w.renderings.content(p.Spec.Configuration.Name).other {
				return "other changes are queued in pool " + p.Name
			}
		}
	}
	return ""
}
