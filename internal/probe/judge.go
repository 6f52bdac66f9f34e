package probe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// State is how far a probe is, or what it has come to.
type State string

// The states of a probe. All but the first two are final.
const (
	// Pending: not on its node yet, or its sandbox is being made.
	Pending State = "Pending"
	// Pulling: the node is at it, or tries again after a failure that may pass.
	Pulling State = "Pulling"
	// Pulled is the proof.
	Pulled State = "Pulled"
	// Failed: the node cannot pull the image from the mirror.
	Failed State = "Failed"
	// Unschedulable: the pod did not get onto its node.
	Unschedulable State = "Unschedulable"
	// Evicted: the pod was ended or turned away before the pull was decided.
	Evicted State = "Evicted"
	// Unsure: the pod could not show it either way, for a reason that is not the mirror's.
	Unsure State = "Unsure"
)

// Verdict is what a pod tells of its pull.
type Verdict struct {
	State State
	// Until is when time alone decides an open probe; zero for a decided one.
	Until time.Time
	// Took is how long it was from the start of the pull to that of the container; 0 when there was no container.
	Took time.Duration
	// ImageID is what the node calls the image that it has pulled. It may be another digest than that of the reference: that of an
	// index's child, or of the config.
	ImageID string
	// Class of the failure, when there was one; also while the node tries again.
	Class mirror.ErrorClass
	// Message names the node and the image, and says what the node or the registry said.
	Message string
}

// Decided tells whether there is nothing more to wait for.
func (v Verdict) Decided() bool { return v.State != Pending && v.State != Pulling }

// afterPull are the reasons with which a kubelet holds a container whose image it has pulled: startContainer pulls first
// (pkg/kubelet/kuberuntime/kuberuntime_container.go).
var afterPull = []string{
	"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError",
	"RunContainerError", "CrashLoopBackOff",
}

// Judge reads a probe's pod. events are those of the pod, and needed only where the pod itself lacks the words: before Kubernetes 1.32 a
// pod in ImagePullBackOff does not say why. A pull that goes on for longer than the deadline has failed.
func Judge(pod *corev1.Pod, events []corev1.Event, now time.Time, limits Limits) Verdict {
	j := judge{pod: pod, events: events, now: now, limits: limits}
	status := containerStatus(pod)
	switch why := altered(pod); {
	case why != "":
		return j.verdict(Unsure, "something has changed the pod when it was created, perhaps an admission webhook: "+why)
	case canary(pod) != "" && pulled(pod, status) && j.event("Pulled", "already present on machine") != "":
		return j.verdict(Unsure, "the node has "+j.image()+" and did not ask any registry for it, although the pod's imagePullPolicy is Always")
	case pulled(pod, status):
		v := j.verdict(Pulled, "pulled "+j.image())
		v.ImageID, v.Took = status.ImageID, j.took(status)
		return v
	case pod.Status.Phase == corev1.PodFailed: // Evicted, OutOfpods, NodeShutdown, and DeadlineExceeded when nobody looked in time
		return j.verdict(Evicted, fmt.Sprintf("the pod was ended before its pull was decided (%s): %s",
			cmp.Or(pod.Status.Reason, "no reason given"), cmp.Or(said(pod.Status.Message), "no message")))
	case pod.Spec.NodeName == "":
		return j.placing()
	default:
		return j.pulling(status.State.Waiting)
	}
}

type judge struct {
	pod    *corev1.Pod
	events []corev1.Event
	now    time.Time
	limits Limits
}

// containerStatus finds the probe's container by name: a mesh may have put another one beside it.
func containerStatus(pod *corev1.Pod) corev1.ContainerStatus {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == containerName {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

// altered says why the pod is not the one that Pod made, as far as that matters to the proof.
func altered(pod *corev1.Pod) string {
	want := pod.Annotations[annotationImage]
	for _, c := range pod.Spec.Containers {
		switch {
		case c.Name != containerName:
		case c.Image != want:
			return fmt.Sprintf("its image is %s and not %s", c.Image, want)
		case c.ImagePullPolicy != corev1.PullAlways:
			return fmt.Sprintf("its imagePullPolicy is %s and not Always", c.ImagePullPolicy)
		default:
			return ""
		}
	}
	return "it has no container " + containerName
}

// pulled tells whether the container got beyond its pull. A kubelet that lost sight of a container calls it terminated with the reason
// ContainerStatusUnknown, also one that never was.
func pulled(pod *corev1.Pod, s corev1.ContainerStatus) bool {
	switch {
	case s.ImageID != "", s.State.Running != nil, pod.Status.Phase == corev1.PodSucceeded:
		return true
	case s.State.Terminated != nil:
		return s.State.Terminated.Reason != "ContainerStatusUnknown"
	case s.State.Waiting != nil:
		return slices.Contains(afterPull, s.State.Waiting.Reason)
	default:
		return false
	}
}

// placing judges a pod that has no node.
func (j judge) placing() Verdict {
	if until := j.pod.CreationTimestamp.Add(j.limits.Placing); j.now.Before(until) {
		return j.open(Pending, until, "the pod waits for the scheduler")
	}
	why := "no scheduler has looked at it"
	if c := j.condition(corev1.PodScheduled); c != nil {
		why = said(c.Message)
	}
	return j.verdict(Unschedulable, fmt.Sprintf("the pod is not on its node after %s: %s", j.limits.Placing, why))
}

// pulling judges a pod that is on its node and whose container has not been created.
func (j judge) pulling(waiting *corev1.ContainerStateWaiting) Verdict {
	reason, words := "", ""
	if waiting != nil {
		reason, words = waiting.Reason, waiting.Message
	}
	late := !j.now.Before(j.deadline())
	switch reason {
	case "", "ContainerCreating":
		return j.quiet(late)
	case "PodInitializing":
		return j.wait(late, Pending, Unsure, "the pod waits for containers that something has put before its own")
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed":
		return j.refused(reason, cmp.Or(withoutPrefix(words), j.eventWords()), late)
	case "InvalidImageName":
		return Verdict{State: Failed, Class: mirror.Unknown, Message: j.message("cannot read the reference " + j.image() + ": " + said(words))}
	default: // ErrImageNeverPull after somebody's webhook, ImageInspectError, and whatever comes next
		return j.verdict(Unsure, "the container waits with "+reason+": "+said(words))
	}
}

// quiet judges a pod of which the kubelet says nothing: its sandbox is being made, or its image is being pulled.
func (j judge) quiet(late bool) Verdict {
	sandbox := j.condition(corev1.PodReadyToStartContainers)
	switch {
	case sandbox != nil && sandbox.Status != corev1.ConditionTrue:
		return j.wait(late, Pending, Unsure, "the pod is being set up and the pull has not begun; when that takes minutes, look at the node's pod network")
	case late:
		v := j.verdict(Failed, fmt.Sprintf("the pull of %s has not ended in %s: the registry is very slow, or accepts the connection and does not answer, "+
			"and then a node waits for ever", j.image(), j.limits.Deadline))
		v.Class = mirror.Timeout
		return v
	default:
		return j.open(Pulling, j.deadline(), "is pulling "+j.image())
	}
}

// refused judges a pull that has failed at least once.
func (j judge) refused(reason, words string, late bool) Verdict {
	policy := reason == "SignatureValidationFailed" || policyRefusal(words)
	if policy && canary(j.pod) != "" { // it names the image as the workloads do, so what is refused here is refused to them
		return j.verdict(Failed, "the node's policy for signatures and registries refuses "+j.image()+" from where the new configuration leads: "+said(words))
	}
	if policy {
		return j.verdict(Unsure, "the mirror serves "+j.image()+", and the node's policy for signatures and registries refuses it under the mirror's own name; "+
			"under the mirror sets the policy of the source's name counts: "+said(words))
	}
	if nodeTrouble(words) {
		return j.wait(late, Pulling, Unsure, "the node itself is in the way of the pull: "+said(words))
	}
	class := mirror.Unknown
	what := "backs off from pulling " + j.image() + " and does not say why: see the events of the pod"
	if words != "" {
		class = classify(j.nameless(words))
		what = "cannot pull " + j.image() + ": " + said(words)
	}
	v := j.wait(late || !passing(class), Pulling, Failed, what)
	v.Class = class
	return v
}

// nameless takes the names out of the words: a repository may be called mirror.local/acme/forbidden.
func (j judge) nameless(words string) string {
	for _, name := range []string{j.image(), j.pod.Annotations[annotationEndpoint]} {
		if name, _, _ = strings.Cut(name, "@"); name != "" {
			words = strings.ReplaceAll(words, name, "")
		}
	}
	return words
}

// wait is the final state once it is time for it, and the open one before.
func (j judge) wait(over bool, open, final State, what string) Verdict {
	if !over {
		return j.open(open, j.deadline(), what)
	}
	return j.verdict(final, what)
}

func (j judge) open(s State, until time.Time, what string) Verdict {
	return Verdict{State: s, Until: until, Message: j.message(what)}
}

func (j judge) verdict(s State, what string) Verdict {
	return Verdict{State: s, Message: j.message(what)}
}

func (j judge) message(what string) string { return "node " + nodeOf(j.pod) + ": " + what }

func (j judge) image() string { return j.pod.Annotations[annotationImage] }

func (j judge) deadline() time.Time { return j.begun().Add(j.limits.Deadline) }

func (j judge) took(s corev1.ContainerStatus) time.Duration {
	started := j.begun()
	switch {
	case s.State.Running != nil:
		started = s.State.Running.StartedAt.Time
	case s.State.Terminated != nil && !s.State.Terminated.StartedAt.IsZero():
		started = s.State.Terminated.StartedAt.Time
	}
	return max(0, started.Sub(j.begun()))
}

// begun is when the node could begin to pull: the sandbox stood (Kubernetes 1.29 on), or the kubelet took the pod.
func (j judge) begun() time.Time {
	if c := j.condition(corev1.PodReadyToStartContainers); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	if t := j.pod.Status.StartTime; t != nil {
		return t.Time
	}
	return j.pod.CreationTimestamp.Time
}

func (j judge) condition(kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range j.pod.Status.Conditions {
		if j.pod.Status.Conditions[i].Type == kind {
			return &j.pod.Status.Conditions[i]
		}
	}
	return nil
}

// withoutPrefix takes the kubelet's own words off: Back-off pulling image "…": ErrImagePull: rpc error: …
func withoutPrefix(words string) string {
	rest, ok := strings.CutPrefix(words, "Back-off pulling image ")
	if !ok {
		return words
	}
	_, cause, _ := strings.Cut(rest, `": `)
	return strings.TrimPrefix(cause, "ErrImagePull: ")
}

// eventWords are those of the newest event about a failed pull: Failed to pull image "…": rpc error: …
func (j judge) eventWords() string {
	_, cause, _ := strings.Cut(j.event("Failed", "Failed to pull image "), `": `)
	return cause
}

// event is the message of the pod's newest event of the reason that has the words in it.
func (j judge) event(reason, words string) string {
	var newest *corev1.Event
	for i := range j.events {
		e := &j.events[i]
		if e.InvolvedObject.UID != j.pod.UID || e.Reason != reason || !strings.Contains(e.Message, words) {
			continue
		}
		if newest == nil || newest.LastTimestamp.Before(&e.LastTimestamp) {
			newest = e
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Message
}

// NeedsEvents tells whether the pod needs its events to be judged: those of a canary tell whether the node has asked a registry.
func NeedsEvents(pod *corev1.Pod) bool {
	if canary(pod) != "" && pulled(pod, containerStatus(pod)) {
		return true
	}
	w := containerStatus(pod).State.Waiting
	return w != nil && w.Reason == "ImagePullBackOff" && withoutPrefix(w.Message) == ""
}
