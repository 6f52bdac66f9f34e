package kubelet

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// Cluster is what the kubelets of one process share: one watch of all nodes and one of all pods,
// the event stream and the address space.
type Cluster struct {
	kube    kubernetes.Interface
	nodes   cache.SharedIndexInformer
	pods    cache.SharedIndexInformer
	events  record.EventBroadcaster
	nodeIPs *addresses
	podIPs  *addresses

	mu       sync.Mutex
	kubelets map[string]podHandler
}

// podHandler hears of every change of the pods of one node.
type podHandler interface {
	podChanged(pod *corev1.Pod)
	podGone(uid types.UID)
}

// byNode is the index of the pods by the node that they are bound to.
const byNode = "node"

// NewCluster starts the watches and waits for the first lists.
func NewCluster(ctx context.Context, kube kubernetes.Interface, scale float64) (*Cluster, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(withoutManagedFields))
	c := &Cluster{
		kube:     kube,
		nodes:    factory.Core().V1().Nodes().Informer(),
		pods:     factory.Core().V1().Pods().Informer(),
		events:   newEvents(ctx, kube, scale),
		nodeIPs:  newAddresses("10.128.0.1"),
		podIPs:   newAddresses("10.132.0.1"),
		kubelets: map[string]podHandler{},
	}
	if err := c.pods.AddIndexers(cache.Indexers{byNode: func(object any) ([]string, error) {
		return []string{object.(*corev1.Pod).Spec.NodeName}, nil
	}}); err != nil {
		return nil, err
	}
	if _, err := c.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { c.podChanged(object) },
		UpdateFunc: func(_, object any) { c.podChanged(object) },
		DeleteFunc: c.podGone,
	}); err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	c.keepAddresses()
	return c, ctx.Err()
}

// withoutManagedFields halves the memory that the watches take.
func withoutManagedFields(object any) (any, error) {
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}

// Node returns the node from the watch, or nil if there is none of that name.
func (c *Cluster) Node(name string) *corev1.Node {
	node, err := corelisters.NewNodeLister(c.nodes.GetIndexer()).Get(name)
	if err != nil {
		return nil
	}
	return node
}

// keepAddresses reserves what earlier runs of the lab have handed out.
func (c *Cluster) keepAddresses() {
	for _, object := range c.nodes.GetStore().List() {
		c.nodeIPs.keep(internalIP(object.(*corev1.Node)))
	}
	for _, object := range c.pods.GetStore().List() {
		c.podIPs.keep(object.(*corev1.Pod).Status.PodIP)
	}
}

// attach delivers the pods of a node, those that are there and all changes, until detach.
func (c *Cluster) attach(node string, h podHandler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kubelets[node] = h
	pods, err := c.pods.GetIndexer().ByIndex(byNode, node)
	if err != nil {
		klog.Errorf("pods of node %s: %v", node, err) // only if the index is missing
	}
	for _, object := range pods {
		h.podChanged(object.(*corev1.Pod))
	}
}

func (c *Cluster) detach(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kubelets, node)
}

func (c *Cluster) podChanged(object any) {
	pod := object.(*corev1.Pod)
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.kubelets[pod.Spec.NodeName]; ok {
		h.podChanged(pod)
	}
}

func (c *Cluster) podGone(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.kubelets[pod.Spec.NodeName]; ok {
		h.podGone(pod.UID)
	}
}

// EachNode calls live for every Node object, until the Node is deleted or ctx ends. A Node that is
// made again under the same name is a new life, which begins when the old one has ended.
func (c *Cluster) EachNode(ctx context.Context, live func(ctx context.Context, name string)) error {
	lives := newLives(ctx, live)
	registration, err := c.nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { lives.begin(object.(*corev1.Node)) },
		UpdateFunc: func(_, object any) { lives.begin(object.(*corev1.Node)) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if node, ok := object.(*corev1.Node); ok {
				lives.end(node.Name)
			}
		},
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	_ = c.nodes.RemoveEventHandler(registration)
	lives.running.Wait()
	return nil
}

// WhileUp calls run for as long as nobody has taken the node down, and again when it is back.
func (c *Cluster) WhileUp(ctx context.Context, name string, run func(context.Context)) {
	for {
		poll(ctx, pollPeriod, func() bool { return c.isUp(name) })
		if ctx.Err() != nil {
			return
		}
		up, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			run(up)
		}()
		poll(ctx, pollPeriod, func() bool { return !c.isUp(name) })
		stop()
		<-done
	}
}

func (c *Cluster) isUp(name string) bool {
	node := c.Node(name)
	return node != nil && !set(node.Annotations, DownAnnotation)
}

// pollPeriod is how often a node looks at its annotations in the cache.
const pollPeriod = 200 * time.Millisecond

// poll waits until f says yes or ctx ends.
func poll(ctx context.Context, period time.Duration, f func() bool) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
