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

// PDBMonitor counts the deletions of pods that PodDisruptionBudgets protect. When a ready pod is
// deleted, by anyone and by any means, the remaining healthy pods must be at least as many as its
// budgets require at that moment.
//
//	budget requires 1; 2 pods are healthy; one is deleted        fine: 1 is left
//	its replacement does not start; the other one is deleted     a violation: 0 are left
type PDBMonitor struct {
	stop []func()
	done sync.WaitGroup

	mu      sync.Mutex
	pods    map[types.UID]*corev1.Pod
	budgets map[types.UID]*policyv1.PodDisruptionBudget
	tally   PDBResults
}

// PDBResults are the counts of a PDBMonitor.
type PDBResults struct {
	// ProtectedDeletions is how many ready and protected pods were deleted.
	ProtectedDeletions int
	// Violations are the deletions that left too few healthy pods, and the budgets whose selector
	// is invalid: the pods of such a budget cannot be monitored.
	Violations []string
}

// MonitorPDBs starts a monitor, which sees every later change.
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

// gone checks the deletion of a ready pod, which no longer counts as healthy itself.
func (s *PDBMonitor) gone(p *corev1.Pod) {
	protected := false
	for _, b := range s.budgets {
		if b.Namespace != p.Namespace {
			continue
		}
		selects, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			s.tally.Violations = append(s.tally.Violations,
				fmt.Sprintf("PDB %s/%s has an invalid selector, and pod %s was deleted: %v", b.Namespace, b.Name, p.Name, err))
			continue
		}
		if !selects.Matches(labels.Set(p.Labels)) {
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
				fmt.Sprintf("pod %s/%s on %s was deleted, which leaves %d healthy; PDB %s requires %d",
					p.Namespace, p.Name, p.Spec.NodeName, healthy, b.Name, b.Status.DesiredHealthy))
		}
	}
	if protected {
		s.tally.ProtectedDeletions++
	}
}
