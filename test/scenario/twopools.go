package scenario

import (
	"context"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

const (
	edgePool     = "edge"
	edgeNode     = "worker-4" // in the custom pool
	plainNode    = "worker-3" // in the worker pool
	extraNode    = "worker-2" // what the healthy twin has more
	stageTimeout = 2 * time.Minute
	shopLabel    = "shop"
)

// stageTwoPools leaves two workers, one of them in a pool of its own, and runs two applications
// that need both.
//
// The interleaving that deadlocks is staged by readiness: the cart's pod on worker-3 and the till's
// pod on worker-4 are not ready when the drains begin. An unready pod may be evicted while the
// budget is whole, a ready one may not: so each drain evicts one pod and is refused the other, and
// neither replacement finds a node.
func stageTwoPools(ctx context.Context, c *Cluster, v Variant) error {
	registry := c.Lab.Registry(SourceHost)
	if v != Safe { // the images are not what this scenario is about
		registry = c.Lab.Registry(MirrorHost)
	}
	for _, r := range []*lab.Registry{c.Lab.Registry(SourceHost), registry} {
		if _, err := r.Push(ctx, "acme/app:v1", lab.Image{Seed: "app"}); err != nil {
			return err
		}
	}
	if err := edgePoolOf(ctx, c, v); err != nil {
		return err
	}
	for _, name := range []string{"cart", "till"} {
		if err := c.App(ctx, name, SourceHost+"/acme/app:v1", 2, map[string]string{shopLabel: "yes"}); err != nil {
			return err
		}
		if err := c.WaitReady(ctx, appNamespace, name, 2); err != nil {
			return err
		}
	}
	if v == Safe {
		return nil
	}
	if v == Twin {
		if err := c.cordon(ctx, extraNode, false); err != nil {
			return err
		}
	}
	if err := setReady(ctx, c, "cart", plainNode, false); err != nil {
		return err
	}
	return setReady(ctx, c, "till", edgeNode, false)
}

// customPool has the worker's configuration for the nodes that have its role.
func customPool(name string) *mcfgv1.MachineConfigPool {
	role := "machineconfiguration.openshift.io/role"
	return &mcfgv1.MachineConfigPool{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: mcfgv1.MachineConfigPoolSpec{
			MachineConfigSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: role, Operator: metav1.LabelSelectorOpIn, Values: []string{"worker", name}},
			}},
			NodeSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/" + name: ""}},
		},
	}
}

// edgePoolOf makes the pool and moves the node into it, and removes the workers that are not
// needed.
func edgePoolOf(ctx context.Context, c *Cluster, v Variant) error {
	if err := c.create(ctx, customPool(edgePool)); err != nil {
		return err
	}
	for _, node := range []string{plainNode, edgeNode} {
		if err := c.PatchNode(ctx, node, `{"metadata":{"labels":{"shop":"yes"}}}`); err != nil {
			return err
		}
	}
	if err := c.PatchNode(ctx, edgeNode, `{"metadata":{"labels":{"node-role.kubernetes.io/edge":""}}}`); err != nil {
		return err
	}
	gone := []string{"worker-1", extraNode}
	if v == Twin {
		gone = gone[:1]
		if err := c.PatchNode(ctx, extraNode, `{"metadata":{"labels":{"shop":"yes"}}}`); err != nil {
			return err
		}
		// The applications start on the same two nodes as in the scenario; the spare is for what is
		// evicted.
		if err := c.cordon(ctx, extraNode, true); err != nil {
			return err
		}
	}
	if err := c.deleteNodes(ctx, gone...); err != nil {
		return err
	}
	return lab.Eventually(ctx, stageTimeout, "pool edge has its node", func(ctx context.Context) (bool, string, error) {
		p, err := c.Pool(ctx, edgePool)
		if err != nil {
			return false, "", err
		}
		ok, why := updated(p)
		return ok && p.Status.MachineCount == 1, why, nil
	})
}

func (c *Cluster) deleteNodes(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := c.Client.Delete(ctx,
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// restoreReadiness lets every pod be ready again once both pools drain: what deadlocks now,
// deadlocks with healthy applications.
func restoreReadiness(ctx context.Context, c *Cluster) error {
	err := lab.Eventually(ctx, stageTimeout, "both nodes are cordoned and a pod of each application is gone",
		func(ctx context.Context) (bool, string, error) {
			for _, at := range []struct{ app, node string }{{"cart", plainNode}, {"till", edgeNode}} {
				p, err := podOn(ctx, c, at.app, at.node)
				if err != nil {
					return false, "", err
				}
				if p != nil && p.DeletionTimestamp == nil {
					return false, fmt.Sprintf("%s is still on %s", p.Name, at.node), nil
				}
			}
			return true, "", nil
		})
	if err != nil {
		return err
	}
	for _, at := range []struct{ app, node string }{{"cart", edgeNode}, {"till", plainNode}} {
		if err := setReady(ctx, c, at.app, at.node, true); err != nil {
			return err
		}
	}
	return nil
}

func podOn(ctx context.Context, c *Cluster, app, node string) (*corev1.Pod, error) {
	var list corev1.PodList
	if err := c.Client.List(ctx, &list, client.InNamespace(appNamespace),
		client.MatchingLabels{"app": app}); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Spec.NodeName == node {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// setReady scripts the readiness of the application's pod on the node, and waits until it shows.
func setReady(ctx context.Context, c *Cluster, app, node string, ready bool) error {
	p, err := podOn(ctx, c, app, node)
	if err != nil || p == nil {
		return err
	}
	value := `"false"`
	if ready {
		value = "null"
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"lab.safemirror.io/ready":%s}}}`, value)
	if err := c.Client.Patch(ctx, p, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return client.IgnoreNotFound(err)
	}
	return lab.Eventually(ctx, stageTimeout, fmt.Sprintf("%s ready=%t", p.Name, ready),
		func(ctx context.Context) (bool, string, error) {
			err := c.Client.Get(ctx, client.ObjectKeyFromObject(p), p)
			if err != nil {
				return true, "", client.IgnoreNotFound(err)
			}
			return isReady(p) == ready, "readiness has not changed yet", nil
		})
}

func isReady(p *corev1.Pod) bool {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady {
			return cond.Status == corev1.ConditionTrue
		}
	}
	return false
}
