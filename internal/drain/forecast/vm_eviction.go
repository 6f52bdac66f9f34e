package forecast

import (
	"fmt"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkVM says what becomes of the pod of a virtual machine. KubeVirt refuses each eviction with a
// 429, and moves the machine meanwhile; one that cannot be moved is refused for ever
// (pod-eviction-admitter).
func (c *cluster) checkVM(p *corev1.Pod) (f issue, ok bool) {
	switch p.Labels[drain.KubevirtLabel] {
	case drain.HotplugDisk:
		return issue{}, false // it goes with the machine to which its disk is attached
	case drain.VirtLauncher:
	default:
		return issue{}, false
	}
	name := p.Labels[drain.VmNameLabel]
	if owner := metav1.GetControllerOf(p); owner != nil && owner.Kind == drain.KindVMI {
		name = owner.Name
	}
	f = issue{kind: drain.KindVMI, namespace: p.Namespace, name: name}
	m, known := c.snapshot.VMEvictions[p.Namespace+"/"+name]
	switch {
	case !known:
		f.level = levelUnknown
		f.text = fmt.Sprintf("virtual machine %s/%s: whether it can be moved was not seen", p.Namespace, name)
	case m.EvictionStrategy == drain.StrategyNone, m.EvictionStrategy == drain.LiveMigrateIfPossible && !m.Migratable:
		f.level = levelRemark
		f.text = fmt.Sprintf("virtual machine %s/%s is shut down by the eviction (evictionStrategy %s)", p.Namespace,
			name, m.EvictionStrategy)
	case m.Migratable:
		f.level = levelRemark
		f.text = fmt.Sprintf("virtual machine %s/%s is moved to another node, which takes its time", p.Namespace, name)
	case m.EvictionStrategy == drain.LiveMigrate:
		f.level = levelBlocking
		f.text = fmt.Sprintf("virtual machine %s/%s has evictionStrategy LiveMigrate and cannot be moved (%s): each eviction is refused; "+
			"stop it, or give it evictionStrategy LiveMigrateIfPossible or None", p.Namespace, name, m.Why)
	default:
		f.level = levelUnknown
		f.text = fmt.Sprintf("virtual machine %s/%s cannot be moved (%s), and what its evictionStrategy is was not seen", p.Namespace, name, m.Why)
	}
	return f, true
}
