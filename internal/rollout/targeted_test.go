package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// TestTargeted: the intent names the nodes, the pool stays paused, and its pause record tells of
// the release before a node is told.
func TestTargeted(t *testing.T) {
	d := check(t, observed().rendered().done("worker-0").done("master-0", "master-1",
		"master-2").with(targetedMechanism).build(), want{phase: PhaseRelease,
		reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"},
		says: []string{"about to release node worker-1"}})
	if diff := cmp.Diff([]string{"worker-1"}, fact[ReleaseIntended](t, d).Release.TargetNodes); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	d = check(t, concurrent(2).releaseIntended("worker").targetsOnRecord("worker-0", "worker-2").build(),
		want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			actions: []string{"target-nodes/worker"},
			says:    []string{"nodes worker-0 and worker-2 of pool worker, which stays paused"}})
	got := action[TargetNodes](t, d)
	ledger := newPauseRecord(concurrent(2).build(), *poolRecord(concurrent(2).build().Record, "worker"))
	ledger.Release = &UnpauseWindow{
		IntendedAt: now.Add(-10 * time.Second), Deadline: now.Add(-10 * time.Second),
		Target: renderedName("worker", planned),
		Size:   2, Nodes: []string{"worker-0", "worker-2"}, Closed: true,
	}
	if diff := cmp.Diff(TargetNodes{Pool: "worker", Target: renderedName("worker", planned),
		Nodes: []string{"worker-0", "worker-2"}, Record: ledger}, got); diff != "" {
		t.Errorf("action (-want +got):\n%s", diff)
	}
}

func TestTargetsAreCheckedAgain(t *testing.T) {
	one := func() *builder { return observed().rendered().releaseIntended("worker").targetsOnRecord("worker-0") }
	two := func() *builder {
		return concurrent(2).releaseIntended("worker").targetsOnRecord("worker-0", "worker-1")
	}
	again := want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseEnded"}}
	tell := want{reason: v1alpha1.ReasonProgressing, actions: []string{"target-nodes/worker"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"nothing has changed": {one().build(), tell},
		"the pause record was written before": {one().targets("worker").node("worker-0",
			func(n *Node) { n.DesiredConfig = n.CurrentConfig }).build(), tell},
		"it is gone": {one().without("worker-0").build(), again},
		"it has the target": {one().done("worker-0").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-0"}}},
		"it has taken it": {one().targets("worker").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-0"}}},
		"of two the first has": {two().targets("worker").node("worker-1",
			func(n *Node) { n.DesiredConfig = n.CurrentConfig }).build(), want{reason: v1alpha1.ReasonProgressing,
			facts: []string{"NodesStarted worker-0"}}},
		"of two both have": {two().targets("worker").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-0 worker-1"}}},
		"the second comes late": {two().targets("worker").followed("worker-0").build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"NodesStarted worker-1"}}},
		"it was down at the start, came back and is down again": {one().down("worker-0").with(func(o *Observed) {
			o.Record.Pools[1].Unavailable = []string{"worker-0"}
		}).build(), again},
		"it went down": {one().down("worker-0").build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-0"}}},
		"fewer are allowed than before": {two().with(func(o *Observed) { o.Record.Pools[1].MaxUnavailable = "1" }).build(), again},
		"the pool was unpaused by somebody": {one().eachPool(func(p *Pool) { p.Paused = false }, "worker").build(),
			want{reason: v1alpha1.ReasonWaiting, actions: []string{"pause-pool/worker"},
				blockers: []string{"MachineConfigPool worker"}}},
		"the user holds the rollout": {one().held().build(),
			want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}}},
		"another pool is not held": {one().eachPool(func(p *Pool) { p.ObservedGeneration-- },
			"master").build(), want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool master"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.want.phase == "" {
				c.want.phase = PhaseRelease
			}
			check(t, c.o, c.want)
		})
	}
}

// A record that is lost is made up for by the pause record: the nodes that were told are followed.
func TestUnrecordedTargetedRelease(t *testing.T) {
	b := concurrent(2).releaseIntended("worker").targetsOnRecord("worker-0", "worker-1").targets("worker")
	b.o.Record.Release = nil
	d := check(t, b.build(), want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
		facts: []string{"ReleaseIntended worker"}})
	if diff := cmp.Diff([]string{"worker-0", "worker-1"}, fact[ReleaseIntended](t, d).Release.TargetNodes); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestControlPlaneReady(t *testing.T) {
	rolling := Problem{Reason: v1alpha1.ReasonWaiting, Kind: "ClusterOperator", Name: "etcd",
		Message: "ClusterOperator etcd is Progressing", Transient: true}
	broken := Problem{Reason: v1alpha1.ReasonWaiting, Kind: "ClusterOperator", Name: "kube-apiserver",
		Message: "ClusterOperator kube-apiserver is Degraded"}
	masters := func() *builder { return observed().rendered().done("worker-0") }
	said := func(list ...Problem) func(*Observed) { return func(o *Observed) { o.ControlPlane = Known(list) } }
	intent := want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended master"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"it is": {masters().build(), intent},
		"an operator rolls": {masters().with(said(rolling)).build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"ClusterOperator etcd"},
				says: []string{"etcd is Progressing"}}},
		"after the intent, too": {masters().releaseIntended("master").with(said(broken)).build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"ClusterOperator kube-apiserver"}}},
		"nobody knows": {masters().with(func(o *Observed) { o.ControlPlane = Unknown[[]Problem]("no answer") }).build(),
			want{reason: v1alpha1.ReasonUnreadable, blockers: []string{"ClusterOperator ClusterOperator"}}},
		"workers do not wait for it": {observed().rendered().with(said(rolling, broken)).build(),
			want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}},
		"rolling back waits for a roll": {masters().with(rollbackOnRecord).with(said(rolling, broken)).build(),
			want{reason: v1alpha1.ReasonWaiting, blockers: []string{"ClusterOperator etcd"}}},
		"and not for what is broken":  {masters().with(rollbackOnRecord).with(said(broken)).build(), intent},
		"arbiters come after masters": {arbiters().done("worker-0").build(), intent},
		"and belong to control planes": {arbiters().done("worker-0", "master-0", "master-1",
			"master-2").with(said(rolling)).build(), want{reason: v1alpha1.ReasonWaiting,
			blockers: []string{"ClusterOperator etcd"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
}

// arbiters is a control plane of masters and an arbiter, whose pool comes first by name.
func arbiters() *builder {
	b := observed()
	pools, _ := b.o.Pools.Get()
	arbiter := somePool("arbiter", 1)
	arbiter.ControlPlane = true
	b.o.Pools = Known(append([]Pool{arbiter}, pools...))
	return b.rendered()
}

// R9: the leader hands over before its own node is drained, where somebody else can lead.
func TestStepDown(t *testing.T) {
	self := func(node string, standby ...string) func(*Observed) {
		return func(o *Observed) { o.Operator = OperatorReplicas{LeaderNode: node, StandbyNodes: standby} }
	}
	last := func() *builder {
		return observed().rendered().done("worker-0", "worker-1", "master-0", "master-1", "master-2")
	}
	goOn := want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}
	down := want{reason: v1alpha1.ReasonProgressing, actions: []string{"step-down/worker-2"},
		says: []string{"the replica on node master-0 takes over first"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"it is elsewhere":      {last().with(self("master-0", "worker-2")).build(), goOn},
		"its node is the next": {last().with(self("worker-2", "master-0")).build(), down},
		"its node is the last target": {last().with(targetedMechanism).with(self("worker-2",
			"master-0")).build(), down},
		"another target goes first": {observed().rendered().with(targetedMechanism).with(self("worker-0",
			"master-0")).build(), goOn},
		"it is alone":                      {last().with(self("worker-2")).build(), goOn},
		"the others are on that node, too": {last().with(self("worker-2", "worker-2")).build(), goOn},
		"nobody knows where it is":         {last().build(), goOn},
		"the MCO may choose either's: no war": {observed().rendered().with(self("worker-2",
			"worker-0")).build(), goOn},
		"after the intent it is seen to the end": {last().with(self("worker-2",
			"master-0")).releaseIntended("worker").build(), want{reason: v1alpha1.ReasonProgressing,
			actions: []string{"release-one/worker"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
}

// R1: a pool is opened only while somebody would pause it again should the leader die. Where there
// is one replica, that is a choice.
func TestNoStandby(t *testing.T) {
	self := func(replicas int, standby ...string) func(*Observed) {
		return func(o *Observed) {
			o.Operator = OperatorReplicas{Replicas: replicas, LeaderNode: "master-0", StandbyNodes: standby}
		}
	}
	begun := func() *builder { return observed().rendered() }
	goOn := want{reason: v1alpha1.ReasonProgressing, facts: []string{"ReleaseIntended worker"}}
	open := want{reason: v1alpha1.ReasonProgressing, actions: []string{"release-one/worker"}}
	held := want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"}, says: []string{
		"of 2 replicas of the operator none is ready but the leader on node master-0",
		"scale the operator to one replica", "Targeted"}}
	unreadable := func(o *Observed) { o.Operator = OperatorReplicas{Unreadable: "connection refused"} }
	unknown := want{reason: v1alpha1.ReasonWaiting, blockers: []string{"MachineConfigPool worker"},
		says: []string{"the operator's own pods cannot be read", "connection refused"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"another is ready":              {begun().with(self(2, "master-1")).build(), goOn},
		"none is ready":                 {begun().with(self(2)).build(), held},
		"none is ready, and the intent": {begun().with(self(2)).releaseIntended("worker").build(), held},
		"ready again, and the intent":   {begun().with(self(2, "master-1")).releaseIntended("worker").build(), open},
		"there is one":                  {begun().with(self(1)).build(), goOn},
		"by name nothing is opened":     {begun().with(targetedMechanism).with(self(2)).build(), goOn},
		"there is no election":          {begun().with(func(o *Observed) { o.Operator = OperatorReplicas{} }).build(), goOn},
		"unreadable":                    {begun().with(unreadable).build(), unknown},
		"unreadable, and by name":       {begun().with(targetedMechanism).with(unreadable).build(), unknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.want.phase = PhaseRelease
			check(t, c.o, c.want)
		})
	}
}

// What adds or removes nodes by itself is told, and forbids nothing.
func TestWarnings(t *testing.T) {
	d := Decide(observed().with(func(o *Observed) {
		o.Cluster = Known(Cluster{Warnings: []string{"MachineHealthCheck x deletes nodes"}})
	}).build())
	if got := d.PhaseResults[0].Message; got != "nothing forbids the rollout; mind that MachineHealthCheck x deletes nodes" || !d.PhaseResults[0].Done {
		t.Errorf("preflight says %q, done %t", got, d.PhaseResults[0].Done)
	}
}

func TestNewNodeMessage(t *testing.T) {
	o := observed().rendered().down("worker-1").node("worker-1",
		func(n *Node) { n.Created = now.Add(-time.Minute) }).build()
	check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"},
		says: []string{"is new since 2026-03-01T11:59:00Z and is NotReady"}})
}
