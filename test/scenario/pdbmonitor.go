package scenario

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// PDBMonitor counts what becomes of the pods that PodDisruptionBudgets protect: each that is
// deleted while it is ready, by whomever and in whatever way, has to leave behind as many healthy
// ones as its budgets want at that moment.
//
//	budget wants 1; 2 pods are healthy; one is deleted     fine: 1 is left
//	its replacement does not start; the other one goes     a violation: 0 are left
type PDBMonitor struct {
	stop []func()
	done sync.WaitGroup

	mu      sync.Mutex
	pods    map[types.UID]*corev1.Pod
	budgets map[types.UID]*policyv1.PodDisruptionBudget
	tally   PDBResults
}

// PDBResults is what a Sentinel has counted.
type PDBResults struct {
	// ProtectedDeletions is how many ready and protected pods were deleted.
	ProtectedDeletions int
	// Violations are those of them that should not have been.
	Violations []string
}

// MonitorPDBs starts a sentinel. It sees everything that happens after.
func (c *Cluster) MonitorPDBs(ctx context.Context) (*PDBMonitor, error) {
	s := &PDBMonitor{pods: map[types.UID]*corev1.Pod{}, budgets: map[types.UID]*policyv1.PodDisruptionBudget{}}
	var budgets policyv1.PodDisruptionBudgetList
	var pods corev1.PodList
	for _, list := range []client.ObjectList{&budgets, &pods} {
		if err := c.Client.List(ctx, list); err != nil {
			return nil, err
		}
	}
	for i := range budgets.Items {
		s.budgets[budgets.Items[i].UID] = &budgets.Items[i]
	}
	for i := range pods.Items {
		s.pods[pods.Items[i].UID] = &pods.Items[i]
	}
	for _, list := range []client.ObjectList{&budgets, &pods} {
		w, err := c.Client.Watch(ctx, list,
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		if err != nil {
			s.stopWatches()
			return nil, err
		}
		s.stop = append(s.stop, w.Stop)
		s.done.Go(func() {
			for e := range w.ResultChan() {
				s.see(e)
			}
		})
	}
	return s, nil
}

func (s *PDBMonitor) stopWatches() {
	for _, stop := range s.stop {
		stop()
	}
	s.done.Wait()
}

// Report ends the watch and returns the count.
func (s *PDBMonitor) Report() PDBResults {
	s.stopWatches()
	return s.tally
}

func (s *PDBMonitor) see(e watch.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch o := e.Object.(type) {
	case *policyv1.PodDisruptionBudget:
		s.budgets[o.UID] = o
		if e.Type == watch.Deleted {
			delete(s.budgets, o.UID)
		}
	case *corev1.Pod:
		before := s.pods[o.UID]
		s.pods[o.UID] = o
		if e.Type == watch.Deleted {
			delete(s.pods, o.UID)
		}
		if before != nil && isHealthy(before) && (o.DeletionTimestamp != nil || e.Type == watch.Deleted) {
			s.gone(before)
		}
	}
}

// isHealthy is the disruption controller's notion of a healthy pod.
func isHealthy(p *corev1.Pod) bool { return p.DeletionTimestamp == nil && isReady(p) }

// gone judges the deletion of a ready pod, which is no longer among the others.
func (s *PDBMonitor) gone(p *corev1.Pod) {
	protected := false
	for _, b := range s.budgets {
		selects := selectorOf(b)
		if b.Namespace != p.Namespace || !selects.Matches(labels.Set(p.Labels)) {
			continue
		}
		protected = true
		healthy := int32(0)
		for _, q := range s.pods {
			if q.UID != p.UID && q.Namespace == b.Namespace && isHealthy(q) && selects.Matches(labels.Set(q.Labels)) {
				healthy++
			}
		}
		if healthy < b.Status.DesiredHealthy {
			s.tally.Violations = append(s.tally.Violations,
				fmt.Sprintf("pod %s/%s on %s was deleted, which leaves %d healthy, and PDB %s wants %d",
					p.Namespace, p.Name, p.Spec.NodeName, healthy, b.Name, b.Status.DesiredHealthy))
		}
	}
	if protected {
		s.tally.ProtectedDeletions++
	}
}

func selectorOf(b *policyv1.PodDisruptionBudget) labels.Selector {
	s, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return labels.Nothing()
	}
	return s
}
