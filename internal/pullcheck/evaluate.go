package pullcheck

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
	Inconclusive State = "Unsure"
)

// PullResult is what a pod tells of its pull.
type PullResult struct {
	State State
	// Until is when time alone decides an open probe; zero for a decided one.
	Until time.Time
	// Took is how long it was from the start of the pull to that of the container; 0 when there was
	// no container.
	Took time.Duration
	// ImageID is what the node calls the image that it has pulled. It may be another digest than
	// that of the reference: that of an index's child, or of the config.
	ImageID string
	// Class of the failure, when there was one; also while the node tries again.
	Class mirror.ErrorClass
	// Message names the node and the image, and says what the node or the registry said.
	Message string
}

// Decided tells whether there is nothing more to wait for.
func (v PullResult) Decided() bool { return v.State != Pending && v.State != Pulling }

// afterPull are the reasons with which a kubelet holds a container whose image it has pulled:
// startContainer pulls first (pkg/kubelet/kuberuntime/kuberuntime_container.go).
var afterPull = []string{
	"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError", "PreStartHookError",
	"PostStartHookError",
	"RunContainerError", "CrashLoopBackOff",
}

// Evaluate reads a probe's pod. events are those of the pod, and needed only where the pod itself
// lacks the words: before Kubernetes 1.32 a pod in ImagePullBackOff does not say why. A pull that
// goes on for longer than the deadline has failed.
func Evaluate(pod *corev1.Pod, events []corev1.Event, now time.Time, limits Limits) PullResult {
	j := evaluation{pod: pod, events: events, now: now, limits: limits}
	status := containerStatus(pod)
	switch reason := podChange(pod); {
	case reason != "":
		return j.decided(Inconclusive,
			"something has changed the pod when it was created, perhaps an admission webhook: "+reason)
	case canaryConfig(pod) != "" && pulled(pod, status) && j.event("Pulled", "already present on machine") != "":
		return j.decided(Inconclusive, "the node has "+j.image()+
			" and did not ask any registry for it, although the pod's imagePullPolicy is Always")
	case pulled(pod, status):
		v := j.decided(Pulled, "pulled "+j.image())
		v.ImageID, v.Took = status.ImageID, j.took(status)
		return v
	case pod.Status.Phase == corev1.PodFailed: // Evicted, OutOfpods, NodeShutdown, and DeadlineExceeded when nobody looked in time
		return j.decided(Evicted, fmt.Sprintf("the pod was ended before its pull was decided (%s): %s",
			cmp.Or(pod.Status.Reason, "no reason given"), cmp.Or(errorDetail(pod.Status.Message), "no message")))
	case pod.Spec.NodeName == "":
		return j.scheduling()
	default:
		return j.pulling(status.State.Waiting)
	}
}

type evaluation struct {
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

// podChange says why the pod is not the one that Pod made, as far as that matters to the proof.
func podChange(pod *corev1.Pod) string {
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

// pulled tells whether the container got beyond its pull. A kubelet that lost sight of a container
// calls it terminated with the reason ContainerStatusUnknown, also one that never was.
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

// scheduling judges a pod that has no node.
func (j evaluation) scheduling() PullResult {
	if until := j.pod.CreationTimestamp.Add(j.limits.SchedulingTimeout); j.now.Before(until) {
		return j.pending(Pending, until, "the pod waits for the scheduler")
	}
	reason := "no scheduler has looked at it"
	if c := j.condition(corev1.PodScheduled); c != nil {
		reason = errorDetail(c.Message)
	}
	return j.decided(Unschedulable, fmt.Sprintf("the pod is not on its node after %s: %s", j.limits.SchedulingTimeout,
		reason))
}

// pulling judges a pod that is on its node and whose container has not been created.
func (j evaluation) pulling(waiting *corev1.ContainerStateWaiting) PullResult {
	reason, message := "", ""
	if waiting != nil {
		reason, message = waiting.Reason, waiting.Message
	}
	late := !j.now.Before(j.deadline())
	switch reason {
	case "", "ContainerCreating":
		return j.silentKubelet(late)
	case "PodInitializing":
		return j.waitOrEnd(late, Pending, Inconclusive,
			"the pod waits for containers that something has put before its own")
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed":
		return j.failedPull(reason, cmp.Or(trimKubeletPrefix(message), j.eventMessage()), late)
	case "InvalidImageName":
		return PullResult{State: Failed, Class: mirror.Unknown,
			Message: j.message("cannot read the reference " + j.image() + ": " + errorDetail(message))}
	default: // ErrImageNeverPull after somebody's webhook, ImageInspectError, and whatever comes next
		return j.decided(Inconclusive, "the container waits with "+reason+": "+errorDetail(message))
	}
}

// silentKubelet judges a pod of which the kubelet says nothing: its sandbox is being made, or its
// image is being pulled.
func (j evaluation) silentKubelet(late bool) PullResult {
	sandbox := j.condition(corev1.PodReadyToStartContainers)
	switch {
	case sandbox != nil && sandbox.Status != corev1.ConditionTrue:
		return j.waitOrEnd(late, Pending, Inconclusive,
			"the pod is being set up and the pull has not begun; when that takes minutes, look at the node's pod network")
	case late:
		v := j.decided(Failed, fmt.Sprintf("the pull of %s has not ended in %s: the registry is very slow, or accepts the connection and does not answer, "+
			"and then a node waits for ever", j.image(), j.limits.PullTimeout))
		v.Class = mirror.Timeout
		return v
	default:
		return j.pending(Pulling, j.deadline(), "is pulling "+j.image())
	}
}

// failedPull judges a pull that has failed at least once.
func (j evaluation) failedPull(reason, message string, late bool) PullResult {
	policy := reason == "SignatureValidationFailed" || isPolicyRefusal(message)
	// it names the image as the workloads do, so what is refused here is refused to them
	if policy && canaryConfig(j.pod) != "" {
		return j.decided(Failed, "the node's policy for signatures and registries refuses "+j.image()+
			" from where the new configuration leads: "+errorDetail(message))
	}
	if policy {
		return j.decided(Inconclusive, "the mirror serves "+j.image()+
			", and the node's policy for signatures and registries refuses it under the mirror's own name; "+
			"under the mirror sets the policy of the source's name counts: "+errorDetail(message))
	}
	if isNodeProblem(message) {
		return j.waitOrEnd(late, Pulling, Inconclusive, "the node itself is in the way of the pull: "+
			errorDetail(message))
	}
	class := mirror.Unknown
	what := "backs off from pulling " + j.image() + " and does not say why: see the events of the pod"
	if message != "" {
		class = classify(j.withoutNames(message))
		what = "cannot pull " + j.image() + ": " + errorDetail(message)
	}
	v := j.waitOrEnd(late || !isTransientClass(class), Pulling, Failed, what)
	v.Class = class
	return v
}

// withoutNames takes the names out of the words: a repository may be called
// mirror.local/acme/forbidden.
func (j evaluation) withoutNames(message string) string {
	for _, name := range []string{j.image(), j.pod.Annotations[annotationEndpoint]} {
		if name, _, _ = strings.Cut(name, "@"); name != "" {
			message = strings.ReplaceAll(message, name, "")
		}
	}
	return message
}

// waitOrEnd is the final state once it is time for it, and the open one before.
func (j evaluation) waitOrEnd(over bool, open, final State, what string) PullResult {
	if !over {
		return j.pending(open, j.deadline(), what)
	}
	return j.decided(final, what)
}

func (j evaluation) pending(s State, until time.Time, what string) PullResult {
	return PullResult{State: s, Until: until, Message: j.message(what)}
}

func (j evaluation) decided(s State, what string) PullResult {
	return PullResult{State: s, Message: j.message(what)}
}

func (j evaluation) message(what string) string { return "node " + nodeOf(j.pod) + ": " + what }

func (j evaluation) image() string { return j.pod.Annotations[annotationImage] }

func (j evaluation) deadline() time.Time { return j.startedAt().Add(j.limits.PullTimeout) }

func (j evaluation) took(s corev1.ContainerStatus) time.Duration {
	started := j.startedAt()
	switch {
	case s.State.Running != nil:
		started = s.State.Running.StartedAt.Time
	case s.State.Terminated != nil && !s.State.Terminated.StartedAt.IsZero():
		started = s.State.Terminated.StartedAt.Time
	}
	return max(0, started.Sub(j.startedAt()))
}

// startedAt is when the node could begin to pull: the sandbox stood (Kubernetes 1.29 on), or the
// kubelet took the pod.
func (j evaluation) startedAt() time.Time {
	if c := j.condition(corev1.PodReadyToStartContainers); c != nil && c.Status == corev1.ConditionTrue {
		return c.LastTransitionTime.Time
	}
	if t := j.pod.Status.StartTime; t != nil {
		return t.Time
	}
	return j.pod.CreationTimestamp.Time
}

func (j evaluation) condition(kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range j.pod.Status.Conditions {
		if j.pod.Status.Conditions[i].Type == kind {
			return &j.pod.Status.Conditions[i]
		}
	}
	return nil
}

// trimKubeletPrefix takes the kubelet's own words off: Back-off pulling image "…": ErrImagePull:
// rpc error: …
func trimKubeletPrefix(message string) string {
	rest, ok := strings.CutPrefix(message, "Back-off pulling image ")
	if !ok {
		return message
	}
	_, cause, _ := strings.Cut(rest, `": `)
	return strings.TrimPrefix(cause, "ErrImagePull: ")
}

// eventMessage are those of the newest event about a failed pull: Failed to pull image "…": rpc
// error: …
func (j evaluation) eventMessage() string {
	_, cause, _ := strings.Cut(j.event("Failed", "Failed to pull image "), `": `)
	return cause
}

// event is the message of the pod's newest event of the reason that has the words in it.
func (j evaluation) event(reason, message string) string {
	var newest *corev1.Event
	for i := range j.events {
		e := &j.events[i]
		if e.InvolvedObject.UID != j.pod.UID || e.Reason != reason || !strings.Contains(e.Message, message) {
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

// NeedsEvents tells whether the pod needs its events to be judged: those of a canary tell whether
// the node has asked a registry.
func NeedsEvents(pod *corev1.Pod) bool {
	if canaryConfig(pod) != "" && pulled(pod, containerStatus(pod)) {
		return true
	}
	w := containerStatus(pod).State.Waiting
	return w != nil && w.Reason == "ImagePullBackOff" && trimKubeletPrefix(w.Message) == ""
}
