package kubelet

import (
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kind is the part that a container has in its pod.
type kind int

const (
	app kind = iota
	initial
	sidecar
	volume // an image volume: it is pulled before everything else and never runs
)

// step is where a container is in its life. It goes absent, pulling, created, running, exited, and
// from exited back to absent when it is restarted; a failed pull leads back to absent too.
type step int

const (
	absent  step = iota // its image has to be looked at, at due
	pulling             // the image manager is at it
	created             // it will run at due
	running
	exited
	mounted // the last step of an image volume
)

// container is one container, or one image volume, of a pod.
type container struct {
	corev1.Container
	kind kind
	step step
	due  time.Time

	reason, message string // why it waits; empty when there is nothing to say
	imageID         string
	id              string
	startedAt       time.Time
	finishedAt      time.Time
	exitCode        int32
	ran             bool // at least once: the next start is a restart
	restarts        int32
	last            *corev1.ContainerStateTerminated // the run before the current one
}

func newContainer(c corev1.Container, k kind) *container { return &container{Container: c, kind: k} }

// containersOf sorts the containers of a pod by what they are.
func containersOf(pod *corev1.Pod) (volumes, inits, apps []*container) {
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			c := corev1.Container{Name: "volume " + v.Name, Image: v.Image.Reference,
				ImagePullPolicy: v.Image.PullPolicy}
			volumes = append(volumes, newContainer(c, volume))
		}
	}
	for _, c := range pod.Spec.InitContainers {
		k := initial
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			k = sidecar
		}
		inits = append(inits, newContainer(c, k))
	}
	for _, c := range pod.Spec.Containers {
		apps = append(apps, newContainer(c, app))
	}
	return volumes, inits, apps
}

// initialized tells whether the container lets the next one begin.
func (c *container) initialized() bool {
	switch c.kind {
	case volume:
		return c.step == mounted
	case initial:
		return c.step == exited && c.exitCode == 0
	default:
		return c.step == running
	}
}

// run starts the container. Its identity is made up, and another one at each restart.
func (c *container) run(now time.Time, pod *corev1.Pod) {
	if c.ran {
		c.restarts++
	}
	c.step, c.startedAt, c.ran = running, now, true
	c.id = fmt.Sprintf("cri-o://%x", sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", pod.UID, c.Name, c.restarts)))
}

func (c *container) exit(now time.Time, code int32) {
	c.step, c.finishedAt, c.exitCode, c.due = exited, now, code, time.Time{}
}

// terminated describes the run that ended.
func (c *container) terminated() *corev1.ContainerStateTerminated {
	reason := "Completed"
	if c.exitCode != 0 {
		reason = "Error"
	}
	return &corev1.ContainerStateTerminated{
		ExitCode: c.exitCode, Reason: reason, ContainerID: c.id,
		StartedAt: metav1.NewTime(c.startedAt), FinishedAt: metav1.NewTime(c.finishedAt),
	}
}

// adopt takes over what the API says about a container, after a restart of the kubelet. When the
// machine itself was restarted, nothing runs any more.
func (c *container) adopt(s corev1.ContainerStatus, now time.Time, rebooted bool) {
	c.restarts, c.imageID, c.id = s.RestartCount, s.ImageID, s.ContainerID
	c.last = s.LastTerminationState.Terminated
	switch {
	case s.State.Running != nil && rebooted:
		c.ran, c.startedAt = true, s.State.Running.StartedAt.Time
		c.exit(now, 255)
	case s.State.Running != nil:
		c.ran, c.step, c.startedAt = true, running, s.State.Running.StartedAt.Time
	case s.State.Terminated != nil:
		c.ended(s.State.Terminated)
	case c.last != nil: // it was waiting for its restart
		c.ended(c.last)
		c.last = nil
	}
}

func (c *container) ended(t *corev1.ContainerStateTerminated) {
	c.ran, c.step, c.exitCode = true, exited, t.ExitCode
	c.startedAt, c.finishedAt, c.id = t.StartedAt.Time, t.FinishedAt.Time, t.ContainerID
}
