package rollout

import "time"

// DrainBlockReason is the sort of thing that keeps a drain from progressing. It decides which
// remedies can help at all.
type DrainBlockReason string

// The drain block reasons. The first four are slow and pass by themselves; the others do not.
const (
	DrainBlockTerminating DrainBlockReason = "Terminating" // a pod is within its grace period
	DrainBlockMigrating   DrainBlockReason = "Migrating"   // a virtual machine moves, or storage recovers
	// a replacement is pulling or becoming ready, and makes progress
	DrainBlockStarting DrainBlockReason = "Starting"
	// nothing is in the way any more, and the MCO has not tried again yet
	DrainBlockRetrying DrainBlockReason = "Retrying"

	// a replacement cannot get its image; Obstacle.Pulls says why
	DrainBlockPull          DrainBlockReason = "Pull"
	DrainBlockUnschedulable DrainBlockReason = "Unschedulable" // a replacement has no node to go to
	DrainBlockCrashing      DrainBlockReason = "Crashing"      // a protected pod elsewhere does not become ready
	DrainBlockBudgetZero    DrainBlockReason = "BudgetZero"    // the budget never allows a disruption
	// more than one budget selects a pod: the eviction fails with 500
	DrainBlockOverlap   DrainBlockReason = "Overlap"
	DrainBlockFinalizer DrainBlockReason = "Finalizer" // a pod is past its grace period and does not go
	DrainBlockWebhook   DrainBlockReason = "Webhook"   // something refuses the eviction, or fails closed
	// the disruption controller has not computed, or cannot compute, the budget
	DrainBlockBudgetStale DrainBlockReason = "BudgetStale"
	DrainBlockNodeLost    DrainBlockReason = "NodeLost"    // a node with protected pods is gone or NotReady
	DrainBlockNotDraining DrainBlockReason = "NotDraining" // the node is not held by its drain, but by its daemon
	DrainBlockUnknown     DrainBlockReason = "Unknown"
)

// Transient tells whether it is slow rather than impossible.
func (h DrainBlockReason) Transient() bool {
	switch h {
	case DrainBlockTerminating, DrainBlockMigrating, DrainBlockStarting, DrainBlockRetrying:
		return true
	default:
		return false
	}
}

// BlockedDrain is a node's drain that does not progress, with the chain of what waits for what:
//
//	drain of worker-2 blocked since 10:00:12 <- PDB openshift-ingress/router-default allows 0 (2 of 3 healthy, 2 wanted)
//	<- pod router-default-abc on worker-1 not ready <- ImagePullBackOff <- quay.io/acme/router:v1
//	<- mirror.example.com/acme/router:v1 answers 404; the source is blocked by NeverContactSource
//
// Times are those at which something began, so that the same world gives the same text.
type BlockedDrain struct {
	Pool   string           `json:"pool"`
	Node   string           `json:"node"`
	Since  time.Time        `json:"since,omitzero"`
	Reason DrainBlockReason `json:"hindrance"`
	// CauseChain has one link for each thing that waits for the next, the drain first and the root
	// cause last; bounded.
	CauseChain []CauseLink `json:"chain,omitempty"`
	// Budget is the PodDisruptionBudget that refuses, if one does.
	Budget *DisruptionBudget `json:"budget,omitempty"`
	// Pods are those that keep the budget from allowing more: what the remedies are about; bounded.
	Pods []FailingPod `json:"pods,omitempty"`
	// ProtectedPod is the pod on the node that may not be evicted.
	ProtectedPod *PodRef `json:"kept,omitempty"`
}

// CauseLink is one thing in the chain.
type CauseLink struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Message   string    `json:"message"`
	Since     time.Time `json:"since,omitzero"`
}

// DisruptionBudget is a PodDisruptionBudget in numbers, as the disruption controller has them.
type DisruptionBudget struct {
	Namespace          string `json:"namespace"`
	Name               string `json:"name"`
	UID                string `json:"uid,omitempty"`
	DisruptionsAllowed int    `json:"allowed"`
	CurrentHealthy     int    `json:"healthy"`
	DesiredHealthy     int    `json:"desired"`
	ExpectedPods       int    `json:"expected"`
	// MaxUnavailable and MinAvailable are as the budget has them, empty when not.
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	MinAvailable   string `json:"minAvailable,omitempty"`
}

// PodRef names one pod for good: a pod of the same name that is created later has another UID.
type PodRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// FailingPod is a protected pod that is not healthy.
type FailingPod struct {
	PodRef
	// Node is where it is; empty when it has none yet.
	Node string `json:"node,omitempty"`
	// Reason is what the kubelet or the scheduler calls it: ImagePullBackOff, CrashLoopBackOff,
	// Unschedulable.
	Reason string `json:"reason,omitempty"`
	// Owner is the workload that would replace it, as Kind/namespace/name; empty for a bare pod.
	Owner string `json:"owner,omitempty"`
	// NeverStarted is true when none of its containers has run: deleting it takes nothing away. A
	// pod in phase Pending may have running ones.
	NeverStarted bool `json:"allWaiting,omitempty"`
	// Pulls are its images that cannot be pulled.
	Pulls []FailedPull `json:"pulls,omitempty"`
}

// PullCause is why a pull fails.
type PullCause string

// The causes of failed pulls.
const (
	PullMissing     PullCause = "Missing"     // the manifest is not at the mirror
	PullIncomplete  PullCause = "Incomplete"  // the manifest is, a blob or child is not: a node does not fall back then
	PullDenied      PullCause = "Denied"      // credentials
	PullUntrusted   PullCause = "Untrusted"   // the certificate's authority is not trusted
	PullUnreachable PullCause = "Unreachable" // no answer, or none in time
	PullBlocked     PullCause = "Blocked"     // the source is blocked, and no mirror serves it
	PullSignature   PullCause = "Signature"   // the image policy refuses it
	PullThrottled   PullCause = "Throttled"   // too many requests
	PullOther       PullCause = "Other"
)

// FailedPull is an image that a pod waits for.
type FailedPull struct {
	Reference string    `json:"reference"`
	Cause     PullCause `json:"cause"`
	// Endpoint is the location that decides: the mirror that has served the manifest, or should
	// have.
	Endpoint string `json:"endpoint,omitempty"`
	// Message says what the endpoint answers, in a sentence with the node's own words.
	Message string `json:"message,omitempty"`
	// Attempts are all places that the node has asked, in order, the source last; bounded.
	Attempts []PullAttempt `json:"attempts,omitempty"`
	// BlockedBy names what forbids the source to the node, as Kind/name: ImageTagMirrorSet/quay.
	// ShadowedBy names what takes the reference away from a mirror that serves it to nodes that do
	// not have the new configuration yet.
	BlockedBy  string `json:"blockedBy,omitempty"`
	ShadowedBy string `json:"shadowedBy,omitempty"`
	// ProvenAt is when the operator has last proven, with a node's eyes, that the image can be
	// pulled; zero when it never has, or when the last try has failed. Refused is what it was told
	// at that try.
	ProvenAt   time.Time `json:"proven,omitzero"`
	ProofError string    `json:"refused,omitempty"`
}

// PullAttempt is what came of one place that the node has asked.
type PullAttempt struct {
	Endpoint string `json:"endpoint"`
	// Source is true for the place that the reference names itself.
	Source  bool      `json:"source,omitempty"`
	Cause   PullCause `json:"cause"`
	Message string    `json:"message,omitempty"`
}

// blockedDrain is what holds the node, if something is known to.
func (o Observed) blockedDrain(node string) (BlockedDrain, bool) {
	drains, _ := o.BlockedDrains.Get()
	for _, b := range drains {
		if b.Node == node {
			return b, true
		}
	}
	return BlockedDrain{}, false
}

// RootCause is the cause at the end of the chain.
func (o BlockedDrain) RootCause() string {
	if len(o.CauseChain) == 0 {
		return "nothing is known of why"
	}
	return o.CauseChain[len(o.CauseChain)-1].Message
}

// headline is what waits, with the time since when it has.
func (o BlockedDrain) headline() string {
	head := "drain of " + o.Node + " is blocked"
	if len(o.CauseChain) > 0 {
		head = o.CauseChain[0].Message
	}
	if !o.Since.IsZero() {
		head += " since " + o.Since.UTC().Format(time.RFC3339)
	}
	return head
}

// String is the whole chain in one line, from what waits to the cause.
func (o BlockedDrain) String() string {
	out := o.headline()
	for i, l := range o.CauseChain {
		if i > 0 {
			out += " <- " + l.Message
		}
	}
	return out
}

// Summary is the chain with the cause first, so that a column which cuts it off leaves what
// matters: what waits, since when and for what in the end, and then what is in between.
func (o BlockedDrain) Summary() string {
	out := o.headline() + ": " + o.RootCause()
	if len(o.CauseChain) < 3 {
		return out
	}
	out += " (" + o.CauseChain[0].Message
	for _, l := range o.CauseChain[1 : len(o.CauseChain)-1] {
		out += " <- " + l.Message
	}
	return out + ")"
}
