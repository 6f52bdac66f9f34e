package evidence

import (
	"maps"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// shelf is what the cluster has of the parts of one rollout, as far as this Writer knows.
type shelf struct {
	// parts are by name; nil when they have to be read.
	parts map[string]*v1alpha1.SafeMirrorReport
	// readAt is when they were read from the cluster last.
	readAt time.Time
	// reportedAt is when Report has built the parts last.
	reportedAt time.Time
	// Until then nothing is asked of the cluster; failed is why, nil after a conflict.
	until  time.Time
	failed error
}

// shelfOf is the shelf of the rollout. Those of rollouts that are done or gone are thrown away.
func (w *Writer) shelfOf(rollout string, now time.Time) *shelf {
	maps.DeleteFunc(w.shelves, func(name string, s *shelf) bool { return name != rollout && now.Sub(s.readAt) > 2*readAge })
	if w.shelves == nil {
		w.shelves = map[string]*shelf{}
	}
	if w.shelves[rollout] == nil {
		w.shelves[rollout] = &shelf{}
	}
	return w.shelves[rollout]
}

func (s *shelf) keep(report *v1alpha1.SafeMirrorReport) {
	report.ManagedFields = nil
	s.parts[report.Name] = report
}
