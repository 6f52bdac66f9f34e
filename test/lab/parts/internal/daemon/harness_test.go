package daemon

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	"github.com/openshift/api/features"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	mcfgfake "github.com/openshift/client-go/machineconfiguration/clientset/versioned/fake"
	operatorfake "github.com/openshift/client-go/operator/clientset/versioned/fake"
	"github.com/openshift/machine-config-operator/pkg/apihelpers"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
)

const (
	node = "w1"
	// testTimeout is how long a test waits for something that must come.
	testTimeout = 20 * time.Second
)

var nodes = corev1.SchemeGroupVersion.WithResource("nodes")

// lab is a cluster with one node, its daemon, and a drain controller that answers on request.
type lab struct {
	t        *testing.T
	kube     *kubefake.Clientset
	mcfg     *mcfgfake.Clientset
	operator *operatorfake.Clientset
	root     string
	scale    float64
	stop     func()

	patching sync.Mutex
	version  int // of the node

	mu      sync.Mutex
	changed chan struct{}       // closed at each change of the node
	history []map[string]string // the node's annotations, version by version
	drains  bool                // whether the drain controller answers drains
}

// newLab has the node at rendered-a; the daemon does not run yet. The configs are registries.conf
// texts.
func newLab(t *testing.T, scale float64, configs map[string]string) *lab {
	t.Helper()
	l := &lab{t: t, root: t.TempDir(), scale: scale, changed: make(chan struct{}), drains: true,
		kube: kubefake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: node, Labels: map[string]string{"node-role.kubernetes.io/worker": ""},
			Annotations: map[string]string{
				constants.CurrentMachineConfigAnnotationKey:     "rendered-a",
				constants.DesiredMachineConfigAnnotationKey:     "rendered-a",
				constants.MachineConfigDaemonStateAnnotationKey: constants.MachineConfigDaemonStateDone,
			},
		}}),
		operator: operatorfake.NewClientset(machineConfiguration()),
	}
	objects := []runtime.Object{pool(),
		&mcfgv1.ControllerConfig{ObjectMeta: metav1.ObjectMeta{Name: ctrlcommon.ControllerConfigName,
			ResourceVersion: "1"}}}
	for name, registries := range configs {
		objects = append(objects, machineConfig(name,
			map[string]string{constants.ContainerRegistryConfPath: registries}))
	}
	l.mcfg = mcfgfake.NewClientset(objects...)
	l.kube.PrependReactor("patch", "nodes", l.patchNode)
	l.watch()
	return l
}

// patchNode patches annotations as an API server does and the fake does not: one at a time, and
// with a new resourceVersion if anything changed. It records every version.
func (l *lab) patchNode(action kubetesting.Action) (bool, runtime.Object, error) {
	l.patching.Lock()
	defer l.patching.Unlock()
	var patch struct {
		Metadata struct {
			Annotations map[string]*string
		}
	}
	if err := json.Unmarshal(action.(kubetesting.PatchAction).GetPatch(), &patch); err != nil {
		return true, nil, err
	}
	stored, err := l.kube.Tracker().Get(nodes, "", node)
	if err != nil {
		return true, nil, err
	}
	next := stored.(*corev1.Node).DeepCopy()
	for key, value := range patch.Metadata.Annotations {
		if value == nil {
			delete(next.Annotations, key)
		} else {
			next.Annotations[key] = *value
		}
	}
	if maps.Equal(next.Annotations, stored.(*corev1.Node).Annotations) {
		return true, next, nil
	}
	l.version++
	next.ResourceVersion = strconv.Itoa(l.version)
	if err := l.kube.Tracker().Update(nodes, next, ""); err != nil {
		return true, nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, next.Annotations)
	close(l.changed)
	l.changed = make(chan struct{})
	return true, next, nil
}

// watch is the drain controller.
func (l *lab) watch() {
	events, err := l.kube.CoreV1().Nodes().Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(events.Stop)
	go func() {
		for event := range events.ResultChan() {
			n, ok := event.Object.(*corev1.Node)
			if !ok {
				continue
			}
			l.answer(n.Annotations)
		}
	}()
}

func (l *lab) answer(annotations map[string]string) {
	request := annotations[constants.DesiredDrainerAnnotationKey]
	l.mu.Lock()
	refuse := !l.drains && len(request) > 5 && request[:5] == "drain"
	l.mu.Unlock()
	if refuse || request == annotations[constants.LastAppliedDrainerAnnotationKey] {
		return
	}
	l.annotate(map[string]string{constants.LastAppliedDrainerAnnotationKey: request})
}

// setDrains says whether drains succeed from now on, and answers a waiting one.
func (l *lab) setDrains(succeed bool) {
	l.mu.Lock()
	l.drains = succeed
	l.mu.Unlock()
	l.answer(l.annotations())
}

func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := Run(ctx, Options{NodeName: node, Root: l.root, Scale: l.scale, Kube: l.kube, MCFG: l.mcfg,
			Operator:     l.operator,
			FeatureGates: ctrlcommon.NewFeatureGatesHardcodedHandler([]configv1.FeatureGateName{features.FeatureGateMachineConfigNodes}, nil),
		}); err != nil {
			l.t.Errorf("Run: %v", err)
		}
	}()
	l.stop = sync.OnceFunc(func() { cancel(); <-done })
	l.t.Cleanup(l.stop)
}

// target is what the node controller does.
func (l *lab) target(config string) {
	l.annotate(map[string]string{constants.DesiredMachineConfigAnnotationKey: config})
}

func (l *lab) annotate(annotations map[string]string) {
	patch, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if _, err := l.kube.CoreV1().Nodes().Patch(context.Background(), node, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		l.t.Errorf("patch: %v", err)
	}
}

func (l *lab) annotations() map[string]string {
	n, err := l.kube.CoreV1().Nodes().Get(context.Background(), node, metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return n.Annotations
}

// await waits until the node's annotations satisfy the condition.
func (l *lab) await(what string, condition func(a map[string]string) bool) map[string]string {
	l.t.Helper()
	deadline := time.After(testTimeout)
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if a := l.annotations(); condition(a) {
			return a
		}
		select {
		case <-changed:
		case <-deadline:
			l.t.Fatalf("%s never came; the node has %v", what, l.annotations())
		}
	}
}

// awaitDone waits until the node rests at config.
func (l *lab) awaitDone(config string) map[string]string {
	l.t.Helper()
	return l.await("Done at "+config, func(a map[string]string) bool {
		return a[constants.CurrentMachineConfigAnnotationKey] == config &&
			a[constants.MachineConfigDaemonStateAnnotationKey] == constants.MachineConfigDaemonStateDone &&
			a[constants.DesiredDrainerAnnotationKey] == "uncordon-"+config
	})
}

func (l *lab) awaitAnnotation(key, value string) {
	l.t.Helper()
	l.await(key+"="+value, func(a map[string]string) bool { return a[key] == value })
}

// values are the different values that an annotation had, in order.
func (l *lab) values(key string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var values []string
	for _, a := range l.history {
		if v := a[key]; len(values) == 0 && v != "" || len(values) > 0 && values[len(values)-1] != v {
			values = append(values, v)
		}
	}
	return values
}

func (l *lab) read(path string) string {
	l.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

func pool() *mcfgv1.MachineConfigPool {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}
	p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/worker": ""}}
	return p
}

// machineConfiguration has the default policy, merged.
func machineConfiguration() *opv1.MachineConfiguration {
	m := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: ctrlcommon.MCOOperatorKnobsObjectName,
		Generation: 1}}
	m.Status.ObservedGeneration = 1
	m.Status.NodeDisruptionPolicyStatus.ClusterPolicies = apihelpers.MergeClusterPolicies(opv1.NodeDisruptionPolicyConfig{})
	return m
}

// machineConfig is a rendered config with the given files.
func machineConfig(name string, files map[string]string) *mcfgv1.MachineConfig {
	ignition := ctrlcommon.NewIgnConfig()
	for path, content := range files {
		ignition.Storage.Files = append(ignition.Storage.Files,
			ctrlcommon.NewIgnFileBytesOverwriting(path, []byte(content)))
	}
	raw, err := json.Marshal(ignition)
	if err != nil {
		panic(err)
	}
	return &mcfgv1.MachineConfig{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcfgv1.MachineConfigSpec{Config: runtime.RawExtension{Raw: raw}}}
}
