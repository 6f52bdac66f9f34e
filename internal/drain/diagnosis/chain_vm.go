package diagnosis

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// VMMigration is a virtual machine of KubeVirt as far as a drain is concerned. KubeVirt's webhook
// answers 429 to the eviction of its pod, and begins to migrate it instead.
type VMMigration struct {
	// NotMigratable says why it cannot be migrated; empty when it can.
	NotMigratable string
	// Evacuating is true once a drain has asked it to go.
	Evacuating bool
	// Started is when its migration began, Target where it goes; Failed says why the last one
	// failed.
	Started     time.Time
	Target      string
	LastFailure string
}

// vmiNameLabel is on virt-launcher pods and names their VirtualMachineInstance; older releases have
// the annotation alone.
const (
	launcherLabel    = "kubevirt.io"
	launcherValue    = "virt-launcher"
	vmiNameLabel     = "vm.kubevirt.io/name"
	domainAnnotation = "kubevirt.io/domain"
	migrationTimeout = 10 * time.Minute
)

func isVirtLauncher(p *corev1.Pod) bool { return p.Labels[launcherLabel] == launcherValue }

// VMIOf names the virtual machine that a virt-launcher pod runs.
func VMIOf(p *corev1.Pod) (types.NamespacedName, bool) {
	if !isVirtLauncher(p) {
		return types.NamespacedName{}, false
	}
	for _, name := range []string{p.Labels[vmiNameLabel], p.Annotations[domainAnnotation], p.Labels[domainAnnotation]} {
		if name != "" {
			return types.NamespacedName{Namespace: p.Namespace, Name: name}, true
		}
	}
	return types.NamespacedName{}, false
}

// vmChain follows a virtual machine that has to leave.
func (d *diagnoser) vmChain(p *corev1.Pod) causeChain {
	name, _ := VMIOf(p)
	m, known := d.VMMigrations[name]
	out := causeChain{reason: rollout.DrainBlockMigrating, protectedPod: podRefOf(p), since: m.Started.UTC()}
	withMessage := func(format string, args ...any) causeChain {
		out.links = []rollout.CauseLink{{Kind: "VirtualMachineInstance", Namespace: name.Namespace, Name: name.Name,
			Since:   out.since,
			Message: "virtual machine " + name.String() + " " + fmt.Sprintf(format, args...)}}
		return out
	}
	switch {
	case !known:
		out.reason = rollout.DrainBlockUnknown
		return withMessage("of pod %s could not be read: KubeVirt refuses the eviction until it has migrated it, if it can", p.Name)
	case m.NotMigratable != "":
		out.reason = rollout.DrainBlockWebhook
		return withMessage("cannot be migrated (%s), and KubeVirt refuses the eviction of its pod %s for as long as that is so", oneLine(m.NotMigratable), p.Name)
	case m.LastFailure != "" && d.Now.Sub(m.Started) >= migrationTimeout:
		out.reason = rollout.DrainBlockWebhook
		return withMessage("did not migrate: %s", oneLine(m.LastFailure))
	case m.Target != "":
		return withMessage("is being migrated to %s", m.Target)
	case m.Evacuating:
		return withMessage("has been asked to leave, and its migration has not begun")
	default:
		return withMessage("is migrated when its eviction is asked for; %s", retryText)
	}
}
