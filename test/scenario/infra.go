package scenario

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// InfraPool is the custom pool of Infra, and BetweenPools a node that is in two custom pools: the
// MCO updates it never.
const (
	InfraPool    = "infra"
	BetweenPools = "worker-2"
)

// Infra is a cluster with a custom pool of two tainted nodes, worker-3 and worker-4, that run the
// protected application, and a node that somebody has put into two custom pools.
func Infra() Scenario {
	s := Scenario{
		ID: "infra", Title: "tainted infra nodes in a pool of their own, and a node in two custom pools",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
		ProtectedNamespace: appNamespace, Protected: "cart",
	}
	s.Stage = func(ctx context.Context, c *Cluster, _ Variant) error {
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/app:v1", lab.Image{Seed: "app"}); err != nil {
			return err
		}
		if err := infraNodes(ctx, c); err != nil {
			return err
		}
		d := deployment(appNamespace, s.Protected, AppTag, 1,
			map[string]string{"node-role.kubernetes.io/" + InfraPool: ""})
		d.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: InfraPool, Operator: corev1.TolerationOpExists,
			Effect: corev1.TaintEffectNoSchedule}}
		err := c.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appNamespace}}, d,
			budget(appNamespace, s.Protected, 1))
		if err != nil {
			return err
		}
		return c.WaitReady(ctx, appNamespace, s.Protected, 1)
	}
	return s
}

func infraNodes(ctx context.Context, c *Cluster) error {
	if err := c.create(ctx, customPool(InfraPool), customPool(edgePool)); err != nil {
		return err
	}
	const infra = `{"metadata":{"labels":{"node-role.kubernetes.io/infra":""}},"spec":{"taints":[{"key":"infra","effect":"NoSchedule"}]}}`
	for _, node := range []string{plainNode, edgeNode} {
		if err := c.PatchNode(ctx, node, infra); err != nil {
			return err
		}
	}
	err := c.PatchNode(ctx, BetweenPools,
		`{"metadata":{"labels":{"node-role.kubernetes.io/infra":"","node-role.kubernetes.io/edge":""}},"spec":{"unschedulable":true}}`)
	if err != nil {
		return err
	}
	return lab.Eventually(ctx, stageTimeout, "every pool has its nodes",
		func(ctx context.Context) (bool, string, error) {
			for name, count := range map[string]int32{InfraPool: 2, edgePool: 0, "worker": 1} {
				p, err := c.Pool(ctx, name)
				if err != nil {
					return false, "", err
				}
				if ok, why := updated(p); !ok || p.Status.MachineCount != count {
					return false, fmt.Sprintf("pool %s has %d nodes: %s", name, p.Status.MachineCount, why), nil
				}
			}
			return true, "", nil
		})
}
