package kubelet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/pull"
)

// lab is one node with its kubelet, a fake API server, and a registry with one image, a:v1.
type lab struct {
	t        *testing.T
	kube     *fake.Clientset
	cluster  *Cluster
	root     string
	logPath  string
	registry string
	pods     watch.Interface

	mu      sync.Mutex
	missing bool // the registry answers 404
}

// newLab starts a kubelet whose seconds take a millisecond.
func newLab(t *testing.T) *lab {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &lab{t: t, root: t.TempDir(), logPath: filepath.Join(t.TempDir(), "pulls")}
	server := httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(server.Close)
	l.registry = server.Listener.Addr().String()
	l.kube = fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", UID: "node"}})
	var err error
	if l.pods, err = l.kube.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if l.cluster, err = NewCluster(ctx, l.kube, 0.001); err != nil {
		t.Fatal(err)
	}
	pulls, err := pull.OpenLog(l.logPath)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- l.cluster.EachNode(ctx, func(ctx context.Context, name string) {
			if err := Run(ctx, Options{NodeName: name, Root: l.root, Scale: 0.001, Cluster: l.cluster,
				Pulls: pulls}); err != nil {
				t.Errorf("kubelet: %v", err)
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		pulls.Close()
	})
	return l
}

// serve is a registry with one image of one layer.
func (l *lab) serve(w http.ResponseWriter, r *http.Request) {
	config, layer := []byte(`{"os":"linux","architecture":"amd64"}`), []byte("layer")
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
		"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},
		"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}]}`,
		digest.FromBytes(config), len(config), digest.FromBytes(layer), len(layer))
	l.mu.Lock()
	missing := l.missing
	l.mu.Unlock()
	switch {
	case r.URL.Path == "/v2/":
	case missing:
		w.WriteHeader(http.StatusNotFound)
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = w.Write(manifest)
	case strings.HasSuffix(r.URL.Path, digest.FromBytes(config).String()):
		_, _ = w.Write(config)
	default:
		_, _ = w.Write(layer)
	}
}

func (l *lab) setMissing(missing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing = missing
}

// load is the daemon half's first load of a configuration.
func (l *lab) load() {
	l.t.Helper()
	l.write(nodefs.Registries(l.root, "w1"), fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", l.registry))
	l.write(nodefs.LoadedConfig(l.root, "w1"), "rendered-a") // last: from here on the kubelet reads
}

// write replaces a file in one step, as the daemon half does.
func (l *lab) write(path, content string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) create(name string) *corev1.Pod {
	l.t.Helper()
	pod := newPod(func(pod *corev1.Pod) {
		pod.Name, pod.UID = name, types.UID("uid-"+name)
		pod.Spec.Containers[0].Image = l.registry + "/a:v1"
		pod.Spec.Containers[0].ImagePullPolicy = corev1.PullIfNotPresent
	})
	pod, err := l.kube.CoreV1().Pods("shop").Create(context.Background(), pod, metav1.CreateOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return pod
}

// until waits for a state of a pod that satisfies f.
func (l *lab) until(what string, f func(pod *corev1.Pod) bool) *corev1.Pod {
	l.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case e := <-l.pods.ResultChan():
			if pod, ok := e.Object.(*corev1.Pod); ok && f(pod) {
				return pod
			}
		case <-limit:
			l.t.Fatalf("never saw: %s", what)
		}
	}
}

func waits(reason string) func(*corev1.Pod) bool {
	return func(pod *corev1.Pod) bool {
		for _, s := range pod.Status.ContainerStatuses {
			if s.State.Waiting != nil && s.State.Waiting.Reason == reason {
				return true
			}
		}
		return false
	}
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// node waits for a state of the node.
func (l *lab) node(what string, f func(node *corev1.Node) bool) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	poll(ctx, 5*time.Millisecond, func() bool { return f(l.cluster.Node("w1")) })
	if ctx.Err() != nil {
		l.t.Fatalf("never saw the node %s", what)
	}
}

func readiness(node *corev1.Node) string {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return string(c.Status) + " " + c.Reason
		}
	}
	return ""
}

func (l *lab) annotate(name, value string) {
	l.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, name, value)
	if _, err := l.kube.CoreV1().Nodes().Patch(context.Background(), "w1", types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

// records reads the pull log.
func (l *lab) records() []pull.Record {
	l.t.Helper()
	file, err := os.Open(l.logPath)
	if err != nil {
		l.t.Fatal(err)
	}
	defer file.Close()
	var all []pull.Record
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var record pull.Record
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			l.t.Fatal(err)
		}
		all = append(all, record)
	}
	return all
}

func TestPullFailsThenSucceeds(t *testing.T) {
	l := newLab(t)
	l.setMissing(true)
	l.load()
	l.create("web")

	pod := l.until("ErrImagePull", waits("ErrImagePull"))
	if got := pod.Status.ContainerStatuses[0].State.Waiting.Message; !strings.HasPrefix(got,
		"unable to pull image or OCI artifact: pull image err: initializing source docker://") {
		t.Errorf("message %q", got)
	}
	pod = l.until("ImagePullBackOff", waits("ImagePullBackOff"))
	want := fmt.Sprintf("Back-off pulling image %q: ErrImagePull: unable to pull image or OCI artifact: ", l.registry+
		"/a:v1")
	if got := pod.Status.ContainerStatuses[0].State.Waiting.Message; !strings.HasPrefix(got, want) {
		t.Errorf("message %q, want %q …", got, want)
	}
	if pod.Status.Phase != corev1.PodPending {
		t.Errorf("phase %s", pod.Status.Phase)
	}
	l.setMissing(false)
	pod = l.until("readiness", isReady)
	if got := pod.Status.ContainerStatuses[0].ImageID; !strings.HasPrefix(got, l.registry+"/a@sha256:") {
		t.Errorf("imageID %q", got)
	}
	records := l.records()
	last := records[len(records)-1]
	if last.Pod != "web" || last.Container != "A" || last.Policy != "IfNotPresent" || last.Error != "" ||
		last.Config != "rendered-a" || last.Bytes == 0 {
		t.Errorf("record %+v", last)
	}
	// The second pod finds the image.
	l.create("web2")
	l.until("readiness of web2", func(pod *corev1.Pod) bool { return pod.Name == "web2" && isReady(pod) })
	records = l.records()
	if last := records[len(records)-1]; last.Pod != "web2" || !last.Cached {
		t.Errorf("record %+v", last)
	}
	l.node("with the image in its status", func(node *corev1.Node) bool { return len(node.Status.Images) == 2 })
}

func TestDeletedPodLeavesTheAPI(t *testing.T) {
	l := newLab(t)
	l.load()
	l.create("web")
	pod := l.until("readiness", isReady)

	// The fake API server deletes at once; a real one marks the pod and leaves it to the kubelet.
	pod = pod.DeepCopy()
	pod.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	if _, err := l.kube.CoreV1().Pods("shop").Update(context.Background(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.until("not ready at once", func(pod *corev1.Pod) bool {
		return !isReady(pod) &&
			pod.Status.Phase == corev1.PodRunning
	})
	pod = l.until("the end of the containers",
		func(pod *corev1.Pod) bool { return pod.Status.Phase == corev1.PodSucceeded })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	poll(ctx, 5*time.Millisecond, func() bool {
		_, err := l.kube.CoreV1().Pods("shop").Get(ctx, pod.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if ctx.Err() != nil {
		t.Error("the pod stays")
	}
}

func TestPowerOfTheNode(t *testing.T) {
	l := newLab(t)
	l.node("without a configuration",
		func(node *corev1.Node) bool { return readiness(node) == "False KubeletNotReady" })
	l.load()
	l.node("ready", func(node *corev1.Node) bool { return readiness(node) == "True KubeletReady" })
	l.create("web")
	l.until("readiness", isReady)

	l.annotate(DownAnnotation, `"true"`)
	l.node("down", func(node *corev1.Node) bool { return readiness(node) == "False KubeletStopped" })
	l.create("frozen")
	l.annotate(DownAnnotation, "null")
	l.node("up", func(node *corev1.Node) bool { return readiness(node) == "True KubeletReady" })
	l.until("readiness of the pod that came meanwhile",
		func(pod *corev1.Pod) bool { return pod.Name == "frozen" && isReady(pod) })
	web, err := l.kube.CoreV1().Pods("shop").Get(context.Background(), "web", metav1.GetOptions{})
	if err != nil || web.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("%+v, %v", web.Status.ContainerStatuses, err)
	}

	l.annotate(RebootingAnnotation, `"true"`)
	l.node("rebooting", func(node *corev1.Node) bool { return readiness(node) == "False KubeletNotReady" })
	l.annotate(RebootingAnnotation, "null")
	l.until("a restart of the container", func(pod *corev1.Pod) bool {
		return pod.Name == "web" && isReady(pod) && pod.Status.ContainerStatuses[0].RestartCount == 1
	})
}

func TestCacheOfTheNode(t *testing.T) {
	l := newLab(t)
	l.annotate(CacheAnnotation, fmt.Sprintf("%q", l.registry+"/a:v1, "+l.registry+"/b:v1"))
	l.load()
	l.node("with both names of the image", func(node *corev1.Node) bool {
		return len(node.Status.Images) == 2 && len(node.Status.Images[0].Names) == 4
	})
	for _, record := range l.records() {
		if record.Policy != "Preload" || record.Pod != "" {
			t.Errorf("record %+v", record)
		}
	}
}

func TestAddresses(t *testing.T) {
	a := newAddresses("10.128.0.254")
	a.keep("10.128.1.0")
	if first, second := a.next(), a.next(); first != "10.128.0.255" || second != "10.128.1.1" {
		t.Errorf("%s, %s", first, second)
	}
}
