//go:build lab

package e2e

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// enableRemedy is a rollout that holds before its second worker, and may try that remedy.
func enableRemedy(action v1alpha1.RemedyAction) func(*v1alpha1.SafeMirrorRolloutSpec) {
	return func(s *v1alpha1.SafeMirrorRolloutSpec) {
		stopAfterFirstWorker(s)
		s.Remediation.Actions = []v1alpha1.RemedySwitch{{Action: action, Mode: v1alpha1.Enabled}}
	}
}

// TestRelocate: whoever fills the mirror has deleted an image from it, and the pods that a drain
// waits for try to start on a node that pulls from there. They are let start on a node that pulls
// from the source as before, and the cordon that this takes is taken off again.
func TestRelocate(t *testing.T) {
	if !inShard(t, 3) {
		return
	}
	u := startScenario(t, scenario.ThirdWorkerOnOldConfig(), enableRemedy(v1alpha1.Relocate),
		func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Mirroring.Mode = v1alpha1.VerifyOnly })
	if err := u.cluster.AllowRemedies(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.atGate(t, "second")
	monitor, err := u.cluster.MonitorPDBs(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	u.openGate(t, "second")
	await(u.ctx, t, u.cluster, u.rollout.Name, "the second worker is about to be drained",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return r.Status.Record.Release != nil && updated(r, "worker") == 1
		})
	if err := u.cluster.EmptyMirror(u.ctx); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	recovered := await(u.ctx, t, u.cluster, u.rollout.Name, "the second worker is done",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return updated(r, "worker") == 2 && len(rollout.OpenRemedies(r.Status.Record)) == 0
		})
	t.Logf("RESULT relocate=%s seconds=%.1f", outcomeOf(recovered, v1alpha1.Relocate), time.Since(begun).Seconds())
	if got := outcomeOf(recovered, v1alpha1.Relocate); got != v1alpha1.OutcomeHelped {
		t.Errorf("it has come to %q: %+v", got, recovered.Status.Record.Remedies)
	}
	node := &corev1.Node{}
	if err := u.cluster.Client.Get(u.ctx, client.ObjectKey{Name: "worker-1"}, node); err != nil {
		t.Fatal(err)
	}
	if node.Spec.Unschedulable {
		t.Errorf("node %s is still cordoned", node.Name)
	}
	if err := u.cluster.FillMirror(u.ctx); err != nil { // what a person would do
		t.Fatal(err)
	}
	u.checkRestored(t)
	for _, violation := range monitor.Report().Violations {
		t.Error(violation)
	}
}

// TestScaleIngress: a router crashes, and the budget of the others lets none go. With one more it
// does, and the number is what it was in the end.
func TestScaleIngress(t *testing.T) {
	if !inShard(t, 4) {
		return
	}
	onLab(t, lab.Options{Workers: 6})
	u := startScenario(t, scenario.FourRouters(), enableRemedy(v1alpha1.ScaleIngress),
		func(s *v1alpha1.SafeMirrorRolloutSpec) {
			// with Required the second worker would not be released in the first place
			s.Release.Forecast = v1alpha1.ForecastAdvisory
		})
	if err := u.cluster.AllowRemedies(u.ctx); err != nil {
		t.Fatal(err)
	}
	u.atGate(t, "second")
	monitor, err := u.cluster.MonitorPDBs(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	crashing, err := u.cluster.CrashRouter(u.ctx)
	if err != nil {
		t.Fatal(err)
	}
	u.openGate(t, "second")
	begun := time.Now()
	scaled := await(u.ctx, t, u.cluster, u.rollout.Name, "there are more routers",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return slices.ContainsFunc(r.Status.Record.Remedies, func(m v1alpha1.RemedyRecord) bool {
				return m.Action == v1alpha1.ScaleIngress && m.State == v1alpha1.RemedyTaken
			})
		})
	t.Log(diagnoses(scaled))
	if n, err := u.cluster.RouterReplicas(u.ctx); err != nil || n != 5 {
		t.Errorf("%d routers are asked for (%v), want one more than 4", n, err)
	}
	recovered := await(u.ctx, t, u.cluster, u.rollout.Name, "the second worker is done",
		func(r *v1alpha1.SafeMirrorRollout) bool {
			return updated(r, "worker") == 2 && len(rollout.OpenRemedies(r.Status.Record)) == 0
		})
	t.Logf("RESULT scale=%s crashing=%s seconds=%.1f", outcomeOf(recovered, v1alpha1.ScaleIngress), crashing,
		time.Since(begun).Seconds())
	if got := outcomeOf(recovered, v1alpha1.ScaleIngress); got != v1alpha1.OutcomeHelped {
		t.Errorf("it has come to %q: %+v", got, recovered.Status.Record.Remedies)
	}
	if n, err := u.cluster.RouterReplicas(u.ctx); err != nil || n != 4 {
		t.Errorf("%d router replicas are requested (%v), want the previous 4", n, err)
	}
	u.checkRestored(t)
	for _, violation := range monitor.Report().Violations {
		t.Error(violation)
	}
}
