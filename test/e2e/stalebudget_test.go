//go:build lab

package e2e

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// staleBudget is the one structural case that passes by itself: a budget that has been edited and
// not computed since allows no eviction. The disruption controller stands still for as long as it
// is looked at. The budget is that of a twin, which nothing else holds.
func staleBudget(ctx context.Context, t *testing.T, c *scenario.Cluster) {
	t.Helper()
	const namespace, node = "c02-undersized-twin", "worker-1"
	pausePart(t, "kube-controller-manager")
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"maxUnavailable":2}}`))
	if err := c.Client.Patch(ctx, budget, patch); err != nil {
		t.Fatal(err)
	}
	stale := func(p rollout.Problem) bool { return p.Namespace == namespace && p.Transient }
	r, err := forecastNode(ctx, c, node)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Problems, stale) {
		t.Errorf("the forecast does not say that %s/app has not been computed: %s", namespace, problems(r))
	}
	if err := dryEviction(ctx, c, namespace, node); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the eviction is answered %v; want 429", err)
	}
	resumePart("kube-controller-manager")
	err = lab.Eventually(ctx, time.Minute, "the budget is computed, and the forecast is as it was",
		func(ctx context.Context) (bool, string, error) {
			if r, err = forecastNode(ctx, c, node); err != nil {
				return false, "", err
			}
			if err := dryEviction(ctx, c, namespace, node); err != nil {
				return false, err.Error(), nil
			}
			return !slices.ContainsFunc(r.Problems, func(p rollout.Problem) bool { return p.Namespace == namespace }),
				problems(r), nil
		})
	if err != nil {
		t.Error(err)
	}
}

// dryEviction asks the API server what it would answer to the eviction of a pod of the namespace on
// the node.
func dryEviction(ctx context.Context, c *scenario.Cluster, namespace, node string) error {
	var pods corev1.PodList
	if err := c.Client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return err
	}
	i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.Spec.NodeName == node })
	if i < 0 {
		return apierrors.NewNotFound(corev1.Resource("pods"), namespace+" on "+node)
	}
	eviction := &policyv1.Eviction{DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}}
	return c.Client.SubResource("eviction").Create(ctx, &pods.Items[i], eviction)
}

// pausePart lets one of the lab's processes stand still, until thaw or the end of the test.
func pausePart(t *testing.T, part string) {
	t.Helper()
	signalPart(part, syscall.SIGSTOP)
	t.Cleanup(func() { resumePart(part) })
}

func resumePart(part string) { signalPart(part, syscall.SIGCONT) }

func signalPart(part string, signal syscall.Signal) {
	for _, p := range shared.Parts() {
		if strings.HasPrefix(p.Name, part) {
			_ = syscall.Kill(-p.Pid(), signal)
		}
	}
}
