package rollout

import (
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Meaning compares the registries configuration in a rendered MachineConfig with the planned one.
type Meaning string

// The meanings of a rendered configuration.
const (
	// MeansPlanned is the planned configuration.
	MeansPlanned Meaning = "Planned"
	// MeansBefore is the configuration without our mirror sets.
	MeansBefore Meaning = "Before"
	// MeansEarlier is what the mirror sets say that are in the cluster now: those of an earlier spec of this rollout.
	MeansEarlier Meaning = "Earlier"
	// MeansOther is neither: another set was added, or a MachineConfig overrides the file.
	MeansOther Meaning = "Other"
)

// Pool is a MachineConfigPool and its nodes.
type Pool struct {
	Name               string `json:"name"`
	Paused             bool   `json:"paused,omitempty"`
	MaxUnavailable     string `json:"maxUnavailable,omitempty"`
	Generation         int64  `json:"generation"`
	ObservedGeneration int64  `json:"observedGeneration"`
	ControlPlane       bool   `json:"controlPlane,omitempty"`
	// Layered is true for on-cluster layering, where every render builds an image.
	Layered bool `json:"layered,omitempty"`
	// Degraded is the message of the Degraded condition when it is True.
	Degraded string `json:"degraded,omitempty"`
	// PausedBy is the field manager that last wrote spec.paused; PausedByUs tells whether that is the operator.
	PausedBy   string `json:"pausedBy,omitempty"`
	PausedByUs bool   `json:"pausedByUs,omitempty"`

	// Rendered is spec.configuration.name: what the MCO would bring the nodes to.
	Rendered string `json:"rendered"`
	// Meaning compares its registries configuration with the planned one; Difference says where it differs.
	Meaning    Meaning  `json:"meaning"`
	Difference []string `json:"difference,omitempty"`
	// Riders are changes that would drain or reboot and that queue behind the pause, beside the registries.
	Riders []string `json:"riders,omitempty"`

	// Ledger is our note on the pool, nil when there is none. Foreign is set when the note is another rollout's.
	Ledger  *Ledger `json:"ledger,omitempty"`
	Foreign string  `json:"foreign,omitempty"`

	Nodes []Node `json:"nodes,omitempty"`
}

// Ledger is what the operator writes on every MachineConfigPool that it pauses (R17): enough to undo the pause when
// everything else about the rollout is lost, and for a person to read in `oc describe`.
type Ledger struct {
	Rollout string    `json:"rollout"`
	UID     string    `json:"uid"`
	Since   time.Time `json:"since"`
	// PriorPaused and PriorMaxUnavailable are what the pool is given back.
	PriorPaused         bool   `json:"priorPaused,omitempty"`
	PriorMaxUnavailable string `json:"priorMaxUnavailable,omitempty"`
	// Unavailable names the nodes that were down or cordoned before.
	Unavailable []string `json:"unavailable,omitempty"`
	// Release is the pulse under way. Past its deadline every replica of the operator may pause the pool again (R1).
	Release *Pulse `json:"release,omitempty"`
	// Repaused counts how often somebody else unpaused the pool and we paused it again (R2).
	Repaused int `json:"repaused,omitempty"`
	// Undo says how to give the pool back by hand.
	Undo string `json:"undo"`
}

// Pulse is one release: an unpause that is to let so many nodes take the new configuration, or the nodes that are told to while the pool
// stays paused.
type Pulse struct {
	IntendedAt time.Time `json:"intendedAt"`
	Deadline   time.Time `json:"deadline"`
	Target     string    `json:"target"`
	// Updated is how many nodes had the target already.
	Updated int `json:"updated"`
	// Moving is how many nodes of the pool were stuck on their way when it was opened.
	Moving int `json:"moving,omitempty"`
	// Size is how many nodes it is for; 0 stands for one.
	Size int `json:"size,omitempty"`
	// Nodes names those that are told to take the target while the pool stays paused.
	Nodes []string `json:"nodes,omitempty"`
	// Unavailable is how many nodes of the pool were unavailable when it was opened: the room is for those and one more. Should one of them
	// come back or be deleted, the room would be for two more, and the pulse is over.
	Unavailable int `json:"unavailable,omitempty"`
	// Room is the maxUnavailable that was set on the pool with it. A pool that has another one later has it from somebody else.
	Room int `json:"room,omitempty"`
	// Closed is true once the pool was paused again after this pulse.
	Closed bool `json:"closed,omitempty"`
}

// Node is a node as the MCO sees it.
type Node struct {
	Name    string `json:"name"`
	Current string `json:"current"`
	Desired string `json:"desired"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	// Ready is the MCO's own notion without the cordon: Ready, no disk pressure, network available.
	Ready         bool `json:"ready"`
	Unschedulable bool `json:"unschedulable,omitempty"`
	// DrainWanted and DrainApplied are the drain request of the node's daemon and the controller's answer.
	DrainWanted  string `json:"drainWanted,omitempty"`
	DrainApplied string `json:"drainApplied,omitempty"`
	// Tainted is true while the MCO's UpdateInProgress taint is on the node.
	Tainted bool `json:"tainted,omitempty"`
	// Zone and Created decide whose turn it is; MCO is true on the node that runs the machine-config-operator.
	Zone    string    `json:"zone,omitempty"`
	Created time.Time `json:"created,omitzero"`
	MCO     bool      `json:"mco,omitempty"`
	// NotDrained is true when the node's daemon leaves drains out: that of a cluster whose control plane is a single replica.
	NotDrained bool `json:"notDrained,omitempty"`
	// Since is when its state last changed as far as the API tells; zero when it does not.
	Since time.Time `json:"since,omitzero"`
	// Drain is the MCO's own word on a drain that does not succeed.
	Drain string `json:"drain,omitempty"`
}

// stateDone is the value of the machineconfiguration.openshift.io/state annotation of a node at rest.
const stateDone = "Done"

// done tells whether the node is at rest on the configuration that it was asked to run.
func (n Node) done() bool { return n.Current != "" && n.Current == n.Desired && n.State == stateDone }

// AtRest tells whether the node runs what it was asked to run and does nothing else.
func (n Node) AtRest() bool { return n.done() }

// available is the MCO's own rule (CheckNodeReady and IsNodeDone).
func (n Node) available() bool { return n.Ready && !n.Unschedulable && n.done() }

// on tells whether the node runs the rendered configuration and is at rest.
func (n Node) on(rendered string) bool { return n.done() && n.Current == rendered }

// Stage says where the node is on its way, in the words of the status.
func (n Node) Stage(rendered string) string {
	switch {
	case n.State == "Degraded" || n.State == "Unreconcilable":
		return "Degraded"
	case n.on(rendered):
		return stateDone
	case n.Desired != rendered:
		return "Waiting"
	case n.Current != n.Desired && n.State == stateDone:
		return "Targeted"
	case n.DrainWanted == n.DrainApplied:
		return "Working"
	case strings.HasPrefix(n.DrainWanted, "drain-"):
		return "Draining"
	default:
		return "Uncordoning"
	}
}

// Updated is the number of the pool's nodes that run its rendered configuration and are at rest.
func (p Pool) Updated() int { return p.atRestOn(p.Rendered) }

// Taken is the number of nodes that have been told to run the rendered configuration, whether they are done or not.
func (p Pool) Taken(rendered string) int {
	n := 0
	for _, node := range p.Nodes {
		if node.Desired == rendered {
			n++
		}
	}
	return n
}

// settled tells whether every node already runs the rendered configuration: only then may the pool be unpaused for
// good, because there is nothing left that the MCO could do with it (I5).
func (p Pool) settled() bool { return p.Updated() == len(p.Nodes) }

// fenced tells whether the node controller has seen the newest pool. A sync that began before our pause can still hand
// out a node; one that reports this generation cannot (docs/adr/0003).
func (p Pool) fenced() bool { return p.ObservedGeneration >= p.Generation }

// PulseOver tells whether the pool is open for a release and has to be closed again: as many nodes as it is for are on their way, or have
// the target already; or one of them has come to its end, so that the MCO would soon replace it by another; or the MCO would hand out
// something else than the target; or there is room for more than it is for; or the time is up. The leader and the guard of every replica ask this one question (R1).
func (p Pool) PulseOver(now time.Time) bool {
	if !pulsing(p) {
		return false
	}
	pulse := p.Ledger.Release
	if p.unavailable() < pulse.Unavailable {
		return true // a node that was down since before is back, or gone: what was room for it is room for a second one (I1)
	}
	// A node under way is asked for by itself: when one with the target is deleted in the same moment, the numbers are even.
	more := max(1, pulse.Size)
	return p.Taken(pulse.Target) >= pulse.Updated+more || len(p.inFlight()) >= pulse.Moving+more || p.atRestOn(pulse.Target) > pulse.Updated ||
		p.Rendered != pulse.Target || !now.Before(pulse.Deadline)
}

// atRestOn is the number of nodes that run the configuration and are at rest.
func (p Pool) atRestOn(rendered string) int {
	n := 0
	for _, node := range p.Nodes {
		if node.on(rendered) {
			n++
		}
	}
	return n
}

// unavailable is the number of nodes that count against maxUnavailable, for whatever reason.
func (p Pool) unavailable() int {
	n := 0
	for _, node := range p.Nodes {
		if !node.available() {
			n++
		}
	}
	return n
}

// pulsing tells whether the pool is open on purpose, for a release.
func pulsing(p Pool) bool {
	return p.Ledger != nil && p.Ledger.Release != nil && !p.Ledger.Release.Closed && !p.Paused
}

// stopped tells whether somebody else paused the pool while it was open for a release: we always note the end of a pulse in
// the same patch that pauses.
func (p Pool) stopped() bool {
	return p.Paused && p.Ledger != nil && p.Ledger.Release != nil && !p.Ledger.Release.Closed
}

// givenBack tells whether the pool was restored after the rollout and is nobody's now.
func givenBack(o Observed, p Pool) bool {
	rec := record(o.Record, p.Name)
	return p.Ledger == nil && rec != nil && rec.Restored
}

// inFlight returns the nodes that are on their way to another configuration.
func (p Pool) inFlight() []Node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), Node.done)
}

// record returns what the record holds of the pool.
func record(r v1alpha1.Record, pool string) *v1alpha1.PoolRecord {
	for i := range r.Pools {
		if r.Pools[i].Name == pool {
			return &r.Pools[i]
		}
	}
	return nil
}
