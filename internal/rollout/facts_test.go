package rollout

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// What is observed can be stored and decided again.
func TestObservedRoundTrip(t *testing.T) {
	cases := map[string]Observed{
		"a rollout": windowOpen().startsUpdate("worker-0",
			"Degraded").unready(Workload{Kind: "Deployment", Name: "cart", NewestUnreadyAt: now}).build(),
		"nothing is known": {Now: now, Cluster: Unknown[Cluster]("connection refused")},
		"lists are empty":  {Now: now, Pools: Known([]Pool{}), OtherRollouts: Known([]OtherRollout{})},
		"lists are nil": {Now: now, Pools: Known([]Pool(nil)), SpecProblems: Known([]Problem(nil)),
			Workloads: Known([]Workload(nil))},
		"values are zero": {Now: now, Cluster: Known(Cluster{}), Plan: Known(PlanSummary{}),
			Transfers: Known(Transfers{})},
		"everything is new": observed().build(),
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			var got Observed
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(text), string(again)); diff != "" {
				t.Errorf("stored again (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(decided(o), decided(got)); diff != "" {
				t.Errorf("decided again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValueRejectsInvalidJSON(t *testing.T) {
	for _, text := range []string{`[]`, `{"value":{"name":1}}`} {
		var k Value[OtherRollout]
		if err := json.Unmarshal([]byte(text), &k); err == nil {
			t.Errorf("%s was taken for %+v", text, k)
		}
	}
	if _, err := json.Marshal(Known(func() {})); err == nil {
		t.Error("a function was stored")
	}
}

// decided is a Decision in a form in which two can be compared.
func decided(o Observed) string {
	d := Decide(o)
	text, err := json.Marshal(struct {
		Decision Decision
		Actions  []string
		Facts    []string
	}{d, keys(d.Actions), factNames(d.Facts)})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestFacts(t *testing.T) {
	start := v1alpha1.Record{
		StartedAt: apiTime(began),
		Pools:     []v1alpha1.PoolRecord{{Name: "worker", MaxUnavailable: "10%"}},
		Release:   &v1alpha1.ReleaseRecord{Pool: "worker", IntendedAt: *apiTime(began)},
	}
	with := func(change func(r *v1alpha1.Record)) v1alpha1.Record {
		r := *start.DeepCopy()
		change(&r)
		return r
	}
	cases := map[string]struct {
		fact Fact
		want v1alpha1.Record
	}{
		"a start is kept": {RolloutStarted{At: now}, start},
		"a pool is added": {PoolAdded{Pool: v1alpha1.PoolRecord{Name: "infra"}}, with(func(r *v1alpha1.Record) {
			r.Pools = []v1alpha1.PoolRecord{{Name: "infra"}, {Name: "worker", MaxUnavailable: "10%"}}
		})},
		"a pool's record is kept": {PoolAdded{Pool: v1alpha1.PoolRecord{Name: "worker", Paused: true}}, start},
		"a pool is reclaimed": {PoolReclaimed{v1alpha1.PoolRecord{Name: "worker", MaxUnavailable: "2"}},
			with(func(r *v1alpha1.Record) {
				r.Pools[0].MaxUnavailable = "2"
			})},
		"a pool that is unknown is not reclaimed": {PoolReclaimed{v1alpha1.PoolRecord{Name: "infra"}}, start},
		"an intent to apply": {ApplyIntended{PlanDigest: "sha256:x"},
			with(func(r *v1alpha1.Record) { r.AppliedPlanHash = "sha256:x" })},
		"an intent to release": {ReleaseIntended{v1alpha1.ReleaseRecord{Pool: "infra"}}, with(func(r *v1alpha1.Record) {
			r.Release = &v1alpha1.ReleaseRecord{Pool: "infra"}
		})},
		"a node": {NodesStarted{Nodes: []string{"worker-0"}, At: now.Add(time.Millisecond)},
			with(func(r *v1alpha1.Record) {
				r.Release.Nodes, r.Release.UpdateStartedAt = []string{"worker-0"}, &metav1.Time{Time: now}
			})},
		"the end of a release": {ReleaseEnded{}, with(func(r *v1alpha1.Record) { r.Release = nil })},
		"a pool is restored": {PoolRestored{"worker"},
			with(func(r *v1alpha1.Record) { r.Pools[0].Restored = true })},
		"an unknown pool is not": {PoolRestored{"infra"}, start},
		"the end": {RolloutCompleted{At: now, Generation: 3, SpecHash: "s"}, with(func(r *v1alpha1.Record) {
			r.CompletedAt, r.CompletedGeneration, r.CompletedSpecHash, r.Release = apiTime(now), 3, "s", nil
		})},
		"an intent to write twice": {ApplyIntended{PlanDigest: "sha256:x",
			Writing: &v1alpha1.PendingWriteRecord{TargetHash: "new"}}, with(func(r *v1alpha1.Record) {
			r.AppliedPlanHash, r.PendingWrite = "sha256:x", &v1alpha1.PendingWriteRecord{TargetHash: "new"}
		})},
		"it is written": {MirrorSetsWritten{}, start},
		"a pass": {PassStarted{Pass: v1alpha1.PassAllow, ListsHash: "l"}, with(func(r *v1alpha1.Record) {
			r.Pass, r.Stages = &v1alpha1.PassRecord{Pass: v1alpha1.PassAllow, MirrorsHash: "l"}, nil
		})},
		"a policy": {PolicyIntended{Prior: userPolicy, At: now}, with(func(r *v1alpha1.Record) {
			r.NodeDisruptionPolicy = &v1alpha1.NodeDisruptionPolicyRecord{Previous: userPolicy,
				Since: metav1.NewTime(now)}
		})},
		"no policy is restored": {PolicyRestored{}, start},
		"the start of another":  {RolloutRestarted{}, v1alpha1.Record{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := *start.DeepCopy()
			got := Apply(start, []Fact{c.fact})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, Apply(got, []Fact{c.fact})); diff != "" {
				t.Errorf("applied twice (-once +twice):\n%s", diff)
			}
			if diff := cmp.Diff(before, start); diff != "" {
				t.Errorf("the record that was given has changed (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a node is noted once, with the time of the first", func(t *testing.T) {
		got := Apply(start, []Fact{
			NodesStarted{Nodes: []string{"worker-0"}, At: now},
			NodesStarted{Nodes: []string{"worker-0", "worker-1"}, At: now.Add(time.Minute)},
		})
		if diff := cmp.Diff([]string{"worker-0", "worker-1"}, got.Release.Nodes); diff != "" ||
			!got.Release.UpdateStartedAt.Time.Equal(now) {
			t.Errorf("taken at %s; nodes (-want +got):\n%s", got.Release.UpdateStartedAt, diff)
		}
	})
}

// A node is at rest on what it runs only when it says so itself.
func TestNodes(t *testing.T) {
	rest := Node{CurrentConfig: "a", DesiredConfig: "a", State: stateDone, Ready: true}
	change := func(change func(*Node)) Node {
		n := rest
		change(&n)
		return n
	}
	type answers struct{ Done, Available, OnA, OnB bool }
	cases := map[string]struct {
		node Node
		want answers
	}{
		"at rest":               {rest, answers{Done: true, Available: true, OnA: true}},
		"down":                  {change(func(n *Node) { n.Ready = false }), answers{Done: true, OnA: true}},
		"cordoned":              {change(func(n *Node) { n.Unschedulable = true }), answers{Done: true, OnA: true}},
		"told to run another":   {change(func(n *Node) { n.DesiredConfig = "b" }), answers{}},
		"at work, not moved":    {change(func(n *Node) { n.State = "Working" }), answers{}},
		"degraded":              {change(func(n *Node) { n.State = "Degraded" }), answers{}},
		"without a state":       {change(func(n *Node) { n.State = "" }), answers{}},
		"without configuration": {change(func(n *Node) { n.CurrentConfig, n.DesiredConfig = "", "" }), answers{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := c.node
			if diff := cmp.Diff(c.want, answers{n.done(), n.available(), n.runs("a"), n.runs("b")}); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

// Only what may take capacity away or switch pulls is disruptive; keys tell actions apart.
func TestActions(t *testing.T) {
	disruptive := map[string]bool{}
	for _, a := range []Action{
		EnsureFinalizer{}, RemoveFinalizer{}, EnsureTransfers{PlanDigest: "p"}, EnsurePullChecks{PlanDigest: "p"},
		EnsureCanaryPulls{PlanDigest: "p"}, EnsureCanaryPulls{CleanUp: true}, PausePool{Pool: "worker"},
		ApplyMirrorSets{PlanDigest: "p"},
		ReleaseNodes{Pool: "worker"}, RestorePool{Pool: "worker"}, FinishMirrorSets{}, EnsurePolicy{}, RestorePolicy{},
	} {
		disruptive[a.Key()] = a.Disruptive()
	}
	want := map[string]bool{
		"ensure-finalizer": false, "remove-finalizer": false, "ensure-transfers/p": false, "ensure-probes/p": false,
		"ensure-canary/p": false, "sweep-canary": false, "pause-pool/worker": false,
		"apply-mirror-sets/p": true, "release-one/worker": true, "restore-pool/worker": true,
		"finish-mirror-sets": true, "ensure-policy": true, "restore-policy": true,
	}
	if diff := cmp.Diff(want, disruptive); diff != "" {
		t.Errorf("disruptive (-want +got):\n%s", diff)
	}
}

// The time of the next look is never in the past, and never later than a minute from now (I7).
func TestRecheckInterval(t *testing.T) {
	cases := map[string]struct {
		d    Decision
		want time.Time
	}{
		"none":             {Decision{}, now.Add(maxRecheckInterval)},
		"soon":             {Decision{RecheckAt: now.Add(time.Second)}, now.Add(time.Second)},
		"past":             {Decision{RecheckAt: now.Add(-time.Second)}, now},
		"far":              {Decision{RecheckAt: now.Add(time.Hour)}, now.Add(maxRecheckInterval)},
		"none, at the end": {Decision{Complete: true}, time.Time{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := recheck(c.d, now); !got.Equal(c.want) {
				t.Errorf("at %s, want %s", got, c.want)
			}
		})
	}
}

// What is complete, and only that, needs no look at pools, images and workloads.
func TestEnded(t *testing.T) {
	cases := map[string]struct {
		b    *builder
		want bool
	}{
		"in progress":             {observed().rendered(), false},
		"in progress, deleted":    {observed().rendered().deleting(), false},
		"complete":                {observed().completed(), true},
		"complete, deleted":       {observed().completed().deleting(), true},
		"complete, and spec anew": {observed().completed().with(func(o *Observed) { o.Rollout.SpecHash = "spec-2" }), false},
		"complete, with a request that asks for nothing more": {observed().completed().with(withRequest(v1alpha1.RequestApprove)), true},
		"complete, and asked to roll back":                    {observed().completed().with(withRequest(v1alpha1.RequestRollback)), false},
		"complete, deleted, and to roll back for it":          {observed().completed().deleting().with(func(o *Observed) { o.Rollout.RollbackOnDelete = true }), false},
		"rolled back": {observed().completed().with(withRequest(v1alpha1.RequestRollback)).with(rollbackOnRecord), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Ended(c.b.o.Record, c.b.o.Rollout); got != c.want {
				t.Errorf("ended: %t, want %t", got, c.want)
			}
		})
	}
}
