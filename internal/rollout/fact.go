package rollout

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Fact changes the record. Facts are written with the status, and only a later loop may act on
// them: whatever dies in between, the record never claims less than what was done (I4).
//
//sumtype:decl
type Fact interface{ apply(r *v1alpha1.Record) }

// RolloutStarted remembers when the rollout first changes anything, and what the pools were like.
type RolloutStarted struct {
	At    time.Time
	Pools []v1alpha1.PoolRecord
}

// PoolAdded remembers a pool that appeared, or whose record was lost, after the start. Gone are
// pools on record that no longer exist: they make room for it when there is none left.
type PoolAdded struct {
	Pool v1alpha1.PoolRecord
	Gone []string
}

// PoolReclaimed remembers that a pool which was restored is taken again, and what it is like now.
type PoolReclaimed struct{ Pool v1alpha1.PoolRecord }

// ApplyIntended remembers which plan is about to be applied, what the mirror sets were like before
// the first of them, and what they are like now.
type ApplyIntended struct {
	PlanDigest string
	Previous   *v1alpha1.PreviousMirrorSets
	// Writing is what the sets are now and what they are to be; nil when nothing is to be written.
	Writing *v1alpha1.PendingWriteRecord
	// Pass and Lists are those of a staged rollout.
	Pass      v1alpha1.Pass
	ListsHash string
}

// MirrorSetsWritten remembers that the mirror sets are as they were intended to be.
type MirrorSetsWritten struct{}

// PassReached remembers when every node had the first pass.
type PassReached struct{ At time.Time }

// PassStarted remembers that a staged rollout goes on to the pass, or comes back to it.
type PassStarted struct {
	Pass      v1alpha1.Pass
	ListsHash string
}

// PolicyIntended remembers the previous node disruption policy; the rollout's own is about to be
// written.
type PolicyIntended struct {
	Prior string
	At    time.Time
}

// PolicyRestored remembers that the previous policy is about to be restored.
type PolicyRestored struct{}

// RollbackStarted latches the way back.
type RollbackStarted struct {
	Reason            v1alpha1.RollbackReason
	Request, SpecHash string
	At                time.Time
}

// GateApproved remembers that a request has opened a gate for a plan.
type GateApproved struct {
	Gate, PlanDigest, Request string
	At                        time.Time
}

// StageReached remembers when a stage that is to be watched was reached.
type StageReached struct {
	Name string
	At   time.Time
}

// Retried remembers which requests to try again were carried out.
type Retried struct{ IDs []string }

// ReleaseIntended remembers that a pool is about to be released.
type ReleaseIntended struct{ Release v1alpha1.ReleaseRecord }

// NodesStarted remembers which nodes the release has reached, beside those that are known already.
type NodesStarted struct {
	Nodes []string
	At    time.Time
}

// ReleaseEnded forgets the release: its node is healthy again, or no node took it.
type ReleaseEnded struct{}

// PoolRestored remembers that a pool has its prior values again.
type PoolRestored struct{ Pool string }

// RolloutCompleted remembers the end.
type RolloutCompleted struct {
	At         time.Time
	Generation int64
	// SpecHash identifies the spec that has come to its end.
	SpecHash string
}

// RolloutRestarted forgets the previous rollout, because the spec is a new one.
type RolloutRestarted struct{}

func (f RolloutStarted) apply(r *v1alpha1.Record) {
	if r.StartedAt == nil {
		r.StartedAt = apiTime(f.At)
	}
	for _, p := range f.Pools {
		PoolAdded{Pool: p}.apply(r)
	}
}

// apply never replaces a pool's record: what is known of the time before is worth more than any
// later look.
func (f PoolAdded) apply(r *v1alpha1.Record) {
	if len(r.Pools) >= maxPools {
		r.Pools = slices.DeleteFunc(r.Pools,
			func(p v1alpha1.PoolRecord) bool { return slices.Contains(f.Gone, p.Name) })
	}
	if poolRecord(*r, f.Pool.Name) == nil && len(r.Pools) < maxPools {
		r.Pools = append(r.Pools, f.Pool)
		slices.SortFunc(r.Pools, func(a, b v1alpha1.PoolRecord) int { return cmp.Compare(a.Name, b.Name) })
	}
}

func (f PoolReclaimed) apply(r *v1alpha1.Record) {
	if p := poolRecord(*r, f.Pool.Name); p != nil {
		*p = f.Pool
	}
}

func (f ApplyIntended) apply(r *v1alpha1.Record) {
	if r.AppliedPlanHash == "" {
		r.Previous = f.Previous.DeepCopy()
	}
	r.AppliedPlanHash, r.PendingWrite = f.PlanDigest, f.Writing
	PassStarted{Pass: f.Pass, ListsHash: f.ListsHash}.apply(r)
}

func (MirrorSetsWritten) apply(r *v1alpha1.Record) { r.PendingWrite = nil }

func (f PassReached) apply(r *v1alpha1.Record) {
	if r.Pass != nil && r.Pass.ReachedAt == nil {
		r.Pass.ReachedAt = apiTime(f.At)
	}
}

// apply forgets which stages were reached when the pass is another one: they are gone through, and
// watched, in each.
func (f PassStarted) apply(r *v1alpha1.Record) {
	switch {
	case f.Pass == "":
		r.Pass = nil
	case r.Pass == nil || r.Pass.Pass != f.Pass || r.Pass.MirrorsHash != f.ListsHash:
		r.Pass, r.Stages = &v1alpha1.PassRecord{Pass: f.Pass, MirrorsHash: f.ListsHash}, nil
	}
}

func (f PolicyIntended) apply(r *v1alpha1.Record) {
	r.NodeDisruptionPolicy = &v1alpha1.NodeDisruptionPolicyRecord{Previous: f.Prior, Since: *apiTime(f.At)}
}

func (PolicyRestored) apply(r *v1alpha1.Record) {
	if r.NodeDisruptionPolicy != nil {
		r.NodeDisruptionPolicy.Restored = true
	}
}

// apply opens what had ended already, so that the way back is gone like any other, and forgets the
// release in progress: whatever became of its node is seen on the node.
func (f RollbackStarted) apply(r *v1alpha1.Record) {
	if r.Rollback != nil {
		return
	}
	r.Rollback = &v1alpha1.RollbackRecord{Reason: f.Reason, RequestID: f.Request, DecidedAt: *apiTime(f.At),
		SpecHash: f.SpecHash}
	if r.CompletedGeneration != 0 {
		r.StartedAt = apiTime(f.At) // behind whatever has begun since it was complete
	}
	r.CompletedAt, r.CompletedGeneration, r.CompletedSpecHash, r.Release = nil, 0, "", nil
	markCarriedOut(r, f.Request)
}

// maxApprovals bounds the record; the oldest go first.
const maxApprovals = 64

func (f GateApproved) apply(r *v1alpha1.Record) {
	if approved(*r, f.Gate, f.PlanDigest) {
		return
	}
	r.Approvals = append(r.Approvals,
		v1alpha1.ApprovalRecord{Gate: f.Gate, PlanHash: f.PlanDigest, RequestID: f.Request, ApprovedAt: *apiTime(f.At)})
	r.Approvals = r.Approvals[max(0, len(r.Approvals)-maxApprovals):]
}

// maxStages is more than a rollout has: 32 of the spec and one for each of 32 pools, or by default
// two for each pool. The oldest go first.
const maxStages = 128

func (f StageReached) apply(r *v1alpha1.Record) {
	if _, known := stageReachedAt(*r, f.Name); !known {
		r.Stages = append(r.Stages, v1alpha1.StageRecord{Name: f.Name, ReachedAt: *apiTime(f.At)})
		r.Stages = r.Stages[max(0, len(r.Stages)-maxStages):]
	}
}

// maxCarriedOut is twice what a spec has room for; the oldest are forgotten first.
const maxCarriedOut = 64

func (f Retried) apply(r *v1alpha1.Record) { markCarriedOut(r, f.IDs...) }

func markCarriedOut(r *v1alpha1.Record, ids ...string) {
	for _, id := range ids {
		if id != "" && !carriedOut(*r, id) {
			r.HandledRequests = append(r.HandledRequests, id)
		}
	}
	r.HandledRequests = r.HandledRequests[max(0, len(r.HandledRequests)-maxCarriedOut):]
}

func (f ReleaseIntended) apply(r *v1alpha1.Record) { r.Release = &f.Release }

func (f NodesStarted) apply(r *v1alpha1.Record) {
	if r.Release == nil {
		return
	}
	for _, n := range f.Nodes {
		if !slices.Contains(r.Release.Nodes, n) && len(r.Release.Nodes) < maxReleaseNodes {
			r.Release.Nodes = append(r.Release.Nodes, n)
		}
	}
	if r.Release.UpdateStartedAt == nil {
		r.Release.UpdateStartedAt = apiTime(f.At)
	}
}

func (ReleaseEnded) apply(r *v1alpha1.Record) { r.Release = nil }

func (f PoolRestored) apply(r *v1alpha1.Record) {
	if p := poolRecord(*r, f.Pool); p != nil {
		p.Restored = true
	}
}

func (f RolloutCompleted) apply(r *v1alpha1.Record) {
	r.CompletedAt, r.CompletedGeneration, r.CompletedSpecHash, r.Release = apiTime(f.At), f.Generation, f.SpecHash, nil
}

// apply keeps the ids of requests: they were carried out, whatever the spec says now. Remedies are
// kept until they are undone.
func (RolloutRestarted) apply(r *v1alpha1.Record) {
	*r = v1alpha1.Record{HandledRequests: r.HandledRequests, Remedies: OpenRemedies(*r)}
}

// Apply folds facts into a record.
func Apply(r v1alpha1.Record, facts []Fact) v1alpha1.Record {
	out := *r.DeepCopy()
	for _, f := range facts {
		f.apply(&out)
	}
	return out
}

// apiTime truncates to the second, as the API stores it, so that a fact reads back as it was
// written.
func apiTime(t time.Time) *metav1.Time {
	s := metav1.NewTime(t.Truncate(time.Second))
	return &s
}
