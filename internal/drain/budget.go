package drain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Budget is a PodDisruptionBudget and its pods, in the numbers that the disruption controller
// computes (pkg/controller/disruption).
//
// Example: a Deployment of 5 routers, one of which does not become ready, and maxUnavailable 25 %:
// that rounds up to 2, so 3 are desired, 4 are healthy, and 1 disruption is allowed. With 4 routers
// it rounds to 1: 3 desired, 3 healthy, none allowed.
type Budget struct {
	PDB *policyv1.PodDisruptionBudget
	// Pods are all that the selector matches, healthy or not.
	Pods []*corev1.Pod
	// Expected is how many there should be, Desired how many have to stay healthy, Healthy how many
	// are.
	Expected, Desired, Healthy int32
	// FromStatus is true when Expected and Desired are the controller's own words, because the
	// scale of an owner is not known here.
	FromStatus bool
	// NotComputed says why the controller computes no numbers, or none yet; Stale is the second of
	// the two, which passes by itself.
	NotComputed string
	Stale       bool
}

// Allowed is how many more of its healthy pods may go now.
func (b *Budget) Allowed() int32 { return b.allowed(b.Healthy) }

// allowed is the same for another number of healthy pods. Without a pod that is expected none may
// go: that is a budget whose first pods the controller has not seen yet.
func (b *Budget) allowed(healthy int32) int32 {
	if b.NotComputed != "" || b.Expected <= 0 {
		return 0
	}
	return max(0, healthy-b.Desired)
}

// NeverAllows tells whether not even all of its pods together allow one to go: maxUnavailable 0,
// minAvailable of all, or a percentage that rounds to that. No drain ends then, whatever else is
// done.
func (b *Budget) NeverAllows() bool {
	return b.NotComputed == "" && b.Expected > 0 && b.Desired >= max(b.Expected, int32(len(b.Pods)))
}

// Name is namespace/name.
func (b *Budget) Name() string { return b.PDB.Namespace + "/" + b.PDB.Name }

// Requirement is what the budget says in its spec: maxUnavailable 25%, or minAvailable 2.
func (b *Budget) Requirement() string {
	switch s := b.PDB.Spec; {
	case s.MaxUnavailable != nil:
		return "maxUnavailable " + s.MaxUnavailable.String()
	case s.MinAvailable != nil:
		return "minAvailable " + s.MinAvailable.String()
	default:
		return "neither maxUnavailable nor minAvailable"
	}
}

// String is the budget in numbers: allows 0 (2 of 3 healthy, 2 wanted, maxUnavailable 1).
func (b *Budget) String() string {
	if b.NotComputed != "" {
		return "allows 0: " + b.NotComputed
	}
	return fmt.Sprintf("allows %d (%d of %d healthy, %d wanted, %s)", b.Allowed(), b.Healthy, b.Expected, b.Desired,
		b.Requirement())
}

// Healthy is the disruption controller's notion: Ready and not being deleted. disrupted are the
// pods whose eviction was granted less than deletionTimeout ago and that are not gone yet.
func IsHealthy(p *corev1.Pod, disrupted map[string]metav1.Time, now time.Time) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	if at, ok := disrupted[p.Name]; ok && at.Add(deletionTimeout).After(now) {
		return false
	}
	return IsPodReady(p)
}

// deletionTimeout is how long the controller waits for a pod whose eviction was granted.
const deletionTimeout = 2 * time.Minute

// IsPodReady tells whether the pod's condition Ready is True.
func IsPodReady(p *corev1.Pod) bool {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// compute fills in the numbers.
func (b *Budget) compute(scales Scales, now time.Time) {
	status := &b.PDB.Status
	for _, p := range b.Pods {
		if IsHealthy(p, status.DisruptedPods, now) {
			b.Healthy++
		}
	}
	if status.ObservedGeneration < b.PDB.Generation {
		b.Stale = true
		b.NotComputed = fmt.Sprintf("the disruption controller has seen generation %d of it, and it is at %d",
			status.ObservedGeneration, b.PDB.Generation)
		return
	}
	c := meta.FindStatusCondition(status.Conditions, policyv1.DisruptionAllowedCondition)
	if c != nil && c.Status == metav1.ConditionFalse && c.Reason == policyv1.SyncFailedReason {
		b.NotComputed = "the disruption controller cannot compute it: " + cmp.Or(c.Message, "SyncFailed")
		return
	}
	if limit := 2000; len(status.DisruptedPods) > limit {
		b.NotComputed = fmt.Sprintf("%d evictions are not confirmed by the disruption controller, and with more than %d the API server refuses", len(status.DisruptedPods), limit)
		return
	}
	if m := b.PDB.Spec.MinAvailable; b.PDB.Spec.MaxUnavailable == nil && m != nil && m.Type == intstr.Int {
		b.Expected, b.Desired = int32(len(b.Pods)), m.IntVal
		return
	}
	expected, known := b.expectedScale(scales)
	if !known {
		b.Expected, b.Desired, b.FromStatus = status.ExpectedPods, status.DesiredHealthy, true
		return
	}
	b.Expected = expected
	b.computeDesired()
}

// computeDesired rounds as the controller does: percentages up, whichever of the two they are.
func (b *Budget) computeDesired() {
	scaled := func(v *intstr.IntOrString) (int32, bool) {
		n, err := intstr.GetScaledValueFromIntOrPercent(v, int(b.Expected), true)
		if err != nil {
			b.NotComputed = fmt.Sprintf("%q is neither a number nor a percentage", v.String())
		}
		return int32(n), err == nil
	}
	switch s := b.PDB.Spec; {
	case s.MaxUnavailable != nil:
		if n, ok := scaled(s.MaxUnavailable); ok {
			b.Desired = max(0, b.Expected-n)
		}
	case s.MinAvailable != nil:
		b.Desired, _ = scaled(s.MinAvailable)
	}
}

// expectedScale adds up what the controllers of the pods want, each one once. Pods without a
// controller add nothing to it.
func (b *Budget) expectedScale(scales Scales) (int32, bool) {
	var sum int32
	seen := map[types.UID]bool{}
	for _, p := range b.Pods {
		owner := metav1.GetControllerOf(p)
		if owner == nil {
			continue
		}
		s, ok := scales[owner.UID]
		if !ok {
			return 0, false
		}
		if !seen[s.UID] {
			seen[s.UID] = true
			sum += s.Replicas
		}
	}
	return sum, true
}

// Budgets are all budgets of a cluster, by the pods that they protect.
type Budgets struct {
	All   []*Budget
	byPod map[*corev1.Pod][]*Budget
}

// ForPod are the budgets whose selector matches the pod: it has to be one of those that the budgets
// were made with.
func (s *Budgets) ForPod(p *corev1.Pod) []*Budget { return s.byPod[p] }

// NewBudgets matches budgets and pods, and computes each. An empty selector matches every pod of
// its namespace; one that is missing, or does not parse, matches none.
func NewBudgets(pdbs []*policyv1.PodDisruptionBudget, pods []*corev1.Pod, scales Scales, now time.Time) *Budgets {
	out := &Budgets{byPod: map[*corev1.Pod][]*Budget{}}
	if len(pdbs) == 0 {
		return out
	}
	byNamespace := map[string][]*corev1.Pod{}
	for _, b := range pdbs {
		byNamespace[b.Namespace] = nil
	}
	for _, p := range pods {
		if have, ok := byNamespace[p.Namespace]; ok {
			byNamespace[p.Namespace] = append(have, p)
		}
	}
	for _, pdb := range pdbs {
		b := &Budget{PDB: pdb}
		if selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector); err == nil {
			for _, p := range byNamespace[pdb.Namespace] {
				if selector.Matches(labels.Set(p.Labels)) {
					b.Pods = append(b.Pods, p)
					out.byPod[p] = append(out.byPod[p], b)
				}
			}
		}
		b.compute(scales, now)
		out.All = append(out.All, b)
	}
	slices.SortFunc(out.All, func(a, b *Budget) int { return cmp.Compare(a.Name(), b.Name()) })
	return out
}

// EvictionResponse is what the eviction API answers (pkg/registry/core/pod/storage/eviction.go).
type EvictionResponse struct {
	// Code is 201 when the pod goes, 429 when the budget refuses, which may change, and 500 when
	// more than one budget selects the pod, which never does.
	Code int
	// ConsumesBudget is true when the eviction takes one from the budget.
	ConsumesBudget bool
	// Budgets are those that decide: none, one, or the several of a 500.
	Budgets []*Budget
}

// The HTTP statuses of the eviction API. They stand here because net/http is out of reach: this
// package connects to nothing.
const (
	statusCreated         = 201
	statusTooManyRequests = 429
	StatusInternalError   = 500
)

// Granted tells whether the pod goes.
func (a EvictionResponse) Granted() bool { return a.Code == statusCreated }

// CheckEviction says what the eviction API would answer now.
func (s *Budgets) CheckEviction(p *corev1.Pod) EvictionResponse {
	return CheckEviction(p, s.byPod[p], func(b *Budget) int32 { return b.Healthy })
}

// checkEviction follows the API server: a pod that has ended, is being deleted or is Pending goes
// without a budget being asked; with several budgets nothing goes; one that is not ready goes when
// its budget says AlwaysAllow, or when enough others are healthy; and a healthy one takes one from
// what the budget allows.
//
// A Pending pod is all that passes by a budget that allows nothing, which is why
// unhealthyPodEvictionPolicy does not help against a replacement that cannot be pulled: what is
// refused is the healthy pod on the next node.
func CheckEviction(p *corev1.Pod, budgets []*Budget, healthy func(*Budget) int32) EvictionResponse {
	granted := EvictionResponse{Code: statusCreated, Budgets: budgets}
	switch {
	case len(budgets) == 0, p.DeletionTimestamp != nil, IsPodTerminal(p), p.Status.Phase == corev1.PodPending:
		return granted
	case len(budgets) > 1:
		return EvictionResponse{Code: StatusInternalError, Budgets: budgets}
	}
	b := budgets[0]
	if !IsPodReady(p) && b.allowsUnhealthy(healthy(b)) {
		return granted
	}
	if b.allowed(healthy(b)) > 0 {
		granted.ConsumesBudget = true
		return granted
	}
	return EvictionResponse{Code: statusTooManyRequests, Budgets: budgets}
}

// allowsUnhealthy tells whether a pod that runs and is not ready may go without being counted.
func (b *Budget) allowsUnhealthy(healthy int32) bool {
	if policy := b.PDB.Spec.UnhealthyPodEvictionPolicy; policy != nil && *policy == policyv1.AlwaysAllow {
		return true
	}
	if b.NotComputed != "" { // the API server looks at the numbers that were there before
		return b.PDB.Status.CurrentHealthy >= b.PDB.Status.DesiredHealthy && b.PDB.Status.DesiredHealthy > 0
	}
	return healthy >= b.Desired && b.Desired > 0
}

// IsPodTerminal tells whether the pod has run its course: no container of it is started again.
func IsPodTerminal(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
