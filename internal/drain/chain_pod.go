package drain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// unhealthy says why a protected pod is not healthy.
func (t *tracer) unhealthy(p *corev1.Pod) trail {
	if p.DeletionTimestamp != nil {
		return t.terminating(p)
	}
	if since, lost := t.lost(p.Spec.NodeName); lost {
		out := t.pod(p, rollout.HindranceNodeLost, "NodeLost", since)
		out.links = append(out.links, t.lostLink(p.Spec.NodeName, since))
		return out
	}
	if p.Spec.NodeName == "" {
		return t.unplaced(p)
	}
	statuses := append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...)
	if found, ok := t.pulls(p, statuses); ok {
		return found
	}
	for i := range statuses {
		if found, ok := t.crashing(p, &statuses[i]); ok {
			return found
		}
	}
	return t.starting(p, statuses)
}

// pod begins the trail of a pod that is not ready.
func (t *tracer) pod(p *corev1.Pod, h rollout.Hindrance, reason string, since time.Time) trail {
	return trail{
		hindrance: h, since: since, pods: []rollout.FailingPod{t.failing(p, reason, nil)},
		links: []rollout.Link{{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Since: since, Message: "pod " + p.Name + onNode(p) + " is not ready"}},
	}
}

func (t *tracer) failing(p *corev1.Pod, reason string, pulls []rollout.FailedPull) rollout.FailingPod {
	out := rollout.FailingPod{PodName: *nameOf(p), Node: p.Spec.NodeName, Reason: reason, AllWaiting: !EverRan(p), Pulls: pulls}
	if owner := metav1.GetControllerOf(p); owner != nil {
		out.Owner = owner.Kind + "/" + p.Namespace + "/" + owner.Name
		if s, ok := t.Scales[owner.UID]; ok {
			out.Owner = s.Key()
		}
	}
	return out
}

// unplaced says why a pod has no node.
func (t *tracer) unplaced(p *corev1.Pod) trail {
	since, why := p.CreationTimestamp.UTC(), ""
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			since, why = c.LastTransitionTime.UTC(), c.Message
			if c.Reason == corev1.PodReasonSchedulingGated {
				why = "it is held by its scheduling gates"
			}
		}
	}
	if why == "" && t.Now.Sub(since) < placing {
		return t.pod(p, rollout.HindranceStarting, "Pending", since)
	}
	out := t.pod(p, rollout.HindranceUnschedulable, "Unschedulable", since)
	out.links[0].Message = "pod " + p.Name + " has no node to go to"
	if why == "" {
		why = "no scheduler has looked at it"
	}
	message := oneLine(why)
	if held := t.heldBack(p); len(held) > 0 {
		message = fmt.Sprintf("of the nodes that it may use, %s; the scheduler says: %s", strings.Join(held, ", "), message)
	}
	out.links = append(out.links, rollout.Link{Kind: "Scheduler", Name: p.Name, Namespace: p.Namespace, Since: since, Message: message})
	return out
}

// heldBack are the nodes that a pod may use by its selectors and tolerations, and that are cordoned: two drains at the same time may each
// keep the node that the other's evicted pod would need.
func (t *tracer) heldBack(p *corev1.Pod) []string {
	var out []string
	for _, n := range t.Nodes {
		if !n.Spec.Unschedulable || !mayUse(p, n) {
			continue
		}
		s := t.states[n.Name]
		if strings.HasPrefix(s.DrainWanted, "drain-") && s.DrainWanted != s.DrainApplied {
			out = append(out, n.Name+" is being drained")
		} else {
			out = append(out, n.Name+" is cordoned")
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 5)]
}

// mayUse looks at the node selector and the taints but the cordon's.
func mayUse(p *corev1.Pod, n *corev1.Node) bool {
	if !labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
		return false
	}
	for i := range n.Spec.Taints {
		taint := &n.Spec.Taints[i]
		if taint.Key == corev1.TaintNodeUnschedulable || taint.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !tolerates(p, taint) {
			return false
		}
	}
	return true
}

// failedPulls are the reasons with which a kubelet waits for an image. ErrImagePull and ImagePullBackOff alternate, and are one.
var failedPulls = []string{"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}

const imagePullBackOff = "ImagePullBackOff"

// pulls follows a pod that waits for its images to the places that do not have them.
func (t *tracer) pulls(p *corev1.Pod, statuses []corev1.ContainerStatus) (trail, bool) {
	var failed []rollout.FailedPull
	reason := ""
	for i := range statuses {
		w := statuses[i].State.Waiting
		if w == nil || !slices.Contains(failedPulls, w.Reason) || len(failed) == maxPulls {
			continue
		}
		if reason == "" {
			reason = w.Reason
		}
		failed = append(failed, t.failedPull(p, &statuses[i]))
	}
	if len(failed) == 0 {
		return trail{}, false
	}
	if reason == "ErrImagePull" {
		reason = imagePullBackOff
	}
	out := t.pod(p, rollout.HindrancePull, reason, transition(p, corev1.PodReady))
	out.pods[0].Pulls = failed
	// The first that says why is told; they often fail for the same reason.
	told := failed[0]
	for _, f := range failed {
		if f.Cause != rollout.PullOther {
			told = f
			break
		}
	}
	out.links = append(out.links,
		rollout.Link{Kind: "Container", Namespace: p.Namespace, Name: p.Name, Message: reason},
		rollout.Link{Kind: "Image", Name: told.Reference, Message: told.Reference},
		rollout.Link{Kind: "Registry", Name: told.Endpoint, Message: told.Message})
	return out, true
}

func (t *tracer) failedPull(p *corev1.Pod, s *corev1.ContainerStatus) rollout.FailedPull {
	image, w := imageOf(p, s.Name), s.State.Waiting
	switch w.Reason {
	case "InvalidImageName":
		return rollout.FailedPull{Reference: image, Cause: rollout.PullOther, Message: "no node can read this reference: " + oneLine(w.Message)}
	case "ErrImageNeverPull":
		return rollout.FailedPull{Reference: image, Cause: rollout.PullOther, Message: "node " + p.Spec.NodeName + " does not have it, and imagePullPolicy Never forbids to pull it"}
	}
	words := w.Message
	if len(readPull(image, words)) == 0 && t.Words != nil {
		words = t.Words(p, image)
	}
	if w.Reason == "SignatureValidationFailed" && words != "" && !strings.Contains(words, "SignatureValidationFailed") {
		words = "SignatureValidationFailed: " + words
	}
	out := t.Pulling.explain(image, words, t.states[p.Spec.NodeName].Current)
	if w.Reason == "SignatureValidationFailed" {
		out.Cause = rollout.PullSignature
	}
	return out
}

// imageOf is the image of the container as the pod spells it: that of its status may be another name of the same image.
func imageOf(p *corev1.Pod, container string) string {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			if list[i].Name == container {
				return list[i].Image
			}
		}
	}
	return container
}

// notStarting are the reasons of containers that have their image and do not run all the same.
var notStarting = []string{"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError", "PreStartHookError", "PreCreateHookError"}

func (t *tracer) crashing(p *corev1.Pod, s *corev1.ContainerStatus) (trail, bool) {
	reason, message := "", ""
	switch {
	case s.State.Waiting != nil && slices.Contains(notStarting, s.State.Waiting.Reason):
		reason, message = s.State.Waiting.Reason, s.State.Waiting.Message
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		reason, message = "Error", fmt.Sprintf("has exited with %d", s.State.Terminated.ExitCode)
	default:
		return trail{}, false
	}
	since := transition(p, corev1.PodReady)
	out := t.pod(p, rollout.HindranceCrashing, reason, since)
	out.links = append(out.links, rollout.Link{Kind: "Container", Namespace: p.Namespace, Name: p.Name,
		Message: fmt.Sprintf("%s: container %s, restarted %d times: %s", reason, s.Name, s.RestartCount, oneLine(message))})
	return out, true
}

// starting tells a pod that gets on from one that has been at it for too long.
func (t *tracer) starting(p *corev1.Pod, statuses []corev1.ContainerStatus) trail {
	began := transition(p, corev1.PodReadyToStartContainers)
	if began.IsZero() {
		began = p.CreationTimestamp.UTC()
		if p.Status.StartTime != nil {
			began = p.Status.StartTime.UTC()
		}
	}
	for i := range statuses {
		s := &statuses[i]
		switch {
		case s.State.Waiting != nil:
			return t.creating(p, s, began)
		case s.State.Running != nil && !s.Ready && s.State.Running.StartedAt.After(began):
			began = s.State.Running.StartedAt.UTC()
		}
	}
	// It runs. A pod that was ready and is not any more counts from then.
	if changed := transition(p, corev1.PodReady); changed.After(began) {
		began = changed
	}
	if t.Now.Sub(began) < readyTime {
		out := t.pod(p, rollout.HindranceStarting, "NotReady", began)
		out.links[0].Message = "pod " + p.Name + onNode(p) + " is becoming ready"
		return out
	}
	out := t.pod(p, rollout.HindranceCrashing, "NotReady", began)
	out.links = append(out.links, rollout.Link{Kind: "Container", Namespace: p.Namespace, Name: p.Name, Since: began,
		Message: "its containers run, and its readiness probe has failed since " + began.Format(time.RFC3339)})
	return out
}

// creating is a pod on its node with a container that waits without a word: its sandbox is being made, or its image pulled.
func (t *tracer) creating(p *corev1.Pod, s *corev1.ContainerStatus, began time.Time) trail {
	image := imageOf(p, s.Name)
	if t.Now.Sub(began) < pullTime {
		out := t.pod(p, rollout.HindranceStarting, s.State.Waiting.Reason, began)
		out.links[0].Message = "pod " + p.Name + onNode(p) + " is being started, with image " + image
		return out
	}
	sandbox := false
	for _, c := range p.Status.Conditions {
		sandbox = sandbox || c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue
	}
	if !sandbox {
		out := t.pod(p, rollout.HindranceUnknown, s.State.Waiting.Reason, began)
		out.links = append(out.links, rollout.Link{Kind: "Container", Namespace: p.Namespace, Name: p.Name,
			Message: "its sandbox is not ready: the pod network or a volume of node " + p.Spec.NodeName + ", see the events of the pod"})
		return out
	}
	pull := t.Pulling.explain(image, "", t.states[p.Spec.NodeName].Current)
	pull.Cause = rollout.PullUnreachable
	pull.Message = fmt.Sprintf("the pull of %s has not ended since %s: a registry that takes the connection and does not answer holds a node for ever (asked first: %s)",
		image, began.Format(time.RFC3339), firstOf(pull))
	out := t.pod(p, rollout.HindrancePull, "Pulling", began)
	out.pods[0].Pulls = []rollout.FailedPull{pull}
	out.links = append(out.links, rollout.Link{Kind: "Registry", Name: pull.Endpoint, Message: pull.Message})
	return out
}

func firstOf(pull rollout.FailedPull) string {
	for _, a := range pull.Attempts {
		if a.Cause != rollout.PullBlocked {
			return a.Endpoint
		}
	}
	return "unknown"
}
