package status

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) metav1.Time { return metav1.NewTime(t) }

// observation is an observation with one pool of two nodes, of which the first has the planned
// configuration.
func observation() rollout.Observed {
	return rollout.Observed{
		Now:       now,
		Rollout:   rollout.Spec{Name: "shop", Generation: 3},
		Plan:      rollout.Known(rollout.PlanSummary{Total: 10, Changed: 4, Accepted: 1, NoWorse: 2, Lost: 3}),
		Transfers: rollout.Known(rollout.Transfers{Total: 4, Verified: 3, Failed: 1, Copied: 2, Bytes: 5<<20 + 17}),
		Pools: rollout.Known([]rollout.Pool{{
			Name: "worker", Paused: true, Rendered: "planned", Registries: rollout.MatchesPlanned,
			Nodes: []rollout.Node{node("worker-0", "planned", "planned"), node("worker-1", "earlier", "earlier")},
		}}),
	}
}

func node(name, current, desired string) rollout.Node {
	return rollout.Node{Name: name, CurrentConfig: current, DesiredConfig: desired, State: "Done", Ready: true}
}

// phaseResults are done up to the current phase.
func phaseResults(current rollout.Phase, reason v1alpha1.ConditionReason, message string) []rollout.PhaseResult {
	var out []rollout.PhaseResult
	for _, row := range rollout.PhaseTable() {
		if row.Phase == current {
			return append(out, rollout.PhaseResult{Phase: current, Reason: reason, Message: message})
		}
		out = append(out, rollout.PhaseResult{Phase: row.Phase, Done: true, Reason: v1alpha1.ReasonDone,
			Message: string(row.Phase) + " is done"})
	}
	return out
}

func waiting() rollout.Decision {
	return rollout.Decision{
		Phase: rollout.PhaseRelease, Reason: v1alpha1.ReasonWaiting, Why: "node worker-1 drains",
		Blockers:     []rollout.Blocker{{Kind: "Node", Name: "worker-1", Message: "node worker-1 drains"}},
		PhaseResults: phaseResults(rollout.PhaseRelease, v1alpha1.ReasonWaiting, "node worker-1 drains"),
	}
}

func TestConditions(t *testing.T) {
	stalled := rollout.Decision{
		Phase: rollout.PhasePlan, Reason: v1alpha1.ReasonImagesLost, Why: "one is lost", Stalled: true,
		PhaseResults: phaseResults(rollout.PhasePlan, v1alpha1.ReasonImagesLost, "one is lost"),
	}
	complete := rollout.Decision{
		Phase: rollout.PhaseComplete, Reason: v1alpha1.ReasonComplete, Complete: true,
		PhaseResults: phaseResults("", "", ""),
	}
	at := func(phase rollout.Phase) rollout.Decision {
		return rollout.Decision{Phase: phase, Reason: v1alpha1.ReasonWaiting, Why: "x",
			PhaseResults: phaseResults(phase, v1alpha1.ReasonWaiting, "x")}
	}
	type conditions = map[string]string
	cases := map[string]struct {
		d       rollout.Decision
		failure error
		want    conditions
	}{
		"waiting": {d: waiting(), want: conditions{
			"Ready": "False Waiting", "Reconciling": "True Waiting", "Stalled": "False Waiting",
			"PreflightPassed": "True Done", "Planned": "True Done", "NodePullsVerified": "True Done",
			"PoolsPaused": "True Done", "ImagesVerified": "True Done",
			"MirrorSetsApplied": "True Done", "NodesUpdated": "False Waiting",
		}},
		"stalled": {d: stalled, want: conditions{
			"Ready": "False ImagesLost", "Reconciling": "False ImagesLost", "Stalled": "True ImagesLost",
			"PreflightPassed": "True Done", "Planned": "False ImagesLost", "NodePullsVerified": "Unknown Pending",
			"PoolsPaused": "Unknown Pending", "ImagesVerified": "Unknown Pending",
			"MirrorSetsApplied": "Unknown Pending", "NodesUpdated": "Unknown Pending",
		}},
		"complete": {d: complete, want: conditions{
			"Ready": "True Complete", "Reconciling": "False Complete", "Stalled": "False Complete",
			"PreflightPassed": "True Done", "Planned": "True Done", "NodePullsVerified": "True Done",
			"PoolsPaused": "True Done", "ImagesVerified": "True Done",
			"MirrorSetsApplied": "True Done", "NodesUpdated": "True Done",
		}},
		"an action failed": {d: stalled, failure: errors.New("timeout"), want: conditions{
			"Ready": "False Waiting", "Reconciling": "True Waiting", "Stalled": "False Waiting",
			"PreflightPassed": "True Done", "Planned": "False ImagesLost", "NodePullsVerified": "Unknown Pending",
			"PoolsPaused": "Unknown Pending", "ImagesVerified": "Unknown Pending",
			"MirrorSetsApplied": "Unknown Pending", "NodesUpdated": "Unknown Pending",
		}},
		"nothing is complete while something failed": {d: complete, failure: errors.New("timeout"), want: conditions{
			"Ready": "False Waiting", "Reconciling": "True Waiting", "Stalled": "False Waiting",
			"PreflightPassed": "True Done", "Planned": "True Done", "NodePullsVerified": "True Done",
			"PoolsPaused": "True Done", "ImagesVerified": "True Done",
			"MirrorSetsApplied": "True Done", "NodesUpdated": "True Done",
		}},
		"applied, and not rendered": {d: at(rollout.PhaseRender), want: conditions{
			"Ready": "False Waiting", "Reconciling": "True Waiting", "Stalled": "False Waiting",
			"PreflightPassed": "True Done", "Planned": "True Done", "NodePullsVerified": "True Done",
			"PoolsPaused": "True Done", "ImagesVerified": "True Done",
			"MirrorSetsApplied": "False Waiting", "NodesUpdated": "Unknown Pending",
		}},
		"not applied": {d: at(rollout.PhaseApply), want: conditions{
			"Ready": "False Waiting", "Reconciling": "True Waiting", "Stalled": "False Waiting",
			"PreflightPassed": "True Done", "Planned": "True Done", "NodePullsVerified": "True Done",
			"PoolsPaused": "True Done", "ImagesVerified": "True Done",
			"MirrorSetsApplied": "False Waiting", "NodesUpdated": "Unknown Pending",
		}},
		"nothing was looked at, and there is no reason": {d: rollout.Decision{Phase: rollout.PhasePreflight},
			want: conditions{
				"Ready": "False Progressing", "Reconciling": "True Progressing", "Stalled": "False Progressing",
				"PreflightPassed": "Unknown Pending", "Planned": "Unknown Pending",
				"NodePullsVerified": "Unknown Pending",
				"PoolsPaused":       "Unknown Pending", "ImagesVerified": "Unknown Pending",
				"MirrorSetsApplied": "Unknown Pending", "NodesUpdated": "Unknown Pending",
			}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := Of(v1alpha1.SafeMirrorRolloutStatus{}, observation(), c.d, c.failure)
			got := conditions{}
			for _, cond := range s.Conditions {
				got[cond.Type] = string(cond.Status) + " " + cond.Reason
				if cond.ObservedGeneration != 3 || cond.Message == "" || !cond.LastTransitionTime.Time.Equal(now) {
					t.Errorf("condition %+v: want generation 3, a message and the time", cond)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if s.ObservedGeneration != 3 || s.Phase != v1alpha1.RolloutPhase(c.d.Phase) {
				t.Errorf("generation %d, phase %q", s.ObservedGeneration, s.Phase)
			}
			checkKstatus(t, s)
		})
	}
}

// checkKstatus reads the three summarising conditions: at most one of Reconciling and Stalled is
// True, and Ready is True only without both.
func checkKstatus(t *testing.T, s v1alpha1.SafeMirrorRolloutStatus) {
	t.Helper()
	is := func(kind string) bool { return meta.IsStatusConditionTrue(s.Conditions, kind) }
	ready, reconciling, stalled := is(v1alpha1.ConditionReady), is(v1alpha1.ConditionReconciling),
		is(v1alpha1.ConditionStalled)
	if n := countTrue(ready, reconciling, stalled); n != 1 {
		t.Errorf("ready %t, reconciling %t, stalled %t: want exactly one", ready, reconciling, stalled)
	}
}

func countTrue(flags ...bool) (n int) {
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// A condition keeps its time while it says the same; its message may change.
func TestConditionsKeepTransitionTime(t *testing.T) {
	first := Of(v1alpha1.SafeMirrorRolloutStatus{}, observation(), waiting(), nil)
	later := observation()
	later.Now = now.Add(time.Minute)
	d := waiting()
	d.Why = "node worker-1 still drains"
	second := Of(first, later, d, nil)
	ready := meta.FindStatusCondition(second.Conditions, v1alpha1.ConditionReady)
	if !ready.LastTransitionTime.Time.Equal(now) || !strings.Contains(ready.Message, "still drains") {
		t.Errorf("ready %+v, want the earlier time and the new message", ready)
	}
	third := Of(second, later, rollout.Decision{Phase: rollout.PhaseComplete, Complete: true}, nil)
	ready = meta.FindStatusCondition(third.Conditions, v1alpha1.ConditionReady)
	if !ready.LastTransitionTime.Time.Equal(later.Now) {
		t.Errorf("ready %+v, want the time of the change", ready)
	}
}

func TestCounts(t *testing.T) {
	s := Of(v1alpha1.SafeMirrorRolloutStatus{}, observation(), waiting(), nil)
	want := v1alpha1.SafeMirrorRolloutStatus{
		Images: v1alpha1.ImageCounts{
			Summary: "3/4", Total: 10, Changed: 4, Verified: 3, Copied: 2, Failed: 1, Lost: 3, Accepted: 1, NoWorse: 2,
			BytesCopied: 5 << 20, // whole mebibytes while copying
		},
		Nodes: v1alpha1.NodeCounts{Summary: "1/2", Total: 2, Updated: 1},
		Pools: []v1alpha1.PoolStatus{{Name: "worker", Total: 2, Updated: 1, Paused: true, Rendered: "planned"}},
	}
	got := v1alpha1.SafeMirrorRolloutStatus{Images: s.Images, Nodes: s.Nodes, Pools: s.Pools}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}

	t.Run("the bytes are exact in the end", func(t *testing.T) {
		o := observation()
		o.Transfers = rollout.Known(rollout.Transfers{Total: 4, Verified: 4, Bytes: 5<<20 + 17})
		if got := Of(s, o, waiting(), nil).Images.BytesCopied; got != 5<<20+17 {
			t.Errorf("%d bytes", got)
		}
	})
	t.Run("what cannot be read stays as it was", func(t *testing.T) {
		o := observation()
		o.Plan, o.Pools = rollout.Unknown[rollout.PlanSummary]("x"), rollout.Unknown[[]rollout.Pool]("x")
		after := Of(s, o, waiting(), nil)
		if diff := cmp.Diff(got, v1alpha1.SafeMirrorRolloutStatus{Images: after.Images, Nodes: after.Nodes,
			Pools: after.Pools}); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
	t.Run("nodes of another configuration are not updated", func(t *testing.T) {
		o := observation()
		pools, _ := o.Pools.Get()
		pools[0].Registries = rollout.MatchesBefore
		if got := Of(s, o, waiting(), nil).Nodes.Summary; got != "0/2" {
			t.Errorf("%s nodes", got)
		}
	})
	t.Run("no status counts more pools than it has room for", func(t *testing.T) {
		o := observation()
		var pools []rollout.Pool
		for i := range maxPools + 5 {
			pools = append(pools, rollout.Pool{Name: fmt.Sprint(i), Nodes: []rollout.Node{node("n", "a", "a")}})
		}
		o.Pools = rollout.Known(pools)
		after := Of(s, o, waiting(), nil)
		if len(after.Pools) != maxPools || after.Nodes.Total != maxPools+5 {
			t.Errorf("%d pools, %d nodes", len(after.Pools), after.Nodes.Total)
		}
	})
}

func TestNodesInProgress(t *testing.T) {
	release := &v1alpha1.ReleaseRecord{Pool: "worker", Nodes: []string{"worker-0"}}
	draining := node("worker-1", "earlier", "planned")
	draining.State, draining.DesiredDrain = "Working", "drain-planned"
	cases := map[string]struct {
		nodes   []rollout.Node
		release *v1alpha1.ReleaseRecord
		want    string
	}{
		"none":      {[]rollout.Node{node("worker-0", "a", "a")}, nil, "0  "},
		"its stage": {[]rollout.Node{node("worker-0", "a", "a"), draining}, nil, "1 worker-1 Draining"},
		"its pods": {[]rollout.Node{node("worker-0", "a", "a"), node("worker-1", "a", "a")}, release,
			"1 worker-0 WaitingForPods"},
		"another one comes first": {[]rollout.Node{node("worker-0", "a", "a"), draining}, release,
			"2 worker-1 Draining"},
		"the one of another pool": {[]rollout.Node{node("infra-0", "a", "a")}, release, "0  "},
		"the release has no node": {[]rollout.Node{node("worker-0", "a", "a")},
			&v1alpha1.ReleaseRecord{Pool: "worker"}, "0  "},
		"two of a batch": {[]rollout.Node{draining, node("worker-0", "a", "b")}, release,
			"2 worker-1 Draining"},
		"a node without any state": {[]rollout.Node{{Name: "worker-9"}}, nil, "1 worker-9 Working"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := observation()
			o.Record.Release = c.release
			o.Pools = rollout.Known([]rollout.Pool{{Name: "worker", Nodes: c.nodes}})
			p := Of(v1alpha1.SafeMirrorRolloutStatus{}, o, waiting(), nil).Pools[0]
			if got := fmt.Sprintf("%d %s %s", p.Updating, p.Node, p.NodeState); got != c.want {
				t.Errorf("in progress: %q, want %q", got, c.want)
			}
		})
	}
}

func TestBlockersKeepSince(t *testing.T) {
	before := v1alpha1.SafeMirrorRolloutStatus{Blockers: []v1alpha1.Blocker{
		{Kind: "Node", Name: "worker-1", Message: "drains", Since: at(now.Add(-time.Hour))},
		{Kind: "Node", Name: "gone", Since: at(now.Add(-time.Hour))},
		{Kind: "Deployment", Namespace: "books", Name: "worker-1", Since: at(now.Add(-time.Hour))},
	}}
	d := waiting()
	d.Blockers = append(d.Blockers, rollout.Blocker{Kind: "Deployment", Namespace: "shop", Name: "worker-1",
		Message: "has 2 of 3"})
	want := []v1alpha1.Blocker{
		{Kind: "Action", Name: "Release", Message: "patching: timeout; it is tried again", Since: at(now)},
		{Kind: "Node", Name: "worker-1", Message: "node worker-1 drains", Since: at(now.Add(-time.Hour))},
		{Kind: "Deployment", Namespace: "shop", Name: "worker-1", Message: "has 2 of 3", Since: at(now)},
	}
	if diff := cmp.Diff(want, Of(before, observation(), d, errors.New("patching: timeout")).Blockers); diff != "" {
		t.Errorf("blockers (-want +got):\n%s", diff)
	}
}

func TestBounds(t *testing.T) {
	d := waiting()
	d.Why, d.Blockers = strings.Repeat("ä", 5000), nil
	for i := range maxBlockers + 5 {
		d.Blockers = append(d.Blockers,
			rollout.Blocker{Kind: "Node", Name: fmt.Sprint(i), Message: strings.Repeat("ä", 600+i)})
	}
	s := Of(v1alpha1.SafeMirrorRolloutStatus{}, observation(), d, nil)
	if len(s.Blockers) != maxBlockers {
		t.Errorf("%d blockers, want %d", len(s.Blockers), maxBlockers)
	}
	for _, b := range s.Blockers {
		fits(t, b.Message)
	}
	for _, c := range s.Conditions {
		fits(t, c.Message)
	}
}

func fits(t *testing.T, message string) {
	t.Helper()
	if len(message) > maxMessage || !utf8.ValidString(message) {
		t.Errorf("%d bytes, valid UTF-8: %t", len(message), utf8.ValidString(message))
	}
}

func TestTruncate(t *testing.T) {
	cases := map[string]struct {
		s    string
		most int
		want string
	}{
		"short":                     {"node", 10, "node"},
		"just fits":                 {"0123456789", 10, "0123456789"},
		"too long":                  {"0123456789a", 10, "0123456…"},
		"inside a character":        {"012345ä789", 10, "012345…"},
		"before a character":        {"0123456ä89", 10, "0123456…"},
		"inside a long character":   {"0123😀6789", 10, "0123…"},
		"terminal escapes":          {"\x1b[1m\u202e", 20, `\u001b[1m\u202e`},
		"what is no text":           {"a\xffb", 10, `a\xffb`},
		"what is no text, too long": {"\xff" + strings.Repeat("x", 20), 10, `\xffxxx…`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := truncate(c.s, c.most)
			if got != c.want || len(got) > c.most || !utf8.ValidString(got) {
				t.Errorf("cut to %q, want %q", got, c.want)
			}
		})
	}
}

// The same look and the same decision give the same status, so that nothing is written for nothing.
func TestNoChurn(t *testing.T) {
	taken := waiting()
	taken.Facts = []rollout.Fact{rollout.NodesStarted{Nodes: []string{"worker-1"}, At: now.Add(300 * time.Millisecond)}}
	released := observation()
	released.Record.Release = &v1alpha1.ReleaseRecord{Pool: "worker", IntendedAt: at(now)}
	cases := map[string]struct {
		o       rollout.Observed
		d       rollout.Decision
		failure error
	}{
		"waiting":          {observation(), waiting(), nil},
		"with facts":       {released, taken, nil},
		"an action failed": {observation(), waiting(), errors.New("timeout")},
		"complete":         {observation(), rollout.Decision{Phase: rollout.PhaseComplete, Complete: true}, nil},
		"a long message": {observation(),
			rollout.Decision{Phase: rollout.PhasePlan, Why: strings.Repeat("ü", 3000)}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			first := Of(v1alpha1.SafeMirrorRolloutStatus{}, c.o, c.d, c.failure)
			c.o.Now = now.Add(30 * time.Second)
			second := Of(first, c.o, c.d, c.failure)
			if !equality.Semantic.DeepEqual(first, second) {
				t.Errorf("changed (-first +second):\n%s", cmp.Diff(first, second))
			}
		})
	}
}

// Facts are taken over whatever becomes of the actions: they are intents and what was seen.
func TestRecordAppliesFacts(t *testing.T) {
	d := waiting()
	d.Facts = []rollout.Fact{rollout.ApplyIntended{PlanDigest: "sha256:x"}}
	o := observation()
	o.Record.AppliedPlanHash = "sha256:former"
	if got := Of(v1alpha1.SafeMirrorRolloutStatus{}, o, d,
		errors.New("timeout")).Record.AppliedPlanHash; got != "sha256:x" {
		t.Errorf("applied %q", got)
	}
	if o.Record.AppliedPlanHash != "sha256:former" {
		t.Error("the look has changed")
	}
}

func TestCountIsBounded(t *testing.T) {
	if got := toInt32(1 << 40); got != 1<<31-1 {
		t.Errorf("%d", got)
	}
}

// The pass of a staged rollout is shown, and kept while the mirror sets cannot be read.
func TestPass(t *testing.T) {
	o := observation()
	o.Sets = rollout.Known(rollout.MirrorSets{Pass: v1alpha1.PassEnforce})
	first := Of(v1alpha1.SafeMirrorRolloutStatus{}, o, waiting(), nil)
	o.Sets = rollout.Unknown[rollout.MirrorSets]("timeout")
	second := Of(first, o, waiting(), nil)
	o.Sets = rollout.Known(rollout.MirrorSets{})
	third := Of(second, o, waiting(), nil)
	if diff := cmp.Diff([]v1alpha1.Pass{v1alpha1.PassEnforce, v1alpha1.PassEnforce, ""},
		[]v1alpha1.Pass{first.Pass, second.Pass, third.Pass}); diff != "" {
		t.Errorf("passes (-want +got):\n%s", diff)
	}
}
