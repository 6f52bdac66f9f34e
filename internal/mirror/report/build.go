package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
)

// Build makes the reports of a rollout, one for each part and at least one. The rollout's status
// says how many there were before, which keeps their number steady; see partCount. results are by
// plan.Item.Key. The same arguments give the same reports, whatever the order of the references.
//
// A reference that is pulled in several ways has an entry for each: a short name, which stands for
// one image in each search registry, or one reference in two pools of different configurations.
// They are in the same part, and Count counts them once.
func Build(r *v1alpha1.SafeMirrorRollout, p plan.Plan, found inventory.Inventory, results map[string]mirror.Result,
	now time.Time) []v1alpha1.SafeMirrorReport {
	all := entries(string(r.UID), p, found.References, results)
	reported := reportedGaps(found.UnreadSources)
	partition := layout{parts: 1, firstPartBytes: sizeOfGaps(reported)}
	partition.parts = partition.partCount(all, int(r.Status.Report.Parts))
	parts, omitted := partition.distribute(all)
	if omitted > 0 {
		reported = slices.Insert(reported[:min(len(reported), maxGaps-1)], 0, omittedGap(omitted))
	}
	out := make([]v1alpha1.SafeMirrorReport, 0, len(parts))
	for n, part := range parts {
		report := v1alpha1.SafeMirrorReport{
			ObjectMeta: metadata(r, n), Rollout: truncate(r.Name, maxName), PlanHash: truncate(p.Digest, maxPlanDigest),
			Part: int32(n + 1), Parts: int32(len(parts)), Count: int32(len(part)), WrittenAt: truncateToSeconds(now),
			References: make([]v1alpha1.ReportedReference, 0, len(part)),
		}
		for _, e := range part {
			report.References = append(report.References, e.variants...)
		}
		if n == 0 {
			report.UnreadSources = reported
		}
		out = append(out, report)
	}
	return out
}

// Name is that of a part of the report of the rollout, counted from 0: shop-0, shop-1.
func Name(rollout string, part int) string { return rollout + "-" + strconv.Itoa(part) }

// metadata lets the garbage collector take the report away with the rollout. Nothing waits for
// that: the report blocks no deletion.
func metadata(r *v1alpha1.SafeMirrorRollout, part int) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:   Name(r.Name, part),
		Labels: mirrorset.Labels(r.Name),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "SafeMirrorRollout", Name: r.Name, UID: r.UID,
		}},
	}
}

// entry is all that is listed of one reference.
type entry struct {
	image string
	// position is the reference's own, in the range that the parts divide.
	position uint64
	variants []v1alpha1.ReportedReference
	size     int // bytes of JSON, at most
	// priority decides who stays when there is no room for all: the higher, the sooner.
	priority int
}

// entries are in the order of their images.
func entries(salt string, p plan.Plan, references []inventory.Reference, results map[string]mirror.Result) []entry {
	changed := map[string][]plan.Finding{}
	for _, f := range p.Findings(results) {
		for _, spelling := range f.Item.Spellings {
			changed[spelling] = append(changed[spelling], f)
		}
	}
	out := make([]entry, 0, len(references))
	for _, ref := range references {
		e := entry{image: ref.Image, position: positionOf(salt, ref.Image)}
		for _, f := range changed[ref.Image] {
			e.variants = append(e.variants, changedReference(ref, f))
		}
		if len(e.variants) == 0 {
			e.variants = append(e.variants, unchangedReference(ref, slices.Contains(p.InvalidReferences, ref.Image)))
		}
		for i := range e.variants {
			e.size += sizeOf(&e.variants[i])
			e.priority = max(e.priority, priorityOf(&e.variants[i]))
		}
		out = append(out, e)
	}
	sortByImage(out) // as they are already, for all we know
	return out
}

func sortByImage(list []entry) {
	byImage := func(a, b entry) int { return cmp.Compare(a.image, b.image) }
	if !slices.IsSortedFunc(list, byImage) {
		slices.SortStableFunc(list, byImage)
	}
}

// unchangedReference is what is listed of a reference whose pulls do not change: who needs it, and
// no more.
func unchangedReference(ref inventory.Reference, unreadable bool) v1alpha1.ReportedReference {
	out := v1alpha1.ReportedReference{Image: truncate(ref.Image, maxImage), Class: v1alpha1.ReferenceClass(ref.Class),
		Change: unchanged}
	out.Owners, out.OwnerCount = owners(ref)
	if unreadable {
		out.Message = "it is not an image reference, so no node can pull it, before or after; correct it in its owners"
	}
	return out
}

// changedReference is what is listed of one way in which a reference is pulled that changes.
func changedReference(ref inventory.Reference, f plan.Finding) v1alpha1.ReportedReference {
	out := unchangedReference(ref, false)
	out.Change, out.State, out.Message = v1alpha1.PullChange(f.Item.Change), v1alpha1.ReferenceState(f.State),
		truncate(f.Message, maxMessage)
	for _, pool := range f.Item.Pools[:min(len(f.Item.Pools), maxListed)] {
		out.Pools = append(out.Pools, truncate(pool, maxPool))
	}
	out.Before, out.After = endpointsOf(f.Item.Before), endpointsOf(f.Item.After)
	if proof := f.Result.Proof; !proof.At.IsZero() {
		out.ServedBy, out.Digest, out.ProvenAt = truncate(proof.Endpoint, maxImage), truncate(proof.Digest, maxDigest),
			truncateToSeconds(proof.At)
	}
	return out
}

// truncateToSeconds is what is left of a time that has been through the API.
func truncateToSeconds(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }
