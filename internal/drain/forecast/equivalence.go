package forecast

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// equivalenceClass is what all pods of one kind have in common, as far as the scheduler and the
// kubelet look at it.
type equivalenceClass struct {
	index           int
	sample          *corev1.Pod
	nodeConstraints *nodeConstraints // see shape
	requests        podRequests
	hostPorts       []hostPort
	images          []podImage
	priority        int32
	// antiAffinity and near are its own required anti-affinity and affinity, spread what it must be
	// spread over.
	antiAffinity, affinity []*affinityTerm
	spread                 []*spreadConstraint
	// existing are the anti-affinities of other kinds that keep it away; see
	// existingAntiAffinities.
	existing         []existingAntiAffinity
	existingComputed bool
	// perNode counts the pods of the kind that are alive, by the index of their node.
	perNode map[int]int
}

// existingAntiAffinity is an anti-affinity of another kind: near its pods, as key tells near, the
// pod may not be.
type existingAntiAffinity struct {
	class       *equivalenceClass
	topologyKey string
}

// constraintsOf is made when a pod of the kind has to be placed: those of DaemonSets never are, and
// each names a node of its own.
func (c *cluster) constraintsOf(class *equivalenceClass) *nodeConstraints {
	if class.nodeConstraints == nil {
		class.nodeConstraints = c.evaluateConstraints(class.sample)
	}
	return class.nodeConstraints
}

// existingAntiAffinities are the kinds that keep this one away. Most of the time the kind itself is
// among them, by the same term; that is looked at as its own.
func (c *cluster) existingAntiAffinities(class *equivalenceClass) []existingAntiAffinity {
	if class.existingComputed {
		return class.existing
	}
	class.existingComputed = true
	for _, other := range c.withAntiAffinity {
		if other == class {
			continue
		}
		for _, t := range other.antiAffinity {
			if t.matches(class.sample) {
				class.existing = append(class.existing, existingAntiAffinity{other, t.topologyKey})
			}
		}
	}
	return class.existing
}

// podImage is an image that a pod asks for.
type podImage struct {
	name string
	// pullAlways is true when the registry is asked even if the image is there.
	pullAlways bool
}

func (c *cluster) newClass(p *corev1.Pod) *equivalenceClass {
	class := &equivalenceClass{perNode: map[int]int{}, sample: p, requests: requestsOf(p),
		hostPorts: hostPortsOf(&p.Spec), images: imagesOf(&p.Spec), priority: scheduling.PodPriority(p)}
	if a := p.Spec.Affinity; a != nil {
		if a.PodAntiAffinity != nil {
			class.antiAffinity = c.affinityTerms(p, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAffinity != nil {
			class.affinity = c.affinityTerms(p, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		}
	}
	class.spread = c.spreadConstraints(p)
	return class
}

// imagesOf are the images of all that has to be there before a pod runs.
func imagesOf(s *corev1.PodSpec) []podImage {
	var out []podImage
	add := func(image string, policy corev1.PullPolicy) {
		if image == "" || slices.ContainsFunc(out, func(w podImage) bool { return w.name == image }) {
			return
		}
		always := policy == corev1.PullAlways ||
			(policy == "" && (strings.HasSuffix(image, ":latest") || untagged(image)))
		out = append(out, podImage{image, always})
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

// nodeConstraints is what decides on which nodes a pod may run, whoever else is there: selector,
// node affinity and tolerations. Thousands of pods have a few dozen shapes.
type nodeConstraints struct {
	// reasons is empty for the nodes on which the pod may run, by the node's index.
	reasons []string
	// avoidsPending tells whether the pod is steered away by the taint of nodes that are still to
	// come.
	avoidsPending bool
}

func (c *cluster) evaluateConstraints(p *corev1.Pod) *nodeConstraints {
	var affinity *corev1.NodeAffinity
	if p.Spec.Affinity != nil {
		affinity = p.Spec.Affinity.NodeAffinity
	}
	key, err := json.Marshal([]any{p.Spec.NodeSelector, affinity, p.Spec.Tolerations})
	if err != nil {
		key = fmt.Appendf(nil, "%p", p)
	}
	if s, ok := c.constraints[string(key)]; ok {
		return s
	}
	s := &nodeConstraints{reasons: make([]string, len(c.nodes)),
		avoidsPending: !drain.ToleratesTaint(p, &corev1.Taint{Key: drain.TaintUpdateInProgress,
			Effect: corev1.TaintEffectPreferNoSchedule})}
	required := nodeaffinity.GetRequiredNodeAffinity(p)
	for i, n := range c.nodes {
		s.reasons[i] = nodeFilterReason(p, n, required)
	}
	c.constraints[string(key)] = s
	return s
}

// FilterReason says why a node by itself does not take the pod, whatever else is on it; empty when
// it takes it: it is not Ready, cordoned, not selected, or has a taint that the pod does not
// tolerate.
func FilterReason(p *corev1.Pod, n *corev1.Node) string {
	return nodeFilterReason(p, &nodeInfo{Node: n, usable: usable(n)}, nodeaffinity.GetRequiredNodeAffinity(p))
}

// SharePort tells whether the pods ask for one port of the node, so that no node takes both.
func SharePort(a, b *corev1.Pod) bool {
	return hostPortConflict(hostPortsOf(&a.Spec), hostPortsOf(&b.Spec)) != ""
}

// nodeFilterReason says why the pod may not run on the node; empty when it may. A cordon is a taint
// to the scheduler.
func nodeFilterReason(p *corev1.Pod, n *nodeInfo, required nodeaffinity.RequiredNodeAffinity) string {
	if !n.usable {
		return "not Ready"
	}
	if n.Spec.Unschedulable && !drain.ToleratesTaint(p,
		&corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}) {
		return "cordoned"
	}
	if ok, err := required.Match(n.Node); err != nil || !ok {
		return "not selected by its node selector or affinity"
	}
	if taint, found := scheduling.FindMatchingUntoleratedTaint(klog.Logger{}, n.Spec.Taints, p.Spec.Tolerations,
		drain.PreventsScheduling, false); found {
		if taint.Key == corev1.TaintNodeUnschedulable {
			return "cordoned"
		}
		return "taint " + taint.Key
	}
	return ""
}

// cannotReturnReason says why a pod of this kind could not go back to the node once its drain is
// over and it is uncordoned; empty when it could.
func (c *cluster) cannotReturnReason(class *equivalenceClass, n *nodeInfo) string {
	why := c.constraintsOf(class).reasons[n.index]
	if why != "cordoned" {
		return why
	}
	uncordoned := n.DeepCopy()
	uncordoned.Spec.Unschedulable = false
	uncordoned.Spec.Taints = slices.DeleteFunc(uncordoned.Spec.Taints,
		func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
	return nodeFilterReason(class.sample, &nodeInfo{Node: uncordoned, usable: n.usable},
		nodeaffinity.GetRequiredNodeAffinity(class.sample))
}
