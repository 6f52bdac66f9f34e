package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	poolResource = schema.GroupVersionResource{Group: "machineconfiguration.openshift.io", Version: "v1",
		Resource: "machineconfigpools"}
	controllerConfigResource = schema.GroupVersionResource{Group: "machineconfiguration.openshift.io", Version: "v1",
		Resource: "controllerconfigs"}
)

// waitRendered waits until both pools have their final rendered config. The first may be made
// before all fragments are there, and nodes registered with it would at once be updated to the
// second.
func (l *Lab) waitRendered(ctx context.Context) error {
	return Eventually(ctx, 4*time.Minute, "the pools have no rendered config",
		func(ctx context.Context) (bool, string, error) {
			for _, pool := range []string{"master", "worker"} {
				if _, why, err := l.completeConfig(ctx, pool); err != nil || why != "" {
					return false, fmt.Sprintf("pool %s: %s %v", pool, why, err), nil
				}
			}
			return true, "", nil
		})
}

// fragments are the MachineConfigs that a pool of a new cluster is rendered from; %s is the pool.
var fragments = []string{
	"00-%s", "01-%s-container-runtime", "01-%s-kubelet", "97-%s-generated-kubelet", "98-%s-generated-kubelet",
	"99-%s-generated-registries",
}

func (l *Lab) completeConfig(ctx context.Context, poolName string) (name, why string, err error) {
	pool, err := l.dynamic.Resource(poolResource).Get(ctx, poolName, metav1.GetOptions{})
	if err != nil {
		return "", "", err
	}
	name, _, _ = unstructured.NestedString(pool.Object, "spec", "configuration", "name")
	if name == "" {
		return "", "spec.configuration is empty", nil
	}
	sources, _, _ := unstructured.NestedSlice(pool.Object, "spec", "configuration", "source")
	for _, pattern := range fragments {
		fragment := fmt.Sprintf(pattern, poolName)
		if !slices.ContainsFunc(sources, func(s any) bool { return s.(map[string]any)["name"] == fragment }) {
			return "", name + " has no fragment " + fragment + " yet", nil
		}
	}
	return name, "", nil
}

func (l *Lab) renderedConfig(ctx context.Context, pool string) (string, error) {
	name, why, err := l.completeConfig(ctx, pool)
	if err == nil && why != "" {
		err = fmt.Errorf("pool %s: %s", pool, why)
	}
	return name, err
}

// waitInitialState waits for the initial state, after the start and after a Reset.
func (l *Lab) waitInitialState(ctx context.Context) error {
	return Eventually(ctx, 5*time.Minute, "the cluster does not settle",
		func(ctx context.Context) (bool, string, error) {
			for _, check := range []func(context.Context) (string, error){
				l.poolNotReady("master", l.options.Masters),
				l.poolNotReady("worker", l.options.Workers),
				l.configNotReady,
				l.nodesNotReady,
			} {
				why, err := check(ctx)
				if err != nil {
					return false, err.Error(), nil
				}
				if why != "" {
					return false, why, nil
				}
			}
			return true, "", nil
		})
}

// poolNotReady compares every number: Updated=True alone is also said of a pool whose controller
// has not seen its nodes yet.
func (l *Lab) poolNotReady(name string, machines int) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		pool, err := l.dynamic.Resource(poolResource).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		want, _, _ := unstructured.NestedString(pool.Object, "spec", "configuration", "name")
		got, _, _ := unstructured.NestedString(pool.Object, "status", "configuration", "name")
		if got != want {
			return fmt.Sprintf("pool %s is on %q, not %q", name, got, want), nil
		}
		for field, want := range map[string]int64{
			"observedGeneration": pool.GetGeneration(), "machineCount": int64(machines),
			"updatedMachineCount": int64(machines),
			"readyMachineCount":   int64(machines), "unavailableMachineCount": 0, "degradedMachineCount": 0,
		} {
			if got, _, _ := unstructured.NestedInt64(pool.Object, "status", field); got != want {
				return fmt.Sprintf("pool %s: %s is %d, not %d", name, field, got, want), nil
			}
		}
		if !conditionTrue(pool, "Updated") {
			return "pool " + name + " is not Updated", nil
		}
		return "", nil
	}
}

func (l *Lab) configNotReady(ctx context.Context) (string, error) {
	config, err := l.dynamic.Resource(controllerConfigResource).Get(ctx, "machine-config-controller",
		metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	observed, _, _ := unstructured.NestedInt64(config.Object, "status", "observedGeneration")
	if observed != config.GetGeneration() || !conditionTrue(config, "TemplateControllerCompleted") {
		return "the template controller has not finished the ControllerConfig", nil
	}
	return "", nil
}

// nodesNotReady also asks for a heartbeat since the nodes' process was started: after a Reset etcd
// has the nodes as Ready whether anybody simulates them or not.
func (l *Lab) nodesNotReady(ctx context.Context) (string, error) {
	nodes, err := l.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, node := range nodes.Items {
		ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if !ready {
			return node.Name + " is not Ready", nil
		}
		if taints := transientTaints(&node); taints != "" {
			return node.Name + " has taints " + taints, nil
		}
		lease, err := l.kube.CoordinationV1().Leases("kube-node-lease").Get(ctx, node.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Before(&metav1.MicroTime{Time: l.nodesBegan}) {
			return node.Name + " has sent no heartbeat", nil
		}
	}
	return "", nil
}

// transientTaints are those that a settled node has not: all but the control plane's own.
func transientTaints(node *corev1.Node) string {
	var keys []string
	for _, taint := range node.Spec.Taints {
		if !strings.HasPrefix(taint.Key, roleLabel) {
			keys = append(keys, taint.Key)
		}
	}
	return strings.Join(keys, ", ")
}

func conditionTrue(object *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == kind && condition["status"] == "True"
	})
}
