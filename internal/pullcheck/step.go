package pullcheck

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
)

// StepInput is everything that Next looks at.
type StepInput struct {
	Owner Owner
	// Wanted are the probes that Choose has chosen. With none, every pod of the rollout is deleted.
	Wanted []Check
	// Pods are all probes in the namespace, those of other rollouts included, and Events what is
	// known about them.
	Pods   []corev1.Pod
	Events []corev1.Event
	// Results are those of the step before.
	Results []CheckResult
	// NotOlderThan is how old a proof may be.
	NotOlderThan time.Time
	Now          time.Time
	Limits       Limits
}

// Step is what to do now.
type Step struct {
	Create []Check
	Delete []PodDeletion
	// InProgress are the probes whose pods are at it.
	InProgress []InProgress
	// Results are the previous ones and the new ones. They have to be kept before the pods are
	// deleted that they were read from, or the probes are made again.
	Results []CheckResult
	// Done is true when every wanted probe has its proof and no pod of the rollout is left.
	Done bool
	// RecheckAt is when time alone changes something; zero when only a pod's change can.
	RecheckAt time.Time
}

// Refuse notes that the probe's pod was not admitted. It says nothing about the mirror.
func (s *Step) Refuse(p Check, reason string, at time.Time) {
	s.Results = record(s.Results, CheckResult{Check: p, Pull: PullResult{State: Inconclusive, Message: reason}, At: at})
}

// PodDeletion is a pod to delete; the UID keeps it from hitting another pod of the same name.
type PodDeletion struct {
	Pod types.NamespacedName
	UID types.UID
}

// InProgress is a probe in progress.
type InProgress struct {
	Check  Check
	Result PullResult
}

// NextStep compares what is wanted with the pods there are. A node has so many probes at a time as
// the limits say, whoever's they are, until the pods are gone.
func NextStep(in StepInput) Step {
	s := &stepBuilder{StepInput: in, busy: map[string]int{}}
	s.step.Results = prune(in.Results, in.Wanted, in.NotOlderThan, in.Now, in.Limits)
	for i := range in.Pods {
		s.evaluate(&in.Pods[i])
	}
	missing := 0
	for _, p := range in.Wanted {
		if _, ok := newestProof(p, s.step.Results, in.NotOlderThan); !ok {
			missing++
			s.start(p)
		}
	}
	s.step.Done = missing == 0 && !s.pods
	return s.step
}

type stepBuilder struct {
	StepInput
	step Step
	// busy are the nodes that have probes, with how many; pods tells whether the rollout has one
	// anywhere.
	busy map[string]int
	pods bool
}

// evaluate judges one pod that is there.
func (s *stepBuilder) evaluate(pod *corev1.Pod) {
	s.busy[nodeOf(pod)]++
	if pod.Labels[mirrorset.LabelRollout] != s.Owner.Name {
		return
	}
	s.pods = true
	i := slices.IndexFunc(s.Wanted, func(p Check) bool { return p.Name == pod.Name })
	if i < 0 || pod.Annotations[mirrorset.AnnotationUID] != string(s.Owner.UID) {
		s.remove(pod)
		return
	}
	p, result := s.Wanted[i], Evaluate(pod, s.Events, s.Now, s.Limits)
	p.ImageAbsent = pod.Annotations[annotationFresh] == "true" // as it was before the pull
	if pod.DeletionTimestamp != nil && !result.Decided() {
		result = PullResult{State: Evicted, Message: "node " + p.Node +
			": the pod was deleted before its pull was decided: " + result.Message}
	}
	if !result.Decided() {
		s.step.InProgress = append(s.step.InProgress, InProgress{p, result})
		s.recheck(result.Until)
		return
	}
	s.step.Results = record(s.step.Results, CheckResult{Check: p, Pod: pod.UID, Pull: result, At: s.Now})
	s.remove(pod)
}

func (s *stepBuilder) remove(pod *corev1.Pod) {
	if pod.DeletionTimestamp == nil {
		s.step.Delete = append(s.step.Delete,
			PodDeletion{types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, pod.UID})
	}
}

// start creates the probe if its node is free, the last failure is long enough ago, and not too
// many nodes have one.
func (s *stepBuilder) start(p Check) {
	if s.busy[p.Node] >= max(1, s.Limits.ConcurrentPodsPerNode) || s.has(p.Name) {
		return
	}
	if o, ok := lastResult(p, s.step.Results); ok && o.Attempts > 0 && s.Now.Before(o.retryAt(s.Limits)) {
		s.recheck(o.retryAt(s.Limits))
		return
	}
	if s.busy[p.Node] == 0 && len(s.busy) >= s.Limits.ConcurrentNodes {
		return
	}
	s.busy[p.Node]++
	s.step.Create = append(s.step.Create, p)
}

// has tells whether the probe's pod is there, whatever it is at.
func (s *stepBuilder) has(name string) bool {
	return slices.ContainsFunc(s.Pods, func(p corev1.Pod) bool { return p.Name == name })
}

// recheck moves the next look forward. A time that has passed, of a pod that is only waited for, is
// no reason to look at once.
func (s *stepBuilder) recheck(at time.Time) {
	if at.After(s.Now) && (s.step.RecheckAt.IsZero() || at.Before(s.step.RecheckAt)) {
		s.step.RecheckAt = at
	}
}
