package prediction

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// NodeDisruption is what a change costs a node, and by which rule of the MCO. The Verdict is empty
// when it could not be predicted.
type NodeDisruption struct {
	Effect registriesconf.NodeEffect
	Rule   string
}

// Disrupts tells whether the node is drained for it. What could not be predicted is taken to drain.
func (c NodeDisruption) Disrupts() bool {
	return c.Effect == "" || c.Effect == registriesconf.EffectDrain || c.Effect == registriesconf.EffectReboot
}

// CostOf is what the next configuration costs each node of the pool, all in all: by the change of
// registries.conf, by the node disruption policy that the rollout asks for (reloads), by the other
// changes that wait in the same rendered configuration, and by what the daemons of the nodes do of
// it.
//
// Example: the mirror sets alone reload CRI-O, and behind the pause a kernel argument waits. The
// nodes drain and reboot.
func (p Prediction) CostOf(pool rollout.Pool, reloads bool) NodeDisruption {
	cost, known := p.Disruptions[pool.Name]
	if !known {
		return NodeDisruption{}
	}
	if reloads && cost.Disrupts() {
		cost = NodeDisruption{registriesconf.EffectReload,
			"spec.release.disruption is Reload; without it the node would " + doing(cost.Effect) + ": " + cost.Rule}
	}
	if len(pool.PendingChanges) > 0 {
		cost = NodeDisruption{registriesconf.EffectReboot,
			fmt.Sprintf("other changes that drain or reboot wait in %s: %s; the registries alone: %s (%s)",
				pool.Rendered, strings.Join(pool.PendingChanges, ", "), cost.Effect, cost.Rule)}
	}
	if cost.Effect == registriesconf.EffectDrain && len(pool.Nodes) > 0 && !slices.ContainsFunc(pool.Nodes, drains) {
		cost = NodeDisruption{registriesconf.EffectReload,
			"the control plane is a single replica, so no node is drained; otherwise the node would drain: " +
				cost.Rule}
	}
	return cost
}

func drains(n rollout.Node) bool { return !n.NotDrained }

func doing(v registriesconf.NodeEffect) string {
	return strings.ToLower(string(cmp.Or(v, registriesconf.EffectDrain)))
}

// All are the pools of the cluster by name, those that could not be predicted too.
func (p Prediction) All() []rollout.Pool {
	out := slices.Clone(p.Pools)
	for _, u := range p.Unpredicted {
		out = append(out, u.Pool)
	}
	slices.SortFunc(out, func(a, b rollout.Pool) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
