package kubelet

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Annotations of a node.
const (
	// DownAnnotation takes the node away: no heartbeats, and its pods freeze.
	DownAnnotation = "lab.safemirror.io/down"
	// CacheAnnotation lists images that the node pulls once, separated by commas.
	CacheAnnotation = "lab.safemirror.io/cache"
	// RebootingAnnotation is set by the daemon half while it reboots the machine.
	RebootingAnnotation = "lab.safemirror.io/rebooting"
)

// Annotations of a pod.
const (
	// ReadyAfterAnnotation is the number of seconds between the start of a container and its
	// readiness.
	ReadyAfterAnnotation = "lab.safemirror.io/ready-after-seconds"
	// ReadyAnnotation keeps, or makes, the containers not ready while it is "false".
	ReadyAnnotation = "lab.safemirror.io/ready"
	// CrashAnnotation makes the containers exit with an error, again and again.
	CrashAnnotation = "lab.safemirror.io/crash"
	// RunForeverAnnotation keeps a pod that would complete running.
	RunForeverAnnotation = "lab.safemirror.io/run-forever"
	// ShutdownAnnotation is the number of seconds that the containers take to stop.
	ShutdownAnnotation = "lab.safemirror.io/shutdown-seconds"
)

// podBehavior is what the annotations of a pod ask for.
type podBehavior struct {
	ready      bool
	readyAfter time.Duration
	crash      bool
	runForever bool
	shutdown   time.Duration
}

func behaviorOf(pod *corev1.Pod, scale float64) podBehavior {
	return podBehavior{
		ready:      pod.Annotations[ReadyAnnotation] != "false",
		readyAfter: scaled(seconds(pod, ReadyAfterAnnotation, 1), scale),
		crash:      set(pod.Annotations, CrashAnnotation),
		runForever: set(pod.Annotations, RunForeverAnnotation),
		shutdown:   scaled(min(seconds(pod, ShutdownAnnotation, 2), grace(pod)), scale),
	}
}

// set tells whether an annotation is there and does not say no.
func set(annotations map[string]string, name string) bool {
	value, ok := annotations[name]
	return ok && value != "false"
}

func seconds(pod *corev1.Pod, name string, fallback float64) time.Duration {
	value, err := strconv.ParseFloat(pod.Annotations[name], 64)
	if err != nil || value < 0 {
		value = fallback
	}
	return time.Duration(value * float64(time.Second))
}

// grace is the time that a pod has to stop; a later delete request may have shortened it.
func grace(pod *corev1.Pod) time.Duration {
	switch {
	case pod.DeletionGracePeriodSeconds != nil:
		return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
	default:
		return 30 * time.Second
	}
}

// cachedImages lists the images that a node is to have from the beginning.
func cachedImages(node *corev1.Node) []string {
	return strings.FieldsFunc(node.Annotations[CacheAnnotation], func(r rune) bool { return r == ',' || r == ' ' })
}

func scaled(d time.Duration, scale float64) time.Duration {
	return time.Duration(float64(d) * scale)
}
