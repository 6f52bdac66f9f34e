package rollout

import "time"

// Outlook says whether the drain of a node will go through.
type Outlook string

// The outlooks. Unknown never disrupts: it holds like Blocked, and says what could not be seen.
const (
	OutlookSafe    Outlook = "Safe"
	OutlookBlocked Outlook = "Blocked"
	OutlookUnknown Outlook = "Unknown"
)

// Forecast says of the nodes that may be next whether their drain will go through. The MCO's order has ties, so what is next is a set;
// a release is safe only when it is for each member.
type Forecast struct {
	// At is when the cluster was looked at for it.
	At time.Time `json:"at,omitzero"`
	// Nodes are those that may be next, of every pool; bounded.
	Nodes []NodeForecast `json:"nodes,omitempty"`
	// Safe, Blocked and Unknown count all nodes that are still to be released, also those that Nodes has no room for.
	Safe    int `json:"safe,omitempty"`
	Blocked int `json:"blocked,omitempty"`
	Unknown int `json:"unknown,omitempty"`
}

// NodeForecast is the outlook of one node's drain.
type NodeForecast struct {
	Pool    string  `json:"pool"`
	Node    string  `json:"node"`
	Outlook Outlook `json:"outlook"`
	// Problems say what will block the drain, or what could not be seen: one for each cause, by name, the worst first; bounded.
	Problems []Problem `json:"problems,omitempty"`
}

// Count adds a node to the numbers.
func (f *Forecast) Count(o Outlook) {
	switch o {
	case OutlookSafe:
		f.Safe++
	case OutlookBlocked:
		f.Blocked++
	case OutlookUnknown:
		f.Unknown++
	}
}
