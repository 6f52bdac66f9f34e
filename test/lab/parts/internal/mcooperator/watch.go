package mcooperator

import (
	"context"
	"fmt"

	configinformers "github.com/openshift/client-go/config/informers/externalversions"
	configlisters "github.com/openshift/client-go/config/listers/config/v1"
	mcfginformers "github.com/openshift/client-go/machineconfiguration/informers/externalversions"
	mcfglisters "github.com/openshift/client-go/machineconfiguration/listers/machineconfiguration/v1"
	operatorinformers "github.com/openshift/client-go/operator/informers/externalversions"
	operatorlisters "github.com/openshift/client-go/operator/listers/operator/v1"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	userNamespace    = "openshift-config"         // what the admin writes
	managedNamespace = "openshift-config-managed" // what operators write
)

// listers are the caches that the tasks read.
type listers struct {
	nodes                 corelisters.NodeLister
	userMaps              corelisters.ConfigMapLister
	managedMaps           corelisters.ConfigMapLister
	pools                 mcfglisters.MachineConfigPoolLister
	controllers           mcfglisters.ControllerConfigLister
	mcns                  mcfglisters.MachineConfigNodeLister
	machineConfigurations operatorlisters.MachineConfigurationLister
	images                configlisters.ImageLister
	versions              configlisters.ClusterVersionLister
	operators             configlisters.ClusterOperatorLister
}

// watch starts the caches and returns when they are filled.
func (o *operator) watch(ctx context.Context) error {
	kube := informers.NewSharedInformerFactory(o.Kube, 0)
	user := informers.NewSharedInformerFactoryWithOptions(o.Kube, 0, informers.WithNamespace(userNamespace))
	managed := informers.NewSharedInformerFactoryWithOptions(o.Kube, 0, informers.WithNamespace(managedNamespace))
	mcfg := mcfginformers.NewSharedInformerFactory(o.MCFG, 0)
	operators := operatorinformers.NewSharedInformerFactory(o.Operator, 0)
	config := configinformers.NewSharedInformerFactory(o.Config, 0)

	o.listers = listers{
		nodes:                 kube.Core().V1().Nodes().Lister(),
		userMaps:              user.Core().V1().ConfigMaps().Lister(),
		managedMaps:           managed.Core().V1().ConfigMaps().Lister(),
		pools:                 mcfg.Machineconfiguration().V1().MachineConfigPools().Lister(),
		controllers:           mcfg.Machineconfiguration().V1().ControllerConfigs().Lister(),
		mcns:                  mcfg.Machineconfiguration().V1().MachineConfigNodes().Lister(),
		machineConfigurations: operators.Operator().V1().MachineConfigurations().Lister(),
		images:                config.Config().V1().Images().Lister(),
		versions:              config.Config().V1().ClusterVersions().Lister(),
		operators:             config.Config().V1().ClusterOperators().Lister(),
	}
	// Nodes and MachineConfigNodes change all the time (heartbeats, conditions), so they do not
	// wake the loop; the resync sees new ones soon enough. The real operator leaves them out for
	// the same reason.
	for _, informer := range []cache.SharedIndexInformer{
		user.Core().V1().ConfigMaps().Informer(), managed.Core().V1().ConfigMaps().Informer(),
		mcfg.Machineconfiguration().V1().MachineConfigPools().Informer(),
		mcfg.Machineconfiguration().V1().ControllerConfigs().Informer(),
		operators.Operator().V1().MachineConfigurations().Informer(),
		config.Config().V1().Images().Informer(), config.Config().V1().ClusterOperators().Informer(),
	} {
		if _, err := informer.AddEventHandler(o.onEvent()); err != nil {
			return err
		}
	}

	type factory interface{ Start(<-chan struct{}) }
	for _, f := range []factory{kube, user, managed, mcfg, operators, config} {
		f.Start(ctx.Done())
	}
	for _, synced := range []map[string]bool{
		named(kube.WaitForCacheSync(ctx.Done())), named(user.WaitForCacheSync(ctx.Done())),
		named(managed.WaitForCacheSync(ctx.Done())),
		named(mcfg.WaitForCacheSync(ctx.Done())), named(operators.WaitForCacheSync(ctx.Done())),
		named(config.WaitForCacheSync(ctx.Done())),
	} {
		for kind, ok := range synced {
			if !ok && ctx.Err() == nil {
				return fmt.Errorf("no cache of %s", kind)
			}
		}
	}
	return nil
}

// named makes the results of the different factories one type.
func named[K comparable](synced map[K]bool) map[string]bool {
	result := map[string]bool{}
	for kind, ok := range synced {
		result[fmt.Sprint(kind)] = ok
	}
	return result
}

// onEvent leaves a token for the loop; a second one would mean nothing.
func (o *operator) onEvent() cache.ResourceEventHandler {
	wake := func() {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	}
}
