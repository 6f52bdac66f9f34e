// Command node simulates every node of the lab's cluster in one process: for each Node object a
// kubelet with its image pulls and a machine-config daemon, and beside them the two operators that
// the lab has instead of the real ones (Machine Config Operator and ingress).
//
//	node --kubeconfig FILE --root DIR [--scale 0.05] [--pull-log FILE] [--verbose]
//
// It runs until SIGTERM. What a node has on its disk is under DIR/<node>, and survives a restart.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/daemon"
	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/ingress"
	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/kubelet"
	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/mcooperator"
	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/pull"
)

// settings are the flags.
type settings struct {
	kubeconfig string
	root       string
	scale      float64
	pullLog    string
	verbose    bool
}

func main() {
	s := flags()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		time.AfterFunc(5*time.Second, func() { os.Exit(0) })
	})
	if err := run(ctx, s); err != nil && ctx.Err() == nil {
		klog.ErrorS(err, "node")
		os.Exit(1)
	}
}

func flags() settings {
	var s settings
	flag.StringVar(&s.kubeconfig, "kubeconfig", "", "how to reach the API server, as an administrator")
	flag.StringVar(&s.root, "root", "", "directory of the nodes' file systems, one directory each")
	flag.Float64Var(&s.scale, "scale", 0.05, "multiplies every simulated delay; 1 is real time")
	flag.StringVar(&s.pullLog, "pull-log", "", "file to append one JSON line per image request to")
	flag.String("templates", "", "accepted and not used: the controllers render the templates")
	flag.BoolVar(&s.verbose, "verbose", false, "say more, including every endpoint that a pull tries")
	flag.Parse()
	if s.kubeconfig == "" || s.root == "" || s.scale <= 0 {
		klog.Error("--kubeconfig, --root and a positive --scale are needed")
		os.Exit(2)
	}
	return s
}

// run starts everything and returns when all of it has ended.
func run(ctx context.Context, s settings) error {
	setLogging(s.verbose)
	clients, err := newClients(s.kubeconfig)
	if err != nil {
		return err
	}
	pulls, err := pull.OpenLog(s.pullLog)
	if err != nil {
		return err
	}
	defer pulls.Close()
	cluster, err := kubelet.NewCluster(ctx, clients.kube, s.scale)
	if err != nil {
		return err
	}
	pools := daemon.NewInformers(clients.mcfg)
	pools.Start(ctx)

	var parts sync.WaitGroup
	parts.Go(func() {
		restartOnFailure(ctx, s, "machine-config-operator", func(ctx context.Context) error {
			return mcooperator.Run(ctx, mcooperator.Options{
				Kube: clients.kube, MCFG: clients.mcfg, Operator: clients.operator, Config: clients.config,
				Scale: s.scale,
			})
		})
	})
	parts.Go(func() {
		restartOnFailure(ctx, s, "ingress-operator", func(ctx context.Context) error {
			return ingress.Run(ctx, ingress.Options{Kube: clients.kube, Operator: clients.operator, Scale: s.scale})
		})
	})
	err = cluster.EachNode(ctx, func(ctx context.Context, name string) {
		runNode(ctx, s, name, clients, cluster, pools, pulls)
	})
	parts.Wait()
	return err
}

// runNode is the life of one node. Its daemon is a pod, which a node that is down takes with it. A
// reboot is the daemon's own doing, and it sits through it.
func runNode(ctx context.Context, s settings, name string, clients *clients, cluster *kubelet.Cluster,
	pools *daemon.Informers, pulls *pull.Log) {
	var halves sync.WaitGroup
	halves.Go(func() {
		restartOnFailure(ctx, s, "kubelet of "+name, func(ctx context.Context) error {
			return kubelet.Run(ctx, kubelet.Options{NodeName: name, Root: s.root, Scale: s.scale, Cluster: cluster,
				Pulls: pulls})
		})
	})
	halves.Go(func() {
		cluster.WhileUp(ctx, name, func(ctx context.Context) {
			restartOnFailure(ctx, s, "daemon of "+name, func(ctx context.Context) error {
				return daemon.Run(ctx, daemon.Options{
					NodeName: name, Root: s.root, Scale: s.scale,
					Kube: clients.kube, MCFG: clients.mcfg, Operator: clients.operator, Config: clients.config,
					Informers: pools,
				})
			})
		})
	})
	halves.Wait()
}

// restartOnFailure repeats a part that failed, as its pod would be restarted.
func restartOnFailure(ctx context.Context, s settings, what string, part func(context.Context) error) {
	for ctx.Err() == nil {
		err := part(ctx)
		if ctx.Err() != nil {
			return
		}
		klog.Errorf("%s ended: %v", what, err)
		select {
		case <-ctx.Done():
		case <-time.After(max(time.Duration(float64(10*time.Second)*s.scale), 100*time.Millisecond)):
		}
	}
}

// setLogging silences the image library, which says at info level what it tries; the pull log has
// that.
func setLogging(verbose bool) {
	if !verbose {
		logrus.SetOutput(io.Discard)
		return
	}
	var level klog.Level
	_ = level.Set("2")
}
