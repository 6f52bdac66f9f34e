package drain

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Machine is a running virtual machine of KubeVirt.
type Machine struct {
	// Strategy is its evictionStrategy, that of the cluster if it has none of its own; empty when neither says.
	Strategy string
	// Migratable is its condition LiveMigratable, Why the message of it.
	Migratable bool
	Why        string
}

// The labels of KubeVirt's pods.
const (
	kubevirtLabel   = "kubevirt.io"
	machineName     = "vm.kubevirt.io/name"
	launcherPod     = "virt-launcher"
	hotplugPod      = "hotplug-disk"
	liveMigrate     = "LiveMigrate"
	ifPossible      = "LiveMigrateIfPossible"
	strategyNone    = "None"
	machineDocument = "VirtualMachineInstance"
)

// judgeMachine says what becomes of the pod of a virtual machine. KubeVirt refuses each eviction with a 429, and moves the machine
// meanwhile; one that cannot be moved is refused for ever (pod-eviction-admitter).
func (c *cluster) judgeMachine(p *corev1.Pod) (f finding, ok bool) {
	switch p.Labels[kubevirtLabel] {
	case hotplugPod:
		return finding{}, false // it goes with the machine to which its disk is attached
	case launcherPod:
	default:
		return finding{}, false
	}
	name := p.Labels[machineName]
	if owner := metav1.GetControllerOf(p); owner != nil && owner.Kind == machineDocument {
		name = owner.Name
	}
	f = finding{kind: machineDocument, namespace: p.Namespace, name: name}
	m, known := c.s.Machines[p.Namespace+"/"+name]
	switch {
	case !known:
		f.weight = unsure
		f.text = fmt.Sprintf("virtual machine %s/%s: whether it can be moved was not seen", p.Namespace, name)
	case m.Strategy == strategyNone, m.Strategy == ifPossible && !m.Migratable:
		f.weight = remark
		f.text = fmt.Sprintf("virtual machine %s/%s is shut down by the eviction (evictionStrategy %s)", p.Namespace, name, m.Strategy)
	case m.Migratable:
		f.weight = remark
		f.text = fmt.Sprintf("virtual machine %s/%s is moved to another node, which takes its time", p.Namespace, name)
	case m.Strategy == liveMigrate:
		f.weight = blocks
		f.text = fmt.Sprintf("virtual machine %s/%s has evictionStrategy LiveMigrate and cannot be moved (%s): each eviction is refused; "+
			"stop it, or give it evictionStrategy LiveMigrateIfPossible or None", p.Namespace, name, m.Why)
	default:
		f.weight = unsure
		f.text = fmt.Sprintf("virtual machine %s/%s cannot be moved (%s), and what its evictionStrategy is was not seen", p.Namespace, name, m.Why)
	}
	return f, true
}
