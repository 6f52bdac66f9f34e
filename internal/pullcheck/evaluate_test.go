package pullcheck

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// What nodes say: of CRI-O before 1.31, and of those after it, which try an OCI artifact next.
const (
	messageUnknown = "rpc error: code = Unknown desc = reading manifest sha256:1 in mirror.local/acme/app: manifest unknown"
	messageX509    = `unable to pull image or OCI artifact: pull image err: initializing source docker://mirror.local/acme/app@sha256:1: pinging container registry ` +
		`mirror.local: Get "https://mirror.local/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority; artifact err: get manifest: ` +
		`build image source: pinging container registry mirror.local: Get "https://mirror.local/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`
	messageDial = `rpc error: code = Unknown desc = pinging container registry mirror.local: Get "https://mirror.local/v2/": dial tcp 192.0.2.1:443: i/o timeout`
)

func TestEvaluate(t *testing.T) {
	onNode := "node w0: "
	unplaced := func(p *corev1.Pod) {
		p.Spec.NodeName, p.Status.StartTime, p.Status.ContainerStatuses = "", nil, nil
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Message: "0/4 nodes are available: 1 Insufficient cpu."}}
	}
	noSandbox := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers,
			Status: corev1.ConditionFalse}}
	}
	failed := func(reason, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, reason, message
			state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "ContainerStatusUnknown",
				ExitCode: 137}}, "")(p)
		}
	}
	container := func(edit func(*corev1.Container)) func(*corev1.Pod) {
		return func(p *corev1.Pod) { edit(&p.Spec.Containers[0]) }
	}
	backOff := func(message string) string {
		return `Back-off pulling image "mirror.local/acme/app@sha256:1": ErrImagePull: ` + message
	}
	cases := map[string]struct {
		pod     []func(*corev1.Pod)
		want    State
		class   mirror.ErrorClass
		message string
	}{
		"just created": {[]func(*corev1.Pod){unplaced, startedAgo(30 * time.Second)}, Pending, "", onNode +
			"the pod waits for the scheduler"},
		"not placed": {[]func(*corev1.Pod){unplaced, startedAgo(time.Minute)}, Unschedulable, "", onNode +
			"the pod is not on its node after 1m0s: 0/4 nodes are available: 1 Insufficient cpu."},
		"nobody places": {[]func(*corev1.Pod){unplaced, startedAgo(time.Minute),
			func(p *corev1.Pod) { p.Status.Conditions = nil }}, Unschedulable, "", onNode +
			"the pod is not on its node after 1m0s: no scheduler has looked at it"},
		"being set up": {[]func(*corev1.Pod){noSandbox}, Pending, "", onNode + "the pod is being set up"},
		"never set up": {[]func(*corev1.Pod){noSandbox, startedAgo(5 * time.Minute)}, Inconclusive, "",
			onNode + "the pod is being set up and the pull has not begun; when that takes minutes, look at the node's pod network"},
		"pulling": {nil, Pulling, "", onNode + "is pulling mirror.local/acme/app@"},
		"pulling, old kubelet": {[]func(*corev1.Pod){func(p *corev1.Pod) { p.Status.Conditions = nil }}, Pulling, "",
			onNode + "is pulling mirror.local/acme/app@"},
		"not looked at yet": {[]func(*corev1.Pod){func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} }}, Pulling, "", onNode + "is pulling"},
		"hanging": {[]func(*corev1.Pod){startedAgo(5 * time.Minute)}, Failed, mirror.Timeout,
			"has not ended in 5m0s: the registry is very slow, or accepts the connection and does not answer"},
		"completed":          {[]func(*corev1.Pod){completed}, Pulled, "", onNode + "pulled mirror.local/acme/app@"},
		"completed long ago": {[]func(*corev1.Pod){completed, startedAgo(time.Hour)}, Pulled, "", "pulled"},
		"running":            {[]func(*corev1.Pod){state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, "")}, Pulled, "", "pulled"},
		"no such file": {[]func(*corev1.Pod){waiting("CreateContainerError",
			"executable file `/bin/true` not found in $PATH: No such file or directory")}, Pulled, "", "pulled"},
		"runs as root": {[]func(*corev1.Pod){waiting("CreateContainerConfigError",
			"container has runAsNonRoot and image will run as root")}, Pulled, "", "pulled"},
		"cannot start": {[]func(*corev1.Pod){waiting("RunContainerError", "exec format error")}, Pulled, "",
			"pulled"},
		"crashing": {[]func(*corev1.Pod){waiting("CrashLoopBackOff", "")}, Pulled, "", "pulled"},
		"exited with an error": {[]func(*corev1.Pod){func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
			state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "StartError",
				ExitCode: 128}}, "")}, Pulled, "", "pulled"},
		"evicted after it": {[]func(*corev1.Pod){failed("Evicted", "low on ephemeral-storage"),
			state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error"}},
				"mirror.local/acme/app@x")}, Pulled, "", "pulled"},
		"evicted": {[]func(*corev1.Pod){failed("Evicted",
			"The node was low on resource: ephemeral-storage.")}, Evicted, "", onNode +
			"the pod was ended before its pull was decided (Evicted): The node was low on resource: ephemeral-storage."},
		"turned away": {[]func(*corev1.Pod){failed("OutOfpods", ""), waiting("ContainerCreating", "")},
			Evicted, "", "(OutOfpods): no message"},
		"out of time": {[]func(*corev1.Pod){failed("DeadlineExceeded",
			"Pod was active on the node longer than the specified deadline")}, Evicted, "", "(DeadlineExceeded)"},
		"missing": {[]func(*corev1.Pod){waiting("ErrImagePull", messageUnknown)}, Failed, mirror.Missing,
			onNode + "cannot pull mirror.local/acme/app@" + digestOf(7) + ": " + messageUnknown},
		"missing, in back-off": {[]func(*corev1.Pod){waiting("ImagePullBackOff", backOff(messageUnknown))}, Failed,
			mirror.Missing, digestOf(7) + ": " + messageUnknown},
		"not trusted": {[]func(*corev1.Pod){waiting("ErrImagePull", messageX509)}, Failed, mirror.TLS,
			"x509: certificate signed by unknown authority; artifact err"},
		"not reached": {[]func(*corev1.Pod){waiting("ErrImagePull", messageDial)}, Pulling, mirror.Timeout,
			"cannot pull"},
		"never reached": {[]func(*corev1.Pod){waiting("ImagePullBackOff", backOff(messageDial)),
			startedAgo(5 * time.Minute)}, Failed, mirror.Timeout, "dial tcp 192.0.2.1:443: i/o timeout"},
		"registry unavailable": {[]func(*corev1.Pod){waiting("RegistryUnavailable",
			"image pull failed for mirror.local/acme/app because the registry is unavailable: connect: connection refused")}, Pulling, mirror.Refused, "connection refused"},
		"without words": {[]func(*corev1.Pod){waiting("ImagePullBackOff",
			`Back-off pulling image "mirror.local/acme/app@sha256:1"`)}, Pulling, mirror.Unknown, "does not say why"},
		"without words, late": {[]func(*corev1.Pod){waiting("ImagePullBackOff",
			`Back-off pulling image "mirror.local/acme/app@sha256:1"`), startedAgo(5 * time.Minute)}, Failed,
			mirror.Unknown, "does not say why"},
		"refused by a policy": {[]func(*corev1.Pod){waiting("ErrImagePull",
			`rpc error: code = Unknown desc = Source image rejected: Running image docker://mirror.local/acme/app@sha256:1 is rejected by policy.`)}, Inconclusive, "", "the node's policy for signatures and registries refuses it under the mirror's own name"},
		"not signed": {[]func(*corev1.Pod){waiting("SignatureValidationFailed",
			"image pull failed for mirror.local/acme/app because the signature validation failed: A signature was required, but no signature exists")}, Inconclusive, "", "policy of the source's name counts"},
		"disk full": {[]func(*corev1.Pod){waiting("ErrImagePull",
			`rpc error: code = Unknown desc = writing blob: storing blob to file "/var/tmp/x": write /var/tmp/x: no space left on device`), startedAgo(5 * time.Minute)}, Inconclusive, "", "the node itself is in the way of the pull"},
		"too many pulls": {[]func(*corev1.Pod){waiting("ErrImagePull", "pull QPS exceeded")}, Pulling, "",
			"the node itself is in the way of the pull: pull QPS exceeded"},
		"unreadable": {[]func(*corev1.Pod){waiting("InvalidImageName", "couldn't parse image name")}, Failed,
			mirror.Unknown, "cannot read the reference"},
		"a reason yet to come": {[]func(*corev1.Pod){waiting("ImageInspectError", "rpc error")}, Inconclusive, "",
			"the container waits with ImageInspectError: rpc error"},
		"image changed": {[]func(*corev1.Pod){completed,
			container(func(c *corev1.Container) { c.Image = "cache.local/acme/app" })}, Inconclusive, "",
			"its image is cache.local/acme/app and not mirror.local/acme/app@"},
		"pull policy changed": {[]func(*corev1.Pod){completed,
			container(func(c *corev1.Container) { c.ImagePullPolicy = corev1.PullIfNotPresent })}, Inconclusive, "",
			"its imagePullPolicy is IfNotPresent and not Always"},
		"container changed": {[]func(*corev1.Pod){completed, container(func(c *corev1.Container) { c.Name = "x" })},
			Inconclusive, "", "it has no container probe"},
		"another one came in": {[]func(*corev1.Pod){waiting("PodInitializing", "")}, Pending, "",
			"waits for containers that something has put before its own"},
		"another one stuck": {[]func(*corev1.Pod){waiting("PodInitializing", ""), startedAgo(5 * time.Minute)},
			Inconclusive, "", "waits for containers"},
		"another one beside it": {[]func(*corev1.Pod){sidecarRuns}, Pulling, "", "is pulling"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Evaluate(podOf(checkOf("w0", "mirror.local/acme/app"), c.pod...), nil, now, DefaultLimits())
			if got.State != c.want || got.Class != c.class || !strings.Contains(got.Message, c.message) ||
				!strings.HasPrefix(got.Message, onNode) {
				t.Errorf("%s %q: %q\nwant %s %q: %q", got.State, got.Class, got.Message, c.want, c.class, c.message)
			}
			if got.Decided() != got.Until.IsZero() || !got.Decided() && !got.Until.After(now) {
				t.Errorf("%s until %s", got.State, got.Until)
			}
		})
	}
}

// sidecarRuns is a pod into which a mesh has put a container that runs, before the probe's own in
// the list.
func sidecarRuns(p *corev1.Pod) {
	p.Status.ContainerStatuses = append([]corev1.ContainerStatus{{
		Name: "a-proxy", ImageID: "proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}, p.Status.ContainerStatuses...)
}

// What a repository is called says nothing about the failure.
func TestNamesAreNotClassified(t *testing.T) {
	pod := podOf(checkOf("w0", "mirror.local/acme/forbidden"),
		waiting("ErrImagePull", "reading manifest sha256:1 in mirror.local/acme/forbidden: manifest unknown"))
	if got := Evaluate(pod, nil, now, DefaultLimits()); got.Class != mirror.Missing {
		t.Errorf("%+v", got)
	}
}

// A proof carries what the node calls the image, and how long the pull took from the sandbox on.
func TestProof(t *testing.T) {
	got := Evaluate(podOf(checkOf("w0", "mirror.local/acme/app"), completed), nil, now, DefaultLimits())
	if got.ImageID != "mirror.local/acme/app@"+digestOf(7) || got.Took != 10*time.Second {
		t.Errorf("%s in %s", got.ImageID, got.Took)
	}
	clock := podOf(checkOf("w0", "mirror.local/acme/app"),
		state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-time.Hour))}}, ""))
	if got := Evaluate(clock, nil, now, DefaultLimits()); got.Took != 0 {
		t.Errorf("took %s with a clock that jumps back", got.Took)
	}
}

// The node's words come from the newest event of this very pod when the pod has none.
func TestMessageFromEvents(t *testing.T) {
	pod := podOf(checkOf("w0", "mirror.local/acme/app"),
		waiting("ImagePullBackOff", `Back-off pulling image "mirror.local/acme/app@sha256:1"`))
	event := func(uid, reason, message string, ago time.Duration) corev1.Event {
		e := corev1.Event{Reason: reason, Message: message, LastTimestamp: metav1.NewTime(now.Add(-ago))}
		e.InvolvedObject.UID = pod.UID
		if uid != "" {
			e.InvolvedObject.UID = "another"
		}
		return e
	}
	of := `Failed to pull image "mirror.local/acme/app@sha256:1": `
	events := []corev1.Event{
		event("", "Failed", of+messageDial, 3*time.Minute), event("", "Failed", of+messageUnknown, time.Minute),
		event("", "Failed", "Error: ImagePullBackOff", 0),
		event("", "BackOff", "Back-off pulling image", 0), event("another", "Failed", of+messageX509, 0),
		event("", "Failed", of+messageX509, 2*time.Minute),
	}
	got := Evaluate(pod, events, now, DefaultLimits())
	if got.State != Failed || got.Class != mirror.Missing || !strings.HasSuffix(got.Message, messageUnknown) {
		t.Errorf("%+v", got)
	}
}
