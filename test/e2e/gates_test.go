//go:build lab

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// interruption is something that happens to a rollout while one of its nodes has the new
// configuration and the next has not.
type interruption struct {
	name string
	// begin makes it happen, and returns when the cluster shows it. undo takes it back; nil when
	// the rollout itself deals with it, which begin then waits for.
	begin func(ctx context.Context, u *rolloutRun) (undo func() error, err error)
	// reason and says are what the rollout then waits with. Without a reason it does not have to
	// wait.
	reason v1alpha1.ConditionReason
	says   []string
	// after is checked once the rollout has gone on.
	after func(ctx context.Context, u *rolloutRun) error
}

// runInterruptions carries one rollout through the interruptions, one before each worker: the gate
// of the worker's stage holds the rollout still until the interruption is there, and is then
// opened. So what holds the worker back from that moment on is the interruption and nothing else;
// and when it is undone, the rollout goes on by itself.
func runInterruptions(t *testing.T, list []interruption) {
	t.Helper()
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Release.Stages = gatedWorkers(len(list)) })
	for i, x := range list {
		held := u.atGate(t, gateName(i))
		updated := held.Status.Nodes.Updated
		undo, err := x.begin(u.ctx, u)
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		if x.reason != "" {
			u.openGate(t, gateName(i))
			r := await(u.ctx, t, u.cluster, u.rollout.Name, x.name+" holds the rollout",
				func(r *v1alpha1.SafeMirrorRollout) bool {
					return r.Status.ObservedGeneration == r.Generation && mentions(r, x.reason, x.says)
				})
			if r.Status.Nodes.Updated > updated {
				t.Errorf("%s: %d nodes are updated, and %d were before", x.name, r.Status.Nodes.Updated, updated)
			}
			t.Logf("%s: %s", x.name, r.Status.Blockers[0].Message)
		}
		if undo != nil {
			if err := undo(); err != nil {
				t.Fatalf("%s: undoing it: %v", x.name, err)
			}
		}
		if x.reason == "" {
			u.openGatesUpTo(t, i)
		}
		if x.after != nil {
			if err := x.after(u.ctx, u); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
	u.awaitComplete(t)
}

// gatedWorkers has a stage with a gate for each of the first workers.
func gatedWorkers(n int) []v1alpha1.ReleaseStage {
	var out []v1alpha1.ReleaseStage
	for i := range n {
		nodes := int32(i + 1)
		out = append(out, v1alpha1.ReleaseStage{Name: gateName(i), Pool: "worker", Nodes: &nodes,
			Approval: v1alpha1.ApprovalRequired})
	}
	return out
}

func gateName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// atGate waits until nothing but the gate holds the rollout. A gate that was open and is closed
// again, because the plan is another one, is waited for like any other.
func (u *rolloutRun) atGate(t *testing.T, gate string) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	return await(u.ctx, t, u.cluster, u.rollout.Name, "gate "+gate+" is waited for",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return mentions(r, v1alpha1.ReasonApprovalRequired, []string{"gate: " + gate, r.Status.PlanHash})
		})
}

// openGatesUpTo opens every gate up to this one for the plan of now: those of the earlier stages
// again, should the plan be another one. The last gate is not asked for when its node has moved
// already, as one may that a pool let go while somebody had unpaused it.
func (u *rolloutRun) openGatesUpTo(t *testing.T, last int) {
	t.Helper()
	for gate, over := "", false; gate != gateName(last) && !over; {
		await(u.ctx, t, u.cluster, u.rollout.Name, "one more gate up to "+gateName(last)+" is waited for",
			func(r *v1alpha1.SafeMirrorRollout) bool {
				for i := range last + 1 {
					if gateName(i) != gate && !hasRequest(r, gateName(i)) &&
						mentions(r, v1alpha1.ReasonApprovalRequired,
							[]string{"gate: " + gateName(i), r.Status.PlanHash}) {
						gate = gateName(i)
						return true
					}
				}
				over = meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady)
				return over
			})
		if !over {
			u.openGate(t, gate)
		}
	}
}

// requestID is that of the approval of a gate for the plan of now.
func requestID(r *v1alpha1.SafeMirrorRollout, gate string) string {
	return fmt.Sprintf("%s-%s", gate, strings.TrimPrefix(r.Status.PlanHash, "sha256:")[:8])
}

func hasRequest(r *v1alpha1.SafeMirrorRollout, gate string) bool {
	return slices.ContainsFunc(r.Spec.Requests, func(q v1alpha1.Request) bool { return q.ID == requestID(r, gate) })
}

// openGate approves the plan of now.
func (u *rolloutRun) openGate(t *testing.T, gate string) {
	t.Helper()
	r := await(u.ctx, t, u.cluster, u.rollout.Name, "there is a plan",
		func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.PlanHash != "" })
	if hasRequest(r, gate) {
		return
	}
	addRequest(u.ctx, t, u.cluster, r.Name, v1alpha1.Request{ID: requestID(r, gate), Action: v1alpha1.RequestApprove,
		Gate: gate, PlanHash: r.Status.PlanHash})
}

// mentions tells whether the rollout waits for that reason, and one of its blockers says all of it.
func mentions(r *v1alpha1.SafeMirrorRollout, reason v1alpha1.ConditionReason, says []string) bool {
	return reasonOf(r, v1alpha1.ConditionReady) == reason &&
		slices.ContainsFunc(r.Status.Blockers, func(b v1alpha1.Blocker) bool {
			return !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(b.Message, s) })
		})
}

// refusalOf makes an interruption of what TestRefusals uses to keep a rollout from beginning.
func refusalOf(arrange func(context.Context, *scenario.Cluster) (func() error, error)) func(context.Context,
	*rolloutRun) (func() error, error) {
	return func(ctx context.Context, u *rolloutRun) (func() error, error) { return arrange(ctx, u.cluster) }
}
