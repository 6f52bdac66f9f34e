package mcc

import (
	"context"
	"fmt"

	"github.com/openshift/api/features"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	containerruntimeconfig "github.com/openshift/machine-config-operator/pkg/controller/container-runtime-config"
	"github.com/openshift/machine-config-operator/pkg/controller/drain"
	kubeletconfig "github.com/openshift/machine-config-operator/pkg/controller/kubelet-config"
	"github.com/openshift/machine-config-operator/pkg/controller/node"
	"github.com/openshift/machine-config-operator/pkg/controller/pinnedimageset"
	"github.com/openshift/machine-config-operator/pkg/controller/render"
	"github.com/openshift/machine-config-operator/pkg/controller/template"
)

// runControllers is the body of the stock binary's leader. Left out are the rotation of the
// machine-config-server's certificate and the boot images of cloud platforms: the lab has neither.
func runControllers(ctx context.Context, o Options) error {
	s := newShared(ctx, o.limited())
	if o.MetricsAddress != "" {
		go ctrlcommon.StartMetricsListener(o.MetricsAddress, ctx.Done(), ctrlcommon.RegisterMCCMetrics)
	}
	controllers := append(s.renderers(o), s.nodeController(o))
	drainer := drain.New(o.drainConfig(),
		s.kubeInformers.Core().V1().Nodes(), s.mcfgInformers.Machineconfiguration().V1().MachineConfigPools(),
		s.kube("node-update-controller"), s.mcfg("node-update-controller"), s.gates)

	s.start(ctx)
	if err := s.gates.Connect(ctx); err != nil {
		return fmt.Errorf("failed to connect to feature gates %w", err)
	}
	s.startGated(ctx)
	for _, c := range controllers {
		go c.Run(2, ctx.Done())
	}
	go drainer.Run(5, ctx.Done())
	<-ctx.Done()
	return nil
}

// renderers make MachineConfigs: from templates, from other objects, and from all of them one per
// pool.
func (s *shared) renderers(o Options) []ctrlcommon.Controller {
	mcfg, config := s.mcfgInformers.Machineconfiguration().V1(), s.configInformers.Config().V1()
	return []ctrlcommon.Controller{
		template.New(o.Templates, mcfg.ControllerConfigs(), mcfg.MachineConfigs(),
			s.userInformers.Core().V1().Secrets(), config.APIServers(),
			s.kube("template-controller"), s.mcfg("template-controller")),
		kubeletconfig.New(o.Templates, mcfg.MachineConfigPools(), mcfg.ControllerConfigs(), mcfg.KubeletConfigs(),
			config.FeatureGates(), config.Nodes(), config.APIServers(),
			s.kube("kubelet-config-controller"), s.mcfg("kubelet-config-controller"),
			s.openshift("kubelet-config-controller"), s.gates),
		containerruntimeconfig.New(o.Templates, mcfg.MachineConfigPools(), mcfg.ControllerConfigs(),
			mcfg.ContainerRuntimeConfigs(),
			config.Images(), config.ImageDigestMirrorSets(), config.ImageTagMirrorSets(), s.configInformers,
			s.operatorInformers.Operator().V1alpha1().ImageContentSourcePolicies(), config.ClusterVersions(),
			s.kube("container-runtime-config-controller"), s.mcfg("container-runtime-config-controller"),
			s.openshift("container-runtime-config-controller"), s.gates),
		render.New(mcfg.MachineConfigPools(), mcfg.MachineConfigs(), mcfg.ControllerConfigs(),
			mcfg.ContainerRuntimeConfigs(), mcfg.KubeletConfigs(),
			s.kube("render-controller"), s.mcfg("render-controller")),
	}
}

// nodeController chooses the nodes and targets them.
func (s *shared) nodeController(o Options) ctrlcommon.Controller {
	mcfg := s.mcfgInformers.Machineconfiguration().V1()
	return node.NewWithCustomUpdateDelay(mcfg.ControllerConfigs(), mcfg.MachineConfigs(), mcfg.MachineConfigPools(),
		s.kubeInformers.Core().V1().Nodes(), s.kubeInformers.Core().V1().Pods(),
		s.buildInformers.Machineconfiguration().V1().MachineOSConfigs(), s.configInformers.Config().V1().Schedulers(),
		s.kube("node-update-controller"), s.mcfg("node-update-controller"), o.Delay, s.gates)
}

// startGated starts what feature gates guard.
func (s *shared) startGated(ctx context.Context) {
	if s.gates.Enabled(features.FeatureGatePinnedImages) && s.gates.Enabled(features.FeatureGateMachineConfigNodes) {
		mcfg := s.mcfgInformers.Machineconfiguration().V1()
		pinned := pinnedimageset.New(mcfg.PinnedImageSets(), mcfg.MachineConfigPools(),
			s.kube("pinned-image-set-controller"), s.mcfg("pinned-image-set-controller"))
		go pinned.Run(2, ctx.Done())
		s.start(ctx) // the watch that New has just asked for
	}
	if s.gates.Enabled(features.FeatureGateOnClusterBuild) {
		s.buildInformers.Start(ctx.Done())
	}
}
