package report

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// maxProofLag is how far a proof in the cluster may be behind the last one. Every image is proven
// again and again while nodes wait, and writing each time would keep the API server busy with
// nothing but times.
const maxProofLag = 5 * time.Minute

// How fast parts are rewritten. A part that changes all the time is written every
// minRewriteInterval, and a report of many parts less often, so that all of it together makes no
// more than one write each rewriteIntervalPerPart: of 32 parts each is written every 64 seconds.
const (
	minRewriteInterval     = 10 * time.Second
	rewriteIntervalPerPart = 2 * time.Second
)

// rewriteTime is when the part in the cluster has to be replaced by the wanted one; the zero time
// when it need not be.
func rewriteTime(have, want *v1alpha1.SafeMirrorReport, parts int, now time.Time) time.Time {
	var pause time.Duration
	switch age, same := proofLag(have, want); {
	case !same:
		pause = max(minRewriteInterval, time.Duration(parts)*rewriteIntervalPerPart)
	case age >= maxProofLag:
		pause = maxProofLag
	default:
		return time.Time{}
	}
	written := have.WrittenAt.Time
	if written.After(now) { // by a clock that is ahead of ours
		written = now
	}
	return written.Add(pause)
}

// proofLag tells whether the parts say the same, but for when they were written and when the images
// were proven, and if so how far the times of the proofs are apart at most.
func proofLag(have, want *v1alpha1.SafeMirrorReport) (age time.Duration, same bool) {
	if !sameExceptReferences(have, want) || len(have.References) != len(want.References) {
		return 0, false
	}
	for i := range want.References {
		a, b := have.References[i], want.References[i]
		if a.ProvenAt.IsZero() != b.ProvenAt.IsZero() {
			return 0, false
		}
		age = max(age, b.ProvenAt.Sub(a.ProvenAt.Time).Abs())
		a.ProvenAt = b.ProvenAt
		if !equality.Semantic.DeepEqual(a, b) {
			return 0, false
		}
	}
	return age, true
}

// sameExceptReferences compares all but the references. Labels that somebody else has added are
// theirs.
func sameExceptReferences(have, want *v1alpha1.SafeMirrorReport) bool {
	for key, value := range want.Labels {
		if have.Labels[key] != value {
			return false
		}
	}
	return equality.Semantic.DeepEqual(have.OwnerReferences, want.OwnerReferences) && have.Rollout == want.Rollout &&
		have.PlanHash == want.PlanHash && have.Part == want.Part && have.Parts == want.Parts &&
		have.Count == want.Count &&
		equality.Semantic.DeepEqual(have.UnreadSources, want.UnreadSources)
}
