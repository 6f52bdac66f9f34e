package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/klog/v2"
)

// retryAfter is the pause after a request that the API server refused.
const retryAfter = time.Second

// worker plays one pod: it advances the machine, does what the machine asks for, and writes the
// status.
type worker struct {
	k       *kubelet
	ctx     context.Context
	stop    context.CancelFunc
	machine *podMachine

	changed chan struct{}
	results chan result
	pulls   context.Context // of the pulls in flight: they end when the pod is to stop
	endAll  context.CancelFunc

	mu     sync.Mutex
	newest *corev1.Pod // from the watch, or from our own last write if that is newer
	ip     string      // of the pod, from the first status on
}

// result is the end of a pull.
type result struct {
	container                *container
	imageID, reason, message string
}

func newWorker(k *kubelet, pod *corev1.Pod) *worker {
	ctx, stop := context.WithCancel(k.ctx)
	w := &worker{k: k, ctx: ctx, stop: stop, newest: pod, changed: make(chan struct{}, 1)}
	w.pulls, w.endAll = context.WithCancel(ctx)
	w.machine = newMachine(pod, k.Scale, k.crashes, jitter, time.Now(), k.rebooted)
	w.results = make(chan result, len(w.machine.all())) // each container has at most one pull in flight
	return w
}

// update takes a newer object from the watch.
func (w *worker) update(pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if version(pod) < version(w.newest) {
		return
	}
	w.newest = pod
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *worker) pod() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest
}

// version compares two states of one object. etcd counts up.
func version(pod *corev1.Pod) uint64 {
	v, _ := strconv.ParseUint(pod.ResourceVersion, 10, 64)
	return v
}

func (w *worker) run() {
	defer w.stop()
	for {
		next, over := w.sync()
		if over || !w.wait(next) {
			return
		}
	}
}

// wait waits until there is something to do; false means that the worker has to end.
func (w *worker) wait(next time.Time) bool {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(time.Until(next))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-w.ctx.Done():
		return false
	case <-w.changed:
	case <-due:
	case r := <-w.results:
		w.machine.pulled(r.container, time.Now(), r.imageID, r.reason, r.message)
	}
	return true
}

// sync does what is due now and says when to come back, and whether the pod is gone.
func (w *worker) sync() (next time.Time, over bool) {
	now, pod := time.Now(), w.pod()
	if pod.DeletionTimestamp != nil {
		w.endAll()
	}
	for _, a := range w.machine.advance(now, pod) {
		w.do(pod, a)
	}
	err := w.publish(pod, w.machine.status(now, pod, w.k.hostIP, w.podIP))
	if err == nil && w.machine.stopped {
		err = w.remove(pod)
		over = err == nil
	}
	switch {
	case w.ctx.Err() != nil, apierrors.IsNotFound(err):
		return time.Time{}, true
	case err != nil:
		klog.Warningf("node %s: pod %s/%s: %v", w.k.NodeName, pod.Namespace, pod.Name, err)
		return now.Add(retryAfter), false
	}
	return w.machine.nextWake(now, pod), over
}

func (w *worker) do(pod *corev1.Pod, a action) {
	if a.pull {
		go func() {
			imageID, reason, message := w.k.ensure(w.pulls, pod, a.container)
			w.results <- result{a.container, imageID, reason, message}
		}()
		return
	}
	w.k.events.Event(reference(pod, a.container), a.eventType, a.reason, a.message)
}

// podIP is the pod's address, the same one until it is in the API.
func (w *worker) podIP() string {
	if w.ip == "" {
		w.ip = w.k.Cluster.podIPs.next()
	}
	return w.ip
}

// publish writes the status if it says anything new. The UID in the patch makes it fail if another
// pod has taken the name.
func (w *worker) publish(pod *corev1.Pod, status corev1.PodStatus) error {
	patch, err := statusPatch(pod, status)
	if err != nil || patch == nil {
		return err
	}
	written, err := w.k.Cluster.kube.CoreV1().Pods(pod.Namespace).Patch(w.ctx, pod.Name, types.StrategicMergePatchType,
		patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if version(written) >= version(w.newest) {
		w.newest = written
	}
	return nil
}

// statusPatch is nil if the status is what the pod has.
func statusPatch(pod *corev1.Pod, status corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: pod.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: pod.UID}, Status: status})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil || string(patch) == fmt.Sprintf(`{"metadata":{"uid":%q}}`, pod.UID) {
		return nil, err
	}
	return patch, nil
}

// remove takes the stopped pod out of the API. A finalizer may keep it there; that is not ours.
func (w *worker) remove(pod *corev1.Pod) error {
	err := w.k.Cluster.kube.CoreV1().Pods(pod.Namespace).Delete(w.ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64),
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
