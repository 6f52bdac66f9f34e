package inventory

import (
	"context"
	"fmt"
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nodeSoftware is what gaps call the sources of this file.
const nodeSoftware = "operating system and static pods"

// poolNames are what the MachineConfigPools refer to: the names of rendered MachineConfigs and of
// PinnedImageSets.
type poolNames struct {
	rendered, pinned []string
}

func addPool(rd *readState, p *mcfgv1.MachineConfigPool) {
	if name := p.Spec.Configuration.Name; name != "" {
		rd.pools.rendered = append(rd.pools.rendered, name)
	}
	for _, s := range p.Spec.PinnedImageSets {
		rd.pools.pinned = append(rd.pools.pinned, s.Name)
	}
}

// renderedConfigs reads what a fresh node of each pool is given: its operating system, and the
// static pods in its files. Other MachineConfigs are parts of these, or their past.
func renderedConfigs(ctx context.Context, rd *readState, r client.Reader) error {
	slices.Sort(rd.pools.rendered)
	for _, name := range slices.Compact(rd.pools.rendered) {
		mc, err := rd.rendered(ctx, r, name)
		if err != nil {
			rd.unreadSources = append(rd.unreadSources,
				UnreadSource{Source: nodeSoftware, Kind: "MachineConfig", Why: fmt.Sprintf(
					"rendered MachineConfig %s, which a pool names: %v", name, err)})
			continue
		}
		rd.addRendered(mc)
	}
	return nil
}

func (rd *readState) rendered(ctx context.Context, r client.Reader, name string) (*mcfgv1.MachineConfig, error) {
	if rd.o.Rendered != nil {
		return rd.o.Rendered(ctx, name)
	}
	mc := &mcfgv1.MachineConfig{}
	return mc, r.Get(ctx, client.ObjectKey{Name: name}, mc)
}

func (rd *readState) addRendered(mc *mcfgv1.MachineConfig) {
	use := Use{Owner: Owner{Kind: "MachineConfig", Name: mc.Name}, Class: Blocking, NodeStart: true,
		Image: mc.Spec.OSImageURL}
	rd.c.Add(use)
	extensions := use
	extensions.Image = mc.Spec.BaseOSExtensionsContainerImage
	if len(mc.Spec.Extensions) == 0 && (mc.Spec.KernelType == "" || mc.Spec.KernelType == "default") {
		extensions.Class, extensions.NodeStart = Advisory, false // pulled for extensions and other kernels only
	}
	rd.c.Add(extensions)
	pods, err := staticPods(mc.Spec.Config.Raw)
	if err != nil {
		rd.addMalformed(nodeSoftware, use.Owner, err)
	}
	for i := range pods {
		rd.addSpec(&pods[i].Spec, use)
	}
}

// addMachineOSConfig adds the operating system image that was built in the cluster for a pool.
func addMachineOSConfig(rd *readState, c *mcfgv1.MachineOSConfig) {
	rd.c.Add(Use{Image: string(c.Status.CurrentImagePullSpec), Owner: Owner{Kind: "MachineOSConfig", Name: c.Name},
		Class: Blocking, NodeStart: true})
}

// addPinnedImageSet adds what the daemon of every node of a pool pulls, through CRI-O, as soon as
// the node is there. A set that no pool names is not pulled.
func addPinnedImageSet(rd *readState, s *mcfgv1.PinnedImageSet) {
	use := Use{Owner: Owner{Kind: "PinnedImageSet", Name: s.Name}, Class: Advisory}
	if slices.Contains(rd.pools.pinned, s.Name) {
		use.Class, use.NodeStart = Blocking, true
	}
	for _, p := range s.Spec.PinnedImages {
		use.Image = string(p.Name)
		rd.c.Add(use)
	}
}
