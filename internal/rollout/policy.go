package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Where the user wants nodes to reload, a node disruption policy of ours stands in MachineConfiguration/cluster from before the mirror sets
// are written until the last node is done. A node's daemon reads the policy when it begins, not when it is given its target: a policy that
// is taken away in between makes that node drain. So it is given back only while no node is on its way, and before the pools are.

// Policy is what MachineConfiguration/cluster says of registries.conf.
type Policy struct {
	// Unsupported says why no node can be made to reload here; empty when it can.
	Unsupported        string `json:"unsupported,omitempty"`
	Generation         int64  `json:"generation,omitempty"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
	// Reloads is true when a change of the file does nothing but reload CRI-O; Effective says what it does, in the words of the policy.
	Reloads   bool   `json:"reloads,omitempty"`
	Effective string `json:"effective,omitempty"`
	// Entry is the entry of the spec for the file, as JSON; empty when there is none. Ours is true when it is the one that we write.
	Entry string `json:"entry,omitempty"`
	Ours  bool   `json:"ours,omitempty"`
	// ChangedBy is the field manager that wrote the entry last.
	ChangedBy string `json:"changedBy,omitempty"`
	// Ledger is our note on the object, nil when there is none. Foreign is set when the note is another rollout's.
	Ledger  *PolicyLedger `json:"ledger,omitempty"`
	Foreign string        `json:"foreign,omitempty"`
}

// PolicyLedger is what the operator writes on MachineConfiguration/cluster beside its policy (R17).
type PolicyLedger struct {
	Rollout string    `json:"rollout"`
	UID     string    `json:"uid"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`
	// Prior is the entry that the user had for the file, as JSON; empty when there was none.
	Prior string `json:"prior,omitempty"`
	// Undo says how to give it back by hand.
	Undo string `json:"undo"`
}

const (
	policyKind = "MachineConfiguration"
	policyName = "cluster"
)

func policyBlocker(reason, what string) Blocker {
	return Blocker{Reason: reason, Kind: policyKind, Name: policyName, Message: "MachineConfiguration cluster " + what}
}

// effective tells whether a node that begins now does nothing but reload.
func (p Policy) effective() bool { return p.Reloads && p.ObservedGeneration >= p.Generation }

// reloadable refuses a cluster in which nodes would be drained although the user wants them not to be.
func reloadable(o Observed) Step {
	if !o.Rollout.Reload {
		return nil
	}
	p, ok := o.Policy.Get()
	if !ok {
		return unreadable(policyKind, o.Policy.Why())
	}
	why := ""
	switch {
	case p.Unsupported != "":
		why = "cannot make nodes reload: " + p.Unsupported + "; set spec.release.disruption to Drain"
	case p.Foreign != "":
		why = "carries the policy of another SafeMirrorRollout (" + p.Foreign + "); see its annotation safemirror.io/node-disruption-policy-record for how to give it back"
	default:
		return nil
	}
	blockers := []Blocker{policyBlocker(v1alpha1.ReasonReloadImpossible, why)}
	if o.Record.StartedAt != nil {
		return Wait{Blockers: blockers}
	}
	return Fail{Reason: v1alpha1.ReasonReloadImpossible, Blockers: blockers}
}

// ensurePolicy sees to it that nodes reload before anything changes for them, and that they still would before each of them is released.
func ensurePolicy(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return unreadable("MachineConfigPool", o.Pools.Why())
	}
	p, known := o.Policy.Get()
	switch {
	case !o.Rollout.Reload:
		return unwantedPolicy(o, p, pools)
	case !known:
		return unreadable(policyKind, o.Policy.Why())
	case !workLeft(o, pools):
		return Done{}
	case !seen(o.Sets):
		return unreadable("ImageTagMirrorSet", o.Sets.Why())
	case p.Ledger == nil && p.Reloads && (!p.Ours || !lent(o)):
		return own(p)
	case p.Ledger == nil:
		return writePolicy(o, p, pools)
	case !lent(o):
		return Do{Facts: []Fact{PolicyIntended{Prior: p.Ledger.Prior, At: p.Ledger.Since}}, Why: "taking up the node disruption policy that its ledger tells of"}
	case !p.Ours:
		return Fail{Reason: v1alpha1.ReasonReloadImpossible, Blockers: []Blocker{policyBlocker(v1alpha1.ReasonReloadImpossible, fmt.Sprintf(
			"has had its policy for registries.conf changed by %q: a change now means %s. No node is released while it does; put it back as the annotation "+
				"safemirror.io/node-disruption-policy-record says what was there before, or set spec.release.disruption to Drain", p.ChangedBy, p.Effective))}}
	case !p.effective():
		return ineffective(p)
	}
	return Done{Message: "nodes reload CRI-O and are not drained"}
}

// lent tells whether, by the record, the policy of ours is there.
func lent(o Observed) bool {
	return o.Record.NodeDisruptionPolicy != nil && !o.Record.NodeDisruptionPolicy.Restored
}

// own: the cluster's own policy is what is wanted, and nothing has to be written.
func own(p Policy) Step {
	if !p.effective() {
		return ineffective(p)
	}
	return Done{Message: "nodes reload CRI-O and are not drained, by the policy that the cluster has already"}
}

func ineffective(p Policy) Step {
	return Wait{Blockers: []Blocker{policyBlocker(v1alpha1.ReasonWaiting, fmt.Sprintf(
		"has the policy by which nodes reload, and the MCO has not put it into effect yet (generation %d, observed %d; a change of registries.conf means %s)",
		p.Generation, p.ObservedGeneration, p.Effective))}}
}

// writePolicy writes ours, the user's on record first (I4).
func writePolicy(o Observed, p Policy, pools []Pool) Step {
	if step := consent(o); step != nil {
		return step
	}
	if moving := underWay(o, pools); len(moving) > 0 {
		return Wait{Blockers: moving}
	}
	if open := notHeld(o, pools); len(open) > 0 {
		return Wait{Blockers: open}
	}
	rec := o.Record.NodeDisruptionPolicy
	if !lent(o) || (rec.Previous != p.Entry && !p.Ours) {
		return Do{Facts: []Fact{PolicyIntended{Prior: p.Entry, At: o.Now}}, Why: "recording what a change of registries.conf costs a node before that is changed"}
	}
	return Do{Actions: []Action{EnsurePolicy{Ledger: newPolicyLedger(o, *rec)}}, Why: "writing the policy by which nodes reload CRI-O and are not drained"}
}

func newPolicyLedger(o Observed, rec v1alpha1.NodeDisruptionPolicyRecord) PolicyLedger {
	return PolicyLedger{
		Rollout: o.Rollout.Name, UID: o.Rollout.UID, Since: rec.Since.UTC(), Prior: rec.Previous,
		Why:  "spec.release.disruption of SafeMirrorRollout " + o.Rollout.Name + " is Reload: its nodes reload CRI-O for new mirrors and are not drained",
		Undo: undoPolicy(rec.Previous),
	}
}

func undoPolicy(prior string) string {
	const when = "once no node is on its way to another configuration: oc edit machineconfiguration cluster; "
	entry := "remove the entry for /etc/containers/registries.conf from spec.nodeDisruptionPolicy.files"
	if prior != "" {
		entry = "make the entry for /etc/containers/registries.conf in spec.nodeDisruptionPolicy.files " + prior
	}
	return when + entry + "; remove the annotation safemirror.io/node-disruption-policy-record"
}

// unwantedPolicy gives the policy back when the spec does not want it any more, between one node and the next.
func unwantedPolicy(o Observed, p Policy, pools []Pool) Step {
	if _, known := o.Policy.Get(); !known || p.Ledger == nil {
		return policyGone(o)
	}
	if len(targeted(pools)) > 0 {
		return Done{Message: "the node under way reloads; the policy of before is given back after it"}
	}
	return returnPolicy(o, p)
}

// policyGone holds when a policy of ours may be there and cannot be seen.
func policyGone(o Observed) Step {
	if !seen(o.Policy) && lent(o) {
		return unreadable(policyKind, o.Policy.Why())
	}
	return Done{}
}

// workLeft tells whether a node may still take a change for which it has to reload.
func workLeft(o Observed, pools []Pool) bool {
	if as, known := applied(o); !as || !known {
		return true
	}
	return slices.ContainsFunc(pools, func(p Pool) bool { return p.Meaning != MeansPlanned || (p.Ledger != nil && !p.settled()) })
}

// targeted names the nodes that are on their way, and the pools of which one could be at any moment. A daemon that has not begun yet meets
// the policy that it finds then.
func targeted(pools []Pool) []Blocker {
	var out []Blocker
	for _, p := range pools {
		for _, n := range p.inFlight() {
			if n.Current != "" {
				out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name, Message: fmt.Sprintf(
					"node %s of pool %s is on its way to %s; the node disruption policy of before is given back when it is there, or it would be drained", n.Name, p.Name, n.Desired)})
			}
		}
		if pulsing(p) {
			out = append(out, poolBlocker(p, v1alpha1.ReasonWaiting, "is open for one node; the node disruption policy of before is given back when it is paused"))
		}
	}
	return out
}

// givePolicyBack is what every ending does before the pools are given back; nil when there is nothing to give back.
func givePolicyBack(o Observed, pools []Pool) Step {
	p, known := o.Policy.Get()
	if !known {
		if wait, ok := policyGone(o).(Wait); ok {
			return wait
		}
		return nil
	}
	if p.Ledger == nil {
		return nil
	}
	if moving := targeted(pools); len(moving) > 0 {
		return Wait{Blockers: moving}
	}
	return returnPolicy(o, p)
}

// returnPolicy gives the policy back: the fact first.
func returnPolicy(o Observed, p Policy) Step {
	switch {
	case o.Record.NodeDisruptionPolicy == nil:
		return Do{Facts: []Fact{PolicyIntended{Prior: p.Ledger.Prior, At: p.Ledger.Since}}, Why: "taking up the node disruption policy that its ledger tells of"}
	case !o.Record.NodeDisruptionPolicy.Restored:
		return Do{Facts: []Fact{PolicyRestored{}}, Why: "the node disruption policy of before is about to be given back"}
	}
	why := "giving back the node disruption policy of before"
	if !p.Ours {
		why = fmt.Sprintf("%q has changed the node disruption policy for registries.conf since: it stays, and only our note goes", p.ChangedBy)
	}
	return Do{Actions: []Action{RestorePolicy{Prior: p.Ledger.Prior}}, Why: why}
}

func seen[T any](k Known[T]) bool {
	_, ok := k.Get()
	return ok
}

// policyLeft tells whether a policy of ours is there.
func policyLeft(o Observed) bool {
	p, known := o.Policy.Get()
	return known && p.Ledger != nil
}
