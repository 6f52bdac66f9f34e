package drain

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// daemon looks at a node that is under way and not being drained: its daemon has to do the next step.
func (t *tracer) daemon(n rollout.Node) (trail, bool) {
	stage, since := n.Stage(n.Desired), t.Updates[n.Name].UTC()
	out := trail{hindrance: rollout.HindranceNotDraining, since: since}
	say := func(format string, args ...any) (trail, bool) {
		out.links = []rollout.Link{{Kind: "MachineConfigDaemon", Name: n.Name, Since: since, Message: fmt.Sprintf(format, args...)}}
		return out, true
	}
	if stage == "Degraded" {
		return say("its daemon is %s: %s", n.State, cmp.Or(oneLine(n.Reason), "it does not say why"))
	}
	if since.IsZero() || t.Now.Sub(since) < daemonTime {
		return out, false
	}
	if lostSince, lost := t.lost(n.Name); lost && t.Now.Sub(lostSince) >= daemonTime {
		out.hindrance, out.since = rollout.HindranceNodeLost, lostSince
		out.links = []rollout.Link{t.lostLink(n.Name, lostSince)}
		return out, true
	}
	if why := t.daemonPod(n.Name); why != "" {
		return say("%s", why)
	}
	return say("it is %s since %s, on its way from %s to %s, and its daemon says nothing: see the log of pod machine-config-daemon on it", stage,
		since.Format(time.RFC3339), n.Current, n.Desired)
}

// daemonPod says what is wrong with the pod of the node's daemon; empty when nothing is, or when pods of that kind were not seen.
func (t *tracer) daemonPod(node string) string {
	seen := false
	for _, p := range t.Pods {
		if p.Labels["k8s-app"] != "machine-config-daemon" {
			continue
		}
		seen = true
		switch {
		case p.Spec.NodeName != node:
		case Ready(p):
			return ""
		default:
			return "its machine-config-daemon, pod " + nameIn(p) + ", is not ready: " + daemonWords(p)
		}
	}
	if seen {
		return "no machine-config-daemon runs on it"
	}
	return ""
}

func daemonWords(p *corev1.Pod) string {
	for i := range p.Status.ContainerStatuses {
		if w := p.Status.ContainerStatuses[i].State.Waiting; w != nil {
			return w.Reason + " " + oneLine(w.Message)
		}
	}
	return string(p.Status.Phase)
}

// notCordoned is a node whose drain was asked for and that nobody has cordoned. It is cordoned 5 s after; a person may have undone it.
func (t *tracer) notCordoned(n rollout.Node) trail {
	return trail{hindrance: rollout.HindranceNotDraining, since: t.Updates[n.Name].UTC(), links: []rollout.Link{{Kind: "Node", Name: n.Name, Message: fmt.Sprintf(
		"its daemon asks for %s, and the Machine Config Controller has not cordoned it, or somebody has uncordoned it: see the pods of "+
			"machine-config-controller in openshift-machine-config-operator", n.DrainWanted)}}}
}
