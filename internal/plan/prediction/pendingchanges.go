package prediction

import (
	"context"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// addPendingChanges lists what else would change on the nodes that do not run the rendered
// configuration yet. A node's own MachineConfig may be gone, which is nothing to wait for.
func (p *Predictor) addPendingChanges(ctx context.Context, api client.Reader, observedPool *rollout.Pool,
	rendered renderedConfig) error {
	seen := map[string]bool{observedPool.Rendered: true, "": true}
	for _, n := range observedPool.Nodes {
		if seen[n.CurrentConfig] {
			continue
		}
		seen[n.CurrentConfig] = true
		current, err := p.machineConfig(ctx, api, n.CurrentConfig)
		if err != nil {
			if client.IgnoreNotFound(err) == nil {
				continue
			}
			return err
		}
		changes, err := registriesconf.OtherDifferences(current.machineConfig, rendered.machineConfig)
		if err != nil {
			return err
		}
		for _, change := range changes {
			if !nonDisruptive(change) && !slices.Contains(observedPool.PendingChanges, change) &&
				len(observedPool.PendingChanges) < 5 {
				observedPool.PendingChanges = append(observedPool.PendingChanges, change)
			}
		}
	}
	return nil
}

// nonDisruptivePaths are what the MCO by default neither drains nor reboots for: files, and
// directories with all that is in them. The pull secret is one of them, and it is rotated so often
// that holding for it would never end (R6). passwd stands for the keys of SSH.
var nonDisruptivePaths = []string{
	"/var/lib/kubelet/config.json", "/etc/containers/policy.json", "/etc/containers/registries.d", "/etc/crio/policies",
	"/etc/machine-config-daemon/no-reboot/containers-gpg.pub", "/etc/nmstate/openshift",
	"/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt", "passwd",
}

func nonDisruptive(change string) bool {
	return slices.ContainsFunc(nonDisruptivePaths,
		func(path string) bool { return change == path || strings.HasPrefix(change, path+"/") })
}
