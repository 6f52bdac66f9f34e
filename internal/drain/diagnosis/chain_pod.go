package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// unhealthyPodChain says why a protected pod is not healthy.
func (d *diagnoser) unhealthyPodChain(p *corev1.Pod) causeChain {
	if p.DeletionTimestamp != nil {
		return d.terminatingChain(p)
	}
	if since, lost := d.nodeLost(p.Spec.NodeName); lost {
		out := d.podChain(p, rollout.DrainBlockNodeLost, "NodeLost", since)
		out.links = append(out.links, d.nodeLostLink(p.Spec.NodeName, since))
		return out
	}
	if p.Spec.NodeName == "" {
		return d.unschedulableChain(p)
	}
	statuses := append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...)
	if chain, ok := d.pullChain(p, statuses); ok {
		return chain
	}
	for i := range statuses {
		if chain, ok := d.crashChain(p, &statuses[i]); ok {
			return chain
		}
	}
	return d.startingChain(p, statuses)
}

// podChain begins the trail of a pod that is not ready.
func (d *diagnoser) podChain(p *corev1.Pod, h rollout.DrainBlockReason, reason string, since time.Time) causeChain {
	return causeChain{
		reason: h, since: since, failingPods: []rollout.FailingPod{d.failingPod(p, reason, nil)},
		links: []rollout.CauseLink{{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, Since: since, Message: "pod " +
			p.Name + onNodeSuffix(p) + " is not ready"}},
	}
}

func (d *diagnoser) failingPod(p *corev1.Pod, reason string, pulls []rollout.FailedPull) rollout.FailingPod {
	out := rollout.FailingPod{PodRef: *podRefOf(p), Node: p.Spec.NodeName, Reason: reason, NeverStarted: !drain.HasStarted(p),
		Pulls: pulls}
	if owner := metav1.GetControllerOf(p); owner != nil {
		out.Owner = owner.Kind + "/" + p.Namespace + "/" + owner.Name
		if s, ok := d.Scales[owner.UID]; ok {
			out.Owner = s.Key()
		}
	}
	return out
}

// unschedulableChain says why a pod has no node.
func (d *diagnoser) unschedulableChain(p *corev1.Pod) causeChain {
	since, why := p.CreationTimestamp.UTC(), ""
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			since, why = c.LastTransitionTime.UTC(), c.Message
			if c.Reason == corev1.PodReasonSchedulingGated {
				why = "it is held by its scheduling gates"
			}
		}
	}
	if why == "" && d.Now.Sub(since) < schedulingTimeout {
		return d.podChain(p, rollout.DrainBlockStarting, "Pending", since)
	}
	out := d.podChain(p, rollout.DrainBlockUnschedulable, "Unschedulable", since)
	out.links[0].Message = "pod " + p.Name + " has no node to go to"
	if why == "" {
		why = "no scheduler has looked at it"
	}
	message := oneLine(why)
	if cordoned := d.cordonedCandidates(p); len(cordoned) > 0 {
		message = fmt.Sprintf("of the nodes that it may use, %s; the scheduler says: %s", strings.Join(cordoned, ", "),
			message)
	}
	out.links = append(out.links, rollout.CauseLink{Kind: "Scheduler", Name: p.Name, Namespace: p.Namespace,
		Since: since, Message: message})
	return out
}

// cordonedCandidates are the nodes that a pod may use by its selectors and tolerations, and that
// are cordoned: two drains at the same time may each keep the node that the other's evicted pod
// would need.
func (d *diagnoser) cordonedCandidates(p *corev1.Pod) []string {
	var out []string
	for _, n := range d.Nodes {
		if !n.Spec.Unschedulable || !matchesNode(p, n) {
			continue
		}
		s := d.nodeStates[n.Name]
		if strings.HasPrefix(s.DesiredDrain, "drain-") && s.DesiredDrain != s.LastAppliedDrain {
			out = append(out, n.Name+" is being drained")
		} else {
			out = append(out, n.Name+" is cordoned")
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 5)]
}

// matchesNode looks at the node selector and the taints but the cordon's.
func matchesNode(p *corev1.Pod, n *corev1.Node) bool {
	if !labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
		return false
	}
	for i := range n.Spec.Taints {
		taint := &n.Spec.Taints[i]
		if taint.Key == corev1.TaintNodeUnschedulable || taint.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !drain.ToleratesTaint(p, taint) {
			return false
		}
	}
	return true
}

// pullFailureReasons are the reasons with which a kubelet waits for an image. ErrImagePull and
// ImagePullBackOff alternate, and are one.
var pullFailureReasons = []string{"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable",
	"SignatureValidationFailed", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}

const imagePullBackOff = "ImagePullBackOff"

// pullChain follows a pod that waits for its images to the places that do not have them.
func (d *diagnoser) pullChain(p *corev1.Pod, statuses []corev1.ContainerStatus) (causeChain, bool) {
	var failed []rollout.FailedPull
	reason := ""
	for i := range statuses {
		w := statuses[i].State.Waiting
		if w == nil || !slices.Contains(pullFailureReasons, w.Reason) || len(failed) == maxPulls {
			continue
		}
		if reason == "" {
			reason = w.Reason
		}
		failed = append(failed, d.explainPull(p, &statuses[i]))
	}
	if len(failed) == 0 {
		return causeChain{}, false
	}
	if reason == "ErrImagePull" {
		reason = imagePullBackOff
	}
	out := d.podChain(p, rollout.DrainBlockPull, reason, transition(p, corev1.PodReady))
	out.failingPods[0].Pulls = failed
	// The first that says why is told; they often fail for the same reason.
	reported := failed[0]
	for _, f := range failed {
		if f.Cause != rollout.PullOther {
			reported = f
			break
		}
	}
	out.links = append(out.links,
		rollout.CauseLink{Kind: "Container", Namespace: p.Namespace, Name: p.Name, Message: reason},
		rollout.CauseLink{Kind: "Image", Name: reported.Reference, Message: reported.Reference},
		rollout.CauseLink{Kind: "Registry", Name: reported.Endpoint, Message: reported.Message})
	return out, true
}

func (d *diagnoser) explainPull(p *corev1.Pod, s *corev1.ContainerStatus) rollout.FailedPull {
	image, w := imageOf(p, s.Name), s.State.Waiting
	switch w.Reason {
	case "InvalidImageName":
		return rollout.FailedPull{Reference: image, Cause: rollout.PullOther,
			Message: "no node can read this reference: " + oneLine(w.Message)}
	case "ErrImageNeverPull":
		return rollout.FailedPull{Reference: image, Cause: rollout.PullOther, Message: "node " + p.Spec.NodeName +
			" does not have it, and imagePullPolicy Never forbids to pull it"}
	}
	message := w.Message
	if len(parsePullMessage(image, message)) == 0 && d.PullEventMessage != nil {
		message = d.PullEventMessage(p, image)
	}
	if w.Reason == "SignatureValidationFailed" && message != "" &&
		!strings.Contains(message, "SignatureValidationFailed") {
		message = "SignatureValidationFailed: " + message
	}
	out := d.Pulls.explain(image, message, d.nodeStates[p.Spec.NodeName].CurrentConfig)
	if w.Reason == "SignatureValidationFailed" {
		out.Cause = rollout.PullSignature
	}
	return out
}

// imageOf is the image of the container as the pod spells it: that of its status may be another
// name of the same image.
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

// startFailureReasons are the reasons of containers that have their image and do not run all the
// same.
var startFailureReasons = []string{"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError",
	"RunContainerError", "PostStartHookError", "PreStartHookError", "PreCreateHookError"}

func (d *diagnoser) crashChain(p *corev1.Pod, s *corev1.ContainerStatus) (causeChain, bool) {
	reason, message := "", ""
	switch {
	case s.State.Waiting != nil && slices.Contains(startFailureReasons, s.State.Waiting.Reason):
		reason, message = s.State.Waiting.Reason, s.State.Waiting.Message
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		reason, message = "Error", fmt.Sprintf("has exited with %d", s.State.Terminated.ExitCode)
	default:
		return causeChain{}, false
	}
	since := transition(p, corev1.PodReady)
	out := d.podChain(p, rollout.DrainBlockCrashing, reason, since)
	out.links = append(out.links, rollout.CauseLink{Kind: "Container", Namespace: p.Namespace, Name: p.Name,
		Message: fmt.Sprintf("%s: container %s, restarted %d times: %s", reason, s.Name, s.RestartCount,
			oneLine(message))})
	return out, true
}

// startingChain tells a pod that gets on from one that has been at it for too long.
func (d *diagnoser) startingChain(p *corev1.Pod, statuses []corev1.ContainerStatus) causeChain {
	startedAt := transition(p, corev1.PodReadyToStartContainers)
	if startedAt.IsZero() {
		startedAt = p.CreationTimestamp.UTC()
		if p.Status.StartTime != nil {
			startedAt = p.Status.StartTime.UTC()
		}
	}
	for i := range statuses {
		s := &statuses[i]
		switch {
		case s.State.Waiting != nil:
			return d.creatingChain(p, s, startedAt)
		case s.State.Running != nil && !s.Ready && s.State.Running.StartedAt.After(startedAt):
			startedAt = s.State.Running.StartedAt.UTC()
		}
	}
	// It runs. A pod that was ready and is not any more counts from then.
	if changed := transition(p, corev1.PodReady); changed.After(startedAt) {
		startedAt = changed
	}
	if d.Now.Sub(startedAt) < readyTimeout {
		out := d.podChain(p, rollout.DrainBlockStarting, "NotReady", startedAt)
		out.links[0].Message = "pod " + p.Name + onNodeSuffix(p) + " is becoming ready"
		return out
	}
	out := d.podChain(p, rollout.DrainBlockCrashing, "NotReady", startedAt)
	out.links = append(out.links, rollout.CauseLink{Kind: "Container", Namespace: p.Namespace, Name: p.Name,
		Since:   startedAt,
		Message: "its containers run, and its readiness probe has failed since " + startedAt.Format(time.RFC3339)})
	return out
}

// creatingChain is a pod on its node with a container that waits without a word: its sandbox is
// being made, or its image pulled.
func (d *diagnoser) creatingChain(p *corev1.Pod, s *corev1.ContainerStatus, startedAt time.Time) causeChain {
	image := imageOf(p, s.Name)
	if d.Now.Sub(startedAt) < pullTimeout {
		out := d.podChain(p, rollout.DrainBlockStarting, s.State.Waiting.Reason, startedAt)
		out.links[0].Message = "pod " + p.Name + onNodeSuffix(p) + " is being started, with image " + image
		return out
	}
	sandbox := false
	for _, c := range p.Status.Conditions {
		sandbox = sandbox || c.Type == corev1.PodReadyToStartContainers && c.Status == corev1.ConditionTrue
	}
	if !sandbox {
		out := d.podChain(p, rollout.DrainBlockUnknown, s.State.Waiting.Reason, startedAt)
		out.links = append(out.links, rollout.CauseLink{Kind: "Container", Namespace: p.Namespace, Name: p.Name,
			Message: "its sandbox is not ready: the pod network or a volume of node " + p.Spec.NodeName +
				", see the events of the pod"})
		return out
	}
	pull := d.Pulls.explain(image, "", d.nodeStates[p.Spec.NodeName].CurrentConfig)
	pull.Cause = rollout.PullUnreachable
	pull.Message = fmt.Sprintf("the pull of %s has not ended since %s: a registry that takes the connection and does not answer holds a node for ever (asked first: %s)",
		image, startedAt.Format(time.RFC3339), firstUnblockedEndpoint(pull))
	out := d.podChain(p, rollout.DrainBlockPull, "Pulling", startedAt)
	out.failingPods[0].Pulls = []rollout.FailedPull{pull}
	out.links = append(out.links, rollout.CauseLink{Kind: "Registry", Name: pull.Endpoint, Message: pull.Message})
	return out
}

func firstUnblockedEndpoint(pull rollout.FailedPull) string {
	for _, a := range pull.Attempts {
		if a.Cause != rollout.PullBlocked {
			return a.Endpoint
		}
	}
	return "unknown"
}
