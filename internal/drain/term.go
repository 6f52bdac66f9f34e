package drain

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// group are pods selected by labels and namespaces.
type group struct {
	selector   labels.Selector
	everywhere bool // in all namespaces
	namespaces map[string]bool
	// on counts its pods that are alive, by the index of their node; nil until it is asked for.
	on map[int]int
}

func (g *group) includes(p *corev1.Pod) bool {
	return (g.everywhere || g.namespaces[p.Namespace]) && g.selector.Matches(labels.Set(p.Labels))
}

// count says where the pods of the group are.
func (g *group) count(c *cluster) map[int]int {
	if g.on != nil {
		return g.on
	}
	g.on = map[int]int{}
	note := func(pods []*pod) {
		for _, p := range pods {
			if p.at != nil && p.DeletionTimestamp == nil && g.selector.Matches(labels.Set(p.Labels)) {
				g.on[p.at.index]++
			}
		}
	}
	if g.everywhere {
		for _, pods := range c.byNamespace {
			note(pods)
		}
		return g.on
	}
	for ns := range g.namespaces {
		note(c.byNamespace[ns])
	}
	return g.on
}

// term is a required affinity or anti-affinity: a group, and the label of nodes that have to be the same, or may not.
type term struct {
	group
	key string
}

func (c *cluster) terms(p *corev1.Pod, list []corev1.PodAffinityTerm) []*term {
	var out []*term
	for i := range list {
		selector, err := metav1.LabelSelectorAsSelector(list[i].LabelSelector)
		if err != nil {
			continue // the scheduler would not place such a pod at all, and the API server does not take it
		}
		t := &term{key: list[i].TopologyKey, group: group{selector: selector, namespaces: map[string]bool{}}}
		for _, ns := range list[i].Namespaces {
			t.namespaces[ns] = true
		}
		t.everywhere = c.inNamespaces(list[i].NamespaceSelector, t.namespaces)
		if len(list[i].Namespaces) == 0 && list[i].NamespaceSelector == nil {
			t.namespaces[p.Namespace] = true
		}
		out = append(out, t)
	}
	return out
}

// inNamespaces adds those that the selector selects. Labels that are not known could be any, and then all are meant.
func (c *cluster) inNamespaces(selector *metav1.LabelSelector, into map[string]bool) (everywhere bool) {
	if selector == nil {
		return false
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false
	}
	if s.Empty() || len(c.s.Namespaces) == 0 {
		return true
	}
	for name, l := range c.s.Namespaces {
		if s.Matches(labels.Set(l)) {
			into[name] = true
		}
	}
	return false
}

// constraint is a topology spread with DoNotSchedule.
type constraint struct {
	group
	key     string
	skew    int
	domains int
	// itself is 1 when the pod counts for its own spread.
	itself int
	// affinity and taints tell whether nodes that the pod cannot go to are left out.
	affinity, taints bool
}

func (c *cluster) constraints(p *corev1.Pod) []*constraint {
	var out []*constraint
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
		k := &constraint{key: s.TopologyKey, skew: int(s.MaxSkew), domains: 1,
			group:    group{selector: selector, namespaces: map[string]bool{p.Namespace: true}},
			affinity: s.NodeAffinityPolicy == nil || *s.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor,
			taints:   s.NodeTaintsPolicy != nil && *s.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor,
		}
		if s.MinDomains != nil {
			k.domains = int(*s.MinDomains)
		}
		k.itself = b2i(selector.Matches(labels.Set(p.Labels)))
		out = append(out, k)
	}
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
