//go:build lab

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// addRequest adds a request to the rollout, as a person or a pipeline would.
func addRequest(ctx context.Context, t *testing.T, c *scenario.Cluster, name string, q v1alpha1.Request) {
	t.Helper()
	changeSpec(ctx, t, c, name, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Requests = append(s.Requests, q) })
}

func changeSpec(ctx context.Context, t *testing.T, c *scenario.Cluster, name string,
	change func(*v1alpha1.SafeMirrorRolloutSpec)) {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		t.Fatal(err)
	}
	before := r.DeepCopy()
	change(&r.Spec)
	if err := c.Client.Patch(ctx, r, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// await waits until the rollout is as the check wants it.
func await(ctx context.Context, t *testing.T, c *scenario.Cluster, name, what string,
	check func(*v1alpha1.SafeMirrorRollout) bool) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	err := lab.Eventually(ctx, rolloutTime, what, func(ctx context.Context) (bool, string, error) {
		err := c.Client.Get(ctx, client.ObjectKey{Name: name}, r)
		return check(r), scenario.Describe(r), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reasonOf(r *v1alpha1.SafeMirrorRollout, condition string) v1alpha1.ConditionReason {
	if c := meta.FindStatusCondition(r.Status.Conditions, condition); c != nil {
		return v1alpha1.ConditionReason(c.Reason)
	}
	return ""
}

// TestApprovals: nothing is paused before the gate is open, and a stage waits for its own. An
// approval of another plan opens nothing.
func TestApprovals(t *testing.T) {
	if !inShard(t, 2) {
		return
	}
	one, soak := int32(1), int32(2)
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Release.ApplyApproval = v1alpha1.ApprovalRequired
		s.Release.Stages = []v1alpha1.ReleaseStage{
			{Name: "canary", Pool: "worker", Nodes: &one, SoakSeconds: &soak},
			{Name: "workers", Pool: "worker", Approval: v1alpha1.ApprovalRequired},
		}
	})
	ctx, c, r := u.ctx, u.cluster, u.rollout
	waits := func(gate string) *v1alpha1.SafeMirrorRollout {
		return await(ctx, t, c, r.Name, "gate "+gate+" is waited for", func(r *v1alpha1.SafeMirrorRollout) bool {
			return reasonOf(r, v1alpha1.ConditionReady) == v1alpha1.ReasonApprovalRequired &&
				len(r.Status.Blockers) > 0 &&
				strings.Contains(r.Status.Blockers[0].Message, "gate: "+gate) &&
				strings.Contains(r.Status.Blockers[0].Message, r.Status.PlanHash)
		})
	}
	held := waits("apply")
	for _, p := range held.Status.Pools {
		if p.Paused {
			t.Errorf("pool %s is paused before the approval", p.Name)
		}
	}
	addRequest(ctx, t, c, r.Name, v1alpha1.Request{ID: "too-early", Action: v1alpha1.RequestApprove, Gate: "apply",
		PlanHash: "sha256:of-another-plan"})
	await(ctx, t, c, r.Name, "the approval of another plan is named", func(r *v1alpha1.SafeMirrorRollout) bool {
		return len(r.Status.Blockers) > 0 &&
			strings.Contains(r.Status.Blockers[0].Message, "request too-early approves another plan")
	})
	addRequest(ctx, t, c, r.Name, v1alpha1.Request{ID: "apply-it", Action: v1alpha1.RequestApprove, Gate: "apply",
		PlanHash: held.Status.PlanHash})
	atCanary := waits("workers")
	if atCanary.Status.Nodes.Updated != 1 {
		t.Errorf("%d nodes are updated at the second gate, want the canary", atCanary.Status.Nodes.Updated)
	}
	if len(atCanary.Status.Record.Stages) != 1 || atCanary.Status.Record.Stages[0].Name != "canary" {
		t.Errorf("the record has stages %+v, want the canary's soak", atCanary.Status.Record.Stages)
	}
	addRequest(ctx, t, c, r.Name, v1alpha1.Request{ID: "go-on", Action: v1alpha1.RequestApprove, Gate: "workers",
		PlanHash: atCanary.Status.PlanHash})
	u.awaitComplete(t)
}

// rolledBack expects the cluster as it was before the rollout, and the way there as clean as the
// way forward.
func rolledBack(u *rolloutRun, t *testing.T, recorder *scenario.Recorder) {
	t.Helper()
	ctx, c, name := u.ctx, u.cluster, u.rollout.Name
	if err := c.Client.Get(ctx, client.ObjectKey{Name: name},
		&configv1.ImageTagMirrorSet{}); !apierrors.IsNotFound(err) {
		t.Errorf("the mirror set is there: %v", err)
	}
	if err := c.CheckRestored(ctx); err != nil {
		t.Error(err)
	}
	after, err := c.Rendered(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for pool, rendered := range u.before {
		if after[pool] != rendered {
			t.Errorf("pool %s has %s, and had %s before the rollout", pool, after[pool], rendered)
		}
	}
	results, err := recorder.Results()
	if err != nil {
		t.Fatal(err)
	}
	if !results.Clean() {
		t.Errorf("not clean: %+v", results)
	}
}

// TestRollback rolls back when one node has the new configuration already.
func TestRollback(t *testing.T) {
	if !inShard(t, 3) {
		return
	}
	u := startRollout(t)
	ctx, c, r := u.ctx, u.cluster, u.rollout
	await(ctx, t, c, r.Name, "nodes are updated",
		func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated >= 2 })
	addRequest(ctx, t, c, r.Name, v1alpha1.Request{ID: "undo", Action: v1alpha1.RequestRollback})
	back := await(ctx, t, c, r.Name, "the rollout has gone back", func(r *v1alpha1.SafeMirrorRollout) bool {
		return reasonOf(r, v1alpha1.ConditionStalled) == v1alpha1.ReasonRolledBack
	})
	if back.Status.Record.Rollback == nil || back.Status.Record.Rollback.RequestID != "undo" {
		t.Errorf("the record has rollback %+v", back.Status.Record.Rollback)
	}
	rolledBack(u, t, u.witness)
	// I10: taking the request away is no reason to go forward again; another spec is.
	changeSpec(ctx, t, c, r.Name, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Requests = nil })
	await(ctx, t, c, r.Name, "the rollout stays back", func(r *v1alpha1.SafeMirrorRollout) bool {
		return r.Status.ObservedGeneration == r.Generation &&
			reasonOf(r, v1alpha1.ConditionStalled) == v1alpha1.ReasonRolledBack
	})
	changeSpec(ctx, t, c, r.Name, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Inventory.AcceptedRisks = []v1alpha1.AcceptedRisk{{Pattern: "quay.io/nobody/*",
			Reason: "makes another spec of it"}}
	})
	again, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	awaitComplete(ctx, t, c, u.scenario, r.Name, again)
}

// TestAbort takes back what has reached no node, without a drain.
func TestAbort(t *testing.T) {
	if !inShard(t, 4) {
		return
	}
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Release.Stages = []v1alpha1.ReleaseStage{{Name: "all", Pool: "worker", Approval: v1alpha1.ApprovalRequired}}
	})
	ctx, c, r := u.ctx, u.cluster, u.rollout
	await(ctx, t, c, r.Name, "the mirror set is applied and the first stage waits",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return reasonOf(r, v1alpha1.ConditionReady) == v1alpha1.ReasonApprovalRequired &&
				r.Status.Record.AppliedPlanHash != ""
		})
	addRequest(ctx, t, c, r.Name, v1alpha1.Request{ID: "stop", Action: v1alpha1.RequestAbort})
	await(ctx, t, c, r.Name, "the rollout is taken back", func(r *v1alpha1.SafeMirrorRollout) bool {
		return reasonOf(r, v1alpha1.ConditionStalled) == v1alpha1.ReasonRolledBack
	})
	rolledBack(u, t, u.witness)
}

// TestDeletedWithRollback: with spec.deletion Rollback, deleting a rollout that has ended brings
// the cluster back before it goes.
func TestDeletedWithRollback(t *testing.T) {
	if !inShard(t, 1) {
		return
	}
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Deletion = v1alpha1.DeletionRollback })
	ctx, c, r := u.ctx, u.cluster, u.rollout
	if _, err := c.AwaitRollout(ctx, r.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, rolloutTime); err != nil {
		t.Fatal(err)
	}
	recorder, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	u.awaitDeleted(t)
	rolledBack(u, t, recorder)
}

// TestOutsideTheWindow: outside of its windows a rollout copies and proves, and touches nothing
// else.
func TestOutsideTheWindow(t *testing.T) {
	if !inShard(t, 0) {
		return
	}
	closed := time.Now().UTC().Add(12 * time.Hour)
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Release.Windows = []v1alpha1.MaintenanceWindow{{Schedule: closed.Format("4 15") + " * * *",
			DurationSeconds: 3600}}
	})
	ctx, c, r := u.ctx, u.cluster, u.rollout
	waiting := await(ctx, t, c, r.Name, "no window is open", func(r *v1alpha1.SafeMirrorRollout) bool {
		return reasonOf(r, v1alpha1.ConditionReady) == v1alpha1.ReasonOutsideWindow
	})
	if waiting.Status.Images.Verified == 0 {
		t.Error("nothing was proven meanwhile")
	}
	for _, p := range waiting.Status.Pools {
		if p.Paused {
			t.Errorf("pool %s is paused", p.Name)
		}
	}
	changeSpec(ctx, t, c, r.Name, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Release.Windows = nil })
	if _, err := c.AwaitRollout(ctx, r.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, rolloutTime); err != nil {
		t.Fatal(err)
	}
}
