package rollout

import (
	"slices"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// RegistriesMatch compares the registries configuration in a rendered MachineConfig with the
// planned one.
type RegistriesMatch string

// The meanings of a rendered configuration.
const (
	// MatchesPlanned is the planned configuration.
	MatchesPlanned RegistriesMatch = "Planned"
	// MatchesBefore is the configuration without our mirror sets.
	MatchesBefore RegistriesMatch = "Before"
	// MatchesEarlier is what the mirror sets say that are in the cluster now: those of an earlier
	// spec of this rollout.
	MatchesEarlier RegistriesMatch = "Earlier"
	// MatchesOther is neither: another set was added, or a MachineConfig overrides the file.
	MatchesOther RegistriesMatch = "Other"
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
	// PausedBy is the field manager that last wrote spec.paused; PausedByUs tells whether that is
	// the operator.
	PausedBy   string `json:"pausedBy,omitempty"`
	PausedByUs bool   `json:"pausedByUs,omitempty"`

	// Rendered is spec.configuration.name: what the MCO would bring the nodes to.
	Rendered string `json:"rendered"`
	// Registries compares its registries configuration with the planned one; Difference says where
	// it differs.
	Registries RegistriesMatch `json:"meaning"`
	Difference []string        `json:"difference,omitempty"`
	// PendingChanges are changes that would drain or reboot and that queue behind the pause, beside
	// the registries.
	PendingChanges []string `json:"riders,omitempty"`

	// PauseRecord is our note on the pool, nil when there is none. Foreign is set when the note is
	// another rollout's.
	PauseRecord  *PauseRecord `json:"ledger,omitempty"`
	ForeignOwner string       `json:"foreign,omitempty"`

	Nodes []Node `json:"nodes,omitempty"`
}

// PauseRecord is what the operator writes on every MachineConfigPool that it pauses (R17): enough
// to undo the pause when everything else about the rollout is lost, and for a person to read in `oc
// describe`.
type PauseRecord struct {
	Rollout string    `json:"rollout"`
	UID     string    `json:"uid"`
	Since   time.Time `json:"since"`
	// PriorPaused and PriorMaxUnavailable are what the pool is restored.
	PriorPaused         bool   `json:"priorPaused,omitempty"`
	PriorMaxUnavailable string `json:"priorMaxUnavailable,omitempty"`
	// Unavailable names the nodes that were down or cordoned before.
	Unavailable []string `json:"unavailable,omitempty"`
	// Release is the unpause window in progress. Past its deadline every replica of the operator
	// may pause the pool again (R1).
	Release *UnpauseWindow `json:"release,omitempty"`
	// Repaused counts how often somebody else unpaused the pool and we paused it again (R2).
	Repaused int `json:"repaused,omitempty"`
	// Undo says how to give the pool back by hand.
	Undo string `json:"undo"`
}

// UnpauseWindow is one release: an unpause that is to let so many nodes take the new configuration,
// or the nodes that are told to while the pool stays paused.
type UnpauseWindow struct {
	IntendedAt time.Time `json:"intendedAt"`
	Deadline   time.Time `json:"deadline"`
	Target     string    `json:"target"`
	// UpdatedBefore is how many nodes had the target already.
	UpdatedBefore int `json:"updated"`
	// StuckBefore is how many nodes of the pool were stuck on their way when it was opened.
	StuckBefore int `json:"moving,omitempty"`
	// Size is how many nodes it is for; 0 stands for one.
	Size int `json:"size,omitempty"`
	// Nodes names those that are told to take the target while the pool stays paused.
	Nodes []string `json:"nodes,omitempty"`
	// UnavailableBefore is how many nodes of the pool were unavailable when it was opened: the room
	// is for those and one more. Should one of them come back or be deleted, the room would be for
	// two more, and the unpause window is over.
	UnavailableBefore int `json:"unavailable,omitempty"`
	// MaxUnavailable is the maxUnavailable that was set on the pool with it. A pool that has
	// another one later has it from somebody else.
	MaxUnavailable int `json:"room,omitempty"`
	// Closed is true once the pool was paused again after this unpause window.
	Closed bool `json:"closed,omitempty"`
}

// Node is a node as the MCO sees it.
type Node struct {
	Name          string `json:"name"`
	CurrentConfig string `json:"current"`
	DesiredConfig string `json:"desired"`
	State         string `json:"state"`
	Reason        string `json:"reason,omitempty"`
	// Ready is the MCO's own notion without the cordon: Ready, no disk pressure, network available.
	Ready         bool `json:"ready"`
	Unschedulable bool `json:"unschedulable,omitempty"`
	// DesiredDrain and LastAppliedDrain are the drain request of the node's daemon and the
	// controller's answer.
	DesiredDrain     string `json:"drainWanted,omitempty"`
	LastAppliedDrain string `json:"drainApplied,omitempty"`
	// Tainted is true while the MCO's UpdateInProgress taint is on the node.
	Tainted bool `json:"tainted,omitempty"`
	// Zone and Created decide whose turn it is; MCO is true on the node that runs the
	// machine-config-operator.
	Zone    string    `json:"zone,omitempty"`
	Created time.Time `json:"created,omitzero"`
	RunsMCO bool      `json:"mco,omitempty"`
	// NotDrained is true when the node's daemon leaves drains out: that of a cluster whose control
	// plane is a single replica.
	NotDrained bool `json:"notDrained,omitempty"`
	// StateSince is when its state last changed as far as the API tells; zero when it does not.
	StateSince time.Time `json:"since,omitzero"`
	// DrainMessage is the MCO's own word on a drain that does not succeed.
	DrainMessage string `json:"drain,omitempty"`
}

// stateDone is the value of the machineconfiguration.openshift.io/state annotation of a node at
// rest.
const stateDone = "Done"

// done tells whether the node is at rest on the configuration that it was asked to run.
func (n Node) done() bool {
	return n.CurrentConfig != "" && n.CurrentConfig == n.DesiredConfig && n.State == stateDone
}

// Done tells whether the node runs what it was asked to run and does nothing else.
func (n Node) Done() bool { return n.done() }

// available is the MCO's own rule (CheckNodeReady and IsNodeDone).
func (n Node) available() bool { return n.Ready && !n.Unschedulable && n.done() }

// runs tells whether the node runs the rendered configuration and is at rest.
func (n Node) runs(rendered string) bool { return n.done() && n.CurrentConfig == rendered }

// UpdateStage says where the node is on its way, in the words of the status.
func (n Node) UpdateStage(rendered string) string {
	switch {
	case n.State == "Degraded" || n.State == "Unreconcilable":
		return "Degraded"
	case n.runs(rendered):
		return stateDone
	case n.DesiredConfig != rendered:
		return "Waiting"
	case n.CurrentConfig != n.DesiredConfig && n.State == stateDone:
		return "Targeted"
	case n.DesiredDrain == n.LastAppliedDrain:
		return "Working"
	case strings.HasPrefix(n.DesiredDrain, "drain-"):
		return "Draining"
	default:
		return "Uncordoning"
	}
}

// Updated is the number of the pool's nodes that run its rendered configuration and are at rest.
func (p Pool) Updated() int { return p.countRunning(p.Rendered) }

// CountDesired is the number of nodes that have been told to run the rendered configuration,
// whether they are done or not.
func (p Pool) CountDesired(rendered string) int {
	n := 0
	for _, node := range p.Nodes {
		if node.DesiredConfig == rendered {
			n++
		}
	}
	return n
}

// fullyUpdated tells whether every node already runs the rendered configuration: only then may the
// pool be unpaused for good, because there is nothing left that the MCO could do with it (I5).
func (p Pool) fullyUpdated() bool { return p.Updated() == len(p.Nodes) }

// pauseObserved tells whether the node controller has seen the newest pool. A sync that began
// before our pause can still hand out a node; one that reports this generation cannot
// (docs/adr/0003).
func (p Pool) pauseObserved() bool { return p.ObservedGeneration >= p.Generation }

// UnpauseWindowOver tells whether the pool is open for a release and has to be closed again: as
// many nodes as it is for are on their way, or have the target already; or one of them has come to
// its end, so that the MCO would soon replace it by another; or the MCO would hand out something
// else than the target; or there is room for more than it is for; or the time is up. The leader and
// the guard of every replica ask this one question (R1).
func (p Pool) UnpauseWindowOver(now time.Time) bool {
	if !unpauseWindowOpen(p) {
		return false
	}
	window := p.PauseRecord.Release
	if p.unavailable() < window.UnavailableBefore {
		// a node that was down since before is back, or gone: what was room for it is room for a
		// second one (I1)
		return true
	}
	// An updating node is asked for by itself: when one with the target is deleted in the same
	// moment, the numbers are even.
	size := max(1, window.Size)
	return p.CountDesired(window.Target) >= window.UpdatedBefore+size || len(p.updatingNodes()) >= window.StuckBefore+
		size || p.countRunning(window.Target) > window.UpdatedBefore ||
		p.Rendered != window.Target || !now.Before(window.Deadline)
}

// countRunning is the number of nodes that run the configuration and are at rest.
func (p Pool) countRunning(rendered string) int {
	n := 0
	for _, node := range p.Nodes {
		if node.runs(rendered) {
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

// unpauseWindowOpen tells whether the pool is open on purpose, for a release.
func unpauseWindowOpen(p Pool) bool {
	return p.PauseRecord != nil && p.PauseRecord.Release != nil && !p.PauseRecord.Release.Closed && !p.Paused
}

// pausedDuringWindow tells whether somebody else paused the pool while it was open for a release:
// we always note the end of an unpause window in the same patch that pauses.
func (p Pool) pausedDuringWindow() bool {
	return p.Paused && p.PauseRecord != nil && p.PauseRecord.Release != nil && !p.PauseRecord.Release.Closed
}

// isRestored tells whether the pool was restored after the rollout and is nobody's now.
func isRestored(o Observed, p Pool) bool {
	rec := poolRecord(o.Record, p.Name)
	return p.PauseRecord == nil && rec != nil && rec.Restored
}

// updatingNodes returns the nodes that are on their way to another configuration.
func (p Pool) updatingNodes() []Node {
	return slices.DeleteFunc(slices.Clone(p.Nodes), Node.done)
}

// poolRecord returns what the record holds of the pool.
func poolRecord(r v1alpha1.Record, pool string) *v1alpha1.PoolRecord {
	for i := range r.Pools {
		if r.Pools[i].Name == pool {
			return &r.Pools[i]
		}
	}
	return nil
}
