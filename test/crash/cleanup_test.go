//go:build lab

package crash

import (
	"context"
	"fmt"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// resetCluster brings the cluster back to what was staged, with the operator down: the rollout and
// what it left are deleted, and the MCO takes the nodes back by itself. That is a good deal quicker
// than a Reset, which starts every process anew.
func resetCluster(ctx context.Context, c *scenario.Cluster, staged map[string]string) error {
	r := newRollout()
	unhold := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	if err := c.Client.Patch(ctx, r, unhold); client.IgnoreNotFound(err) != nil {
		return err
	}
	for _, o := range []client.Object{r, &configv1.ImageTagMirrorSet{ObjectMeta: r.ObjectMeta}} {
		o.SetResourceVersion("")
		if err := c.Client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	here := client.InNamespace("safe-mirror-operator")
	for _, all := range []client.Object{&corev1.Pod{}, &coordinationv1.Lease{}} {
		if err := c.Client.DeleteAllOf(ctx, all, here); err != nil {
			return err
		}
	}
	if err := c.Client.DeleteAllOf(ctx, &v1alpha1.SafeMirrorReport{}); err != nil {
		return err
	}
	err := lab.Eventually(ctx, time.Minute, "the cluster is as it was staged",
		func(ctx context.Context) (bool, string, error) {
			rendered, err := c.Rendered(ctx)
			if err != nil {
				return false, "", err
			}
			if fmt.Sprint(rendered) != fmt.Sprint(staged) {
				return false, fmt.Sprintf("rendered %v, want %v", rendered, staged), nil
			}
			if err := c.CheckRestored(ctx); err != nil {
				return false, err.Error(), nil
			}
			var pods corev1.PodList
			err = c.Client.List(ctx, &pods, here)
			return len(pods.Items) == 0, "probe pods are left", err
		})
	if err != nil {
		return err
	}
	return c.WaitReady(ctx, namespace, "app", 1)
}
