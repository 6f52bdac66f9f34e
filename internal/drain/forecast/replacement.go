package forecast

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
)

// placeReplacement finds a place for the pod that takes over, and tells whether it is certain to
// become ready there.
func (sim *simulation) placeReplacement(p *pod, budgets []*drain.Budget) bool {
	if len(budgets) == 0 && !sim.isCriticalServicePod(p) {
		sim.placeUnprotected(p)
		return false
	}
	preferred, others, why := sim.feasibleNodes(p)
	if len(preferred) == 0 {
		sim.noFeasibleNode(p, budgets, why)
		return false
	}
	imagesAvailable := sim.checkImages(p, preferred, others, budgets)
	sim.outcomes[p] = outcome{imagesAvailable: imagesAvailable}
	sim.assume(p, preferred[p.node.index%len(preferred)])
	switch {
	case !imagesAvailable:
		return false
	case !sim.snapshot.Volumes.Known && len(drain.ClaimNames(p.Pod)) > 0:
		sim.markUncertain(budgets, "where the volumes of pod "+p.String()+" can be used was not seen")
		return false
	}
	if q := sim.failingSibling(p, budgets); q != nil {
		return false // another of its kind does not become ready either, and the budget says so
	}
	return true
}

func (sim *simulation) markUncertain(budgets []*drain.Budget, why string) {
	for _, b := range budgets {
		sim.uncertain[b] = why
	}
}

// placeUnprotected only takes note: nobody asked that the pod be there all the time.
func (sim *simulation) placeUnprotected(p *pod) {
	n := sim.firstFeasibleNode(p)
	if n == nil {
		back := sim.cannotReturnReason(p.equivalenceClass, p.node) == "" &&
			sim.snapshot.Volumes.UnreachableReason(p.Pod, p.node.Node) == ""
		sim.outcomes[p] = outcome{noOtherNode: true, canReturn: back}
		text := "pod " + p.String() + " has no other node to go to and waits until " + p.node.Name + " is back"
		if !back {
			text = "pod " + p.String() + " has no node to go to, and could not go back to " + p.node.Name +
				" either: " + sim.cannotReturnReason(p.equivalenceClass, p.node)
		}
		sim.addIssue(levelRemark, "Pod", p.Namespace, p.Name, text)
		return
	}
	sim.assume(p, n)
	for _, w := range p.images {
		if a := sim.imageAvailability(n, w); a.State == drain.ImageUnpullable {
			sim.addIssue(levelRemark, "Image", p.Namespace, w.name,
				fmt.Sprintf("pod %s may not start again: %s is not on %s and cannot be pulled there: %s", p, w.name,
					n.Name, a.Why))
		}
	}
}

// noFeasibleNode judges a pod that no other node takes. When its own node takes it again after the
// drain, the pod waits, and that is all: so it is with as many routers as there are nodes for them.
// Otherwise the budget has lost it for good, and the next drain is refused.
func (sim *simulation) noFeasibleNode(p *pod, budgets []*drain.Budget, why map[string]int) {
	back := sim.cannotReturnReason(p.equivalenceClass, p.node)
	if back == "" {
		back = sim.snapshot.Volumes.UnreachableReason(p.Pod, p.node.Node)
	}
	sim.outcomes[p] = outcome{noOtherNode: true, canReturn: back == ""}
	if back == "" {
		sim.addIssue(levelRemark, "Pod", p.Namespace, p.Name,
			fmt.Sprintf("pod %s has no other node to go to (%s) and waits until %s is back", p, sim.filterSummary(why),
				p.node.Name))
		return
	}
	for _, b := range budgets {
		sim.addIssue(levelBlocking, "PodDisruptionBudget", b.PDB.Namespace, b.PDB.Name, fmt.Sprintf(
			"pod %s, which PDB %s protects, would have no node to go to (%s), and could not go back to %s either: %s; the next drain would be refused",
			p, b.Name(), sim.filterSummary(why), p.node.Name, back))
	}
}

// checkImages judges the images of the pod wherever it may land. One that cannot be had somewhere
// leaves a protected pod broken there, and the drain of the next node is refused: the pod that is
// broken does not move, and the healthy one may not.
func (sim *simulation) checkImages(p *pod, preferred, others []*nodeInfo, budgets []*drain.Budget) bool {
	imagesAvailable := true
	for i, nodes := range [][]*nodeInfo{preferred, others} {
		for _, w := range p.images {
			worst, nodeNames := sim.worstAvailability(nodes, w)
			if worst.State != drain.ImageUnpullable && worst.State != drain.ImageUnverified {
				continue
			}
			imagesAvailable = false
			sim.addImageIssue(p, w, worst, nodeNames, budgets, i > 0)
		}
	}
	return imagesAvailable
}

func (sim *simulation) addImageIssue(p *pod, w podImage, worst drain.Availability, nodeNames []string, budgets []*drain.Budget,
	unlikely bool) {
	level, may := levelBlocking, "would land"
	if worst.State == drain.ImageUnverified || unlikely {
		level, may = levelUnknown, "may land"
	}
	protected := "which nobody protects"
	if len(budgets) > 0 {
		protected = "which PDB " + budgets[0].Name() + " protects"
		sim.markUncertain(budgets, fmt.Sprintf("whether %s can be pulled for the replacement of pod %s is not known",
			w.name, p))
	}
	if worst.State == drain.ImageUnverified {
		sim.addIssue(level, "Image", p.Namespace, w.name,
			fmt.Sprintf("the replacement of pod %s, %s, %s on %s, where %s is not cached, and its pull is not proven%s",
				p, protected, may, abbreviate(nodeNames, 3), w.name, reasonSuffix(worst)))
		return
	}
	sim.addIssue(level, "Image", p.Namespace, w.name,
		fmt.Sprintf("the replacement of pod %s, %s, %s on %s, where %s is not cached and cannot be pulled%s",
			p, protected, may, abbreviate(nodeNames, 3), w.name, reasonSuffix(worst)))
}

func reasonSuffix(a drain.Availability) string {
	if a.Why == "" {
		return ""
	}
	return ": " + a.Why
}

// imageStateRank orders fates from good to bad.
var imageStateRank = map[drain.ImageState]int{drain.ImageCached: 0, drain.ImageVerified: 1, drain.ImageUnchanged: 2, drain.ImageUnverified: 3,
	drain.ImageUnpullable: 4}

// worstAvailability is the worst fate of an image on any of the nodes, and the nodes with it.
func (sim *simulation) worstAvailability(nodes []*nodeInfo, w podImage) (drain.Availability, []string) {
	worst := drain.Availability{State: drain.ImageCached}
	var nodeNames []string
	for _, n := range nodes {
		a := sim.imageAvailability(n, w)
		switch {
		case imageStateRank[a.State] > imageStateRank[worst.State]:
			worst, nodeNames = a, nil
			if a.State == drain.ImageUnverified || a.State == drain.ImageUnpullable {
				nodeNames = []string{n.Name}
			}
		case a.State == worst.State && nodeNames != nil:
			nodeNames = append(nodeNames, n.Name)
		}
	}
	return worst, nodeNames
}

// imageAvailability is what becomes of an image on a node: it is there, or is pulled, from a
// registry that may itself be on the node that is drained.
func (sim *simulation) imageAvailability(n *nodeInfo, w podImage) drain.Availability {
	if !w.pullAlways && n.images[w.name] {
		return drain.Availability{State: drain.ImageCached}
	}
	a := sim.pullAvailability(n, w.name)
	if a.State == drain.ImageUnpullable {
		return a
	}
	for host, why := range sim.unavailableRegistries {
		if servedBy(a.Endpoint, host) {
			a.State, a.Why = drain.ImageUnpullable, why
			if a.HasFallback {
				a.State = drain.ImageUnverified
			}
		}
	}
	return a
}

// pullAvailability is what a node would get when it asks. That a pod waits for the image in vain
// now is evidence enough where nobody has proven anything.
func (c *cluster) pullAvailability(n *nodeInfo, image string) drain.Availability {
	a := drain.Availability{State: drain.ImageUnchanged}
	if c.snapshot.PullAvailability != nil {
		a = c.snapshot.PullAvailability(n.Node, image)
	}
	if q := c.failingImages[image]; q != nil && a.State == drain.ImageUnchanged {
		a.State, a.Why = drain.ImageUnpullable, "pod "+q.withNode()+" waits for it in vain now"
	}
	return a
}

// servedBy tells whether a reference is at the host: registry.mirror.svc:5000/acme/shop:v1.
func servedBy(reference, host string) bool {
	return host != "" && strings.HasPrefix(reference, host+"/")
}

// failingSibling is another pod of the kind that runs and does not become ready, or does not start,
// so that a new one may not either.
func (sim *simulation) failingSibling(p *pod, budgets []*drain.Budget) *pod {
	for _, b := range budgets {
		if b.Healthy >= int32(len(b.Pods)) {
			continue
		}
		i := slices.IndexFunc(b.Pods, func(q *corev1.Pod) bool {
			return q != p.Pod && q.DeletionTimestamp == nil && !drain.IsPodReady(q) && !drain.IsPodTerminal(q) &&
				sim.classOf(q) == p.equivalenceClass
		})
		if i >= 0 {
			return &pod{Pod: b.Pods[i], equivalenceClass: p.equivalenceClass}
		}
	}
	return nil
}

func (sim *simulation) addIssue(w issueLevel, kind, namespace, name, text string) {
	sim.issues = append(sim.issues, issue{level: w, kind: kind, namespace: namespace, name: name, text: text})
}
