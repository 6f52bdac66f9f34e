package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
	kubeimages "k8s.io/kubernetes/pkg/kubelet/images"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/pull"
)

// Options says which node, where its files are, and how to reach the cluster.
type Options struct {
	// NodeName is the Node object that this kubelet keeps alive. It must exist.
	NodeName string
	// Root is the directory that holds one file system per node, see package nodefs.
	Root string
	// Scale multiplies every delay of the kubelet and of the containers. It must be positive.
	Scale float64
	// Cluster is shared by the kubelets of the process.
	Cluster *Cluster
	// Pulls is the pull log.
	Pulls *pull.Log
}

// kubelet is one running kubelet: from the power-on of its node to the power-off.
type kubelet struct {
	Options
	ctx     context.Context
	runtime *pull.Runtime
	events  record.EventRecorder
	images  kubeimages.ImageManager
	crashes *flowcontrol.Backoff
	hostIP  string
	// rebooted says that the machine itself was away, and that its containers are gone.
	rebooted bool

	mu        sync.Mutex
	workers   map[types.UID]*worker
	running   sync.WaitGroup
	preloaded map[string]bool
}

// Run is the life of the node, from the creation of its Node object to the end of ctx. The node has
// power except while an annotation says that it is down or rebooting.
func Run(ctx context.Context, o Options) error {
	runtime, err := pull.New(o.Root, o.NodeName, o.Pulls)
	if err != nil {
		return err
	}
	rebooted := false
	for ctx.Err() == nil {
		if !o.hasPower() {
			rebooted = o.awaitPower(ctx) || rebooted
			continue
		}
		on, off := context.WithCancel(ctx)
		k := o.start(on, runtime, rebooted)
		poll(ctx, o.reloadPeriod(), func() bool {
			_ = runtime.Reload() // before the first load there is nothing to notice
			return !o.hasPower()
		})
		off()
		k.wait()
		rebooted = false
	}
	return nil
}

// awaitPower says that the node is off and waits. It tells whether the machine is rebooting, which
// unlike a stopped kubelet ends the containers.
func (o Options) awaitPower(ctx context.Context) (rebooting bool) {
	reported := false
	poll(ctx, pollPeriod, func() bool {
		rebooting = rebooting || o.isRebooting()
		if !reported {
			reported = o.reportStopped() == nil
		}
		return o.hasPower()
	})
	return rebooting
}

// reloadPeriod is how often the kubelet looks for a reload of the runtime. It has to be shorter
// than the time between a reload and the first file of the next update, which the daemon half
// scales too.
func (o Options) reloadPeriod() time.Duration {
	return min(max(scaled(2*time.Second, o.Scale), 20*time.Millisecond), pollPeriod)
}

func (o Options) hasPower() bool {
	return o.Cluster.isUp(o.NodeName) && !o.isRebooting()
}

func (o Options) isRebooting() bool {
	node := o.Cluster.Node(o.NodeName)
	return node != nil && set(node.Annotations, RebootingAnnotation)
}

// start powers the node on. Its pods begin when the daemon half has loaded a first
// configuration, as no kubelet runs before Ignition has written the files of its machine.
func (o Options) start(ctx context.Context, runtime *pull.Runtime, rebooted bool) *kubelet {
	k := &kubelet{
		Options: o, ctx: ctx, runtime: runtime, rebooted: rebooted,
		events:    silencedRecorder{recorderOf(o.Cluster.events, o.NodeName), ctx},
		crashes:   flowcontrol.NewBackOff(scaled(firstBackOff, o.Scale), scaled(maxBackOff, o.Scale)),
		workers:   map[types.UID]*worker{},
		preloaded: map[string]bool{},
	}
	k.hostIP = k.address()
	k.images = k.newImageManager()
	for _, loop := range []func(){k.heartbeat, k.postStatus, k.preload, k.servePods} {
		k.running.Add(1)
		go func() {
			defer k.running.Done()
			loop()
		}()
	}
	return k
}

func (k *kubelet) wait() {
	k.running.Wait()
	klog.V(2).Infof("node %s: off", k.NodeName)
}

// address keeps the node's address over a restart.
func (k *kubelet) address() string {
	if node := k.Cluster.Node(k.NodeName); node != nil {
		if ip := internalIP(node); ip != "" {
			return ip
		}
	}
	return k.Cluster.nodeIPs.next()
}

// booted tells whether the runtime has a configuration.
func (k *kubelet) booted() bool { return k.runtime.Reload() == nil }

// servePods plays the pods of the node until the power goes.
func (k *kubelet) servePods() {
	poll(k.ctx, pollPeriod, k.booted)
	if k.ctx.Err() != nil {
		return
	}
	k.Cluster.attach(k.NodeName, k)
	<-k.ctx.Done()
	k.Cluster.detach(k.NodeName)
}

// podChanged hands the newest object to the worker of a pod, and starts one for a new pod.
func (k *kubelet) podChanged(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, ok := k.workers[pod.UID]; ok {
		w.update(pod)
		return
	}
	if k.ctx.Err() != nil {
		return
	}
	w := newWorker(k, pod)
	k.workers[pod.UID] = w
	k.running.Add(1)
	go func() {
		defer k.running.Done()
		w.run()
	}()
}

// podGone ends a pod that is no longer in the API, whatever it was doing: a forced deletion.
func (k *kubelet) podGone(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, ok := k.workers[uid]; ok {
		w.stop()
		delete(k.workers, uid)
	}
}

// jitter spreads the retries of a failed sync: between d and one and a half d.
func jitter(d time.Duration) time.Duration { return wait.Jitter(d, 0.5) }
