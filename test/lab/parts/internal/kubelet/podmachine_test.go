package kubelet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

// machineTest is a machine with a clock in the test's hand.
type machineTest struct {
	*podMachine
	t     *testing.T
	clock *clocktesting.FakeClock
	pod   *corev1.Pod
	log   []string // what the machine asked for, "pull A" or "Started A"
}

func newPod(edit func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "1", Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			NodeName: "w1", RestartPolicy: corev1.RestartPolicyAlways,
			TerminationGracePeriodSeconds: ptr.To[int64](30),
			Containers:                    []corev1.Container{{Name: "A", Image: "quay.io/a"}},
		},
	}
	if edit != nil {
		edit(pod)
	}
	return pod
}

func newPlay(t *testing.T, edit func(*corev1.Pod)) *machineTest {
	t.Helper()
	p := &machineTest{t: t, clock: clocktesting.NewFakeClock(time.Unix(1000, 0)), pod: newPod(edit)}
	p.restart(false)
	return p
}

// restart begins with what the API knows, as a kubelet that was restarted does.
func (p *machineTest) restart(rebooted bool) {
	crashes := flowcontrol.NewFakeBackOff(firstBackOff, maxBackOff, p.clock)
	p.podMachine = newMachine(p.pod, 1, crashes, func(d time.Duration) time.Duration { return d }, p.clock.Now(),
		rebooted)
	p.sync()
}

// sync is one pass of the worker; nothing else changes at this time.
func (p *machineTest) sync() {
	now := p.clock.Now()
	for _, a := range p.advance(now, p.pod) {
		if a.pull {
			p.log = append(p.log, "pull "+a.container.Name)
		} else {
			p.log = append(p.log, a.reason+" "+a.container.Name)
		}
	}
	p.pod.Status = p.status(now, p.pod, "10.128.0.2", func() string { return "10.132.0.2" })
}

// next goes to the time at which the machine wants to be woken.
func (p *machineTest) next() time.Duration {
	p.t.Helper()
	at := p.nextWake(p.clock.Now(), p.pod)
	if at.IsZero() {
		p.t.Fatal("the machine does not want to be woken")
	}
	passed := at.Sub(p.clock.Now())
	p.clock.SetTime(at)
	p.sync()
	return passed
}

// answer ends the pull of a container.
func (p *machineTest) answer(name, reason, message string) {
	p.t.Helper()
	for _, c := range p.all() {
		if c.Name == name {
			p.pulled(c, p.clock.Now(), "quay.io/a@sha256:1", reason, message)
			p.sync()
			return
		}
	}
	p.t.Fatalf("no container %q", name)
}

// started brings the only container of a pod to readiness.
func (p *machineTest) started() {
	p.answer("A", "", "")
	p.next()
	p.next()
}

// want compares the pod in one line each: phase, conditions, containers.
func (p *machineTest) want(lines ...string) {
	p.t.Helper()
	if diff := cmp.Diff(lines, describePod(p.pod)); diff != "" {
		p.t.Errorf("pod (-want +got):\n%s", diff)
	}
}

func describePod(pod *corev1.Pod) []string {
	conditions := string(pod.Status.Phase)
	for _, c := range pod.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == corev1.PodInitialized || c.Type == corev1.PodReady) {
			conditions += " " + string(c.Type)
		}
	}
	lines := []string{conditions}
	for _, c := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...),
		pod.Status.ContainerStatuses...) {
		line := c.Name + ":"
		switch {
		case c.State.Running != nil:
			line += " running"
		case c.State.Terminated != nil:
			line += " terminated " + c.State.Terminated.Reason
		case c.State.Waiting != nil:
			line += " waiting " + c.State.Waiting.Reason
		}
		if c.Ready {
			line += " ready"
		}
		if c.RestartCount > 0 {
			line += strings.Repeat(" again", int(c.RestartCount))
		}
		lines = append(lines, line)
	}
	return lines
}

func TestFromPullToReady(t *testing.T) {
	p := newPlay(t, func(pod *corev1.Pod) { pod.Annotations[ReadyAfterAnnotation] = "20" })
	p.want("Pending Initialized", "A: waiting ContainerCreating")
	p.answer("A", "", "")
	p.want("Pending Initialized", "A: waiting ContainerCreating")
	if passed := p.next(); passed != startTime {
		t.Errorf("started after %s", passed)
	}
	p.want("Running Initialized", "A: running")
	if passed := p.next(); passed != 20*time.Second {
		t.Errorf("ready after %s", passed)
	}
	p.want("Running Initialized Ready", "A: running ready")
	if at := p.nextWake(p.clock.Now(), p.pod); !at.IsZero() {
		t.Errorf("wants to be woken at %s", at)
	}
	if diff := cmp.Diff([]string{"pull A", "Created A", "Started A"}, p.log); diff != "" {
		t.Error(diff)
	}
	s := p.pod.Status
	if s.HostIP != "10.128.0.2" || s.PodIP != "10.132.0.2" || s.StartTime == nil ||
		s.ContainerStatuses[0].ImageID != "quay.io/a@sha256:1" {
		t.Errorf("status %+v", s)
	}
}

func TestFailedPullIsRepeated(t *testing.T) {
	p := newPlay(t, nil)
	p.answer("A", "ErrImagePull", "no route")
	p.want("Pending Initialized", "A: waiting ErrImagePull")
	if passed := p.next(); passed != syncPeriod {
		t.Errorf("repeated after %s", passed)
	}
	// The reason stays while the pull is repeated.
	p.want("Pending Initialized", "A: waiting ErrImagePull")
	p.answer("A", "ImagePullBackOff", `Back-off pulling image "quay.io/a": ErrImagePull: no route`)
	p.want("Pending Initialized", "A: waiting ImagePullBackOff")
	p.next()
	p.answer("A", "", "")
	p.want("Pending Initialized", "A: waiting ContainerCreating")
	p.next()
	p.want("Running Initialized", "A: running")
}

func TestOneOfTwoContainersRuns(t *testing.T) {
	p := newPlay(t, func(pod *corev1.Pod) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "B", Image: "quay.io/b"})
	})
	p.answer("B", "ErrImagePull", "no route")
	p.started()
	p.want("Pending Initialized", "A: running ready", "B: waiting ErrImagePull")
}

func TestInitContainersAndSidecars(t *testing.T) {
	p := newPlay(t, func(pod *corev1.Pod) {
		pod.Spec.InitContainers = []corev1.Container{
			{Name: "I"}, {Name: "S", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
		}
		pod.Spec.Volumes = []corev1.Volume{{Name: "V", VolumeSource: corev1.VolumeSource{
			Image: &corev1.ImageVolumeSource{Reference: "quay.io/v"}}}}
	})
	waiting := []string{"Pending", "I: waiting PodInitializing", "S: waiting PodInitializing",
		"A: waiting PodInitializing"}
	p.want(waiting...)
	p.answer("volume V", "ErrImagePull", "no route")
	p.want("Pending", "I: waiting ErrImagePull", "S: waiting ErrImagePull", "A: waiting ErrImagePull")
	p.next()
	p.answer("volume V", "", "")
	p.want(waiting...)
	p.answer("I", "", "")
	p.next()
	p.want("Pending", "I: running", "S: waiting PodInitializing", "A: waiting PodInitializing")
	p.next()
	p.want("Pending", "I: terminated Completed ready", "S: waiting PodInitializing", "A: waiting PodInitializing")
	p.answer("S", "", "")
	p.next()
	p.want("Pending Initialized", "I: terminated Completed ready", "S: running", "A: waiting PodInitializing")
	p.answer("A", "", "")
	p.next()
	p.want("Running Initialized", "I: terminated Completed ready", "S: running ready", "A: running")
	p.next()
	p.want("Running Initialized Ready", "I: terminated Completed ready", "S: running ready", "A: running ready")
	want := []string{"pull volume V", "pull volume V", "pull I", "Created I", "Started I", "pull S", "Created S",
		"Started S", "pull A", "Created A", "Started A"}
	if diff := cmp.Diff(want, p.log); diff != "" {
		t.Error(diff)
	}
}

func TestCrashLoop(t *testing.T) {
	p := newPlay(t, nil)
	p.started()
	p.pod.Annotations[CrashAnnotation] = "true"
	p.sync()
	p.want("Running Initialized", "A: terminated Error")
	p.next() // the first restart comes at once
	p.want("Running Initialized", "A: terminated Error")
	p.answer("A", "", "")
	p.next()
	p.want("Running Initialized", "A: running again")
	p.next()
	p.want("Running Initialized", "A: terminated Error again")
	p.next()
	p.want("Running Initialized", "A: waiting CrashLoopBackOff again")
	if got, want := p.pod.Status.ContainerStatuses[0].State.Waiting.Message,
		"back-off 10s restarting failed container=A pod=web_shop(1)"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if passed := p.next(); passed != firstBackOff-noticeTime {
		t.Errorf("restarted %s after the notice", passed)
	}
	delete(p.pod.Annotations, CrashAnnotation)
	p.answer("A", "", "")
	p.next()
	p.next()
	p.want("Running Initialized Ready", "A: running ready again again")
}

func TestReadinessIsLive(t *testing.T) {
	p := newPlay(t, nil)
	p.started()
	p.pod.Annotations[ReadyAnnotation] = "false"
	p.sync()
	p.want("Running Initialized", "A: running")
	delete(p.pod.Annotations, ReadyAnnotation)
	p.sync()
	p.want("Running Initialized Ready", "A: running ready")
}

func TestJobs(t *testing.T) {
	job := func(pod *corev1.Pod) {
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		pod.Spec.InitContainers = []corev1.Container{{Name: "S",
			RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
	}
	tests := map[string]struct {
		annotation string
		want       []string
	}{
		"completes": {"", []string{"Succeeded Initialized", "S: terminated Completed", "A: terminated Completed"}},
		"runs forever": {RunForeverAnnotation,
			[]string{"Running Initialized Ready", "S: running ready", "A: running ready"}},
		"fails": {CrashAnnotation,
			[]string{"Failed Initialized", "S: terminated Completed", "A: terminated Error"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, func(pod *corev1.Pod) {
				job(pod)
				pod.Annotations[test.annotation] = "true"
			})
			p.answer("S", "", "")
			p.next()
			p.answer("A", "", "")
			p.next()
			p.next()
			p.want(test.want...)
		})
	}
}

func TestGracefulDeletion(t *testing.T) {
	tests := map[string]struct {
		annotation string
		grace      int64
		want       time.Duration
	}{
		"default":                {"", 30, 2 * time.Second},
		"slow":                   {"45", 3600, 45 * time.Second},
		"cut short by the grace": {"45", 10, 10 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, func(pod *corev1.Pod) { pod.Annotations[ShutdownAnnotation] = test.annotation })
			p.started()
			p.pod.DeletionTimestamp = &metav1.Time{Time: p.clock.Now()}
			p.pod.DeletionGracePeriodSeconds = &test.grace
			p.sync()
			p.want("Running Initialized", "A: running")
			if last := p.log[len(p.log)-1]; last != "Killing A" {
				t.Errorf("last action %q", last)
			}
			if passed := p.next(); passed != test.want || !p.stopped {
				t.Errorf("stopped: %t, after %s, want %s", p.stopped, passed, test.want)
			}
			p.want("Succeeded Initialized", "A: terminated Completed")
		})
	}
}

func TestDeletionOfAPodThatNeverRan(t *testing.T) {
	p := newPlay(t, nil)
	p.pod.DeletionTimestamp = &metav1.Time{Time: p.clock.Now()}
	p.sync()
	if !p.stopped {
		t.Error("it takes time to stop")
	}
	p.answer("A", "", "") // the pull that was in flight
	p.want("Pending Initialized", "A: waiting ContainerCreating")
}

func TestRestartOfTheKubelet(t *testing.T) {
	p := newPlay(t, nil)
	p.started()
	p.log = nil
	p.restart(false)
	p.want("Running Initialized Ready", "A: running ready")
	if p.log != nil {
		t.Errorf("did %v", p.log)
	}
	p.restart(true) // the machine rebooted: the container starts again
	p.want("Running Initialized", "A: terminated Error")
	p.answer("A", "", "")
	p.next()
	p.want("Running Initialized", "A: running again")
}

func TestPodEndedBySomebodyElse(t *testing.T) {
	p := newPlay(t, nil)
	p.started()
	p.pod.Status.Phase = corev1.PodFailed
	p.sync()
	p.want("Failed Initialized", "A: terminated Completed")
	if at := p.nextWake(p.clock.Now(), p.pod); !at.IsZero() {
		t.Errorf("wants to be woken at %s", at)
	}
}

func TestStatusPatchIsEmptyWithoutAChange(t *testing.T) {
	p := newPlay(t, nil)
	p.started()
	patch, err := statusPatch(p.pod, p.status(p.clock.Now(), p.pod, "10.128.0.2", nil))
	if err != nil || patch != nil {
		t.Errorf("patch %s, error %v", patch, err)
	}
}
