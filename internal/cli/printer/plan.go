// Package printer says in words and in JSON what internal/preview has foreseen: the verdict first,
// then what changes, what would break and for whom, what drains, who switches at once, what it
// would take, and what could not be seen.
//
// It is pure: the same foresight and the same answers of registries give the same report, byte for
// byte.
package printer

import (
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// FormatVersion is the version of the JSON. Fields may be added under the same number; none is
// removed or changes its meaning.
const FormatVersion = 1

// VerdictCode is a verdict in a word.
type VerdictCode string

// The verdicts.
const (
	// NothingToDo: the cluster is as wished for, on every node.
	NothingToDo VerdictCode = "NothingToDo"
	// Changes: something changes, and as far as was seen nothing breaks.
	Changes VerdictCode = "Changes"
	// Blocked: something would break, or the change is refused, or a rollout could not begin now.
	Blocked VerdictCode = "Blocked"
	// CannotTell: what was not seen, or not asked, decides.
	CannotTell VerdictCode = "CannotTell"
)

// ExitCode is that of the command for the verdict.
func (c VerdictCode) ExitCode() int {
	switch c {
	case NothingToDo:
		return 0
	case Changes:
		return 2
	case Blocked:
		return 3
	default:
		return 1
	}
}

// PlanReport is the whole plan. Its JSON is complete; the text shows the worst of each list.
type PlanReport struct {
	Format  int            `json:"format"`
	Verdict Verdict        `json:"verdict"`
	Change  ProposedChange `json:"wish"`
	Cluster Cluster        `json:"cluster"`
	// References counts what the cluster pulls, or may pull.
	References ReferenceCounts `json:"references"`
	// RegistriesChecked is true when registries were asked.
	RegistriesChecked bool `json:"asked"`
	// Changes are the references whose pull changes, by class, the worst class first.
	Changes []ChangeClass `json:"changes"`
	// Breaks are the names of those that could not be pulled any more, AtRisk of those that may
	// not.
	Breaks []string `json:"breaks"`
	AtRisk []string `json:"atRisk"`
	// Blockers are the reasons for which a rollout would not begin now.
	Blockers []Notice `json:"held"`
	// Traps are what the mirror sets bring about that is easily overlooked.
	Traps []Notice `json:"traps"`
	// Shadows say which object takes which references away from the mirrors they have.
	Shadows   []Shadow            `json:"shadows"`
	Pools     []PoolForecast      `json:"pools"`
	Immediate []ImmediateConsumer `json:"immediate"`
	Estimate  Estimate            `json:"expect"`
	// Accepted are the accepted risks of the spec, also those that nothing matches.
	Accepted []AcceptedRisk `json:"accepted"`
	Gaps     []CoverageGap  `json:"gaps"`
}

// Verdict is what it comes to.
type Verdict struct {
	Code VerdictCode `json:"code"`
	// Message is one line, Reasons all there is to say for it.
	Message string   `json:"message"`
	Reasons []string `json:"reasons"`
}

// ProposedChange is what was planned.
type ProposedChange struct {
	Name string `json:"name"`
	// Plain is true for mirror sets that were planned as if a rollout carried them.
	Plain bool `json:"plain"`
	// Passes is 2 when sources are blocked in a second pass, in which every node changes again.
	Passes int `json:"passes,omitempty"`
}

// Cluster is what it was planned for.
type Cluster struct {
	// Version is that of the release, empty when not known; Upgrading what it is being upgraded to.
	Version     string `json:"version"`
	Upgrading   string `json:"upgrading,omitempty"`
	Unsupported string `json:"unsupported,omitempty"`
	Nodes       int    `json:"nodes"`
}

// ReferenceCounts counts the references of a cluster.
type ReferenceCounts struct {
	Total int `json:"total"`
	// Blocking can be pulled at any moment, Advisory when something else happens, Historical by a
	// rollback to the past.
	Blocking   int `json:"blocking"`
	Advisory   int `json:"advisory"`
	Historical int `json:"historical"`
	Changed    int `json:"changed"`
	// Unreadable are no references, so no node can pull them, before or after.
	Unreadable []string `json:"unreadable"`
}

// ChangeClass is one way in which pulls change.
type ChangeClass struct {
	Change registriesconf.Change `json:"change"`
	// Count are all of it, Blocking those that hold a rollout.
	Count    int               `json:"count"`
	Blocking int               `json:"blocking"`
	Items    []ReferenceChange `json:"items"`
}

// ReferenceChange is one reference whose pull changes.
type ReferenceChange struct {
	// Reference is complete; Spelt is how its first owner spells it, when that differs.
	Reference        string            `json:"reference"`
	OriginalSpelling string            `json:"spelt,omitempty"`
	Forecast         plan.PullForecast `json:"outlook"`
	// Needed is true when something can pull it at any moment.
	Needed bool     `json:"needed"`
	Owners []string `json:"owners"`
	// OwnerCount is of all owners; Owners are the first few.
	OwnerCount int        `json:"ownerCount"`
	Pools      []string   `json:"pools"`
	Before     []Endpoint `json:"before"`
	After      []Endpoint `json:"after"`
	// Target is the endpoint that has to hold the image before the mirror sets are applied.
	Target string `json:"fill,omitempty"`
	// Scope is the source whose entry would decide; ShadowedBy the object that it takes the
	// reference away with.
	Scope      string `json:"scope,omitempty"`
	ShadowedBy string `json:"shadowedBy,omitempty"`
	// Message says why it breaks or may break, and the remedy; Mirror what the registries said when
	// they were asked.
	Message string `json:"message,omitempty"`
	Mirror  string `json:"mirror,omitempty"`
}

// Endpoint is one place at which a node looks, in order.
type Endpoint struct {
	Reference string `json:"reference"`
	Blocked   bool   `json:"blocked,omitempty"`
	Insecure  bool   `json:"insecure,omitempty"`
}

// Notice is something about one object.
type Notice struct {
	Object  string `json:"object,omitempty"`
	Message string `json:"message"`
	// Existing is true when the cluster has it already.
	Existing bool `json:"standing,omitempty"`
}

// Shadow is an object whose scope takes references away from the mirrors they have today.
type Shadow struct {
	Object     string   `json:"object"`
	Scope      string   `json:"scope"`
	References []string `json:"references"`
}

// PoolForecast is what becomes of the nodes of a pool.
type PoolForecast struct {
	Name string `json:"name"`
	// Nodes are all of it; Updated those that run its rendered configuration already.
	Nodes   int  `json:"nodes"`
	Updated int  `json:"updated"`
	Paused  bool `json:"paused,omitempty"`
	// Effect is None, Reload, Drain or Reboot, by the rule; empty when it could not be predicted.
	Effect registriesconf.NodeEffect `json:"verdict"`
	Rule   string                    `json:"rule"`
	// First are the nodes that can be first: one of them is, at the platform's choice.
	First []string `json:"first"`
	// Others come later or never, with the reason.
	Others []LaterNode `json:"others"`
	// MaxConcurrent is how many of its nodes are taken at the same time.
	MaxConcurrent int `json:"atOnce"`
	// Drains is the forecast of the drain of each node, in the order of their turn; of those that
	// can be first any can be next.
	Drains []DrainForecast `json:"drains"`
	// Concurrent is how many can be drained at the same time; nil when they go one by one anyway.
	Concurrent *ConcurrentDrains `json:"together,omitempty"`
	// Evictions are the pods that drains of all its nodes evict; MostOnANode those of the fullest.
	Evictions   int `json:"evictions"`
	MostOnANode int `json:"mostOnANode"`
	// PendingChanges are other changes that would drain or reboot, and that reach the nodes at the
	// same time.
	PendingChanges []string `json:"riders"`
}

// DrainForecast is the forecast of a node's drain.
type DrainForecast struct {
	Node string `json:"node"`
	// First is true for one of those that the first release can take.
	First bool `json:"first,omitempty"`
	// Result is Safe, Blocked or Unknown; Reasons say why it is not safe, Remarks what is worth
	// knowing all the same.
	Result  string   `json:"outlook"`
	Reasons []string `json:"reasons"`
	Remarks []string `json:"remarks"`
}

// ConcurrentDrains is how many nodes the first release of a pool can take, of those that are
// allowed at once.
type ConcurrentDrains struct {
	Size int `json:"size"`
	// Reasons say what would hold the drains of one more.
	Reasons []string `json:"reasons"`
}

// LaterNode is a node that is not first.
type LaterNode struct {
	Node         string `json:"node"`
	Why          string `json:"why"`
	NotCandidate bool   `json:"never,omitempty"`
}

// ImmediateConsumer is somebody who uses the mirrors as soon as the mirror sets exist, pause or
// not.
type ImmediateConsumer struct {
	By    string `json:"by"`
	Owner string `json:"owner"`
	// Images are those that change; none means that they cannot be told.
	Images []string `json:"images"`
}

// Estimate is what a rollout would take.
type Estimate struct {
	// Images have to be at a mirror of the spec first.
	Images int `json:"images"`
	// Copy is what would be copied; nil when registries were not asked.
	Copy *CopyEstimate `json:"copy,omitempty"`
	// Release says how nodes are given the new configuration.
	Release ReleaseEstimate `json:"release"`
	// Nodes change; Evictions is the sum of the pools.
	Nodes     int `json:"nodes"`
	Evictions int `json:"evictions"`
	// Minutes is a range for the nodes alone, by the assumption.
	Minutes    Range  `json:"minutes"`
	Assumption string `json:"assumption"`
}

// ReleaseEstimate is how nodes are given the new configuration.
type ReleaseEstimate struct {
	// Mechanism is PausePulse or Targeted; MaxConcurrent the most nodes that any pool is taken at
	// once.
	Mechanism     string `json:"mechanism"`
	MaxConcurrent int    `json:"atOnce"`
	// Advice says what would be better for this cluster; empty when nothing would.
	Advice string `json:"advice,omitempty"`
}

// CopyEstimate is what the mirrors lack.
type CopyEstimate struct {
	Images   int   `json:"images"`
	Bytes    int64 `json:"bytes"`
	Requests int   `json:"requests"`
	// Unknown are images of which it could not be found out.
	Unknown int `json:"unknown,omitempty"`
}

// Range has both ends in it.
type Range struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// AcceptedRisk is an accepted risk of the spec.
type AcceptedRisk struct {
	Pattern string `json:"pattern"`
	Reason  string `json:"reason"`
	Count   int    `json:"count"`
}

// CoverageGap is something that could not be seen.
type CoverageGap struct {
	Source string `json:"source"`
	Why    string `json:"why"`
	// Essential is true when nobody may call the change safe without it; Absent when the cluster
	// does not have it.
	Essential bool `json:"decides,omitempty"`
	Absent    bool `json:"absent,omitempty"`
}
