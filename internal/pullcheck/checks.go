package pullcheck

import (
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// ProofAge is how long the proof of a node is good for: credentials, CAs and routes change slowly,
// content is proven by other means.
const ProofAge = time.Hour

// CanaryProofAge is how long what a node has shown under the new configuration is good for: longer
// than a rollout takes that goes on, shorter than one is held.
const CanaryProofAge = 24 * time.Hour

// Checks are the probes of one plan: what is asked of which nodes, and what has come of it.
type Checks struct {
	// Plan is the digest of the plan that they are about.
	Plan string
	// Nodes is how many nodes are asked.
	Nodes    int
	Want     []Check
	Gaps     []SkippedNode
	Outcomes []CheckResult
	// Until is when time alone changes something; zero when only a pod's change can.
	Until time.Time
}

// CanaryChecks are the pulls on nodes that have the new configuration, of one plan.
type CanaryChecks struct {
	Plan string
	// Configs are the rendered MachineConfigs that they are about, by pool.
	Configs  map[string]string
	Sets     []CanarySet
	Preloads []PreloadSet
	Outcomes []CheckResult
	// Loaded are the pods, by name, that have brought an image to their node, and when. It is what
	// is left of their outcomes: with hundreds of nodes those would be too many to go through.
	Loaded map[string]time.Time
	Until  time.Time
}

// Proven are the outcomes without those that are no proof: what they were about is tried again at
// once.
func Proven(results []CheckResult) []CheckResult {
	return slices.DeleteFunc(slices.Clone(results), func(o CheckResult) bool { return o.Pull.State != Pulled })
}

// FromNodes tells whether nodes prove the mirrors before any mirror set exists.
func FromNodes(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Mirroring.Verification.FromNodes != v1alpha1.Disabled
}

// AfterFirstNode tells whether the first updated node of a kind proves what a drain cannot end
// without.
func AfterFirstNode(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Mirroring.Verification.AfterFirstNode != v1alpha1.Disabled
}

// PreloadsNodes tells whether each updated node pulls beforehand what pods may need there.
func PreloadsNodes(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Release.Preload == v1alpha1.PreloadUpdatedNodes
}

// LimitsOf are the limits of a rollout's probes.
func LimitsOf(r *v1alpha1.SafeMirrorRollout) Limits {
	limits := DefaultLimits()
	if n := r.Spec.Mirroring.Verification.MebibytesPerNode; n > 0 {
		limits.BytesPerNode = int64(n) << 20
	}
	return limits
}
