package rollout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestPolicyBeforeTheMirrorSets(t *testing.T) {
	const machineConfiguration = "MachineConfiguration cluster"
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"what was there before comes first (I4)": {
			o:    observed().paused().reloads().build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PolicyIntended"}},
		},
		"then ours": {
			o:    observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) { *p = NodeDisruptionPolicy{Entry: userPolicy, Effective: "Drain"} }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"ensure-policy"}},
		},
		"the user has changed his since it was recorded": {
			o:    observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) { *p = NodeDisruptionPolicy{Entry: "other", Effective: "Reboot"} }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PolicyIntended"}},
		},
		"the policy record was taken off": {
			o:    observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) { p.Record = nil }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, actions: []string{"ensure-policy"}},
		},
		"the policy record was taken off, and a pool is open": {
			o: windowOpen().policyInstalled().policy(func(p *NodeDisruptionPolicy) { *p = NodeDisruptionPolicy{Entry: userPolicy, Effective: "Drain"} }).build(),
			want: want{reason: v1alpha1.ReasonWaiting, actions: []string{"pause-pool/worker"},
				blockers: []string{"MachineConfigPool worker"}, says: []string{"is not paused"}},
		},
		"the record was lost": {
			o:    observed().paused().policyInstalled().with(func(o *Observed) { o.Record.NodeDisruptionPolicy = nil }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PolicyIntended"}},
		},
		"the MCO has not seen it": {
			o: observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) { p.ObservedGeneration-- }).build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{machineConfiguration},
				says: []string{"generation 4, observed 3"}},
		},
		"it is not in effect": {
			o: observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) {
				p.Reloads,
					p.Effective = false, "Drain"
			}).build(),
			want: want{reason: v1alpha1.ReasonWaiting, blockers: []string{machineConfiguration},
				says: []string{"means Drain"}},
		},
		"somebody has changed ours": {
			o: observed().rendered().policyInstalled().policy(func(p *NodeDisruptionPolicy) {
				p.Ours, p.Reloads, p.Effective, p.ChangedBy = false, false, "Reboot", "argocd"
			}).build(),
			want: want{reason: v1alpha1.ReasonReloadImpossible, stalled: true, blockers: []string{machineConfiguration},
				says: []string{`"argocd"`, "means Reboot", "Drain"}},
		},
		"it cannot be read": {
			o: observed().rendered().policyInstalled().with(func(o *Observed) { o.NodeDisruptionPolicy = Unknown[NodeDisruptionPolicy]("timeout") }).build(),
			want: want{phase: PhasePreflight, reason: v1alpha1.ReasonUnreadable,
				blockers: []string{"MachineConfiguration MachineConfiguration"}},
		},
		"held": {
			o:    observed().paused().reloads().held().build(),
			want: want{reason: v1alpha1.ReasonHeld, blockers: []string{"SafeMirrorRollout shop"}},
		},
		"in effect": {
			o:    observed().paused().policyInstalled().build(),
			want: want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}},
		},
		"the cluster's own does": {
			o:    observed().paused().reloads().policy(func(p *NodeDisruptionPolicy) { p.Reloads = true }).build(),
			want: want{phase: PhaseApply, reason: v1alpha1.ReasonProgressing, facts: []string{"ApplyIntended"}},
		},
		"the spec does not want it any more": {
			o:    observed().rendered().policyInstalled().with(func(o *Observed) { o.Rollout.Reload = false }).build(),
			want: want{reason: v1alpha1.ReasonProgressing, facts: []string{"PolicyRestored"}},
		},
		"the spec does not want it any more, and a node is updating": {
			o: windowOpen().policyInstalled().with(func(o *Observed) { o.Rollout.Reload = false }).startsUpdate("worker-0", "Targeted").repaused("worker").build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
				facts: []string{"NodesStarted worker-0"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.want.phase == "" {
				c.want.phase = PhasePolicy
			}
			check(t, c.o, c.want)
		})
	}
}

func TestReloadUnsupported(t *testing.T) {
	cases := map[string]struct {
		change func(*NodeDisruptionPolicy)
		says   string
	}{
		"an older MCO": {func(p *NodeDisruptionPolicy) { p.Unsupported = "4.16 does not" },
			"4.16 does not"},
		"another rollout has its note": {func(p *NodeDisruptionPolicy) { p.ForeignOwner = "books" }, "(books)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := want{phase: PhasePreflight, reason: v1alpha1.ReasonReloadImpossible, stalled: true,
				blockers: []string{"MachineConfiguration cluster"}, says: []string{c.says}}
			check(t, observed().reloads().policy(c.change).build(), w)
			w.stalled = false // what is half done is not improved by giving up
			check(t, observed().paused().reloads().policy(c.change).build(), w)
			check(t, observed().reloads().policy(c.change).with(func(o *Observed) { o.Rollout.Reload = false }).build(),
				want{phase: PhaseMirror, reason: v1alpha1.ReasonProgressing,
					actions: []string{"ensure-transfers/" + planDigest}})
		})
	}
}

// In every ending the previous policy is restored, before the pools are, and never while a node
// is on its way.
func TestPolicyIsRestored(t *testing.T) {
	restored := func(o *Observed) { o.Record.NodeDisruptionPolicy.Restored = true }
	step := func(phase Phase) map[string]want {
		return map[string]want{
			"fact": {phase: phase, reason: v1alpha1.ReasonProgressing, facts: []string{"PolicyRestored"}},
			"act":  {phase: phase, reason: v1alpha1.ReasonProgressing, actions: []string{"restore-policy"}},
		}
	}
	endings := map[string]func() *builder{
		"every node is done":                       func() *builder { return observed().updated().policyInstalled() },
		"deleted before the mirror sets are there": func() *builder { return observed().paused().policyInstalled().deleting() },
		"aborted before the mirror sets are there": func() *builder {
			return observed().paused().policyInstalled().sets(SetNotWanted,
				SetNotWanted).with(func(o *Observed) { rollbackOnRecord(o) })
		},
		"somebody has put an old copy back after the end": func() *builder { return observed().completed().policyInstalled() },
		"deleted after the end":                           func() *builder { return observed().completed().policyInstalled().deleting() },
		"somebody else has changed it since": func() *builder {
			return observed().updated().policyInstalled().policy(func(p *NodeDisruptionPolicy) {
				p.Ours,
					p.Entry = false, "other"
			})
		},
	}
	for name, b := range endings {
		t.Run(name, func(t *testing.T) {
			w := step(PhaseRestore)
			if strings.HasPrefix(name, "somebody else") { // no node is left to be released, so nothing holds
				w["act"] = want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing,
					actions: []string{"restore-policy"}, says: []string{"it stays"}}
			}
			check(t, b().build(), w["fact"])
			d := check(t, b().with(restored).build(), w["act"])
			if diff := cmp.Diff(RestorePolicy{Prior: userPolicy}, action[RestorePolicy](t, d)); diff != "" {
				t.Errorf("action (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("not while a node is on its way", func(t *testing.T) {
		o := observed().completed().policyInstalled().deleting().startsUpdate("worker-1", "Draining").node("worker-1",
			func(n *Node) { n.CurrentConfig = "rendered-worker-earlier" }).build()
		check(t, o, want{phase: PhaseRestore, reason: v1alpha1.ReasonWaiting, blockers: []string{"Node worker-1"},
			says: []string{"it would be drained"}})
	})
	t.Run("not before the pools that are waited for are done", func(t *testing.T) {
		o := observed().rendered().policyInstalled().done("master-0", "master-1", "master-2", "worker-0",
			"worker-1").down("worker-2").build()
		o.Record.Pools = nil
		o.Record.Pools = append(o.Record.Pools, v1alpha1.PoolRecord{Name: "master"},
			v1alpha1.PoolRecord{Name: "worker", Unavailable: []string{"worker-2"}})
		check(t, o, want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolRestored master"}})
	})
	t.Run("then the pools", func(t *testing.T) {
		o := observed().updated().policyInstalled().with(restored).policy(func(p *NodeDisruptionPolicy) {
			p.Record,
				p.Ours, p.Reloads, p.Entry = nil, false, false, userPolicy
		}).build()
		check(t, o, want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing,
			facts: []string{"PoolRestored master"}})
	})
}

// A pool that is open when its nodes would be drained is closed.
func TestPoolIsRepausedWhenPolicyIsLost(t *testing.T) {
	o := windowOpen().policyInstalled().policy(func(p *NodeDisruptionPolicy) {
		p.Ours, p.Reloads = false,
			false
	}).build()
	check(t, o, want{phase: PhasePolicy, reason: v1alpha1.ReasonReloadImpossible, stalled: true,
		actions:  []string{"pause-pool/worker"},
		blockers: []string{"MachineConfiguration cluster"}})
}

func TestPolicyRecordHasUndo(t *testing.T) {
	o := observed().paused().policyInstalled().policy(func(p *NodeDisruptionPolicy) { *p = NodeDisruptionPolicy{Entry: userPolicy} }).build()
	l := action[EnsurePolicy](t, Decide(o)).Record
	for _, part := range []string{userPolicy, "oc edit machineconfiguration cluster", "no node is on its way",
		"safemirror.io/node-disruption-policy-record"} {
		if !strings.Contains(l.Undo, part) {
			t.Errorf("nothing says %q: %s", part, l.Undo)
		}
	}
	if l.Rollout != "shop" || l.UID != "uid-shop" || !l.Since.Equal(began) || !strings.Contains(l.Why, "Reload") {
		t.Errorf("policy record %+v", l)
	}
	if undo := policyUndoText(""); !strings.Contains(undo, "remove the entry") {
		t.Errorf("undo of none: %s", undo)
	}
}
