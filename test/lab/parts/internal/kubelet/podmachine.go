package kubelet

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/kubernetes/pkg/kubelet/events"
)

// The kubelet's own times, before scaling.
const (
	startTime    = time.Second            // from the image to the running container
	initTime     = 500 * time.Millisecond // that an init container runs
	jobTime      = time.Second            // that a container of a pod which completes runs
	crashTime    = time.Second            // that a crashing container runs
	noticeTime   = time.Second            // between the end of a container and the kubelet's notice of it
	syncPeriod   = 10 * time.Second       // after which a failed sync of a pod is repeated
	firstBackOff = 10 * time.Second       // of pulls and of crash loops
	maxBackOff   = 300 * time.Second
)

// podMachine is the life of one pod. It is told the time and the pod, says what is to be done, and
// touches nothing itself: the worker does that.
type podMachine struct {
	scale                float64
	volumes, inits, apps []*container
	crashes              *flowcontrol.Backoff // of all pods of the node
	jitter               func(time.Duration) time.Duration

	stoppingSince time.Time // zero while nobody wants the pod to go
	stopped       bool
}

// action is something that the worker does for the machine: a pull, or an event.
type action struct {
	container *container
	pull      bool

	eventType, reason, message string
}

// newMachine begins, or continues, the life of a pod.
func newMachine(pod *corev1.Pod, scale float64, crashes *flowcontrol.Backoff, jitter func(time.Duration) time.Duration,
	now time.Time, rebooted bool) *podMachine {
	m := &podMachine{scale: scale, crashes: crashes, jitter: jitter}
	m.volumes, m.inits, m.apps = containersOf(pod)
	known := map[string]corev1.ContainerStatus{}
	for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...),
		pod.Status.ContainerStatuses...) {
		known[s.Name] = s
	}
	for _, c := range m.all() {
		if s, ok := known[c.Name]; ok {
			c.adopt(s, now, rebooted)
		}
	}
	return m
}

func (m *podMachine) all() []*container {
	all := append([]*container{}, m.volumes...)
	return append(append(all, m.inits...), m.apps...)
}

// advance moves every container as far as the time allows.
func (m *podMachine) advance(now time.Time, pod *corev1.Pod) []action {
	s := behaviorOf(pod, m.scale)
	switch {
	case pod.DeletionTimestamp != nil:
		return m.shutDown(now, s)
	case terminal(pod.Status.Phase):
		m.kill(now) // somebody else ended the pod, for example the pod garbage collector
		return nil
	}
	var actions []action
	// A container that has got through lets the next ones begin, at the same moment.
	for before := -1; before != len(m.active()); {
		active := m.active()
		before = len(active)
		for _, c := range active {
			actions = append(actions, m.move(c, now, pod, s)...)
		}
	}
	if m.completed(pod) {
		m.kill(now) // what is left are sidecars
	}
	return actions
}

// active lists the containers whose turn it is: image volumes, then the init containers one by
// one, then all others at once. A pod that was initialized stays so.
func (m *podMachine) active() []*container {
	for _, c := range m.apps {
		if c.ran {
			return m.all()
		}
	}
	active := append([]*container{}, m.volumes...)
	if !every(m.volumes, (*container).initialized) {
		return active
	}
	for _, c := range m.inits {
		active = append(active, c)
		if !c.initialized() {
			return active
		}
	}
	return append(active, m.apps...)
}

func (m *podMachine) move(c *container, now time.Time, pod *corev1.Pod, s podBehavior) []action {
	switch c.step {
	case absent:
		if !now.Before(c.due) {
			c.step = pulling
			return []action{{container: c, pull: true}}
		}
	case created:
		if !now.Before(c.due) {
			c.run(now, pod)
			return []action{
				{container: c, eventType: corev1.EventTypeNormal, reason: events.CreatedContainer,
					message: "Created container: " + c.Name},
				{container: c, eventType: corev1.EventTypeNormal, reason: events.StartedContainer,
					message: "Started container " + c.Name},
			}
		}
	case running:
		if at, code, ends := m.end(c, pod, s); ends && !now.Before(at) {
			c.exit(now, code)
			c.due = now.Add(scaled(noticeTime, m.scale))
		}
	case exited:
		return m.restart(c, now, pod)
	case pulling, mounted:
	}
	return nil
}

// pulled tells the machine how the pull of a container ended. reason is empty for success.
func (m *podMachine) pulled(c *container, now time.Time, imageID, reason, message string) {
	if c.step != pulling {
		return // the pod was stopped meanwhile
	}
	c.reason, c.message = reason, message
	switch {
	case reason != "":
		c.step, c.due = absent, now.Add(m.jitter(scaled(syncPeriod, m.scale)))
	case c.kind == volume:
		c.step = mounted
	default:
		c.step, c.due, c.imageID = created, now.Add(scaled(startTime, m.scale)), imageID
	}
}

// end says when a running container exits by itself, and how.
func (m *podMachine) end(c *container, pod *corev1.Pod, s podBehavior) (at time.Time, code int32, ends bool) {
	switch {
	case c.kind == initial:
		return c.startedAt.Add(scaled(initTime, m.scale)), 0, true
	case c.kind != app:
		return time.Time{}, 0, false
	case s.crash:
		return c.startedAt.Add(scaled(crashTime, m.scale)), 1, true
	case pod.Spec.RestartPolicy != corev1.RestartPolicyAlways && !s.runForever:
		return c.startedAt.Add(scaled(jobTime, m.scale)), 0, true
	default:
		return time.Time{}, 0, false
	}
}

// restart begins the next run of a container that ended, at once the first time and then after
// 10, 20, 40 … 300 s, as the kubelet's doBackOff does.
func (m *podMachine) restart(c *container, now time.Time, pod *corev1.Pod) []action {
	if !m.restarts(c, pod) || now.Before(c.due) {
		return nil
	}
	key := fmt.Sprintf("%s_%s", pod.UID, c.Name)
	if m.crashes.IsInBackOffSince(key, c.finishedAt) {
		full := fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
		c.reason = "CrashLoopBackOff"
		c.message = fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", m.crashes.Get(key), c.Name, full)
		c.due = c.finishedAt.Add(m.crashes.Get(key))
		return []action{{container: c, eventType: corev1.EventTypeWarning, reason: events.BackOffStartContainer,
			message: fmt.Sprintf("Back-off restarting failed container %s in pod %s", c.Name, full)}}
	}
	m.crashes.Next(key, c.finishedAt)
	c.last = c.terminated()
	c.step, c.due, c.reason, c.message = pulling, time.Time{}, "", ""
	return []action{{container: c, pull: true}}
}

// restarts tells whether a container that ended runs again.
func (m *podMachine) restarts(c *container, pod *corev1.Pod) bool {
	switch {
	case c.kind == sidecar:
		return !m.completed(pod)
	case c.kind == initial && c.exitCode == 0:
		return false
	case pod.Spec.RestartPolicy == corev1.RestartPolicyAlways:
		return true
	default:
		return c.exitCode != 0 && pod.Spec.RestartPolicy == corev1.RestartPolicyOnFailure
	}
}

// completed tells whether the containers that count have all ended for good.
func (m *podMachine) completed(pod *corev1.Pod) bool {
	return every(m.apps, func(c *container) bool { return c.step == exited && !m.restarts(c, pod) })
}

// shutDown is the graceful end: the containers get their signal at once and stop when they are
// through.
func (m *podMachine) shutDown(now time.Time, s podBehavior) []action {
	var actions []action
	if m.stoppingSince.IsZero() {
		m.stoppingSince = now
		for _, c := range m.all() {
			if c.step == running {
				actions = append(actions, action{container: c, eventType: corev1.EventTypeNormal,
					reason: events.KillingContainer, message: "Stopping container " + c.Name})
			}
		}
	}
	if !now.Before(m.stopsAt(s)) {
		m.kill(now)
		m.stopped = true
	}
	return actions
}

// stopsAt is when a pod that is being deleted is gone; a pod that runs nothing is gone at once.
func (m *podMachine) stopsAt(s podBehavior) time.Time {
	for _, c := range m.all() {
		if c.step == running {
			return m.stoppingSince.Add(s.shutdown)
		}
	}
	return m.stoppingSince
}

func (m *podMachine) kill(now time.Time) {
	for _, c := range m.all() {
		switch c.step {
		case running:
			c.exit(now, 0)
		case absent, pulling, created:
			c.due, c.step = time.Time{}, absent
		case exited, mounted:
		}
	}
}

// nextWake is the next time at which advance or status has something new; zero if only an event can
// help.
func (m *podMachine) nextWake(now time.Time, pod *corev1.Pod) time.Time {
	s := behaviorOf(pod, m.scale)
	if terminal(pod.Status.Phase) && pod.DeletionTimestamp == nil || m.stopped {
		return time.Time{}
	}
	if pod.DeletionTimestamp != nil {
		return m.stopsAt(s)
	}
	var first time.Time
	consider := func(at time.Time) {
		if at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, c := range m.active() {
		switch c.step {
		case absent, created, exited:
			consider(c.due)
		case running:
			consider(c.startedAt.Add(s.readyAfter))
			if at, _, ends := m.end(c, pod, s); ends {
				consider(at)
			}
		case pulling, mounted:
		}
	}
	return first
}

func terminal(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

func every(containers []*container, f func(*container) bool) bool {
	for _, c := range containers {
		if !f(c) {
			return false
		}
	}
	return true
}
