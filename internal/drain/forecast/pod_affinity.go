package forecast

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// podGroup are pods selected by labels and namespaces.
type podGroup struct {
	selector      labels.Selector
	allNamespaces bool // in all namespaces
	namespaces    map[string]bool
	// perNode counts its pods that are alive, by the index of their node; nil until it is asked
	// for.
	perNode map[int]int
}

func (g *podGroup) matches(p *corev1.Pod) bool {
	return (g.allNamespaces || g.namespaces[p.Namespace]) && g.selector.Matches(labels.Set(p.Labels))
}

// countPerNode says where the pods of the group are.
func (g *podGroup) countPerNode(c *cluster) map[int]int {
	if g.perNode != nil {
		return g.perNode
	}
	g.perNode = map[int]int{}
	note := func(pods []*pod) {
		for _, p := range pods {
			if p.node != nil && p.DeletionTimestamp == nil && g.selector.Matches(labels.Set(p.Labels)) {
				g.perNode[p.node.index]++
			}
		}
	}
	if g.allNamespaces {
		for _, pods := range c.byNamespace {
			note(pods)
		}
		return g.perNode
	}
	for ns := range g.namespaces {
		note(c.byNamespace[ns])
	}
	return g.perNode
}

// affinityTerm is a required affinity or anti-affinity: a group, and the label of nodes that have
// to be the same, or may not.
type affinityTerm struct {
	podGroup
	topologyKey string
}

func (c *cluster) affinityTerms(p *corev1.Pod, list []corev1.PodAffinityTerm) []*affinityTerm {
	var out []*affinityTerm
	for i := range list {
		selector, err := metav1.LabelSelectorAsSelector(list[i].LabelSelector)
		if err != nil {
			continue // the scheduler would not place such a pod at all, and the API server does not take it
		}
		t := &affinityTerm{topologyKey: list[i].TopologyKey,
			podGroup: podGroup{selector: selector, namespaces: map[string]bool{}}}
		for _, ns := range list[i].Namespaces {
			t.namespaces[ns] = true
		}
		t.allNamespaces = c.addSelectedNamespaces(list[i].NamespaceSelector, t.namespaces)
		if len(list[i].Namespaces) == 0 && list[i].NamespaceSelector == nil {
			t.namespaces[p.Namespace] = true
		}
		out = append(out, t)
	}
	return out
}

// addSelectedNamespaces adds those that the selector selects. Labels that are not known could be
// any, and then all are meant.
func (c *cluster) addSelectedNamespaces(selector *metav1.LabelSelector, into map[string]bool) (allNamespaces bool) {
	if selector == nil {
		return false
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false
	}
	if s.Empty() || len(c.snapshot.Namespaces) == 0 {
		return true
	}
	for name, l := range c.snapshot.Namespaces {
		if s.Matches(labels.Set(l)) {
			into[name] = true
		}
	}
	return false
}

// spreadConstraint is a topology spread with DoNotSchedule.
type spreadConstraint struct {
	podGroup
	topologyKey string
	maxSkew     int
	minDomains  int
	// selfMatch is 1 when the pod counts for its own spread.
	selfMatch int
	// honorAffinity and taints tell whether nodes that the pod cannot go to are left out.
	honorAffinity, honorTaints bool
}

func (c *cluster) spreadConstraints(p *corev1.Pod) []*spreadConstraint {
	var out []*spreadConstraint
	for i := range p.Spec.TopologySpreadConstraints {
		s := &p.Spec.TopologySpreadConstraints[i]
		if s.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(s.LabelSelector)
		if err != nil {
			continue
		}
		for _, key := range s.MatchLabelKeys {
			if v, ok := p.Labels[key]; ok {
				if r, err := labels.NewRequirement(key, "in", []string{v}); err == nil {
					selector = selector.Add(*r)
				}
			}
		}
		k := &spreadConstraint{topologyKey: s.TopologyKey, maxSkew: int(s.MaxSkew), minDomains: 1,
			podGroup:      podGroup{selector: selector, namespaces: map[string]bool{p.Namespace: true}},
			honorAffinity: s.NodeAffinityPolicy == nil || *s.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor,
			honorTaints:   s.NodeTaintsPolicy != nil && *s.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor,
		}
		if s.MinDomains != nil {
			k.minDomains = int(*s.MinDomains)
		}
		k.selfMatch = boolToInt(selector.Matches(labels.Set(p.Labels)))
		out = append(out, k)
	}
	return out
}
