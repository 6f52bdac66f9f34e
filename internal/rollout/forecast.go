package rollout

import "time"

// DrainForecast says whether the drain of a node will go through.
type DrainForecast string

// The outlooks. Unknown never disrupts: it holds like Blocked, and says what could not be seen.
const (
	DrainSafe    DrainForecast = "Safe"
	DrainBlocked DrainForecast = "Blocked"
	DrainUnknown DrainForecast = "Unknown"
)

// Forecast says of the nodes that may be next whether their drain will go through. The MCO's order
// has ties, so what is next is a set; a release is safe only when it is for each member.
type Forecast struct {
	// At is when the cluster was looked at for it.
	At time.Time `json:"at,omitzero"`
	// Nodes are those that may be next, of every pool; bounded.
	Nodes []NodeForecast `json:"nodes,omitempty"`
	// ConcurrentDrains says of the pools of which several nodes may be released at once how many
	// can be.
	ConcurrentDrains []ConcurrentDrains `json:"together,omitempty"`
	// Safe, Blocked and Unknown count all nodes that are still to be released, also those that
	// Nodes has no room for.
	Safe    int `json:"safe,omitempty"`
	Blocked int `json:"blocked,omitempty"`
	Unknown int `json:"unknown,omitempty"`
}

// NodeForecast is the outlook of one node's drain.
type NodeForecast struct {
	Pool   string        `json:"pool"`
	Node   string        `json:"node"`
	Result DrainForecast `json:"outlook"`
	// Problems say what will block the drain, or what could not be seen: one for each cause, by
	// name, the worst first; bounded.
	Problems []Problem `json:"problems,omitempty"`
}

// ConcurrentDrains is how many nodes of a pool can be drained at the same time. That each of two
// drains would go through by itself does not say so: two nodes may each hold what has to move to
// the other one.
type ConcurrentDrains struct {
	Pool string `json:"pool"`
	// Size is the largest release whose drains all go through while they run side by side; 1 when
	// not even two do.
	Size int `json:"size"`
	// Problems say what would hold the drains of a release of one more, when one was asked for.
	Problems []Problem `json:"problems,omitempty"`
}

// Count adds a node to the numbers.
func (f *Forecast) Count(o DrainForecast) {
	switch o {
	case DrainSafe:
		f.Safe++
	case DrainBlocked:
		f.Blocked++
	case DrainUnknown:
		f.Unknown++
	}
}
