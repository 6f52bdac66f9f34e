package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Scenario is a cluster, a rollout and what goes wrong. Together with a seed it decides a run. It
// is stored as JSON.
type Scenario struct {
	Name string `json:"name"`
	// About says in a sentence what the scenario is for.
	About string `json:"about,omitempty"`
	// Masters, Workers and Infra are the numbers of nodes of the pools; a pool without nodes does
	// not exist, but for the worker pool of a cluster whose masters are its workers.
	Masters int `json:"masters"`
	Workers int `json:"workers"`
	Infra   int `json:"infra,omitempty"`
	// MaxUnavailable is what the user has set on the worker pool, such as "2" or "50%".
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// Down names nodes that are down since before the rollout, for good.
	Down []string `json:"down,omitempty"`
	// Saturated is true when the router has a pod on every worker, so that one that is evicted has
	// nowhere to go.
	Saturated bool `json:"saturated,omitempty"`
	Spec      Spec `json:"spec"`
	// Policy is the user's node disruption policy for registries.conf: "drain", "reload", or none.
	Policy string `json:"policy,omitempty"`
	// Replicas is the number of processes of the operator; 0 means one. Hosted is true when each
	// knows the node that it runs on.
	Replicas int     `json:"replicas,omitempty"`
	Hosted   bool    `json:"hosted,omitempty"`
	Faults   []Fault `json:"faults,omitempty"`
}

// Spec is what of the rollout's spec matters here.
type Spec struct {
	// Mirrors is the desired content of the mirror set; see Lists. Empty means "m1!".
	Mirrors MirrorSpec `json:"lists,omitempty"`
	// Targeted is the mechanism of that name, MaxConcurrent is maxUnavailable.
	Targeted      bool `json:"targeted,omitempty"`
	MaxConcurrent int  `json:"atOnce,omitempty"`
	// DrainTimeoutSeconds, SoakSeconds, RollbackOnDelete, RollbackOnFailure and ApplyApproval are
	// the fields of the API.
	DrainTimeoutSeconds int  `json:"drainTimeoutSeconds,omitempty"`
	SoakSeconds         int  `json:"soakSeconds,omitempty"`
	RollbackOnDelete    bool `json:"rollbackOnDelete,omitempty"`
	RollbackOnFailure   bool `json:"rollbackOnFailure,omitempty"`
	ApplyApproval       bool `json:"applyApproval,omitempty"`
	// Digests is true when there are digest mirrors as well, Staged when the source is blocked in a
	// second pass so many seconds after the first, and Reload when nodes are to reload instead
	// of a drain.
	Digests             bool `json:"digests,omitempty"`
	Staged              bool `json:"staged,omitempty"`
	EnforceAfterSeconds int  `json:"enforceAfterSeconds,omitempty"`
	Reload              bool `json:"reload,omitempty"`
	// Relocate switches the remedy of that name on, in addition to those that are on by default.
	Relocate bool `json:"relocate,omitempty"`
	// NoCanaryPulls is true when nothing is asked of the first nodes.
	NoCanaryPulls bool `json:"noCanary,omitempty"`
}

func (s Spec) remedies() []v1alpha1.RemedyAction {
	out := []v1alpha1.RemedyAction{v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods}
	if s.Relocate {
		out = append(out, v1alpha1.Relocate)
	}
	return out
}

// Fault is something that happens to the cluster or to the operator. When it happens is so many
// seconds after the beginning, or after the operator was first seen in a phase.
type Fault struct {
	Kind string `json:"kind"`
	// Phase is the phase of rollout.Phase whose beginning At counts from.
	Phase string `json:"phase,omitempty"`
	At    int    `json:"at"`
	// For is for how many seconds; 0 means for good.
	For int `json:"for,omitempty"`
	// Target names the node, pool, workload, host or part that it is about.
	Target string `json:"target,omitempty"`
}

// String is short enough for the name of a test.
func (f Fault) String() string {
	text := f.Kind
	if f.Target != "" {
		text += "(" + f.Target + ")"
	}
	if f.Phase != "" {
		text += "@" + f.Phase + "+" + secondsText(f.At)
	} else {
		text += "@" + secondsText(f.At)
	}
	if f.For > 0 {
		text += "~" + secondsText(f.For)
	}
	return text
}

func secondsText(n int) string { return (time.Duration(n) * time.Second).String() }

// Describe names the scenario, the seed and the faults, as tests are called.
func Describe(s Scenario, seed int64) string {
	faults := make([]string, 0, len(s.Faults))
	for _, f := range s.Faults {
		faults = append(faults, f.String())
	}
	name := fmt.Sprintf("%s/seed=%d", s.Name, seed)
	if len(faults) > 0 {
		name += "/" + strings.Join(faults, ",")
	}
	return name
}

// Stored is a scenario with its seed, as it is kept in a file.
type Stored struct {
	Seed     int64    `json:"seed"`
	Rule     string   `json:"rule,omitempty"`
	Message  string   `json:"message,omitempty"`
	Scenario Scenario `json:"scenario"`
}

// Load reads a stored scenario.
func Load(file string) (Stored, error) {
	var s Stored
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s is not a stored scenario: %w", file, err)
	}
	return s, nil
}

// Save writes the scenario.
func (s Stored) Save(file string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}
