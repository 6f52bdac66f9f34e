package drain

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// vitals are what serves something that a drain itself depends on: a mirror, the cluster's DNS, an admission webhook that fails closed,
// this operator. If all that serves it is on the node that is drained, it has to come up elsewhere without itself.
//
// Example: the mirror runs as one pod on worker-2, with the mirror as the only place its own image comes from. The drain of worker-2
// evicts it, its replacement needs an image that nobody serves, and so does every other pod that was evicted.

// serving are the service's pods that are ready.
func (c *cluster) serving(v *Service) []*pod {
	var out []*pod
	for _, p := range c.byNamespace[v.Namespace] {
		if Ready(p.Pod) && p.DeletionTimestamp == nil && v.Pods != nil && v.Pods.Matches(labels.Set(p.Labels)) {
			out = append(out, p)
		}
	}
	return out
}

// only are the pods of the service, when all of them leave with this drain.
func (t *trial) only(v *Service) []*pod {
	pods := t.serving(v)
	if len(pods) == 0 || slices.ContainsFunc(pods, func(p *pod) bool { return !t.drained(p.at) || p.fare == Stays }) {
		return nil
	}
	return pods
}

// listed names the pods that serve something: a, or a and b.
func listed(pods []*pod, name func(*pod) string) string {
	list := make([]string, 0, len(pods))
	for _, p := range pods {
		list = append(list, name(p))
	}
	slices.Sort(list)
	if len(list) == 2 {
		return list[0] + " and " + list[1]
	}
	return few(list, 3)
}

// vital tells whether the pod serves something that a drain depends on.
func (t *trial) vital(p *pod) bool {
	return slices.ContainsFunc(t.s.Services, func(v Service) bool {
		return v.Namespace == p.Namespace && v.Pods != nil && v.Pods.Matches(labels.Set(p.Labels))
	})
}

// registries finds the mirrors that nobody serves while the node is away, before anything is placed: what comes from them cannot be
// pulled meanwhile.
func (t *trial) registries() {
	for i := range t.s.Services {
		v := &t.s.Services[i]
		if v.Role != RoleRegistry {
			continue
		}
		pods := t.only(v)
		if len(pods) == 0 {
			continue
		}
		leave := "which leaves"
		if len(pods) > 1 {
			leave = "which leave"
		}
		reason := fmt.Sprintf("%s is served by %s only, %s %s with this drain", v.Host, listed(pods, (*pod).String), leave, t.where())
		preferred, others, why := t.places(pods[0])
		places := append(slices.Clone(preferred), others...)
		if len(places) == 0 {
			t.down[v.Host] = reason
			t.note(remark, v.Kind, v.Namespace, v.Name, fmt.Sprintf("mirror %s is away while %s is drained: %s has no other node to go to (%s)", v.Host, t.where(), pods[0], t.reasons(why)))
			continue
		}
		t.down[v.Host] = reason
		if t.startsAnywhere(pods[0], places) {
			delete(t.down, v.Host)
			t.note(remark, v.Kind, v.Namespace, v.Name, fmt.Sprintf("mirror %s is away for the time that %s takes to start elsewhere", v.Host, pods[0]))
			continue
		}
		t.note(blocks, v.Kind, v.Namespace, v.Name, fmt.Sprintf(
			"mirror %s runs as pod %s only, and that could not start elsewhere: its own image comes from itself, or cannot be pulled; "+
				"run a second one on another node, or keep its image there", v.Host, listed(pods, (*pod).on)))
	}
}

// startsAnywhere tells whether all images of the pod are there, or can be had, on at least one of the places.
func (t *trial) startsAnywhere(p *pod, places []*place) bool {
	return slices.ContainsFunc(places, func(n *place) bool {
		return !slices.ContainsFunc(p.images, func(w wanted) bool {
			f := t.fate(n, w).Fate
			return f == FateLost || f == FateUnverified
		})
	})
}

// services judges the others, after it is known what became of their pods.
func (t *trial) services() {
	for i := range t.s.Services {
		v := &t.s.Services[i]
		switch v.Role {
		case RoleAdmission:
			t.admission(v)
		case RoleDNS:
			t.needed(v, "pods find no names while it is away")
		case RoleOperator:
			t.needed(v, "nobody would lead the rollout until then")
		case RoleRegistry:
		}
	}
}

// admission judges a webhook that fails closed (R13).
func (t *trial) admission(v *Service) {
	if v.Pods == nil {
		return
	}
	asked := func(n *place) bool {
		return slices.ContainsFunc(n.pods, func(p *pod) bool { return (p.fare == Moves || p.fare == Lost) && v.asks(p.Pod, t.s.Namespaces) })
	}
	if !slices.ContainsFunc(t.set, asked) {
		return
	}
	effect := "no pod that it is asked about can be created"
	if !v.Creates {
		effect = "no pod that it is asked about can be evicted"
	}
	if len(t.serving(v)) == 0 {
		t.note(blocks, v.Kind, v.Namespace, v.Name, fmt.Sprintf("%s %s fails closed, and none of its pods in namespace %s is ready: %s", v.Kind, v.Name, v.Namespace, effect))
		return
	}
	pods := t.only(v)
	if len(pods) == 0 {
		return
	}
	if v.Creates && v.asks(pods[0].Pod, t.s.Namespaces) {
		t.note(blocks, v.Kind, v.Namespace, v.Name, fmt.Sprintf(
			"%s %s fails closed, is asked about its own pods, and is served by %s only: once that is evicted no replacement can be created; "+
				"run a second pod of it on another node, or leave its namespace out of its namespaceSelector", v.Kind, v.Name, listed(pods, (*pod).on)))
		return
	}
	t.needed(v, effect)
}

// needed judges a service of which all pods leave with the node: it has to come up elsewhere.
func (t *trial) needed(v *Service, effect string) {
	pods := t.only(v)
	if len(pods) == 0 {
		return
	}
	end := outcome{nowhere: true}
	for _, p := range pods {
		e, evicted := t.ends[p]
		if !evicted {
			return // its budget keeps it, and that is said
		}
		end.nowhere, end.sound = end.nowhere && e.nowhere, end.sound || e.sound && !e.nowhere
	}
	switch {
	case end.nowhere:
		t.note(blocks, v.Kind, v.Namespace, v.Name, fmt.Sprintf("%s %s is served by %s only, which has no other node to go to: %s; run a second pod of it on another node",
			v.Kind, v.Name, listed(pods, (*pod).on), effect))
	case !end.sound:
		t.note(blocks, v.Kind, v.Namespace, v.Name, fmt.Sprintf("%s %s is served by %s only, whose images are not all there elsewhere: %s", v.Kind, v.Name, listed(pods, (*pod).on), effect))
	default:
		t.note(remark, v.Kind, v.Namespace, v.Name, fmt.Sprintf("%s %s moves from %s, and until it is ready elsewhere %s", v.Kind, v.Name, listed(pods, (*pod).on), effect))
	}
}
