package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// What is refused goes alone, and what was there before comes back in its place.
func TestDrop(t *testing.T) {
	stage := func(name string) v1alpha1.StageRecord { return v1alpha1.StageRecord{Name: name, ReachedAt: at(now)} }
	pool := func(name, max string) v1alpha1.PoolRecord {
		return v1alpha1.PoolRecord{Name: name, MaxUnavailable: max}
	}
	before := v1alpha1.SafeMirrorRolloutStatus{
		PlanHash: "earlier", Blockers: []v1alpha1.Blocker{{Kind: "Node", Name: "a", Message: "m"}},
		Record: v1alpha1.Record{Pools: []v1alpha1.PoolRecord{pool("worker", "1")},
			Stages: []v1alpha1.StageRecord{stage("a")}},
	}
	wanted := v1alpha1.SafeMirrorRolloutStatus{
		Phase: "Release", PlanHash: "too long",
		Blockers: []v1alpha1.Blocker{{Kind: "Node", Name: "b", Message: "m"}, {Kind: "Node", Name: "c", Message: "m"}},
		BlockedDrains: []v1alpha1.BlockedDrain{{Node: "n",
			CauseChain: []v1alpha1.CauseLink{{Kind: "Pod", Message: "m"}, {Kind: "Image", Message: "m"}}}},
		Record: v1alpha1.Record{
			Pools:   []v1alpha1.PoolRecord{pool("infra", "x"), pool("worker", "y")},
			Stages:  []v1alpha1.StageRecord{stage("a"), stage("b"), stage("c")},
			Release: &v1alpha1.ReleaseRecord{Pool: "worker", TargetConfig: "r"},
		},
	}
	type status = v1alpha1.SafeMirrorRolloutStatus
	cases := map[string]struct {
		refused []string
		want    func(*status)
	}{
		"a text":             {[]string{"status.planHash"}, func(s *status) { s.PlanHash = "earlier" }},
		"a text without one": {[]string{"status.phase"}, func(s *status) { s.Phase = "" }},
		"members of a list": {[]string{"status.record.stages[1].name", "status.record.stages[2].name"},
			func(s *status) { s.Record.Stages = s.Record.Stages[:1] }},
		"a member that was there before": {[]string{"status.record.pools[1].maxUnavailable"}, func(s *status) {
			s.Record.Pools[1].MaxUnavailable = "1"
		}},
		"too many of a list": {[]string{"status.blockers"}, func(s *status) { s.Blockers = before.Blockers }},
		"an object":          {[]string{"status.record.release.pool"}, func(s *status) { s.Record.Release = nil }},
		"a link of a chain": {[]string{"status.blockedDrains[0].causeChain[1].name"},
			func(s *status) { s.BlockedDrains[0].CauseChain = s.BlockedDrains[0].CauseChain[:1] }},
		"several": {[]string{"status.planHash", "status.blockers[0].name"},
			func(s *status) { s.PlanHash = "earlier"; s.Blockers = s.Blockers[1:] }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, want := wanted.DeepCopy(), wanted.DeepCopy()
			c.want(want)
			if !Drop(got, before, c.refused, 3, at(now)) {
				t.Fatal("nothing is dropped")
			}
			condition := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionStatusIncomplete)
			if condition == nil || condition.Status != metav1.ConditionTrue || condition.ObservedGeneration != 3 ||
				!strings.Contains(condition.Message, c.refused[0]) {
				t.Errorf("condition %+v", condition)
			}
			got.Conditions = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("what is not in it", func(t *testing.T) {
		if got := wanted.DeepCopy(); Drop(got, before,
			[]string{"spec.state", "status", "status.record.approvals[7]", "metadata.name"}, 3, at(now)) {
			t.Errorf("dropped from %+v", got)
		}
	})
	t.Run("the condition keeps its time", func(t *testing.T) {
		first := wanted.DeepCopy()
		Drop(first, before, []string{"status.planHash"}, 3, at(now))
		second := wanted.DeepCopy()
		Drop(second, *first, []string{"status.planHash"}, 3, at(now.Add(time.Hour)))
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("it is written again for nothing:\n%s", diff)
		}
	})
}
