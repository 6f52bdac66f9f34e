package drain

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VMEviction is a running virtual machine of KubeVirt.
type VMEviction struct {
	// EvictionStrategy is its evictionStrategy, that of the cluster if it has none of its own;
	// empty when neither says.
	EvictionStrategy string
	// Migratable is its condition LiveMigratable, Why the message of it.
	Migratable bool
	Why        string
}

// The labels of KubeVirt's pods.
const (
	kubevirtLabel         = "kubevirt.io"
	vmNameLabel           = "vm.kubevirt.io/name"
	virtLauncher          = "virt-launcher"
	hotplugDisk           = "hotplug-disk"
	liveMigrate           = "LiveMigrate"
	liveMigrateIfPossible = "LiveMigrateIfPossible"
	strategyNone          = "None"
	kindVMI               = "VirtualMachineInstance"
)

// checkVM says what becomes of the pod of a virtual machine. KubeVirt refuses each eviction with a
// 429, and moves the machine meanwhile; one that cannot be moved is refused for ever
// (pod-eviction-admitter).
func (c *cluster) checkVM(p *corev1.Pod) (f issue, ok bool) {
	switch p.Labels[kubevirtLabel] {
	case hotplugDisk:
		return issue{}, false // it goes with the machine to which its disk is attached
	case virtLauncher:
	default:
		return issue{}, false
	}
	name := p.Labels[vmNameLabel]
	if owner := metav1.GetControllerOf(p); owner != nil && owner.Kind == kindVMI {
		name = owner.Name
	}
	f = issue{kind: kindVMI, namespace: p.Namespace, name: name}
	m, known := c.snapshot.VMEvictions[p.Namespace+"/"+name]
	switch {
	case !known:
		f.level = levelUnknown
		f.text = fmt.Sprintf("virtual machine %s/%s: whether it can be moved was not seen", p.Namespace, name)
	case m.EvictionStrategy == strategyNone, m.EvictionStrategy == liveMigrateIfPossible && !m.Migratable:
		f.level = levelRemark
		f.text = fmt.Sprintf("virtual machine %s/%s is shut down by the eviction (evictionStrategy %s)", p.Namespace,
			name, m.EvictionStrategy)
	case m.Migratable:
		f.level = levelRemark
		f.text = fmt.Sprintf("virtual machine %s/%s is moved to another node, which takes its time", p.Namespace, name)
	case m.EvictionStrategy == liveMigrate:
		f.level = levelBlocking
		f.text = fmt.Sprintf("virtual machine %s/%s has evictionStrategy LiveMigrate and cannot be moved (%s): each eviction is refused; "+
			"stop it, or give it evictionStrategy LiveMigrateIfPossible or None", p.Namespace, name, m.Why)
	default:
		f.level = levelUnknown
		f.text = fmt.Sprintf("virtual machine %s/%s cannot be moved (%s), and what its evictionStrategy is was not seen", p.Namespace, name, m.Why)
	}
	return f, true
}
