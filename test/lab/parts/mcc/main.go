// Command mcc is the machine-config-controller of the lab: the MCO's own controllers with shorter
// delays. The stock binary works in the lab as well; a rollout of a few nodes then takes minutes
// instead of seconds. See package mcc for what differs.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/version"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/mcc"
)

func main() {
	klog.InitFlags(nil)
	var o mcc.Options
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the API server, as an administrator")
	flag.StringVar(&o.Templates, "templates", "/etc/mcc/templates",
		"the directory templates/ of the machine-config-operator's source")
	flag.DurationVar(&o.Delay, "delay", 100*time.Millisecond,
		"wait of the node and drain controllers after an event; 5s in the stock binary")
	flag.Float64Var(&o.Scale, "scale", 1,
		"factor on the other waits of the drain controller, and divisor of the limits on API requests")
	flag.StringVar(&o.MetricsAddress, "metrics-listen-address", "",
		"address of the metrics, 127.0.0.1:8797 in the stock binary; empty for none")
	flag.StringVar(&o.Namespace, "resourcelock-namespace", env("POD_NAMESPACE", ctrlcommon.MCONamespace),
		"namespace of the Lease")
	flag.StringVar(&o.Identity, "identity", env("POD_NAME", "machine-config-controller"),
		"holder of the Lease; must differ between two that run at the same time")
	flag.StringVar(&version.ReleaseVersion, "payload-version", version.ReleaseVersion,
		"version of the OpenShift release, as FeatureGate/cluster names it")
	flag.Parse()
	defer klog.Flush()

	if o.Scale <= 0 {
		fail("--scale must be positive")
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail("kubeconfig: %v", err)
	}
	o.Config = config
	klog.Infof("Version: %+v (%s)", version.Raw, version.Hash)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := mcc.Run(ctx, o); err != nil {
		fail("%v", err)
	}
}

// fail ends the process with a message.
func fail(format string, args ...any) {
	klog.Errorf(format, args...)
	klog.Flush()
	os.Exit(1)
}

// env reads a variable of the pod, or of whoever plays its part.
func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
