package observe

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// The mirror sets before a rollout: those that are there, until the record or, when that is lost,
// the annotation of the sets names others.
func TestPreviousSets(t *testing.T) {
	shop := minicluster.Rollout("shop")
	earlier := shop.DeepCopy()
	earlier.Spec.ImageTagMirrors[0].Mirrors = []string{"old.local"}
	ref := previous(earlier)
	onRecord := v1alpha1.Record{AppliedPlanHash: "sha256:x", Previous: ref}
	goesBack := v1alpha1.Record{AppliedPlanHash: "sha256:x", Previous: ref, Rollback: &v1alpha1.RollbackRecord{}}
	edited := revision(t, earlier)
	edited.Data.Raw = revision(t, shop).Data.Raw
	writtenBy := func(rec v1alpha1.Record) []client.Object {
		r := shop.DeepCopy()
		r.Status.Record = rec
		return writtenSets(r)
	}
	cases := map[string]struct {
		record  v1alpha1.Record
		objects []client.Object
		ref     *v1alpha1.PreviousMirrorSets
		saved   bool
		says    string // of the problem; empty for none
		holds   bool   // the spec has a problem
	}{
		"none": {saved: true},
		"none, on record": {record: v1alpha1.Record{AppliedPlanHash: "sha256:x"},
			objects: writtenSets(shop), saved: true},
		"some that are not saved": {objects: writtenSets(earlier), ref: ref},
		"some that are saved": {objects: append(writtenSets(earlier), revision(t, earlier)),
			ref: ref, saved: true},
		"on record": {record: onRecord,
			objects: append(writtenSets(shop), revision(t, earlier)), ref: ref, saved: true},
		"the record is lost, the sets name it": {objects: append(writtenBy(onRecord), revision(t, earlier)),
			ref: ref, saved: true},
		"the record is lost, the sets say none": {objects: writtenBy(v1alpha1.Record{AppliedPlanHash: "sha256:x"}),
			saved: true},
		"the record and the revision are lost": {objects: writtenBy(onRecord), ref: ref, says: "does not exist"},
		"the revision is gone": {record: onRecord, objects: writtenSets(shop), ref: ref,
			says: "does not exist"},
		"the revision was edited": {record: onRecord, objects: append(writtenSets(shop), edited),
			ref: ref, says: "was changed"},
		"the revision is gone, on the way back": {record: goesBack, objects: writtenSets(shop), ref: ref,
			says: "does not exist", holds: true},
		"the revision was edited, on the way back": {record: goesBack, objects: append(writtenSets(shop), edited),
			ref: ref, says: "was changed", holds: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := shop.DeepCopy()
			r.Status.Record = c.record
			w := mustObserve(t, newObserver(append(append(minicluster.Objects("worker-0"), r), c.objects...)...))
			got := mustKnow(t, w.Observed.Sets)
			if (got.Previous == nil) != (c.ref == nil) || (c.ref != nil && *got.Previous != *c.ref) ||
				got.PreviousSaved != c.saved {
				t.Errorf("previous %+v, saved %t; want %+v, %t", got.Previous, got.PreviousSaved, c.ref, c.saved)
			}
			if p := got.PreviousProblem; (p == nil) != (c.says == "") ||
				(p != nil && (!strings.Contains(p.Message, c.says) || p.Reason != v1alpha1.ReasonRollbackImpossible)) {
				t.Errorf("problem %+v, want %q", p, c.says)
			}
			if problems := mustKnow(t, w.Observed.SpecProblems); (len(problems) > 0) != c.holds {
				t.Errorf("problems of the spec %+v, want some: %t", problems, c.holds)
			}
		})
	}
	t.Run("a failed read is transient", func(t *testing.T) {
		r := shop.DeepCopy()
		r.Status.Record = goesBack
		w := mustObserve(t, newObserverWith(minicluster.FailingReads[*appsv1.ControllerRevision](errDown),
			append(append(minicluster.Objects("worker-0"), r), writtenSets(shop)...)...))
		if p := mustKnow(t, w.Observed.Sets).PreviousProblem; p == nil || !p.Transient ||
			!strings.Contains(p.Message, errDown.Error()) {
			t.Errorf("problem %+v", p)
		}
		if d := rollout.Decide(w.Observed); d.Stalled {
			t.Errorf("decision %+v", d)
		}
	})
}
