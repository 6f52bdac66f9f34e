package probe

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
)

// Input is everything that Next looks at.
type Input struct {
	Owner Owner
	// Want are the probes that Choose has chosen. With none, every pod of the rollout is deleted.
	Want []Probe
	// Pods are all probes in the namespace, those of other rollouts included, and Events what is known about them.
	Pods   []corev1.Pod
	Events []corev1.Event
	// Outcomes are those of the step before.
	Outcomes []Outcome
	// NotOlderThan is how old a proof may be.
	NotOlderThan time.Time
	Now          time.Time
	Limits       Limits
}

// Step is what to do now.
type Step struct {
	Create []Probe
	Delete []Removal
	// Open are the probes whose pods are at it.
	Open []Open
	// Outcomes are those of before and the new ones. They have to be kept before the pods are deleted that they were read from, or the
	// probes are made again.
	Outcomes []Outcome
	// Done is true when every wanted probe has its proof and no pod of the rollout is left.
	Done bool
	// RecheckAt is when time alone changes something; zero when only a pod's change can.
	RecheckAt time.Time
}

// Refuse notes that the probe's pod was not admitted. It says nothing about the mirror.
func (s *Step) Refuse(p Probe, why string, at time.Time) {
	s.Outcomes = record(s.Outcomes, Outcome{Probe: p, Verdict: Verdict{State: Unsure, Message: why}, At: at})
}

// Removal is a pod to delete; the UID keeps it from hitting another pod of the same name.
type Removal struct {
	Pod types.NamespacedName
	UID types.UID
}

// Open is a probe under way.
type Open struct {
	Probe   Probe
	Verdict Verdict
}

// Next compares what is wanted with the pods there are. A node has so many probes at a time as the limits say,
// whoever's they are, until the pods are gone.
func Next(in Input) Step {
	s := &stepper{Input: in, busy: map[string]int{}}
	s.step.Outcomes = kept(in.Outcomes, in.Want, in.NotOlderThan, in.Now, in.Limits)
	for i := range in.Pods {
		s.look(&in.Pods[i])
	}
	missing := 0
	for _, p := range in.Want {
		if _, ok := proof(p, s.step.Outcomes, in.NotOlderThan); !ok {
			missing++
			s.begin(p)
		}
	}
	s.step.Done = missing == 0 && !s.pods
	return s.step
}

type stepper struct {
	Input
	step Step
	// busy are the nodes that have probes, with how many; pods tells whether the rollout has one anywhere.
	busy map[string]int
	pods bool
}

// look judges one pod that is there.
func (s *stepper) look(pod *corev1.Pod) {
	s.busy[nodeOf(pod)]++
	if pod.Labels[mirrorset.LabelRollout] != s.Owner.Name {
		return
	}
	s.pods = true
	i := slices.IndexFunc(s.Want, func(p Probe) bool { return p.Name == pod.Name })
	if i < 0 || pod.Annotations[mirrorset.AnnotationUID] != string(s.Owner.UID) {
		s.remove(pod)
		return
	}
	p, verdict := s.Want[i], Judge(pod, s.Events, s.Now, s.Limits)
	p.Fresh = pod.Annotations[annotationFresh] == "true" // as it was before the pull
	if pod.DeletionTimestamp != nil && !verdict.Decided() {
		verdict = Verdict{State: Evicted, Message: "node " + p.Node + ": the pod was deleted before its pull was decided: " + verdict.Message}
	}
	if !verdict.Decided() {
		s.step.Open = append(s.step.Open, Open{p, verdict})
		s.recheck(verdict.Until)
		return
	}
	s.step.Outcomes = record(s.step.Outcomes, Outcome{Probe: p, Pod: pod.UID, Verdict: verdict, At: s.Now})
	s.remove(pod)
}

func (s *stepper) remove(pod *corev1.Pod) {
	if pod.DeletionTimestamp == nil {
		s.step.Delete = append(s.step.Delete, Removal{types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, pod.UID})
	}
}

// begin creates the probe if its node is free, the last failure is long enough ago, and not too many nodes have one.
func (s *stepper) begin(p Probe) {
	if s.busy[p.Node] >= max(1, s.Limits.PodsAtOnce) || s.has(p.Name) {
		return
	}
	if o, ok := last(p, s.step.Outcomes); ok && o.Attempts > 0 && s.Now.Before(o.due(s.Limits)) {
		s.recheck(o.due(s.Limits))
		return
	}
	if s.busy[p.Node] == 0 && len(s.busy) >= s.Limits.NodesAtOnce {
		return
	}
	s.busy[p.Node]++
	s.step.Create = append(s.step.Create, p)
}

// has tells whether the probe's pod is there, whatever it is at.
func (s *stepper) has(name string) bool {
	return slices.ContainsFunc(s.Pods, func(p corev1.Pod) bool { return p.Name == name })
}

// recheck moves the next look forward. A time that has passed, of a pod that is only waited for, is no reason to look at once.
func (s *stepper) recheck(at time.Time) {
	if at.After(s.Now) && (s.step.RecheckAt.IsZero() || at.Before(s.step.RecheckAt)) {
		s.step.RecheckAt = at
	}
}
