//go:build lab

package crash

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// watcher sees every version of the nodes, the rollout and its mirror set, and checks what no read
// afterwards can: that two nodes were never updating at once, and that the mirror set came after
// the proofs.
type watcher struct {
	watches []watch.Interface
	done    sync.WaitGroup

	mu       sync.Mutex
	nodes    map[string]bool // node -> updating
	moved    map[string]bool
	proven   int64 // the version of the rollout that first said that all is proven and what is about to be applied
	applied  int64 // the first version of the mirror set
	failures []string
	versions int
}

func watchAll(ctx context.Context, c *scenario.Cluster) (*watcher, error) {
	w := &watcher{nodes: map[string]bool{}, moved: map[string]bool{}}
	for _, list := range []client.ObjectList{&corev1.NodeList{}, &v1alpha1.SafeMirrorRolloutList{},
		&configv1.ImageTagMirrorSetList{}} {
		events, err := c.Client.Watch(ctx, list)
		if err != nil {
			return nil, err
		}
		w.watches = append(w.watches, events)
		w.done.Go(func() {
			for e := range events.ResultChan() {
				w.see(e.Object)
			}
		})
	}
	return w, nil
}

func (w *watcher) see(object any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions++
	switch o := object.(type) {
	case *corev1.Node:
		w.seeNode(o)
	case *v1alpha1.SafeMirrorRollout:
		if i := o.Status.Images; w.proven == 0 && o.Status.Record.AppliedPlanHash != "" && i.Changed > 0 &&
			i.Verified == i.Changed {
			w.proven = version(o)
		}
	case *configv1.ImageTagMirrorSet:
		if w.applied == 0 {
			w.applied = version(o)
		}
	}
}

func (w *watcher) seeNode(n *corev1.Node) {
	const mco = "machineconfiguration.openshift.io/"
	a := n.Annotations
	w.nodes[n.Name] = a[mco+"desiredConfig"] != a[mco+"currentConfig"] || a[mco+"state"] != "Done"
	var busy []string
	for name, under := range w.nodes {
		if under {
			busy, w.moved[name] = append(busy, name), true
		}
	}
	if len(busy) > 1 {
		slices.Sort(busy)
		w.failures = append(w.failures, fmt.Sprintf("%v are updating at the same time", busy))
	}
}

// version orders objects of different kinds: one etcd counts for all.
func version(o client.Object) int64 {
	n, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err) // an API server that does not count
	}
	return n
}

// violations ends the watches and says what was wrong.
func (w *watcher) violations() []string {
	for _, events := range w.watches {
		events.Stop()
	}
	w.done.Wait()
	failures := slices.Compact(w.failures)
	switch {
	case w.applied == 0:
		failures = append(failures, "the mirror set was never seen")
	case w.proven == 0 || w.proven > w.applied:
		failures = append(failures, fmt.Sprintf("the mirror set was written at version %d, and all was proven and on record at %d", w.applied, w.proven))
	}
	if len(w.moved) != len(w.nodes) {
		failures = append(failures, fmt.Sprintf("only %d of %d nodes were updated", len(w.moved), len(w.nodes)))
	}
	return failures
}
