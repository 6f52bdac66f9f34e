package forecast

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// cluster is a snapshot that is ready to be asked: who is where, what each pod needs and what each
// node has left. It is built once; what is found out of a kind of pod is kept.
type cluster struct {
	snapshot *drain.Snapshot
	budgets  *drain.Budgets
	nodes    []*nodeInfo
	byName   map[string]*nodeInfo
	pods     []*pod
	// byNamespace are the pods that are alive.
	byNamespace map[string][]*pod
	classes     map[classKey]*equivalenceClass
	constraints map[string]*nodeConstraints
	// withAntiAffinity are the kinds of pods that keep others away by anti-affinity.
	withAntiAffinity []*equivalenceClass
	// failingImages are the images that some pod waits for in vain, with that pod.
	failingImages map[string]*pod
}

// nodeInfo is a node.
type nodeInfo struct {
	*corev1.Node
	index int
	// pool is nil for a node that is in none of the pools.
	pool *drain.PoolNodes
	// state is the node as the MCO sees it; only of nodes in a pool.
	state rollout.Node
	// usable tells whether new pods can start there at all.
	usable    bool
	pods      []*pod
	images    map[string]bool // the names of the images there
	free      freeResources
	hostPorts []hostPort
}

// pod is a pod, with what all pods of its kind have in common.
type pod struct {
	*corev1.Pod
	*equivalenceClass
	node   *nodeInfo // nil while it has no node
	action drain.FilterAction
}

func (p *pod) String() string { return p.Namespace + "/" + p.Name }

// withNode names the pod and its node.
func (p *pod) withNode() string {
	if p.node == nil {
		return p.String() + " (on no node yet)"
	}
	return p.String() + " on " + p.node.Name
}

func newCluster(s *drain.Snapshot) *cluster {
	c := &cluster{
		snapshot: s, budgets: drain.NewBudgets(s.Budgets, s.Pods, s.Scales, s.Now),
		byName:      make(map[string]*nodeInfo, len(s.Nodes)),
		byNamespace: map[string][]*pod{}, classes: map[classKey]*equivalenceClass{},
		constraints: map[string]*nodeConstraints{}, failingImages: map[string]*pod{},
	}
	for i, n := range s.Nodes {
		p := &nodeInfo{Node: n, index: i, usable: usable(n), images: map[string]bool{}, free: allocatableOf(n)}
		for _, image := range n.Status.Images {
			for _, name := range image.Names {
				p.images[name] = true
			}
		}
		c.nodes, c.byName[n.Name] = append(c.nodes, p), p
	}
	for i := range s.Pools {
		for _, v := range s.Pools[i].Nodes {
			if p := c.byName[v.Name]; p != nil {
				p.pool, p.state = &s.Pools[i], v
			}
		}
	}
	for _, p := range s.Pods {
		c.add(p)
	}
	for _, class := range c.classes {
		if len(class.antiAffinity) > 0 {
			c.withAntiAffinity = append(c.withAntiAffinity, class)
		}
	}
	slices.SortFunc(c.withAntiAffinity, func(a, b *equivalenceClass) int { return a.index - b.index })
	return c
}

// usable: a pod that tolerates everything may be put on a node that is down, and would not become
// ready there.
func usable(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return false
		}
	}
	return n.DeletionTimestamp == nil
}

func (c *cluster) add(p *corev1.Pod) {
	q := &pod{Pod: p, equivalenceClass: c.classOf(p), node: c.byName[p.Spec.NodeName],
		action: drain.FilterActionOf(p, c.daemonSetGone)}
	c.pods = append(c.pods, q)
	if drain.IsPodTerminal(p) {
		if q.node != nil {
			q.node.pods = append(q.node.pods, q) // it takes no room, but the drain deletes it
		}
		return
	}
	c.byNamespace[p.Namespace] = append(c.byNamespace[p.Namespace], q)
	c.recordImages(q)
	if q.node == nil {
		return
	}
	q.node.pods = append(q.node.pods, q)
	q.node.free.subtract(q.requests)
	q.node.hostPorts = append(q.node.hostPorts, q.hostPorts...)
	q.perNode[q.node.index]++
}

// recordImages: what runs on a node is there, under the name by which the pod asks for it. What a
// pod waits for in vain may not be anywhere.
func (c *cluster) recordImages(q *pod) {
	note := func(containers []corev1.Container, statuses []corev1.ContainerStatus) {
		for i := range statuses {
			s := &statuses[i]
			k := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == s.Name })
			switch {
			case k < 0:
			case s.State.Waiting != nil && imagePullReasons[s.State.Waiting.Reason]:
				if c.failingImages[containers[k].Image] == nil {
					c.failingImages[containers[k].Image] = q
				}
			case q.node != nil && (s.State.Running != nil || s.ImageID != ""):
				q.node.images[containers[k].Image] = true
			}
		}
	}
	note(q.Spec.InitContainers, q.Status.InitContainerStatuses)
	note(q.Spec.Containers, q.Status.ContainerStatuses)
	if q.node != nil && drain.IsPodReady(q.Pod) {
		for _, w := range q.images {
			q.node.images[w.name] = true
		}
	}
}

// imagePullReasons are what a kubelet calls it when an image does not come.
var imagePullReasons = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "RegistryUnavailable": true, "SignatureValidationFailed": true,
	"ErrImageNeverPull": true,
}

func (c *cluster) daemonSetGone(p *corev1.Pod) bool {
	owner := metav1.GetControllerOf(p)
	return c.snapshot.DaemonSets != nil && owner != nil && !c.snapshot.DaemonSets[p.Namespace+"/"+owner.Name]
}

// classKey tells kinds of pods apart: the pods of one ReplicaSet, or of one revision of a
// StatefulSet, are alike. One that nobody owns is a kind of its own.
type classKey struct {
	owner    types.UID
	revision string
	bare     *corev1.Pod
}

func (c *cluster) classOf(p *corev1.Pod) *equivalenceClass {
	key := classKey{bare: p}
	if owner := metav1.GetControllerOf(p); owner != nil && owner.UID != "" {
		key = classKey{owner: owner.UID, revision: p.Labels["controller-revision-hash"]}
	}
	class, ok := c.classes[key]
	if !ok {
		class = c.newClass(p)
		class.index = len(c.classes)
		c.classes[key] = class
	}
	return class
}
