package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func saysAll(t *testing.T, d Decision, parts []string) {
	t.Helper()
	text := d.Why
	for _, b := range d.Blockers {
		text += "\n" + b.Message
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("nothing says %q:\n%s", part, text)
		}
	}
}

// remedyActions are the actions of remedies in a decision.
func remedyActionsOf(d Decision) []string {
	var out []string
	for _, a := range d.Actions {
		if _, is := remedyOf(a); is {
			out = append(out, a.Key())
		}
	}
	return out
}

// TestRemedyOnRecord is carried out, kept in effect, and undone: for each what the cluster shows,
// and what follows.
func TestRemedyOnRecord(t *testing.T) {
	cordon := func(state v1alpha1.RemedyState, ago time.Duration, c *RemedyObject) *builder {
		return blockedDrain().remedyOnRecord(cordonRecord, ago, state, c)
	}
	before, ours := func() *RemedyObject { return &RemedyObject{Value: Schedulable} },
		func() *RemedyObject { return &RemedyObject{Value: Cordoned, HasNote: true, Ours: true} }
	taken := func() *builder { return cordon(v1alpha1.RemedyTaken, 10*time.Second, ours()).provenAgo(time.Second) }
	ending := func(c *RemedyObject) *builder { return cordon(v1alpha1.RemedyEnding, time.Minute, c) }
	cases := map[string]struct {
		b       *builder
		actions []string
		facts   []string
		says    []string
	}{
		"intended, and not done yet": {b: cordon(v1alpha1.RemedyIntended, 0, before()),
			actions: []string{"cordon/Relocate/worker-0"}},
		"intended, and done before a crash": {b: cordon(v1alpha1.RemedyIntended, 0, ours()),
			facts: []string{"RemedyStateChanged Taken "}},
		"intended, and the node is unknown": {b: cordon(v1alpha1.RemedyIntended, 0, nil),
			says: []string{"it is neither changed nor put back until it can"}},
		"intended, and the pools are unknown": {b: cordon(v1alpha1.RemedyIntended, 0,
			before()).with(func(o *Observed) { o.Pools = Unknown[[]Pool]("x") }), says: []string{"could not be read"}},
		"intended, and somebody was quicker": {b: cordon(v1alpha1.RemedyIntended, 0, &RemedyObject{Value: Cordoned}),
			facts: []string{"RemedyStateChanged Ending ChangedElsewhere"}},
		"intended, and the node is gone": {b: cordon(v1alpha1.RemedyIntended, 0, &RemedyObject{Gone: true}),
			facts: []string{"RemedyStateChanged Ending Impossible"}},
		"intended, and the time is up": {b: cordon(v1alpha1.RemedyIntended, 5*time.Minute, before()),
			facts: []string{"RemedyStateChanged Ending TimedOut"}},

		"in effect": {b: taken().blockedDrain(func(blocked *BlockedDrain) { blocked.Pods = nil }),
			says: []string{"it is undone when the drain is over, at the latest at 2026-03-01T12:04:50Z"}},
		"in effect, and the drain is over": {b: taken().startsUpdate("worker-1", "Working"),
			facts: []string{"RemedyStateChanged Ending Helped"}},
		"in effect, and the node is gone": {b: taken().without("worker-1"),
			facts: []string{"RemedyStateChanged Ending Helped"}},
		"in effect, and the time is up": {b: cordon(v1alpha1.RemedyTaken, 5*time.Minute, ours()),
			facts: []string{"RemedyStateChanged Ending TimedOut"}},
		"in effect, and the user wants it off": {b: taken().remediesEnabled(v1alpha1.MirrorMissingImages),
			facts: []string{"RemedyStateChanged Ending Superseded"}},
		"in effect, and the spec is another": {b: taken().with(func(o *Observed) { o.Rollout.SpecHash = "spec-2" }),
			facts: []string{"RemedyStateChanged Ending Superseded"}},
		"in effect, and the rollout rolls back": {
			b: taken().with(func(o *Observed) {
				o.Record.Rollback = &v1alpha1.RollbackRecord{Reason: v1alpha1.RollbackRequested,
					DecidedAt: metav1.NewTime(now)}
			}),
			facts: []string{"RemedyStateChanged Ending Superseded"},
		},

		"over":                          {b: ending(ours()), actions: []string{"uncordon/Relocate/worker-0"}},
		"over, and done before a crash": {b: ending(before()), facts: []string{"RemedyStateChanged Ended "}},
		"over, and somebody else has uncordoned": {b: ending(&RemedyObject{Value: Schedulable, HasNote: true}),
			actions: []string{"uncordon/Relocate/worker-0"}},
		"over, and somebody else's now": {b: ending(&RemedyObject{Value: Cordoned}),
			facts: []string{"RemedyStateChanged Ended ChangedElsewhere"}},
		"over, and the node is gone": {b: ending(&RemedyObject{Gone: true}),
			facts: []string{"RemedyStateChanged Ended "}},
		"over, and unknown": {b: ending(nil),
			says: []string{"it is neither changed nor put back until it can"}},
		"over, with the pools unknown": {b: ending(ours()).with(func(o *Observed) { o.Pools = Unknown[[]Pool]("x") }),
			actions: []string{"uncordon/Relocate/worker-0"}},
		"over, and the user holds": {b: ending(ours()).held(),
			actions: []string{"uncordon/Relocate/worker-0"}},

		"a pod to be deleted": {b: blockedDrain().remedyOnRecord(podRestartRecord, 0,
			v1alpha1.RemedyIntended, &RemedyObject{}), actions: []string{"delete-pod/RestartFailingPods/router-x"}},
		"a pod that has run meanwhile": {b: blockedDrain().remedyOnRecord(podRestartRecord, 0,
			v1alpha1.RemedyIntended, &RemedyObject{}).blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].NeverStarted = false }), facts: []string{"RemedyStateChanged Ending NotNeeded"}},
		"a pod that is no longer in the way": {b: blockedDrain().remedyOnRecord(podRestartRecord, 0,
			v1alpha1.RemedyIntended, &RemedyObject{}).blockedDrain(func(blocked *BlockedDrain) { blocked.Pods = nil }),
			facts: []string{"RemedyStateChanged Ending NotNeeded"}},
		"a pod that is deleted": {b: blockedDrain().remedyOnRecord(podRestartRecord, 0,
			v1alpha1.RemedyIntended, &RemedyObject{Gone: true}), facts: []string{"RemedyStateChanged Taken "}},
		"a pod that was deleted": {b: blockedDrain().remedyOnRecord(podRestartRecord, 0,
			v1alpha1.RemedyTaken, &RemedyObject{Gone: true}), facts: []string{"RemedyStateChanged Ending Helped"}},
		"a pod is not restored": {b: blockedDrain().remedyOnRecord(podRestartRecord, 0,
			v1alpha1.RemedyEnding, &RemedyObject{Gone: true}), facts: []string{"RemedyStateChanged Ended "}},

		"an image to be proven": {b: blockedDrain().remedyOnRecord(mirrorRecord, 0,
			v1alpha1.RemedyIntended, nil), actions: []string{"mirror-again/MirrorMissingImages/" + routerImage}},
		"an image that is proven": {b: blockedDrain().remedyOnRecord(mirrorRecord, 10*time.Second,
			v1alpha1.RemedyIntended, nil).provenAgo(time.Second), facts: []string{"RemedyStateChanged Ending Helped"}},
		"an image that was proven before only": {b: blockedDrain().remedyOnRecord(mirrorRecord, 10*time.Second,
			v1alpha1.RemedyIntended, nil).provenAgo(11 * time.Second),
			actions: []string{"mirror-again/MirrorMissingImages/" + routerImage}},
		"an image that cannot be copied": {
			b: blockedDrain().remedyOnRecord(mirrorRecord, 20*time.Second, v1alpha1.RemedyIntended,
				nil).blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].Pulls[0].ProofError = "404" }),
			facts: []string{"RemedyStateChanged Ending Impossible"},
		},
		"an image for which nobody waits": {b: blockedDrain().remedyOnRecord(mirrorRecord, 5*time.Second,
			v1alpha1.RemedyIntended, nil).blockedDrain(func(blocked *BlockedDrain) { blocked.Pods = nil }),
			facts: []string{"RemedyStateChanged Ending Helped"}},

		"a key": {b: blockedDrain().remedyOnRecord(trustRecord, 0, v1alpha1.RemedyIntended,
			&RemedyObject{}), actions: []string{"add-trust/TrustMirrorCA/user-ca"}},
		"a key is kept": {b: blockedDrain().remedyOnRecord(trustRecord, time.Minute, v1alpha1.RemedyEnding,
			&RemedyObject{Value: "mirror.local..5000", HasNote: true, Ours: true}),
			facts: []string{"RemedyStateChanged Ended "}},
		"replicas": {b: blockedDrain().remedyOnRecord(scaleRecord, 0, v1alpha1.RemedyIntended,
			&RemedyObject{Value: "3"}), actions: []string{"scale-up/ScaleIngress/default"}},
		"replicas, half done": {b: blockedDrain().remedyOnRecord(scaleRecord, 0, v1alpha1.RemedyIntended,
			&RemedyObject{Value: "3", HasNote: true}), actions: []string{"scale-up/ScaleIngress/default"}},
		"replicas of somebody": {b: blockedDrain().remedyOnRecord(scaleRecord, 0, v1alpha1.RemedyIntended,
			&RemedyObject{Value: "4"}), facts: []string{"RemedyStateChanged Ending ChangedElsewhere"}},
		"replicas back": {b: blockedDrain().remedyOnRecord(scaleRecord, time.Minute, v1alpha1.RemedyEnding,
			&RemedyObject{Value: "5", HasNote: true, Ours: true}),
			actions: []string{"scale-back/ScaleIngress/default"}},
		"replicas that somebody else has set since": {b: blockedDrain().remedyOnRecord(scaleRecord, time.Minute,
			v1alpha1.RemedyEnding, &RemedyObject{Value: "7"}),
			facts: []string{"RemedyStateChanged Ended ChangedElsewhere"}},

		"a note of which the record knows nothing": {
			b: blockedDrain().with(func(o *Observed) {
				r := cordonRecord
				r.ID, r.Node, r.DecidedAt, r.Deadline = "lost", "worker-1", *apiTime(now),
					*apiTime(now.Add(time.Minute))
				foreign := r // an edited note
				foreign.ID, foreign.Action = "edited", "DrainEverything"
				o.Remedies = Known(Remedies{Unrecorded: []v1alpha1.RemedyRecord{foreign, r}})
			}),
			facts: []string{"RemedyStarted Relocate Node worker-0"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := c.b.build()
			d := Decide(o)
			got := slices.DeleteFunc(factNames(d.Facts), func(f string) bool { return !strings.HasPrefix(f, "Remedy") })
			if diff := cmp.Diff(c.actions, remedyActionsOf(d)); diff != "" {
				t.Errorf("actions (-want +got):\n%s\nwhy: %s", diff, d.Why)
			}
			if diff := cmp.Diff(c.facts, got,
				cmp.Transformer("none", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
				t.Errorf("facts (-want +got):\n%s\nwhy: %s", diff, d.Why)
			}
			saysAll(t, d, c.says)
			if why := rules(o, d); len(why) > 0 {
				t.Error(why)
			}
		})
	}
}

// Every end waits until what remedies have changed is back: the drain's, the rollout's, a rollback,
// a deletion, another spec.
func TestEveryEndUndoesRemedies(t *testing.T) {
	ends := map[string]func() *builder{
		"complete": func() *builder { return observed().updated().restored("master", "worker") },
		"deleted":  func() *builder { return observed().completed().deleting() },
		"aborted before anything was applied": func() *builder {
			b := observed().paused().deleting()
			return b.restored("master", "worker")
		},
		"another spec": func() *builder {
			return observed().completed().with(func(o *Observed) {
				o.Rollout.SpecHash,
					o.Rollout.Generation = "spec-2", 2
			})
		},
		"rolled back": func() *builder {
			return observed().completed().with(func(o *Observed) {
				o.Record.Rollback = &v1alpha1.RollbackRecord{Reason: v1alpha1.RollbackRequested,
					DecidedAt: metav1.NewTime(now), SpecHash: "spec-1"}
			})
		},
		"unsupported": func() *builder {
			return observed().deleting().with(func(o *Observed) { o.Cluster = Known(Cluster{Unsupported: "MicroShift"}) })
		},
	}
	for name, end := range ends {
		for what, r := range map[string]v1alpha1.RemedyRecord{"a cordon": cordonRecord, "replicas": scaleRecord} {
			t.Run(name+" with "+what, func(t *testing.T) {
				b := end()
				b.o.Rollout.Remedies = v1alpha1.RemedyActions()
				now := &RemedyObject{Value: r.IntendedValue, HasNote: true, Ours: true}
				b.remedyOnRecord(r, time.Minute, v1alpha1.RemedyTaken, now)
				undone := false
				for range 20 {
					d := Decide(b.o)
					if why := rules(b.o, d); len(why) > 0 {
						t.Fatal(why)
					}
					for _, a := range d.Actions {
						switch a.(type) {
						case Uncordon, ScaleDown:
							undone = true
							b.o.Remedies = Known(Remedies{Objects: []RemedyObject{{ID: string(r.Action) + "/" + r.Name,
								Value: r.OriginalValue}}})
						case RemoveFinalizer:
							b.o.Rollout.Finalizer = false
						}
					}
					b.o.Record = Apply(b.o.Record, d.Facts)
				}
				if !undone || len(OpenRemedies(b.o.Record)) > 0 {
					t.Errorf("undone is %v, and %d remedies are open", undone, len(OpenRemedies(b.o.Record)))
				}
			})
		}
	}
}

// The record is bounded, and what is open is never forgotten.
func TestRecordOfRemedies(t *testing.T) {
	var r v1alpha1.Record
	begin := func(id string, state v1alpha1.RemedyState) {
		RemedyStarted{Remedy: v1alpha1.RemedyRecord{ID: id, State: state}}.apply(&r)
	}
	begin("open", v1alpha1.RemedyTaken)
	begin("open", v1alpha1.RemedyIntended)
	for i := range 40 {
		begin(strings.Repeat("x", i+1), v1alpha1.RemedyEnded)
	}
	if len(r.Remedies) != maxRemedies || r.Remedies[0].ID != "open" || r.Remedies[0].State != v1alpha1.RemedyTaken {
		t.Errorf("%d remedies, the first is %+v", len(r.Remedies), r.Remedies[0])
	}
	RolloutRestarted{}.apply(&r)
	if len(r.Remedies) != 1 {
		t.Errorf("another spec has kept %d remedies, want the open one", len(r.Remedies))
	}
}

// A node that its pool was given room for does not hold the corrected mirror sets, nor the release
// of the next node.
func TestMaxUnavailableForCorrection(t *testing.T) {
	raised := v1alpha1.RemedyRecord{Action: v1alpha1.RaiseMaxUnavailable, Kind: "MachineConfigPool", Name: "worker"}
	b := blockedDrain().remedyOnRecord(raised, 10*time.Second, v1alpha1.RemedyIntended, nil)
	d := Decide(b.build())
	if diff := cmp.Diff([]string{"RemedyStateChanged Taken "}, factNames(d.Facts)); diff != "" {
		t.Fatal(diff)
	}
	b.o.Record = Apply(b.o.Record, d.Facts)
	if b.o.Record.Release != nil {
		t.Fatal("the stuck release is still followed")
	}
	b.plan(func(p *PlanSummary) { p.Digest = "sha256:corrected" }).transfers(func(tr *Transfers) {
		tr.PlanDigest,
			tr.OldestProof = "sha256:corrected", now.Add(-time.Minute)
	})
	b.o.PullChecks = Known(PullChecks{PlanDigest: "sha256:corrected"})
	b.sets(SetNotWanted, SetDiffers).eachPool(func(p *Pool) { p.Registries = MatchesEarlier })
	if d = Decide(b.build()); !slices.Contains(factNames(d.Facts), "ApplyIntended") {
		t.Fatalf("the correction is held: %v %s", factNames(d.Facts), d.Why)
	}
	b.o.Record = Apply(b.o.Record, d.Facts)
	b.sets(SetNotWanted, SetEqual).eachPool(func(p *Pool) {
		p.Rendered,
			p.Registries = renderedName(p.Name, "corrected"), MatchesPlanned
	})
	if d = Decide(b.build()); !slices.Contains(factNames(d.Facts), "ReleaseIntended worker") {
		t.Fatalf("no release: %v %s", factNames(d.Facts), d.Why)
	}
	b.o.Record = Apply(b.o.Record, d.Facts)
	open := action[ReleaseNodes](t, Decide(b.build()))
	if open.MaxUnavailable != 2 {
		t.Errorf("room for %d unavailable nodes, want the stuck one and one more", open.MaxUnavailable)
	}
}
