package drain

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// VirtualMachine is a virtual machine of KubeVirt as far as a drain is concerned. KubeVirt's webhook answers 429 to the eviction of its pod, and
// begins to migrate it instead.
type VirtualMachine struct {
	// Fixed says why it cannot be migrated; empty when it can.
	Fixed string
	// Evacuating is true once a drain has asked it to go.
	Evacuating bool
	// Started is when its migration began, Target where it goes; Failed says why the last one failed.
	Started time.Time
	Target  string
	Failed  string
}

// machineLabel is on virt-launcher pods and names their VirtualMachineInstance; older releases have the annotation alone.
const (
	launcherLabel   = "kubevirt.io"
	launcherValue   = "virt-launcher"
	machineLabel    = "vm.kubevirt.io/name"
	domainKey       = "kubevirt.io/domain"
	failedMigration = 10 * time.Minute
)

func isLauncher(p *corev1.Pod) bool { return p.Labels[launcherLabel] == launcherValue }

// MachineOf names the virtual machine that a virt-launcher pod runs.
func MachineOf(p *corev1.Pod) (types.NamespacedName, bool) {
	if !isLauncher(p) {
		return types.NamespacedName{}, false
	}
	for _, name := range []string{p.Labels[machineLabel], p.Annotations[domainKey], p.Labels[domainKey]} {
		if name != "" {
			return types.NamespacedName{Namespace: p.Namespace, Name: name}, true
		}
	}
	return types.NamespacedName{}, false
}

// machine follows a virtual machine that has to leave.
func (t *tracer) machine(p *corev1.Pod) trail {
	name, _ := MachineOf(p)
	m, known := t.VirtualMachines[name]
	out := trail{hindrance: rollout.HindranceMigrating, kept: nameOf(p), since: m.Started.UTC()}
	say := func(format string, args ...any) trail {
		out.links = []rollout.Link{{Kind: "VirtualMachineInstance", Namespace: name.Namespace, Name: name.Name, Since: out.since,
			Message: "virtual machine " + name.String() + " " + fmt.Sprintf(format, args...)}}
		return out
	}
	switch {
	case !known:
		out.hindrance = rollout.HindranceUnknown
		return say("of pod %s could not be read: KubeVirt refuses the eviction until it has migrated it, if it can", p.Name)
	case m.Fixed != "":
		out.hindrance = rollout.HindranceWebhook
		return say("cannot be migrated (%s), and KubeVirt refuses the eviction of its pod %s for as long as that is so", oneLine(m.Fixed), p.Name)
	case m.Failed != "" && t.Now.Sub(m.Started) >= failedMigration:
		out.hindrance = rollout.HindranceWebhook
		return say("did not migrate: %s", oneLine(m.Failed))
	case m.Target != "":
		return say("is being migrated to %s", m.Target)
	case m.Evacuating:
		return say("has been asked to leave, and its migration has not begun")
	default:
		return say("is migrated when its eviction is asked for; %s", again)
	}
}
