package mcc

import (
	"context"
	"math/rand"
	"time"

	configclientset "github.com/openshift/client-go/config/clientset/versioned"
	configinformers "github.com/openshift/client-go/config/informers/externalversions"
	mcfgclientset "github.com/openshift/client-go/machineconfiguration/clientset/versioned"
	mcfginformers "github.com/openshift/client-go/machineconfiguration/informers/externalversions"
	operatorclientset "github.com/openshift/client-go/operator/clientset/versioned"
	operatorinformers "github.com/openshift/client-go/operator/informers/externalversions"
	"github.com/openshift/library-go/pkg/operator/configobserver/featuregates"
	"github.com/openshift/library-go/pkg/operator/events"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/version"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// clients makes clients for one component each, as the stock binary: every one has limits of its
// own. (The MCO's builder of clients is internal to its module.)
type clients struct{ config *rest.Config }

func (c clients) kube(component string) kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(rest.AddUserAgent(rest.CopyConfig(c.config), component))
}

func (c clients) mcfg(component string) mcfgclientset.Interface {
	return mcfgclientset.NewForConfigOrDie(rest.AddUserAgent(rest.CopyConfig(c.config), component))
}

func (c clients) openshift(component string) configclientset.Interface {
	return configclientset.NewForConfigOrDie(rest.AddUserAgent(rest.CopyConfig(c.config), component))
}

func (c clients) operator(component string) operatorclientset.Interface {
	return operatorclientset.NewForConfigOrDie(rest.AddUserAgent(rest.CopyConfig(c.config), component))
}

// shared is what the controllers have in common: the part of the MCO's ControllerContext that they
// use.
type shared struct {
	clients
	mcfgInformers     mcfginformers.SharedInformerFactory
	buildInformers    mcfginformers.SharedInformerFactory // on-cluster builds; started behind their gate
	kubeInformers     informers.SharedInformerFactory
	userInformers     informers.SharedInformerFactory // of namespace openshift-config
	configInformers   configinformers.SharedInformerFactory
	operatorInformers operatorinformers.SharedInformerFactory
	gates             ctrlcommon.FeatureGatesHandler
}

func newShared(ctx context.Context, config *rest.Config) *shared {
	c := clients{config}
	mcfg, kube := c.mcfg("machine-config-shared-informer"), c.kube("kube-shared-informer")
	s := &shared{
		clients:        c,
		mcfgInformers:  mcfginformers.NewSharedInformerFactory(mcfg, resync()),
		buildInformers: mcfginformers.NewSharedInformerFactory(mcfg, resync()),
		kubeInformers:  informers.NewSharedInformerFactory(kube, resync()),
		userInformers: informers.NewSharedInformerFactoryWithOptions(kube, resync(),
			informers.WithNamespace("openshift-config")),
		configInformers:   configinformers.NewSharedInformerFactory(c.openshift("config-shared-informer"), resync()),
		operatorInformers: operatorinformers.NewSharedInformerFactory(c.operator("operator-shared-informer"), resync()),
	}
	s.gates = ctrlcommon.NewFeatureGatesAccessHandler(s.watchFeatureGates(ctx, kube))
	return s
}

// watchFeatureGates reads FeatureGate/cluster, and ends the process when it changes: as the stock
// binary, which is then restarted by its Deployment.
func (s *shared) watchFeatureGates(ctx context.Context, kube kubernetes.Interface) featuregates.FeatureGateAccess {
	owner, err := events.GetControllerReferenceForCurrentPod(ctx, kube, ctrlcommon.MCONamespace, nil)
	if err != nil {
		klog.Warningf("unable to get owner reference (falling back to namespace): %v", err)
	}
	recorder := events.NewKubeRecorder(kube.CoreV1().Events(ctrlcommon.MCONamespace), "machine-config-operator", owner,
		clock.RealClock{})
	access := featuregates.NewFeatureGateAccess(version.ReleaseVersion, "0.0.1-snapshot",
		s.configInformers.Config().V1().ClusterVersions(), s.configInformers.Config().V1().FeatureGates(), recorder)
	go access.Run(ctx)
	return access
}

// start begins all watches that anybody has asked for so far. It may be called again.
func (s *shared) start(ctx context.Context) {
	for _, factory := range []interface{ Start(<-chan struct{}) }{
		s.mcfgInformers, s.kubeInformers, s.userInformers, s.operatorInformers, s.configInformers,
	} {
		factory.Start(ctx.Done())
	}
}

// resync is 20 to 40 minutes, as in the MCO. It is not scaled: it is a safety net, and nothing in
// the lab should come to depend on it.
func resync() time.Duration {
	return time.Duration((1 + rand.Float64()) * float64(20*time.Minute))
}
