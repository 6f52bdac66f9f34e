package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Snapshot is what was seen of a cluster at one time. The objects in it belong to whoever made it, caches for example, and are never
// changed here.
type Snapshot struct {
	Now time.Time
	// Pools are those whose nodes are drained, with where they are to go.
	Pools []Pool
	// Nodes are all nodes of the cluster, those of no pool too: they can take pods.
	Nodes []*corev1.Node
	Pods  []*corev1.Pod
	// Budgets are all PodDisruptionBudgets.
	Budgets []*policyv1.PodDisruptionBudget
	// Scales are how many pods each controller of pods wants.
	Scales Scales
	// DaemonSets are those that there are, by namespace/name; nil when they were not read, and then each is taken to be there.
	DaemonSets map[string]bool
	// Namespaces are the labels of each namespace.
	Namespaces map[string]map[string]string
	// Volumes say which nodes the volumes of a pod can be used on.
	Volumes Volumes
	// Services are those that a drain depends on: the mirrors in this cluster, its DNS, the admission webhooks that fail closed, and the
	// operator.
	Services []Service
	// Machines are the virtual machines of KubeVirt, by namespace/name.
	Machines map[string]Machine
	// Pulls tells how a node would pull an image that it does not have. Nil means that nothing is known of any.
	Pulls func(node *corev1.Node, image string) Availability
	// Unseen says what could not be read; what depends on it is unknown.
	Unseen []Unseen
}

// Unseen is a kind of which nothing could be read.
type Unseen struct {
	Kind, Why string
}

// Pool is a MachineConfigPool as the core sees it, and how its nodes are released.
type Pool struct {
	rollout.Pool
	// Drains is true when the planned change drains the nodes of the pool; one that only reloads moves no pod.
	Drains bool
	// Steered is true when the nodes that are still to come carry the taint UpdateInProgress while one is drained: so it is when a pool
	// is unpaused for one node. With a target that is written on the node itself nobody taints, and nothing is steered.
	Steered bool
	// Next are the nodes that the next release can take, where the core knows better than the MCO's order tells: when it names them itself,
	// or takes a few at once. Next[0] is for a release of one node, Next[1] for one of two, and so on to as many as there may be; each has
	// more nodes than that when it is open which of them are taken. Empty when the MCO takes one.
	Next [][]string
}

// updateInProgress is the taint of the Machine Config Operator on nodes that are still to come. Its effect is PreferNoSchedule.
const updateInProgress = "UpdateInProgress"

// Fate is what becomes of an image that is wanted on a node.
type Fate string

// The fates, the best first.
const (
	// FateCached is there already.
	FateCached Fate = "Cached"
	// FateVerified has been proven to be pullable under that node's configuration.
	FateVerified Fate = "Verified"
	// FateUnchanged is pulled from where it has always been pulled from: the rollout changes nothing about it.
	FateUnchanged Fate = "Unchanged"
	// FateUnverified is pulled from somewhere else, and nobody has proven that this works.
	FateUnverified Fate = "Unverified"
	// FateLost cannot be pulled.
	FateLost Fate = "Lost"
)

// Availability tells whether an image will be there.
type Availability struct {
	Fate Fate
	// Endpoint is the reference that is pulled: the one that was proven, or else the first that is tried. Empty when it is cached.
	Endpoint string
	// Others tells whether there are further places at which the node would look.
	Others bool
	// Why says what is wrong, for what is lost or unverified.
	Why string
}
