package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Where the user wants nodes to reload, a node disruption policy of ours stands in
// MachineConfiguration/cluster from before the mirror sets are written until the last node is done.
// A node's daemon reads the policy when it begins, not when it is given its target: a policy that
// is taken away in between makes that node drain. So it is restored only while no node is on its
// way, and before the pools are.

// NodeDisruptionPolicy is what MachineConfiguration/cluster says of registries.conf.
type NodeDisruptionPolicy struct {
	// Unsupported says why no node can be made to reload here; empty when it can.
	Unsupported        string `json:"unsupported,omitempty"`
	Generation         int64  `json:"generation,omitempty"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
	// Reloads is true when a change of the file does nothing but reload CRI-O; Effective says what
	// it does, in the words of the policy.
	Reloads   bool   `json:"reloads,omitempty"`
	Effective string `json:"effective,omitempty"`
	// Entry is the entry of the spec for the file, as JSON; empty when there is none. Ours is true
	// when it is the one that we write.
	Entry string `json:"entry,omitempty"`
	Ours  bool   `json:"ours,omitempty"`
	// ChangedBy is the field manager that wrote the entry last.
	ChangedBy string `json:"changedBy,omitempty"`
	// Record is our note on the object, nil when there is none. Foreign is set when the note is
	// another rollout's.
	Record       *PolicyRecord `json:"ledger,omitempty"`
	ForeignOwner string        `json:"foreign,omitempty"`
}

// PolicyRecord is what the operator writes on MachineConfiguration/cluster beside its policy (R17).
type PolicyRecord struct {
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

func policyBlocker(reason v1alpha1.ConditionReason, what string) Blocker {
	return Blocker{Reason: reason, Kind: policyKind, Name: policyName, Message: "MachineConfiguration cluster " + what}
}

// inEffect tells whether a node that begins now does nothing but reload.
func (p NodeDisruptionPolicy) inEffect() bool {
	return p.Reloads && p.ObservedGeneration >= p.Generation
}

// maxPolicyEntry is what the record has room for, in bytes.
const maxPolicyEntry = 8192

// checkReload refuses a cluster in which nodes would be drained although the user wants them not to
// be.
func checkReload(o Observed) Step {
	if !o.Rollout.Reload {
		return nil
	}
	p, ok := o.NodeDisruptionPolicy.Get()
	if !ok {
		return waitForRead(policyKind, o.NodeDisruptionPolicy.Why())
	}
	why := ""
	switch {
	case p.Unsupported != "":
		why = "cannot make nodes reload: " + p.Unsupported + "; set spec.release.disruption to Drain"
	case p.ForeignOwner != "":
		why = "carries the policy of another SafeMirrorRollout (" + p.ForeignOwner +
			"); see its annotation safemirror.io/node-disruption-policy-record for how to give it back"
	case p.Record == nil && !policyInstalled(o) && len(p.Entry) > maxPolicyEntry:
		why = fmt.Sprintf("has a policy for registries.conf of %d bytes, and at most %d can be recorded and restored; shorten it, or set "+
			"spec.release.disruption to Drain", len(p.Entry), maxPolicyEntry)
	default:
		return nil
	}
	blockers := []Blocker{policyBlocker(v1alpha1.ReasonReloadImpossible, why)}
	if o.Record.StartedAt != nil {
		return Wait{Blockers: blockers}
	}
	return Fail{Reason: v1alpha1.ReasonReloadImpossible, Blockers: blockers}
}

// ensurePolicy sees to it that nodes reload before anything changes for them, and that they still
// would before each of them is released.
func ensurePolicy(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	p, known := o.NodeDisruptionPolicy.Get()
	switch {
	case !o.Rollout.Reload:
		return removePolicy(o, p, pools)
	case !known:
		return waitForRead(policyKind, o.NodeDisruptionPolicy.Why())
	case !nodesLeft(o, pools):
		return Done{}
	case !isKnown(o.Sets):
		return waitForRead("ImageTagMirrorSet", o.Sets.Why())
	case p.Record == nil && p.Reloads && (!p.Ours || !policyInstalled(o)):
		return useClusterPolicy(p)
	case p.Record == nil:
		return installPolicy(o, p, pools)
	case !policyInstalled(o):
		return Do{Facts: []Fact{PolicyIntended{Prior: p.Record.Prior, At: p.Record.Since}},
			Why: "taking up the node disruption policy that its policy record tells of"}
	case !p.Ours:
		return Fail{Reason: v1alpha1.ReasonReloadImpossible,
			Blockers: []Blocker{policyBlocker(v1alpha1.ReasonReloadImpossible, fmt.Sprintf(
				"has had its policy for registries.conf changed by %q: a change now means %s. No node is released while it does; put it back as the annotation "+
					"safemirror.io/node-disruption-policy-record says what was there before, or set spec.release.disruption to Drain", p.ChangedBy, p.Effective))}}
	case !p.inEffect():
		return awaitPolicyEffect(p)
	}
	return Done{Message: "nodes reload CRI-O and are not drained"}
}

// policyInstalled tells whether, by the record, the policy of ours is there.
func policyInstalled(o Observed) bool {
	return o.Record.NodeDisruptionPolicy != nil && !o.Record.NodeDisruptionPolicy.Restored
}

// own: the cluster's own policy is what is wanted, and nothing has to be written.
func useClusterPolicy(p NodeDisruptionPolicy) Step {
	if !p.inEffect() {
		return awaitPolicyEffect(p)
	}
	return Done{Message: "nodes reload CRI-O and are not drained, by the policy that the cluster has already"}
}

func awaitPolicyEffect(p NodeDisruptionPolicy) Step {
	return Wait{Blockers: []Blocker{policyBlocker(v1alpha1.ReasonWaiting, fmt.Sprintf(
		"has the policy by which nodes reload, and the MCO has not put it into effect yet (generation %d, observed %d; a change of registries.conf means %s)",
		p.Generation, p.ObservedGeneration, p.Effective))}}
}

// installPolicy writes ours, the user's on record first (I4).
func installPolicy(o Observed, p NodeDisruptionPolicy, pools []Pool) Step {
	if step := consent(o); step != nil {
		return step
	}
	if updating := updatingBlockers(o, pools); len(updating) > 0 {
		return Wait{Blockers: updating}
	}
	if unpaused := unpausedPools(o, pools); len(unpaused) > 0 {
		return Wait{Blockers: unpaused}
	}
	rec := o.Record.NodeDisruptionPolicy
	if !policyInstalled(o) || (rec.Previous != p.Entry && !p.Ours) {
		return Do{Facts: []Fact{PolicyIntended{Prior: p.Entry, At: o.Now}},
			Why: "recording what a change of registries.conf costs a node before that is changed"}
	}
	return Do{Actions: []Action{EnsurePolicy{Record: newPolicyRecord(o, *rec)}},
		Why: "writing the policy by which nodes reload CRI-O and are not drained"}
}

func newPolicyRecord(o Observed, rec v1alpha1.NodeDisruptionPolicyRecord) PolicyRecord {
	return PolicyRecord{
		Rollout: o.Rollout.Name, UID: o.Rollout.UID, Since: rec.Since.UTC(), Prior: rec.Previous,
		Why: "spec.release.disruption of SafeMirrorRollout " + o.Rollout.Name +
			" is Reload: its nodes reload CRI-O for new mirrors and are not drained",
		Undo: policyUndoText(rec.Previous),
	}
}

func policyUndoText(prior string) string {
	const when = "once no node is on its way to another configuration: oc edit machineconfiguration cluster; "
	entry := "remove the entry for /etc/containers/registries.conf from spec.nodeDisruptionPolicy.files"
	if prior != "" {
		entry = "make the entry for /etc/containers/registries.conf in spec.nodeDisruptionPolicy.files " + prior
	}
	return when + entry + "; remove the annotation safemirror.io/node-disruption-policy-record"
}

// removePolicy gives the policy back when the spec does not want it any more, between one node and
// the next.
func removePolicy(o Observed, p NodeDisruptionPolicy, pools []Pool) Step {
	if _, known := o.NodeDisruptionPolicy.Get(); !known || p.Record == nil {
		return confirmPolicyRemoved(o)
	}
	if len(pendingReloads(pools)) > 0 {
		return Done{Message: "the updating node reloads; the previous policy is restored after it"}
	}
	return writeUserPolicy(o, p)
}

// confirmPolicyRemoved waits while a policy of ours may be in the cluster and cannot be read.
func confirmPolicyRemoved(o Observed) Step {
	if policyMayRemain(o) {
		return waitForRead(policyKind, o.NodeDisruptionPolicy.Why())
	}
	return Done{}
}

// policyMayRemain reports whether MachineConfiguration/cluster cannot be read and may have a policy
// of ours. Only the record can rule that out: a policy is recorded before it is written (I4), so a
// rollout that has started and has none on record has written none. That its return is recorded
// rules out nothing, because that is recorded before the write, too.
func policyMayRemain(o Observed) bool {
	return !isKnown(o.NodeDisruptionPolicy) &&
		(o.Rollout.Reload || o.Record.StartedAt == nil || o.Record.NodeDisruptionPolicy != nil)
}

// nodesLeft tells whether a node may still take a change for which it has to reload.
func nodesLeft(o Observed, pools []Pool) bool {
	if upToDate, known := applied(o); !upToDate || !known {
		return true
	}
	return slices.ContainsFunc(pools, func(p Pool) bool {
		return p.Registries != MatchesPlanned || (p.PauseRecord != nil && !p.fullyUpdated())
	})
}

// pendingReloads names the nodes that are on their way, and the pools of which one could be at any
// moment. A daemon that has not begun yet meets the policy that it finds then.
func pendingReloads(pools []Pool) []Blocker {
	var out []Blocker
	for _, p := range pools {
		for _, n := range p.updatingNodes() {
			if n.CurrentConfig != "" {
				out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name,
					Message: fmt.Sprintf(
						"node %s of pool %s is on its way to %s; the previous node disruption policy is restored when it is there, or it would be drained", n.Name, p.Name, n.DesiredConfig)})
			}
		}
		if unpauseWindowOpen(p) {
			out = append(out, poolBlocker(p, v1alpha1.ReasonWaiting,
				"is open for one node; the previous node disruption policy is restored when it is paused"))
		}
	}
	return out
}

// restorePolicy is what every ending does before the pools are restored; nil when there is
// nothing to restore.
func restorePolicy(o Observed, pools []Pool) Step {
	p, known := o.NodeDisruptionPolicy.Get()
	if !known {
		if wait, ok := confirmPolicyRemoved(o).(Wait); ok {
			return wait
		}
		return nil
	}
	if p.Record == nil {
		return nil
	}
	if updating := pendingReloads(pools); len(updating) > 0 {
		return Wait{Blockers: updating}
	}
	return writeUserPolicy(o, p)
}

// writeUserPolicy gives the policy back: the fact first.
func writeUserPolicy(o Observed, p NodeDisruptionPolicy) Step {
	switch {
	case o.Record.NodeDisruptionPolicy == nil:
		return Do{Facts: []Fact{PolicyIntended{Prior: p.Record.Prior, At: p.Record.Since}},
			Why: "taking up the node disruption policy that its policy record tells of"}
	case !o.Record.NodeDisruptionPolicy.Restored:
		return Do{Facts: []Fact{PolicyRestored{}},
			Why: "the previous node disruption policy is about to be restored"}
	}
	why := "restoring the previous node disruption policy"
	if !p.Ours {
		why = fmt.Sprintf("%q has changed the node disruption policy for registries.conf since: it stays, and only our note goes", p.ChangedBy)
	}
	return Do{Actions: []Action{RestorePolicy{Prior: p.Record.Prior}}, Why: why}
}

func isKnown[T any](k Value[T]) bool {
	_, ok := k.Get()
	return ok
}

// policyInCluster tells whether a policy of ours is there.
func policyInCluster(o Observed) bool {
	p, known := o.NodeDisruptionPolicy.Get()
	return known && p.Record != nil
}
