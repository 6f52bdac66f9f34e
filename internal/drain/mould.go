package drain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// mould is what all pods of one kind have in common, as far as the scheduler and the kubelet look at it.
type mould struct {
	number   int
	sample   *corev1.Pod
	form     *shape // see shape
	needs    needs
	ports    []port
	images   []wanted
	priority int32
	// apart and near are its own required anti-affinity and affinity, spread what it must be spread over.
	apart, near []*term
	spread      []*constraint
	// shunned are the anti-affinities of other kinds that keep it away; see shunnedBy.
	shunned     []shun
	shunnedDone bool
	// at counts the pods of the kind that are alive, by the index of their node.
	at map[int]int
}

// shun is an anti-affinity of another kind: near its pods, as key tells near, the pod may not be.
type shun struct {
	by  *mould
	key string
}

// shape is made when a pod of the kind has to be placed: those of DaemonSets never are, and each names a node of its own.
func (c *cluster) shape(m *mould) *shape {
	if m.form == nil {
		m.form = c.shapeOf(m.sample)
	}
	return m.form
}

// shunnedBy are the kinds that keep this one away. Most of the time the kind itself is among them, by the same term; that is looked at
// as its own.
func (c *cluster) shunnedBy(m *mould) []shun {
	if m.shunnedDone {
		return m.shunned
	}
	m.shunnedDone = true
	for _, other := range c.repelling {
		if other == m {
			continue
		}
		for _, t := range other.apart {
			if t.includes(m.sample) {
				m.shunned = append(m.shunned, shun{other, t.key})
			}
		}
	}
	return m.shunned
}

// wanted is an image that a pod asks for.
type wanted struct {
	name string
	// always is true when the registry is asked even if the image is there.
	always bool
}

func (c *cluster) newMould(p *corev1.Pod) *mould {
	m := &mould{at: map[int]int{}, sample: p, needs: needsOf(p), ports: portsOf(&p.Spec), images: imagesOf(&p.Spec), priority: scheduling.PodPriority(p)}
	if a := p.Spec.Affinity; a != nil {
		if a.PodAntiAffinity != nil {
			m.apart = c.terms(p, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAffinity != nil {
			m.near = c.terms(p, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
	}
	m.spread = c.constraints(p)
	return m
}

// imagesOf are the images of all that has to be there before a pod runs.
func imagesOf(s *corev1.PodSpec) []wanted {
	var out []wanted
	add := func(image string, policy corev1.PullPolicy) {
		if image == "" || slices.ContainsFunc(out, func(w wanted) bool { return w.name == image }) {
			return
		}
		always := policy == corev1.PullAlways || (policy == "" && (strings.HasSuffix(image, ":latest") || untagged(image)))
		out = append(out, wanted{image, always})
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			add(list[i].Image, list[i].ImagePullPolicy)
		}
	}
	for i := range s.Volumes {
		if v := s.Volumes[i].Image; v != nil {
			add(v.Reference, v.PullPolicy)
		}
	}
	return out
}

func untagged(image string) bool {
	return !strings.Contains(image, "@") && !strings.Contains(image[strings.LastIndex(image, "/")+1:], ":")
}

// shape is what decides on which nodes a pod may run, whoever else is there: selector, node affinity and tolerations. Thousands of
// pods have a few dozen shapes.
type shape struct {
	// why is empty for the nodes on which the pod may run, by the node's index.
	why []string
	// steered tells whether the pod is steered away by the taint of nodes that are still to come.
	steered bool
}

func (c *cluster) shapeOf(p *corev1.Pod) *shape {
	var affinity *corev1.NodeAffinity
	if p.Spec.Affinity != nil {
		affinity = p.Spec.Affinity.NodeAffinity
	}
	key, err := json.Marshal([]any{p.Spec.NodeSelector, affinity, p.Spec.Tolerations})
	if err != nil {
		key = fmt.Appendf(nil, "%p", p)
	}
	if s, ok := c.shapes[string(key)]; ok {
		return s
	}
	s := &shape{why: make([]string, len(c.nodes)), steered: !tolerates(p, &corev1.Taint{Key: updateInProgress, Effect: corev1.TaintEffectPreferNoSchedule})}
	required := nodeaffinity.GetRequiredNodeAffinity(p)
	for i, n := range c.nodes {
		s.why[i] = unfit(p, n, required)
	}
	c.shapes[string(key)] = s
	return s
}

// FilterReason says why a node by itself does not take the pod, whatever else is on it; empty when it takes it: it is not Ready, cordoned,
// not selected, or has a taint that the pod does not tolerate.
func FilterReason(p *corev1.Pod, n *corev1.Node) string {
	return unfit(p, &place{Node: n, usable: usable(n)}, nodeaffinity.GetRequiredNodeAffinity(p))
}

// SharePort tells whether the pods ask for one port of the node, so that no node takes both.
func SharePort(a, b *corev1.Pod) bool { return taken(portsOf(&a.Spec), portsOf(&b.Spec)) != "" }

// unfit says why the pod may not run on the node; empty when it may. A cordon is a taint to the scheduler.
func unfit(p *corev1.Pod, n *place, required nodeaffinity.RequiredNodeAffinity) string {
	if !n.usable {
		return "not Ready"
	}
	if n.Spec.Unschedulable && !tolerates(p, &corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}) {
		return "cordoned"
	}
	if ok, err := required.Match(n.Node); err != nil || !ok {
		return "not selected by its node selector or affinity"
	}
	if taint, found := scheduling.FindMatchingUntoleratedTaint(klog.Logger{}, n.Spec.Taints, p.Spec.Tolerations, repelling, false); found {
		if taint.Key == corev1.TaintNodeUnschedulable {
			return "cordoned"
		}
		return "taint " + taint.Key
	}
	return ""
}

func repelling(t *corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
}

func tolerates(p *corev1.Pod, t *corev1.Taint) bool { return Tolerates(p.Spec.Tolerations, t) }

// Tolerates tells whether the tolerations let a pod come to a node with the taint, as the scheduler does.
func Tolerates(list []corev1.Toleration, t *corev1.Taint) bool {
	return scheduling.TolerationsTolerateTaint(klog.Logger{}, list, t, false)
}

// returns says why a pod of this kind could not go back to the node once its drain is over and it is uncordoned; empty when it could.
func (c *cluster) returns(m *mould, n *place) string {
	why := c.shape(m).why[n.index]
	if why != "cordoned" {
		return why
	}
	free := n.DeepCopy()
	free.Spec.Unschedulable = false
	free.Spec.Taints = slices.DeleteFunc(free.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
	return unfit(m.sample, &place{Node: free, usable: n.usable}, nodeaffinity.GetRequiredNodeAffinity(m.sample))
}
