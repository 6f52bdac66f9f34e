package mcooperator

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	configfake "github.com/openshift/client-go/config/clientset/versioned/fake"
	mcfgfake "github.com/openshift/client-go/machineconfiguration/clientset/versioned/fake"
	operatorfake "github.com/openshift/client-go/operator/clientset/versioned/fake"
	"github.com/openshift/library-go/pkg/config/clusteroperator/v1helpers"
	"github.com/openshift/machine-config-operator/pkg/apihelpers"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
)

var ctx = context.Background()

// lab is a cluster with a control plane of one node, and the operator running.
type lab struct {
	t        *testing.T
	kube     *fake.Clientset
	mcfg     *mcfgfake.Clientset
	operator *operatorfake.Clientset
	config   *configfake.Clientset
}

func start(t *testing.T) *lab {
	t.Helper()
	version := &configv1.ClusterVersion{ObjectMeta: metav1.ObjectMeta{Name: "version"}}
	version.Status.Desired.Version = "4.20.1"
	machineConfiguration := newMachineConfiguration()
	machineConfiguration.Generation = 7
	l := &lab{
		t: t,
		kube: fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m1", UID: "1",
			Labels:      map[string]string{"node-role.kubernetes.io/master": ""},
			Annotations: map[string]string{constants.DesiredMachineConfigAnnotationKey: "rendered-master-a"}}}),
		mcfg: mcfgfake.NewClientset(master(),
			&mcfgv1.ControllerConfig{ObjectMeta: metav1.ObjectMeta{Name: ctrlcommon.ControllerConfigName}}),
		operator: operatorfake.NewClientset(machineConfiguration),
		config:   configfake.NewClientset(version, &configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}),
	}
	separateStatus(l.operator)
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := Run(running, Options{Kube: l.kube, MCFG: l.mcfg, Operator: l.operator, Config: l.config,
			Scale: 0.01}); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(sync.OnceFunc(func() { cancel(); <-done }))
	return l
}

// separateStatus makes the fake write status and spec apart, one write at a time, as an API server
// does. By itself, a status write that was in progress carries the old spec along and undoes a
// test's edit.
func separateStatus(operator *operatorfake.Clientset) {
	var writing sync.Mutex
	configurations := opv1.GroupVersion.WithResource("machineconfigurations")
	operator.PrependReactor("update", "machineconfigurations",
		func(action kubetesting.Action) (bool, runtime.Object, error) {
			writing.Lock()
			defer writing.Unlock()
			next := action.(kubetesting.UpdateAction).GetObject().(*opv1.MachineConfiguration).DeepCopy()
			if action.GetSubresource() == "status" {
				object, err := operator.Tracker().Get(configurations, "", next.Name)
				if err != nil {
					return true, nil, err
				}
				stored := object.(*opv1.MachineConfiguration).DeepCopy()
				stored.Status = next.Status
				next = stored
			}
			return true, next, operator.Tracker().Update(configurations, next, "")
		})
}

// master is a pool whose only node is up to date.
func master() *mcfgv1.MachineConfigPool {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: "master", Generation: 1}}
	p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/master": ""}}
	p.Spec.Configuration.Name, p.Status.Configuration.Name = "rendered-master-a", "rendered-master-a"
	p.Status.Configuration.Source = []corev1.ObjectReference{{Name: "00-master"}}
	p.Status.ObservedGeneration, p.Status.MachineCount = 1, 1
	condition(p, mcfgv1.MachineConfigPoolUpdated, corev1.ConditionTrue)
	return p
}

func condition(p *mcfgv1.MachineConfigPool, kind mcfgv1.MachineConfigPoolConditionType, status corev1.ConditionStatus) {
	apihelpers.SetMachineConfigPoolCondition(&p.Status,
		*apihelpers.NewMachineConfigPoolCondition(kind, status, "", "node broken"))
}

// update changes the master pool.
func (l *lab) update(change func(*mcfgv1.MachineConfigPool)) {
	l.t.Helper()
	client := l.mcfg.MachineconfigurationV1().MachineConfigPools()
	p, err := client.Get(ctx, "master", metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	change(p)
	if _, err := client.Update(ctx, p, metav1.UpdateOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

// await looks until the condition holds: the operator is another program, there is nothing to wait
// on.
func (l *lab) await(what string, condition func() bool) {
	l.t.Helper()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			l.t.Fatalf("%s never came", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *lab) awaitCondition(kind configv1.ClusterStatusConditionType, status configv1.ConditionStatus, reason,
	message string) {
	l.t.Helper()
	l.await(string(kind)+"="+string(status)+" "+reason+" "+message, func() bool {
		co, err := l.config.ConfigV1().ClusterOperators().Get(ctx, "machine-config", metav1.GetOptions{})
		if err != nil {
			return false
		}
		c := v1helpers.FindStatusCondition(co.Status.Conditions, kind)
		return c != nil && c.Status == status && c.Reason == reason && c.Message == message
	})
}

func TestHealthy(t *testing.T) {
	l := start(t)
	l.awaitCondition(configv1.OperatorAvailable, configv1.ConditionTrue, "AsExpected",
		"Cluster has deployed [{operator 4.20.1}]")
	l.awaitCondition(configv1.OperatorDegraded, configv1.ConditionFalse, "", "")
	l.awaitCondition(configv1.OperatorUpgradeable, configv1.ConditionTrue, "AsExpected", "")
}

func TestPausedMasterWithPendingConfiguration(t *testing.T) {
	l := start(t)
	l.awaitCondition(configv1.OperatorDegraded, configv1.ConditionFalse, "", "")
	l.update(func(p *mcfgv1.MachineConfigPool) {
		p.Spec.Paused, p.Spec.Configuration.Name = true, "rendered-master-b"
		condition(p, mcfgv1.MachineConfigPoolUpdated, corev1.ConditionFalse)
	})
	l.awaitCondition(configv1.OperatorDegraded, configv1.ConditionTrue, "RequiredPoolsFailed",
		"Failed to resync 4.20.1 because: error required MachineConfigPool master is paused and cannot sync until it is unpaused")
	l.update(func(p *mcfgv1.MachineConfigPool) {
		p.Spec.Paused, p.Status.Configuration.Name = false, "rendered-master-b"
		condition(p, mcfgv1.MachineConfigPoolUpdated, corev1.ConditionTrue)
	})
	l.awaitCondition(configv1.OperatorDegraded, configv1.ConditionFalse, "", "")
}

// A pool that updates is waited for, without Degraded; a degraded one blocks upgrades meanwhile.
func TestDegradedPoolBlocksTheLoop(t *testing.T) {
	l := start(t)
	l.awaitCondition(configv1.OperatorDegraded, configv1.ConditionFalse, "", "")
	l.update(func(p *mcfgv1.MachineConfigPool) {
		condition(p, mcfgv1.MachineConfigPoolDegraded, corev1.ConditionTrue)
	})
	l.awaitCondition(configv1.OperatorUpgradeable, configv1.ConditionFalse, "DegradedPool",
		"One or more machine config pools are degraded, please see `oc get mcp` for further details and resolve before upgrading")
	l.awaitCondition(configv1.OperatorDegraded, configv1.ConditionFalse, "", "")

	l.setTrust("trust", map[string]string{"mirror.example": "PEM"})
	l.update(func(p *mcfgv1.MachineConfigPool) {
		condition(p, mcfgv1.MachineConfigPoolDegraded, corev1.ConditionFalse)
	})
	l.await("the CA that had to wait", func() bool { return len(l.bundles()) == 1 })
}

func TestDisruptionPolicyIsMerged(t *testing.T) {
	l := start(t)
	machineConfiguration := l.operator.OperatorV1().MachineConfigurations()
	l.await("the default policy", func() bool {
		m, err := machineConfiguration.Get(ctx, "cluster", metav1.GetOptions{})
		return err == nil && m.Status.ObservedGeneration == 7 && l.registriesAction() == opv1.SpecialStatusAction
	})
	m, err := machineConfiguration.Get(ctx, "cluster", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.Generation = 8
	m.Spec.NodeDisruptionPolicy.Files = []opv1.NodeDisruptionPolicySpecFile{{
		Path: constants.ContainerRegistryConfPath,
		Actions: []opv1.NodeDisruptionPolicySpecAction{{Type: opv1.ReloadSpecAction,
			Reload: &opv1.ReloadService{ServiceName: "crio.service"}}},
	}}
	if _, err := machineConfiguration.Update(ctx, m, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("the admin's policy", func() bool { return l.registriesAction() == opv1.ReloadStatusAction })
}

// registriesAction is what the effective policy says about registries.conf.
func (l *lab) registriesAction() opv1.NodeDisruptionPolicyStatusActionType {
	m, err := l.operator.OperatorV1().MachineConfigurations().Get(ctx, "cluster", metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range m.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files {
		if f.Path == constants.ContainerRegistryConfPath {
			return f.Actions[0].Type
		}
	}
	return ""
}

// A ConfigMap that goes missing takes the admin's CAs from all nodes; there is only a warning.
func TestTrustedCA(t *testing.T) {
	l := start(t)
	l.setTrust("trust", map[string]string{"mirror.example..5000": "PEM", "b64.example": "UEVN"})
	want := []mcfgv1.ImageRegistryBundle{{File: "b64.example", Data: []byte("PEM")},
		{File: "mirror.example..5000", Data: []byte("PEM")}}
	l.await("the CAs", func() bool { return reflect.DeepEqual(l.bundles(), want) })
	if err := l.kube.CoreV1().ConfigMaps(userNamespace).Delete(ctx, "trust", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("the loss of the CAs", func() bool { return len(l.bundles()) == 0 })
}

func (l *lab) setTrust(name string, data map[string]string) {
	l.t.Helper()
	if _, err := l.kube.CoreV1().ConfigMaps(userNamespace).Create(ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, metav1.CreateOptions{}); err != nil {
		l.t.Fatal(err)
	}
	image := &configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}
	image.Spec.AdditionalTrustedCA.Name = name
	if _, err := l.config.ConfigV1().Images().Update(ctx, image, metav1.UpdateOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) bundles() []mcfgv1.ImageRegistryBundle {
	c, err := l.mcfg.MachineconfigurationV1().ControllerConfigs().Get(ctx, ctrlcommon.ControllerConfigName,
		metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return c.Spec.ImageRegistryBundleUserData
}

func TestMachineConfigNodes(t *testing.T) {
	l := start(t)
	mcns := l.mcfg.MachineconfigurationV1().MachineConfigNodes()
	l.await("the MachineConfigNode", func() bool {
		m, err := mcns.Get(ctx, "m1", metav1.GetOptions{})
		return err == nil && m.Spec.Pool.Name == "master" && m.Spec.Node.Name == "m1" &&
			m.Spec.ConfigVersion.Desired == "rendered-master-a"
	})
	if err := l.kube.CoreV1().Nodes().Delete(ctx, "m1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.await("its end", func() bool {
		_, err := mcns.Get(ctx, "m1", metav1.GetOptions{})
		return err != nil
	})
}
