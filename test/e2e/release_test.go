//go:build lab

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestTargeted: nodes get their configuration by name, one at a time, and no pool is unpaused
// before all of its nodes are updated.
func TestTargeted(t *testing.T) {
	if !inShard(t, 5) {
		return
	}
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Release.Mechanism = v1alpha1.MechanismTargeted })
	m := watchUpdates(u.ctx, t, u.cluster)
	u.awaitComplete(t)
	m.check(t, 1)
	m.checkNeverUnpaused(t)
	audit, err := u.cluster.Lab.Audit()
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range audit {
		if e.User == operatorUser && e.Resource == "nodes" {
			told++
		}
	}
	if want := 7; told != want {
		t.Errorf("the operator has written nodes %d times, want once for each of %d", told, want)
	}
}

const operatorUser = "system:serviceaccount:safe-mirror-operator:safe-mirror-operator"

// TestMaxUnavailableTwo: a pool that allows half of its nodes to be missing is taken two at a time,
// by either mechanism; the control plane is not.
func TestMaxUnavailableTwo(t *testing.T) {
	for i, mechanism := range []v1alpha1.ReleaseMechanism{v1alpha1.MechanismPausePulse, v1alpha1.MechanismTargeted} {
		t.Run(string(mechanism), func(t *testing.T) {
			if !inShard(t, 6+i) {
				return
			}
			twoAtOnce(t, mechanism)
		})
	}
}

func twoAtOnce(t *testing.T, mechanism v1alpha1.ReleaseMechanism) {
	t.Helper()
	three := int32(3)
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Release.Mechanism, s.Release.MaxUnavailable = mechanism, &three
		patchPool(t, "worker", `{"spec":{"maxUnavailable":"50%"}}`)
	})
	ctx, c := u.ctx, u.cluster
	m := watchUpdates(ctx, t, c)
	done, err := c.AwaitRollout(ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, rolloutTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(scenario.Describe(done))
	m.check(t, 2)
	if mechanism == v1alpha1.MechanismTargeted {
		m.checkNeverUnpaused(t)
	}
	results, err := u.witness.Results()
	if err != nil {
		t.Fatal(err)
	}
	// Two nodes that drain at once may have to wait for each other's budgets; that no pull fails is
	// what counts here.
	if len(results.FailedPulls)+len(results.PodsFailingPull) > 0 || results.Pulls == 0 {
		t.Errorf("pulls: %+v", results)
	}
	p, err := c.Pool(ctx, "worker")
	if err != nil {
		t.Fatal(err)
	}
	if p.Spec.Paused || p.Spec.MaxUnavailable == nil || p.Spec.MaxUnavailable.String() != "50%" ||
		p.Annotations["safemirror.io/pause-record"] != "" {
		t.Errorf("pool worker is left paused=%t with maxUnavailable %v and pause record %q", p.Spec.Paused,
			p.Spec.MaxUnavailable, p.Annotations["safemirror.io/pause-record"])
	}
	patchPool(t, "worker", `{"spec":{"maxUnavailable":null}}`)
	// That is a new generation of the pool, and it counts as updated once its controller has seen
	// it.
	err = lab.Eventually(ctx, time.Minute, "every pool is as it was", func(ctx context.Context) (bool, string, error) {
		if err := c.CheckRestored(ctx); err != nil {
			return false, err.Error(), nil
		}
		return true, "", nil
	})
	if err != nil {
		t.Error(err)
	}
}

func patchPool(t *testing.T, name, patch string) {
	t.Helper()
	c, err := scenario.NewCluster(shared)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Pool(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Patch(context.Background(), p,
		client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// TestNodeCordonedBefore: a node that was cordoned before is neither counted nor touched. The
// others go, the rollout says what it waits for, and goes on when the node is back.
func TestNodeCordonedBefore(t *testing.T) {
	if !inShard(t, 8) {
		return
	}
	const node = "worker-4"
	cordon := func(c *scenario.Cluster, to string) {
		t.Helper()
		if err := c.PatchNode(context.Background(), node, `{"spec":{"unschedulable":`+to+`}}`); err != nil {
			t.Fatal(err)
		}
	}
	u := startRollout(t, func(*v1alpha1.SafeMirrorRolloutSpec) {
		c, err := scenario.NewCluster(shared)
		if err != nil {
			t.Fatal(err)
		}
		cordon(c, "true")
	})
	ctx, c, r := u.ctx, u.cluster, u.rollout
	m := watchUpdates(ctx, t, c)
	await(ctx, t, c, r.Name, "the rollout waits for the node alone", func(r *v1alpha1.SafeMirrorRollout) bool {
		return r.Status.Nodes.Updated == 6 && len(r.Status.Blockers) == 1 && r.Status.Blockers[0].Name == node &&
			strings.Contains(r.Status.Blockers[0].Message, "is cordoned since before the rollout")
	})
	n := &corev1.Node{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: node}, n); err != nil {
		t.Fatal(err)
	}
	if !n.Spec.Unschedulable || n.Annotations["machineconfiguration.openshift.io/desiredConfig"] != u.before["worker"] {
		t.Errorf("node %s was touched: cordoned %t, annotations %v", node, n.Spec.Unschedulable, n.Annotations)
	}
	cordon(c, "false")
	u.awaitComplete(t)
	m.check(t, 1)
}
