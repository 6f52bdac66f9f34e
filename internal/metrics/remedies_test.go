package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestRemedies(t *testing.T) {
	c := &Collector{}
	record := func(action v1alpha1.RemedyAction, state v1alpha1.RemedyState,
		outcome v1alpha1.RemedyOutcome) v1alpha1.RemedyRecord {
		return v1alpha1.RemedyRecord{Action: action, State: state, Outcome: outcome}
	}
	c.SetRollout("shop", v1alpha1.SafeMirrorRolloutStatus{Record: v1alpha1.Record{Remedies: []v1alpha1.RemedyRecord{
		record(v1alpha1.RestartFailingPods, v1alpha1.RemedyEnded, "Helped"),
		record(v1alpha1.RestartFailingPods, v1alpha1.RemedyEnded, "Helped"),
		record(v1alpha1.Relocate, v1alpha1.RemedyTaken, ""),
		record(v1alpha1.Relocate, v1alpha1.RemedyEnding, "TimedOut"),
	}}})
	want := `# HELP safe_mirror_rollout_remedies Remedies on the record of the rollout, by action and outcome; an empty outcome is one in progress.
# TYPE safe_mirror_rollout_remedies gauge
safe_mirror_rollout_remedies{action="Relocate",outcome="",rollout="shop"} 2
safe_mirror_rollout_remedies{action="RestartFailingPods",outcome="Helped",rollout="shop"} 2
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "safe_mirror_rollout_remedies"); err != nil {
		t.Error(err)
	}
}
