// Package cli holds the sub-commands of safe-mirror.
package cli

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/controllers"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/execute"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/metrics"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/report"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

type managerOptions struct {
	namespace     string
	probes        string
	metrics       string
	leaderElect   bool
	leaseDuration time.Duration
	renewDeadline time.Duration
	retryPeriod   time.Duration
	workers       int
	podQuiet      time.Duration
	debug         bool
}

// Manager runs the operator.
func Manager() *cobra.Command {
	var o managerOptions
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the operator",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.AddGoFlag(flag.CommandLine.Lookup("kubeconfig")) // controller-runtime's own
	f.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"),
		"the operator's own namespace: its lease, and the Secrets that a spec names (default $POD_NAMESPACE)")
	f.StringVar(&o.probes, "health-probe-bind-address", ":8081",
		"where /healthz and /readyz are served; 0 turns them off")
	f.StringVar(&o.metrics, "metrics-bind-address", "0", "where metrics are served; 0 turns them off")
	f.BoolVar(&o.leaderElect, "leader-elect", false, "elect a leader among the replicas")
	f.DurationVar(&o.leaseDuration, "leader-elect-lease-duration", 137*time.Second,
		"how long a leader leads without renewing; the default is OpenShift's")
	f.DurationVar(&o.renewDeadline, "leader-elect-renew-deadline", 107*time.Second,
		"how long a leader tries to renew before it gives up")
	f.DurationVar(&o.retryPeriod, "leader-elect-retry-period", 26*time.Second,
		"how often a replica tries to lead or to renew")
	f.IntVar(&o.workers, "mirror-workers", 32, "how many images are copied or verified at the same time")
	f.DurationVar(&o.podQuiet, "pod-quiet-period", 2*time.Second,
		"how long changes of pods and workloads are gathered before the next look")
	f.BoolVar(&o.debug, "debug", false, "log for people, and more of it")
	return cmd
}

func (o managerOptions) run(ctx context.Context) error {
	if o.namespace == "" {
		return fmt.Errorf("--namespace is empty and POD_NAMESPACE is not set: give the operator's own namespace")
	}
	log := zap.New(zap.UseDevMode(o.debug), zap.WriteTo(safetext.NewWriter(os.Stderr)))
	ctrl.SetLogger(log)
	klog.SetLogger(log) // leader election and watches log there
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 50, 100
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	lock, err := o.newLeaseLock(config)
	if err != nil {
		return err
	}
	options := ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cache.Options{DefaultTransform: inventory.Trim},
		NewCache:                newCache,
		Client:                  client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                 metricsserver.Options{BindAddress: o.metrics},
		HealthProbeBindAddress:  o.probes,
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        leaseName,
		LeaderElectionNamespace: o.namespace,
		LeaseDuration:           &o.leaseDuration,
		RenewDeadline:           &o.renewDeadline,
		RetryPeriod:             &o.retryPeriod,
		// The process ends right after the manager does, so a clean stop may hand the lease on at
		// once.
		LeaderElectionReleaseOnCancel: true,
	}
	if lock != nil { // a nil pointer in the interface would not be nil
		options.LeaderElectionResourceLockInterface = lock
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := o.setUp(mgr, o.newFence(mgr, lock, stop)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// setUp wires the operator. The end of the fence ends the process in good order, which hands the
// lease on at once; the kubelet starts it again.
func (o managerOptions) setUp(mgr ctrl.Manager, fence *execute.Fence) error {
	engine := mirror.NewEngine(mirror.EngineOptions{Workers: o.workers})
	if err := mgr.Add(engine); err != nil {
		return err
	}
	transfers, pulls := &execute.Transfers{Engine: engine}, &execute.PullChecks{}
	live := &observe.Observer{Client: mgr.GetClient(), API: mgr.GetAPIReader(), Namespace: o.namespace,
		DryRun:    dryrun.New(mgr.GetClient()),
		Transfers: transfers, PullChecks: pulls, Kinds: observe.NewCachedKinds(mgr.GetScheme()),
		Payload: observe.ReadPayload, Now: time.Now}
	executor := &execute.Executor{Client: mgr.GetClient(), API: mgr.GetAPIReader(), Observer: live,
		Transfers: transfers, PullChecks: pulls}
	if fence != nil {
		executor.Fence, executor.StepDown = fence, fence.End
		live.PodName = os.Getenv("POD_NAME")
	}
	collector := &metrics.Collector{}
	collector.SetRegistryTotals(live.HostStats)
	if err := ctrlmetrics.Registry.Register(collector); err != nil {
		return err
	}
	reconciler := &controllers.Reconciler{
		Metrics: collector, Reports: &report.Writer{Client: mgr.GetClient(), API: mgr.GetAPIReader(), Now: time.Now},
		Client: mgr.GetClient(), Observer: live, Executor: executor,
		Recorder: mgr.GetEventRecorder("safe-mirror-operator"), PodBatchPeriod: o.podQuiet}
	if err := controllers.SetupWithManager(mgr, reconciler, engine.Changed()); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return mgr.AddReadyzCheck("ping", healthz.Ping)
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, configv1.AddToScheme, mcfgv1.AddToScheme, opv1.Install,
		operatorv1alpha1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// newCache keeps of some kinds a selection only: the Operator Lifecycle Manager copies each
// ClusterServiceVersion into every namespace.
func newCache(config *rest.Config, o cache.Options) (cache.Cache, error) {
	o.ByObject = map[client.Object]cache.ByObject{}
	for _, k := range inventory.Kinds() {
		kind, err := apiutil.GVKForObject(k.Object, o.Scheme)
		if err != nil || k.Selector == nil {
			continue
		}
		if _, err := o.Mapper.RESTMapping(kind.GroupKind(), kind.Version); err == nil {
			o.ByObject[k.Object] = cache.ByObject{Label: k.Selector}
		}
	}
	return cache.New(config, o)
}
