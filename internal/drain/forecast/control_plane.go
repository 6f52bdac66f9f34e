package forecast

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
)

// staticNamespaces are those of the control plane's static pods.
var staticNamespaces = []string{"openshift-etcd", "openshift-kube-apiserver", "openshift-kube-controller-manager",
	"openshift-kube-scheduler"}

// checkControlPlane holds a control plane node while another one is not whole (R9): a static pod
// elsewhere that is not ready, or a new revision of them that is being installed.
func (sim *simulation) checkControlPlane() {
	if sim.draining[0].pool == nil || !sim.draining[0].pool.ControlPlane {
		return
	}
	for _, ns := range staticNamespaces {
		revisions := map[string][]string{}
		for _, p := range sim.byNamespace[ns] {
			switch {
			case drain.IsMirrorPod(p.Pod) && strings.HasPrefix(p.Name, "installer-"),
				strings.HasPrefix(p.Name, "installer-") && p.Status.Phase == corev1.PodRunning:
				sim.issues = append(sim.issues, issue{level: levelUnknown, transient: true, kind: "Pod", namespace: ns,
					name: p.Name,
					text: fmt.Sprintf("pod %s installs a new revision of the control plane; no control plane node is released meanwhile", p.withNode())})
			case drain.IsMirrorPod(p.Pod):
				sim.checkStaticPod(p, revisions)
			}
		}
		for app, have := range revisions {
			slices.Sort(have)
			if have = slices.Compact(have); len(have) > 1 {
				sim.issues = append(sim.issues, issue{level: levelUnknown, transient: true, kind: "Pod", namespace: ns,
					name: app, text: fmt.Sprintf(
						"%s in %s runs in revisions %s: a new one is on its way, and no control plane node is released meanwhile", app, ns, strings.Join(have, " and "))})
			}
		}
	}
}

func (sim *simulation) checkStaticPod(p *pod, revisions map[string][]string) {
	if app, revision := p.Labels["app"], p.Labels["revision"]; app != "" && revision != "" {
		revisions[app] = append(revisions[app], revision)
	}
	if !sim.isDraining(p.node) && !drain.IsPodReady(p.Pod) {
		sim.addIssue(levelBlocking, "Pod", p.Namespace, p.Name,
			fmt.Sprintf("static pod %s is not ready (%s): no other control plane node is released before it is",
				p.withNode(), NotReadyReason(p.Pod)))
	}
}
