package forecast

import (
	"fmt"
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"k8s.io/apimachinery/pkg/labels"
)

// vitals are what serves something that a drain itself depends on: a mirror, the cluster's DNS, an
// admission webhook that fails closed, this operator. If all that serves it is on the node that is
// drained, it has to come up elsewhere without itself.
//
// Example: the mirror runs as one pod on worker-2, with the mirror as the only place its own image
// comes from. The drain of worker-2 evicts it, its replacement needs an image that nobody serves,
// and so does every other pod that was evicted.

// readyBackends are the service's pods that are ready.
func (c *cluster) readyBackends(svc *drain.CriticalService) []*pod {
	var out []*pod
	for _, p := range c.byNamespace[svc.Namespace] {
		if drain.IsPodReady(p.Pod) && p.DeletionTimestamp == nil && svc.Pods != nil &&
			svc.Pods.Matches(labels.Set(p.Labels)) {
			out = append(out, p)
		}
	}
	return out
}

// soleBackends are the pods of the service, when all of them leave with this drain.
func (sim *simulation) soleBackends(svc *drain.CriticalService) []*pod {
	pods := sim.readyBackends(svc)
	if len(pods) == 0 || slices.ContainsFunc(pods,
		func(p *pod) bool { return !sim.isDraining(p.node) || p.action == drain.ActionIgnore }) {
		return nil
	}
	return pods
}

// nameList names the pods that serve something: a, or a and b.
func nameList(pods []*pod, name func(*pod) string) string {
	list := make([]string, 0, len(pods))
	for _, p := range pods {
		list = append(list, name(p))
	}
	slices.Sort(list)
	if len(list) == 2 {
		return list[0] + " and " + list[1]
	}
	return abbreviate(list, 3)
}

// isCriticalServicePod tells whether the pod serves something that a drain depends on.
func (sim *simulation) isCriticalServicePod(p *pod) bool {
	return slices.ContainsFunc(sim.snapshot.CriticalServices, func(svc drain.CriticalService) bool {
		return svc.Namespace == p.Namespace && svc.Pods != nil && svc.Pods.Matches(labels.Set(p.Labels))
	})
}

// checkRegistries finds the mirrors that nobody serves while the node is away, before anything is
// placed: what comes from them cannot be pulled meanwhile.
func (sim *simulation) checkRegistries() {
	for i := range sim.snapshot.CriticalServices {
		svc := &sim.snapshot.CriticalServices[i]
		if svc.Role != drain.RoleRegistry {
			continue
		}
		pods := sim.soleBackends(svc)
		if len(pods) == 0 {
			continue
		}
		leave := "which leaves"
		if len(pods) > 1 {
			leave = "which leave"
		}
		reason := fmt.Sprintf("%s is served by %s only, %s %s with this drain", svc.Host, nameList(pods, (*pod).String),
			leave, sim.drainingNames())
		preferred, others, why := sim.feasibleNodes(pods[0])
		nodes := append(slices.Clone(preferred), others...)
		if len(nodes) == 0 {
			sim.unavailableRegistries[svc.Host] = reason
			sim.addIssue(levelRemark, svc.Kind, svc.Namespace, svc.Name,
				fmt.Sprintf("mirror %s is away while %s is drained: %s has no other node to go to (%s)", svc.Host,
					sim.drainingNames(), pods[0], sim.filterSummary(why)))
			continue
		}
		sim.unavailableRegistries[svc.Host] = reason
		if sim.canStartOnAny(pods[0], nodes) {
			delete(sim.unavailableRegistries, svc.Host)
			sim.addIssue(levelRemark, svc.Kind, svc.Namespace, svc.Name,
				fmt.Sprintf("mirror %s is away for the time that %s takes to start elsewhere", svc.Host, pods[0]))
			continue
		}
		sim.addIssue(levelBlocking, svc.Kind, svc.Namespace, svc.Name, fmt.Sprintf(
			"mirror %s runs as pod %s only, and that could not start elsewhere: its own image comes from itself, or cannot be pulled; "+
				"run a second one on another node, or keep its image there", svc.Host, nameList(pods, (*pod).withNode)))
	}
}

// canStartOnAny tells whether all images of the pod are there, or can be had, on at least one of
// the places.
func (sim *simulation) canStartOnAny(p *pod, nodes []*nodeInfo) bool {
	return slices.ContainsFunc(nodes, func(n *nodeInfo) bool {
		return !slices.ContainsFunc(p.images, func(w podImage) bool {
			f := sim.imageAvailability(n, w).State
			return f == drain.ImageUnpullable || f == drain.ImageUnverified
		})
	})
}

// checkServices judges the others, after it is known what became of their pods.
func (sim *simulation) checkServices() {
	for i := range sim.snapshot.CriticalServices {
		svc := &sim.snapshot.CriticalServices[i]
		switch svc.Role {
		case drain.RoleAdmission:
			sim.checkWebhook(svc)
		case drain.RoleDNS:
			sim.checkBackendsMove(svc, "pods find no names while it is away")
		case drain.RoleOperator:
			sim.checkBackendsMove(svc, "nobody would lead the rollout until then")
		case drain.RoleRegistry:
		}
	}
}

// checkWebhook judges a webhook that fails closed (R13).
func (sim *simulation) checkWebhook(svc *drain.CriticalService) {
	if svc.Pods == nil {
		return
	}
	callsWebhook := func(n *nodeInfo) bool {
		return slices.ContainsFunc(n.pods, func(p *pod) bool {
			return (p.action == drain.ActionEvict || p.action == drain.ActionEvictUnmanaged) &&
				svc.CallsWebhookFor(p.Pod, sim.snapshot.Namespaces)
		})
	}
	if !slices.ContainsFunc(sim.draining, callsWebhook) {
		return
	}
	effect := "no pod that it is asked about can be created"
	if !svc.OnCreate {
		effect = "no pod that it is asked about can be evicted"
	}
	if len(sim.readyBackends(svc)) == 0 {
		sim.addIssue(levelBlocking, svc.Kind, svc.Namespace, svc.Name,
			fmt.Sprintf("%s %s fails closed, and none of its pods in namespace %s is ready: %s", svc.Kind, svc.Name,
				svc.Namespace, effect))
		return
	}
	pods := sim.soleBackends(svc)
	if len(pods) == 0 {
		return
	}
	if svc.OnCreate && svc.CallsWebhookFor(pods[0].Pod, sim.snapshot.Namespaces) {
		sim.addIssue(levelBlocking, svc.Kind, svc.Namespace, svc.Name, fmt.Sprintf(
			"%s %s fails closed, is asked about its own pods, and is served by %s only: once that is evicted no replacement can be created; "+
				"run a second pod of it on another node, or leave its namespace out of its namespaceSelector", svc.Kind,
			svc.Name, nameList(pods, (*pod).withNode)))
		return
	}
	sim.checkBackendsMove(svc, effect)
}

// checkBackendsMove judges a service of which all pods leave with the node: it has to come up
// elsewhere.
func (sim *simulation) checkBackendsMove(svc *drain.CriticalService, effect string) {
	pods := sim.soleBackends(svc)
	if len(pods) == 0 {
		return
	}
	end := outcome{noOtherNode: true}
	for _, p := range pods {
		e, evicted := sim.outcomes[p]
		if !evicted {
			return // its budget keeps it, and that is said
		}
		end.noOtherNode, end.imagesAvailable = end.noOtherNode && e.noOtherNode, end.imagesAvailable ||
			e.imagesAvailable && !e.noOtherNode
	}
	switch {
	case end.noOtherNode:
		sim.addIssue(levelBlocking, svc.Kind, svc.Namespace, svc.Name,
			fmt.Sprintf("%s %s is served by %s only, which has no other node to go to: %s; run a second pod of it on another node",
				svc.Kind, svc.Name, nameList(pods, (*pod).withNode), effect))
	case !end.imagesAvailable:
		sim.addIssue(levelBlocking, svc.Kind, svc.Namespace, svc.Name,
			fmt.Sprintf("%s %s is served by %s only, whose images are not all there elsewhere: %s", svc.Kind, svc.Name,
				nameList(pods, (*pod).withNode), effect))
	default:
		sim.addIssue(levelRemark, svc.Kind, svc.Namespace, svc.Name,
			fmt.Sprintf("%s %s moves from %s, and until it is ready elsewhere %s", svc.Kind, svc.Name,
				nameList(pods, (*pod).withNode), effect))
	}
}
