package report

import (
	"maps"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// knownParts is what the cluster has of the parts of one rollout, as far as this Writer knows.
type knownParts struct {
	// parts are by name; nil when they have to be read.
	parts map[string]*v1alpha1.SafeMirrorReport
	// readAt is when they were read from the cluster last.
	readAt time.Time
	// reportedAt is when Report has built the parts last.
	reportedAt time.Time
	// Until then nothing is asked of the cluster; failed is why, nil after a conflict.
	retryAt   time.Time
	lastError error
}

// knownPartsOf is the shelf of the rollout. Those of rollouts that are done or gone are thrown
// away.
func (w *Writer) knownPartsOf(rollout string, now time.Time) *knownParts {
	maps.DeleteFunc(w.known, func(name string, s *knownParts) bool {
		return name != rollout &&
			now.Sub(s.readAt) > 2*rereadInterval
	})
	if w.known == nil {
		w.known = map[string]*knownParts{}
	}
	if w.known[rollout] == nil {
		w.known[rollout] = &knownParts{}
	}
	return w.known[rollout]
}

func (s *knownParts) store(report *v1alpha1.SafeMirrorReport) {
	report.ManagedFields = nil
	s.parts[report.Name] = report
}
