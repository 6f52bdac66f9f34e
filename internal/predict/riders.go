package predict

import (
	"context"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// riders lists what else would change on the nodes that do not run the rendered configuration yet. A node's own
// MachineConfig may be gone, which is nothing to wait for.
func (p *Predictor) riders(ctx context.Context, api client.Reader, view *rollout.Pool, rendered renderedConfig) error {
	seen := map[string]bool{view.Rendered: true, "": true}
	for _, n := range view.Nodes {
		if seen[n.Current] {
			continue
		}
		seen[n.Current] = true
		current, err := p.machineConfig(ctx, api, n.Current)
		if err != nil {
			if client.IgnoreNotFound(err) == nil {
				continue
			}
			return err
		}
		lines, err := registries.OtherDifferences(current.machineConfig, rendered.machineConfig)
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !harmless(line) && !slices.Contains(view.Riders, line) && len(view.Riders) < 5 {
				view.Riders = append(view.Riders, line)
			}
		}
	}
	return nil
}

// harmlessPaths are what the MCO by default neither drains nor reboots for: files, and directories with all that is in them. The pull
// secret is one of them, and it is rotated so often that holding for it would never end (R6). passwd stands for the keys of SSH.
var harmlessPaths = []string{
	"/var/lib/kubelet/config.json", "/etc/containers/policy.json", "/etc/containers/registries.d", "/etc/crio/policies",
	"/etc/machine-config-daemon/no-reboot/containers-gpg.pub", "/etc/nmstate/openshift",
	"/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt", "passwd",
}

func harmless(line string) bool {
	return slices.ContainsFunc(harmlessPaths, func(path string) bool { return line == path || strings.HasPrefix(line, path+"/") })
}
