package status

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// A pause that takes long is said aloud, for as long as it lasts.
func TestPausedTooLong(t *testing.T) {
	held := func(since time.Time) rollout.Observed {
		o := observation()
		o.Rollout.PauseLimit = time.Hour
		o.Pools = rollout.Known([]rollout.Pool{
			{Name: "infra"}, {Name: "worker", PauseRecord: &rollout.PauseRecord{Since: since}},
			{Name: "master", PauseRecord: &rollout.PauseRecord{Since: since.Add(time.Minute)}},
		})
		return o
	}
	s := Of(v1alpha1.SafeMirrorRolloutStatus{}, held(now.Add(-time.Hour)), waiting(), nil)
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPauseLimitExceeded); c != nil {
		t.Errorf("said at once: %+v", c)
	}
	s = Of(s, held(now.Add(-time.Hour-time.Second)), waiting(), nil)
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionPauseLimitExceeded)
	if c == nil || !strings.Contains(c.Message, "since "+now.Add(-time.Hour-time.Second).UTC().Format(time.RFC3339)) {
		t.Errorf("condition %+v", c)
	}
	unknown := held(now)
	unknown.Pools = rollout.Unknown[[]rollout.Pool]("connection refused")
	for name, o := range map[string]rollout.Observed{"restored": observation(), "unknown": unknown} {
		if s := Of(s, o, waiting(), nil); meta.FindStatusCondition(s.Conditions,
			v1alpha1.ConditionPauseLimitExceeded) != nil {
			t.Errorf("still said, and the pools are %s", name)
		}
	}
}
