package diagnosis

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// daemonChain looks at an updating node and not being drained: its daemon has to do the
// next step.
func (d *diagnoser) daemonChain(n rollout.Node) (causeChain, bool) {
	stage, since := n.UpdateStage(n.DesiredConfig), d.UpdateStarted[n.Name].UTC()
	out := causeChain{reason: rollout.DrainBlockNotDraining, since: since}
	withMessage := func(format string, args ...any) (causeChain, bool) {
		out.links = []rollout.CauseLink{{Kind: "MachineConfigDaemon", Name: n.Name, Since: since,
			Message: fmt.Sprintf(format, args...)}}
		return out, true
	}
	if stage == "Degraded" {
		return withMessage("its daemon is %s: %s", n.State, cmp.Or(oneLine(n.Reason), "it does not say why"))
	}
	if since.IsZero() || d.Now.Sub(since) < daemonTimeout {
		return out, false
	}
	if lostSince, lost := d.nodeLost(n.Name); lost && d.Now.Sub(lostSince) >= daemonTimeout {
		out.reason, out.since = rollout.DrainBlockNodeLost, lostSince
		out.links = []rollout.CauseLink{d.nodeLostLink(n.Name, lostSince)}
		return out, true
	}
	if why := d.daemonPodProblem(n.Name); why != "" {
		return withMessage("%s", why)
	}
	return withMessage("it is %s since %s, on its way from %s to %s, and its daemon says nothing: see the log of pod machine-config-daemon on it", stage,
		since.Format(time.RFC3339), n.CurrentConfig, n.DesiredConfig)
}

// daemonPodProblem says what is wrong with the pod of the node's daemon; empty when nothing is, or
// when pods of that kind were not seen.
func (d *diagnoser) daemonPodProblem(node string) string {
	seen := false
	for _, p := range d.Pods {
		if p.Labels["k8s-app"] != "machine-config-daemon" {
			continue
		}
		seen = true
		switch {
		case p.Spec.NodeName != node:
		case drain.IsPodReady(p):
			return ""
		default:
			return "its machine-config-daemon, pod " + podKey(p) + ", is not ready: " + daemonPodReason(p)
		}
	}
	if seen {
		return "no machine-config-daemon runs on it"
	}
	return ""
}

func daemonPodReason(p *corev1.Pod) string {
	for i := range p.Status.ContainerStatuses {
		if w := p.Status.ContainerStatuses[i].State.Waiting; w != nil {
			return w.Reason + " " + oneLine(w.Message)
		}
	}
	return string(p.Status.Phase)
}

// notCordonedChain is a node whose drain was asked for and that nobody has cordoned. It is cordoned
// 5 s after; a person may have undone it.
func (d *diagnoser) notCordonedChain(n rollout.Node) causeChain {
	return causeChain{reason: rollout.DrainBlockNotDraining, since: d.UpdateStarted[n.Name].UTC(),
		links: []rollout.CauseLink{{Kind: "Node", Name: n.Name, Message: fmt.Sprintf(
			"its daemon asks for %s, and the Machine Config Controller has not cordoned it, or somebody has uncordoned it: see the pods of "+
				"machine-config-controller in openshift-machine-config-operator", n.DesiredDrain)}}}
}
