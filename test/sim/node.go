package sim

import (
	corev1 "k8s.io/api/core/v1"
)

// The annotations by which the daemon of a node and the controllers of the MCO talk to each other.
const (
	annotationPrefix = "machineconfiguration.openshift.io/"
	currentConfig    = annotationPrefix + "currentConfig"
	desiredConfig    = annotationPrefix + "desiredConfig"
	state            = annotationPrefix + "state"
	reason           = annotationPrefix + "reason"
	desiredDrain     = annotationPrefix + "desiredDrain"
	lastAppliedDrain = annotationPrefix + "lastAppliedDrain"

	controlPlaneTopology = annotationPrefix + "controlPlaneTopology"
	singleReplica        = "SingleReplica"
)

// The values of the state annotation.
const (
	stateDone     = "Done"
	stateWorking  = "Working"
	stateDegraded = "Degraded"
)

// ready is CheckNodeReady without the cordon.
func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}

func setReady(n *corev1.Node, is bool) {
	status := corev1.ConditionFalse
	if is {
		status = corev1.ConditionTrue
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
}

// done is IsNodeDone: at rest on what it was asked to run.
func done(n *corev1.Node) bool {
	a := n.Annotations
	return a[currentConfig] != "" && a[currentConfig] == a[desiredConfig] && a[state] == stateDone
}

// failing is IsNodeMCDFailing.
func failing(n *corev1.Node) bool {
	a := n.Annotations
	return a[currentConfig] != a[desiredConfig] && a[state] == stateDegraded
}

// unavailable is IsUnavailableForUpdate. A node that fails and is schedulable does not count.
func unavailable(n *corev1.Node) bool {
	return !ready(n) || n.Spec.Unschedulable || (!done(n) && !failing(n))
}
