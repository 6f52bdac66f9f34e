package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Snapshot is what was seen of a cluster at one time. The objects in it belong to whoever made it,
// caches for example, and are never changed here.
type Snapshot struct {
	Now time.Time
	// Pools are those whose nodes are drained, with where they are to go.
	Pools []PoolNodes
	// Nodes are all nodes of the cluster, those of no pool too: they can take pods.
	Nodes []*corev1.Node
	Pods  []*corev1.Pod
	// Budgets are all PodDisruptionBudgets.
	Budgets []*policyv1.PodDisruptionBudget
	// Scales are how many pods each controller of pods wants.
	Scales Scales
	// DaemonSets are those that there are, by namespace/name; nil when they were not read, and then
	// each is taken to be there.
	DaemonSets map[string]bool
	// Namespaces are the labels of each namespace.
	Namespaces map[string]map[string]string
	// Volumes say which nodes the volumes of a pod can be used on.
	Volumes Volumes
	// CriticalServices are those that a drain depends on: the mirrors in this cluster, its DNS, the
	// admission webhooks that fail closed, and the operator.
	CriticalServices []CriticalService
	// VMEvictions are the virtual machines of KubeVirt, by namespace/name.
	VMEvictions map[string]VMEviction
	// PullAvailability tells how a node would pull an image that it does not have. Nil means that
	// nothing is known of any.
	PullAvailability func(node *corev1.Node, image string) Availability
	// UnreadKinds says what could not be read; what depends on it is unknown.
	UnreadKinds []UnreadKind
}

// UnreadKind is a kind of which nothing could be read.
type UnreadKind struct {
	Kind, Why string
}

// PoolNodes is a MachineConfigPool as the core sees it, and how its nodes are released.
type PoolNodes struct {
	rollout.Pool
	// Drains is true when the planned change drains the nodes of the pool; one that only reloads
	// moves no pod.
	Drains bool
	// TaintsPendingNodes is true when the nodes that are still to come carry the taint
	// UpdateInProgress while one is drained: so it is when a pool is unpaused for one node. With a
	// target that is written on the node itself nobody taints, and nothing is steered.
	TaintsPendingNodes bool
	// NextReleases are the nodes that the next release can take, where the core knows better than
	// the MCO's order tells: when it names them itself, or takes a few at once. Next[0] is for a
	// release of one node, Next[1] for one of two, and so on to as many as there may be; each has
	// more nodes than that when it is open which of them are taken. Empty when the MCO takes one.
	NextReleases [][]string
}

// taintUpdateInProgress is the taint of the Machine Config Operator on nodes that are still to
// come. Its effect is PreferNoSchedule.
const TaintUpdateInProgress = "UpdateInProgress"

// ImageState is what becomes of an image that is wanted on a node.
type ImageState string

// The fates, the best first.
const (
	// ImageCached is there already.
	ImageCached ImageState = "Cached"
	// ImageVerified has been proven to be pullable under that node's configuration.
	ImageVerified ImageState = "Verified"
	// ImageUnchanged is pulled from where it has always been pulled from: the rollout changes
	// nothing about it.
	ImageUnchanged ImageState = "Unchanged"
	// ImageUnverified is pulled from somewhere else, and nobody has proven that this works.
	ImageUnverified ImageState = "Unverified"
	// ImageUnpullable cannot be pulled.
	ImageUnpullable ImageState = "Lost"
)

// Availability tells whether an image will be there.
type Availability struct {
	State ImageState
	// Endpoint is the reference that is pulled: the one that was proven, or else the first that is
	// tried. Empty when it is cached.
	Endpoint string
	// HasFallback tells whether there are further places at which the node would look.
	HasFallback bool
	// Why says what is wrong, for what is lost or unverified.
	Why string
}
