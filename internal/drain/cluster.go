package drain

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// cluster is a snapshot that is ready to be asked: who is where, what each pod needs and what each node has left. It is built once; what
// is found out of a kind of pod is kept.
type cluster struct {
	s       *Snapshot
	budgets *Budgets
	nodes   []*place
	byName  map[string]*place
	pods    []*pod
	// byNamespace are the pods that are alive.
	byNamespace map[string][]*pod
	moulds      map[mouldKey]*mould
	shapes      map[string]*shape
	// repelling are the kinds of pods that keep others away by anti-affinity.
	repelling []*mould
	// failing are the images that some pod waits for in vain, with that pod.
	failing map[string]*pod
}

// place is a node.
type place struct {
	*corev1.Node
	index int
	// pool is nil for a node that is in none of the pools.
	pool *Pool
	// view is the node as the MCO sees it; only of nodes in a pool.
	view rollout.Node
	// usable tells whether new pods can start there at all.
	usable bool
	pods   []*pod
	has    map[string]bool // the names of the images there
	room   room
	ports  []port
}

// pod is a pod, with what all pods of its kind have in common.
type pod struct {
	*corev1.Pod
	*mould
	at   *place // nil while it has no node
	fare Fare
}

func (p *pod) String() string { return p.Namespace + "/" + p.Name }

// on names the pod and its node.
func (p *pod) on() string {
	if p.at == nil {
		return p.String() + " (on no node yet)"
	}
	return p.String() + " on " + p.at.Name
}

func newCluster(s *Snapshot) *cluster {
	c := &cluster{
		s: s, budgets: NewBudgets(s.Budgets, s.Pods, s.Scales, s.Now), byName: make(map[string]*place, len(s.Nodes)),
		byNamespace: map[string][]*pod{}, moulds: map[mouldKey]*mould{}, shapes: map[string]*shape{}, failing: map[string]*pod{},
	}
	for i, n := range s.Nodes {
		p := &place{Node: n, index: i, usable: usable(n), has: map[string]bool{}, room: roomOf(n)}
		for _, image := range n.Status.Images {
			for _, name := range image.Names {
				p.has[name] = true
			}
		}
		c.nodes, c.byName[n.Name] = append(c.nodes, p), p
	}
	for i := range s.Pools {
		for _, v := range s.Pools[i].Nodes {
			if p := c.byName[v.Name]; p != nil {
				p.pool, p.view = &s.Pools[i], v
			}
		}
	}
	for _, p := range s.Pods {
		c.add(p)
	}
	for _, m := range c.moulds {
		if len(m.apart) > 0 {
			c.repelling = append(c.repelling, m)
		}
	}
	slices.SortFunc(c.repelling, func(a, b *mould) int { return a.number - b.number })
	return c
}

// usable: a pod that tolerates everything may be put on a node that is down, and would not become ready there.
func usable(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return false
		}
	}
	return n.DeletionTimestamp == nil
}

func (c *cluster) add(p *corev1.Pod) {
	q := &pod{Pod: p, mould: c.mouldOf(p), at: c.byName[p.Spec.NodeName], fare: FareOf(p, c.orphan)}
	c.pods = append(c.pods, q)
	if Ended(p) {
		if q.at != nil {
			q.at.pods = append(q.at.pods, q) // it takes no room, but the drain deletes it
		}
		return
	}
	c.byNamespace[p.Namespace] = append(c.byNamespace[p.Namespace], q)
	c.noteImages(q)
	if q.at == nil {
		return
	}
	q.at.pods = append(q.at.pods, q)
	q.at.room.take(q.needs)
	q.at.ports = append(q.at.ports, q.ports...)
	q.mould.at[q.at.index]++
}

// noteImages: what runs on a node is there, under the name by which the pod asks for it. What a pod waits for in vain may not be
// anywhere.
func (c *cluster) noteImages(q *pod) {
	note := func(containers []corev1.Container, statuses []corev1.ContainerStatus) {
		for i := range statuses {
			s := &statuses[i]
			k := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == s.Name })
			switch {
			case k < 0:
			case s.State.Waiting != nil && pullReasons[s.State.Waiting.Reason]:
				if c.failing[containers[k].Image] == nil {
					c.failing[containers[k].Image] = q
				}
			case q.at != nil && (s.State.Running != nil || s.ImageID != ""):
				q.at.has[containers[k].Image] = true
			}
		}
	}
	note(q.Spec.InitContainers, q.Status.InitContainerStatuses)
	note(q.Spec.Containers, q.Status.ContainerStatuses)
	if q.at != nil && Ready(q.Pod) {
		for _, w := range q.images {
			q.at.has[w.name] = true
		}
	}
}

// pullReasons are what a kubelet calls it when an image does not come.
var pullReasons = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "RegistryUnavailable": true, "SignatureValidationFailed": true, "ErrImageNeverPull": true,
}

func (c *cluster) orphan(p *corev1.Pod) bool {
	owner := metav1.GetControllerOf(p)
	return c.s.DaemonSets != nil && owner != nil && !c.s.DaemonSets[p.Namespace+"/"+owner.Name]
}

// mouldKey tells kinds of pods apart: the pods of one ReplicaSet, or of one revision of a StatefulSet, are alike. One that nobody owns
// is a kind of its own.
type mouldKey struct {
	owner    types.UID
	revision string
	alone    *corev1.Pod
}

func (c *cluster) mouldOf(p *corev1.Pod) *mould {
	key := mouldKey{alone: p}
	if owner := metav1.GetControllerOf(p); owner != nil && owner.UID != "" {
		key = mouldKey{owner: owner.UID, revision: p.Labels["controller-revision-hash"]}
	}
	m, ok := c.moulds[key]
	if !ok {
		m = c.newMould(p)
		m.number = len(c.moulds)
		c.moulds[key] = m
	}
	return m
}
