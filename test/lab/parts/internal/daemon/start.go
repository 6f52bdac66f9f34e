package daemon

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/openshift/api/features"
	mcfgclientset "github.com/openshift/client-go/machineconfiguration/clientset/versioned"
	mcfginformers "github.com/openshift/client-go/machineconfiguration/informers/externalversions"
	mcfginformersv1 "github.com/openshift/client-go/machineconfiguration/informers/externalversions/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/version"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// Informers are what is the same for every node: watches, and the feature gates once they are read.
type Informers struct {
	factory     mcfginformers.SharedInformerFactory
	pools       mcfginformersv1.MachineConfigPoolInformer
	controllers mcfginformersv1.ControllerConfigInformer

	reading sync.Mutex
	gates   ctrlcommon.FeatureGatesHandler
}

// NewInformers watches the pools and the ControllerConfig once for all daemons that get the result.
func NewInformers(client mcfgclientset.Interface) *Informers {
	factory := mcfginformers.NewSharedInformerFactory(client, 0)
	v1 := factory.Machineconfiguration().V1()
	return &Informers{factory: factory, pools: v1.MachineConfigPools(), controllers: v1.ControllerConfigs()}
}

// Start begins the watches. Call it with a context that outlives every daemon that shares them; Run
// calls it as well, which does nothing when they run already.
func (i *Informers) Start(ctx context.Context) {
	i.pools.Informer()
	i.controllers.Informer()
	i.factory.Start(ctx.Done())
}

// start builds the daemon and begins its watches; the workers wait for the caches named in the
// result.
func start(ctx context.Context, o Options) (*daemon, []cache.InformerSynced, error) {
	if o.Informers == nil {
		o.Informers = NewInformers(o.MCFG)
	}
	if o.FeatureGates == nil {
		gates, err := o.Informers.featureGates(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		o.FeatureGates = gates
	}
	// The certificate writer of the MCD writes nothing while this directory is missing.
	if err := os.MkdirAll(nodefs.CertsDir(o.Root, o.NodeName), 0o755); err != nil {
		return nil, nil, err
	}

	nodeInformer, startNodes := ctrlcommon.NewScopedNodeInformer(o.Kube, o.NodeName)
	d := &daemon{
		Options:     o,
		nodes:       nodeInformer.Lister(),
		pools:       o.Informers.pools.Lister(),
		controllers: o.Informers.controllers.Lister(),
		queue:       o.nodeQueue(),
		certs:       workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		booting:     true,
	}
	d.drift = newDriftMonitor(d)
	d.events = newRecorder(ctx, o)

	nodeEvents, err := nodeInformer.Informer().AddEventHandler(onChange(func() { d.queue.AddRateLimited(o.NodeName) }))
	if err != nil {
		return nil, nil, err
	}
	configEvents, err := o.Informers.controllers.Informer().AddEventHandler(onChange(func() {
		d.certs.AddRateLimited(ctrlcommon.ControllerConfigName)
	}))
	if err != nil {
		return nil, nil, err
	}
	d.stop = func() { _ = o.Informers.controllers.Informer().RemoveEventHandler(configEvents) }
	startNodes(ctx.Done())
	o.Informers.Start(ctx)
	return d, []cache.InformerSynced{nodeEvents.HasSynced, configEvents.HasSynced,
		o.Informers.pools.Informer().HasSynced}, nil
}

// nodeQueue has the limits of Daemon.ClusterConnect: an event waits a second, a failing sync is
// retried after 1, 2, 4 ... 60 s. (The MCD also has a token bucket there; its rate is a
// time.Duration by mistake, 5e9 a second, so it limits nothing and is left out.)
func (o Options) nodeQueue() workqueue.TypedRateLimitingInterface[string] {
	return workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](o.scaled(time.Second), o.scaled(60*time.Second)))
}

// featureGates waits for the gates of this release: without them no MachineConfigNode is written,
// which a test would take for a daemon that does nothing. One daemon reads them for all.
func (i *Informers) featureGates(ctx context.Context, o Options) (ctrlcommon.FeatureGatesHandler, error) {
	i.reading.Lock()
	defer i.reading.Unlock()
	if i.gates != nil {
		return i.gates, nil
	}
	err := wait.PollUntilContextCancel(ctx, o.scaled(time.Second), true, func(ctx context.Context) (bool, error) {
		object, err := o.Config.ConfigV1().FeatureGates().Get(ctx, "cluster", metav1.GetOptions{})
		if err != nil {
			klog.V(2).Infof("no FeatureGate yet: %v", err)
			return false, nil
		}
		gates, err := ctrlcommon.NewFeatureGatesCRHandlerImpl(object, version.ReleaseVersion)
		if err != nil {
			klog.V(2).Infof("FeatureGate/cluster does not name release %s yet: %v", version.ReleaseVersion, err)
			return false, nil
		}
		i.gates = gates
		return true, nil
	})
	if err == nil && !i.gates.Enabled(features.FeatureGateMachineConfigNodes) {
		klog.Warningf("FeatureGate/cluster does not enable %s: no MachineConfigNode conditions",
			features.FeatureGateMachineConfigNodes)
	}
	return i.gates, err
}

// onChange calls f at every add and update, as the handlers of the MCD do.
func onChange(f func()) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { f() },
		UpdateFunc: func(any, any) { f() },
	}
}
