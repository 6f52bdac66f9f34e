package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// TestNextRemedy has, for each remedy, what it needs and what it lacks. What is begun is a fact;
// nothing is done in the same decision.
func TestNextRemedy(t *testing.T) {
	helped := func(r v1alpha1.RemedyRecord) v1alpha1.RemedyRecord {
		r.Outcome = v1alpha1.OutcomeHelped
		return r
	}
	failed := func(r v1alpha1.RemedyRecord) v1alpha1.RemedyRecord {
		r.Outcome = v1alpha1.OutcomeImpossible
		return r
	}
	// exhausted: the pulls were proven again in vain, so that the remedies that disturb come into
	// view.
	exhausted := func() *builder {
		return blockedDrain().remedyOnRecord(failed(mirrorRecord), 40*time.Second, v1alpha1.RemedyEnded, nil)
	}
	cases := map[string]struct {
		b       *builder
		facts   []string
		stalled bool
		says    []string
	}{
		"the pull of a second ago is waited for": {b: blockedDrain().blockedDrain(func(blocked *BlockedDrain) { blocked.Since = now.Add(-time.Second) })},
		"what passes by itself is left alone":    {b: blockedDrain().blockedDrain(func(blocked *BlockedDrain) { blocked.Reason, blocked.Since = DrainBlockMigrating, began })},
		"a node that is drained and not followed is taken up": {b: blockedDrain().startsUpdate("worker-1",
			"Working").with(func(o *Observed) { o.Record.Release.Nodes = []string{"worker-2"} }),
			facts: []string{"NodesStarted worker-1"}},
		"a node that is drained, and its pods do not come back": {b: blockedDrain().startsUpdate("worker-1", "Working"),
			facts: []string{"RemedyStarted MirrorMissingImages Image " + routerImage}},
		"nothing is disturbed for them": {b: exhausted().startsUpdate("worker-1",
			"Working").candidates(cordonCandidate)},
		"nothing has begun": {b: blockedDrain().with(func(o *Observed) { o.Record.StartedAt = nil }),
			facts: []string{"RolloutStarted"}},
		"what is in the way is unknown": {b: blockedDrain().with(func(o *Observed) { o.BlockedDrains = Unknown[[]BlockedDrain]("x") })},

		"first the mirror": {b: blockedDrain(),
			facts: []string{"RemedyStarted MirrorMissingImages Image " + routerImage}},
		"then the pod, once its image was proven": {
			b: blockedDrain().provenAgo(20*time.Second).remedyOnRecord(helped(mirrorRecord), 30*time.Second,
				v1alpha1.RemedyEnded, nil),
			facts: []string{"RemedyStarted RestartFailingPods Pod router-x"},
		},
		"no pod for an image whose proof is older than the trouble": {
			b: exhausted().provenAgo(50*time.Second).remediesEnabled(v1alpha1.MirrorMissingImages,
				v1alpha1.RestartFailingPods),
			stalled: true, says: []string{"was not proven since", "MirrorMissingImages: was tried once",
				"Relocate is Disabled"},
		},
		"no pod that has run": {
			b: blockedDrain().provenAgo(20*time.Second).remedyOnRecord(helped(mirrorRecord), 30*time.Second,
				v1alpha1.RemedyEnded, nil).
				blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].NeverStarted = false }).remediesEnabled(v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods),
			stalled: true, says: []string{"pod openshift-ingress/router-x has a container that has run, or nobody who would replace it"},
		},
		"no pod that nobody replaces": {
			b: blockedDrain().provenAgo(20*time.Second).remedyOnRecord(helped(mirrorRecord), 30*time.Second,
				v1alpha1.RemedyEnded, nil).
				blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].Owner = "" }).remediesEnabled(v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods),
			stalled: true, says: []string{"nobody who would replace it"},
		},
		"a pod that was restarted is given time": {
			b: blockedDrain().provenAgo(20*time.Second).remedyOnRecord(helped(mirrorRecord), 30*time.Second,
				v1alpha1.RemedyEnded, nil).
				remedyOnRecord(helped(podRestartRecord), 15*time.Second, v1alpha1.RemedyEnded,
					nil).candidates(cordonCandidate),
			says: []string{"the last remedy is given until 2026-03-01T12:00:45Z to help"},
		},
		"and after that the next remedy comes": {
			b: blockedDrain().provenAgo(80*time.Second).remedyOnRecord(helped(mirrorRecord), 90*time.Second,
				v1alpha1.RemedyEnded, nil).
				remedyOnRecord(helped(podRestartRecord), 75*time.Second, v1alpha1.RemedyEnded,
					nil).candidates(cordonCandidate),
			facts: []string{"RemedyStarted Relocate Node worker-0"},
		},
		"an authority that nodes lack": {
			b:     exhausted().blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].Pulls[0].Cause = PullUntrusted }).candidates(trustCandidate, cordonCandidate),
			facts: []string{"RemedyStarted TrustMirrorCA ConfigMap user-ca"},
		},
		"no authority where it is not distrust": {b: exhausted().candidates(trustCandidate, cordonCandidate),
			facts: []string{"RemedyStarted Relocate Node worker-0"}},
		"no authority where somebody else's is": {
			b: exhausted().remediesEnabled(v1alpha1.TrustMirrorCA).blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].Pulls[0].Cause = PullUntrusted }).
				candidates(RemedyCandidate{Node: "worker-1", Action: v1alpha1.TrustMirrorCA, Kind: "ConfigMap",
					Name: "user-ca", Refusal: "there are certificates for it already"}),
			stalled: true, says: []string{"TrustMirrorCA: there are certificates for it already"},
		},
		"elsewhere": {b: exhausted().candidates(cordonCandidate),
			facts: []string{"RemedyStarted Relocate Node worker-0"}},
		"elsewhere, and there is no other node": {
			b: exhausted().remediesEnabled(v1alpha1.Relocate).candidates(RemedyCandidate{Node: "worker-1",
				Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0"}),
			stalled: true, says: []string{"no other node has the image"},
		},
		"elsewhere, and the role is not bound": {
			b: exhausted().remediesEnabled(v1alpha1.Relocate).candidates(RemedyCandidate{Node: "worker-1",
				Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0", FeasibleNodes: 1,
				Refusal: "the operator may not patch nodes: bind the ClusterRole safe-mirror-remediation"}),
			stalled: true, says: []string{"safe-mirror-remediation"},
		},
		"elsewhere, once only": {
			b:       exhausted().remediesEnabled(v1alpha1.Relocate).candidates(cordonCandidate).remedyOnRecord(cordonRecord, 30*time.Second, v1alpha1.RemedyEnded, nil),
			stalled: true, says: []string{"Relocate: was tried once"},
		},
		"a cordon in effect, and its pod": {
			b: exhausted().candidates(cordonCandidate).remedyOnRecord(cordonRecord, 10*time.Second,
				v1alpha1.RemedyTaken, &RemedyObject{Value: Cordoned, HasNote: true, Ours: true}),
			facts: []string{"RemedyStarted Relocate Pod router-x"},
		},
		"nothing that disturbs while the user holds": {
			b: exhausted().candidates(cordonCandidate).held(), stalled: true,
			says: []string{"Relocate: spec.state is Held"},
		},
		"the mirror even then": {b: blockedDrain().held(),
			facts: []string{"RemedyStarted MirrorMissingImages Image " + routerImage}},
		"more routers": {b: exhausted().candidates(scaleCandidate),
			facts: []string{"RemedyStarted ScaleIngress IngressController default"}},
		"more routers, and no nodes for them": {
			b: exhausted().remediesEnabled(v1alpha1.ScaleIngress).candidates(RemedyCandidate{Node: "worker-1",
				Action: v1alpha1.ScaleIngress, Kind: "IngressController", Name: "default", Value: "3",
				FeasibleNodes: 1}),
			stalled: true, says: []string{"2 more replicas would be needed, and they could start on 1 nodes"},
		},
		"more routers, and a pipeline sets their number": {
			b: exhausted().remediesEnabled(v1alpha1.ScaleIngress).candidates(RemedyCandidate{Node: "worker-1",
				Action: v1alpha1.ScaleIngress, Kind: "IngressController", Name: "default", Value: "3", FeasibleNodes: 2,
				Refusal: `the number of replicas of IngressController default is "argocd-controller"'s to set`}),
			stalled: true, says: []string{"argocd-controller"},
		},
		"more pods of a budget of a number help nothing": {
			b: exhausted().remediesEnabled(v1alpha1.ScaleDeployments).blockedDrain(func(blocked *BlockedDrain) { blocked.Budget.MaxUnavailable = "1" }).
				candidates(RemedyCandidate{Node: "worker-1", Action: v1alpha1.ScaleDeployments, Kind: "Deployment",
					Name: "cart", Value: "3", FeasibleNodes: 9}),
			stalled: true, says: []string{"with up to 4 more replicas PodDisruptionBudget openshift-ingress/router-default would allow nothing either"},
		},
		"room for the correction": {
			b:     exhausted().remediesEnabled(v1alpha1.RaiseMaxUnavailable).plan(func(p *PlanSummary) { p.Digest = "sha256:corrected" }),
			facts: []string{"RemedyStarted RaiseMaxUnavailable MachineConfigPool worker"},
		},
		"no room without a correction": {b: exhausted().remediesEnabled(v1alpha1.RaiseMaxUnavailable), stalled: true,
			says: []string{"no corrected configuration waits"}},
		"no room where one node would be left": {
			b:       exhausted().remediesEnabled(v1alpha1.RaiseMaxUnavailable).plan(func(p *PlanSummary) { p.Digest = "sha256:corrected" }).down("worker-2"),
			stalled: true, says: []string{"1 nodes of pool worker are available"},
		},
		"a budget that never allows anything is a person's": {
			b:       blockedDrain().blockedDrain(func(blocked *BlockedDrain) { blocked.Reason = DrainBlockBudgetZero }),
			stalled: true,
			says: []string{"the drain of node worker-1 is blocked since 2026-03-01T11:59:00Z by BudgetZero (Image " +
				routerImage + ": the mirror answers 404)", "No other node is released"},
		},
		"on the way back nothing is disturbed, and nothing waits for it": {
			b: exhausted().candidates(cordonCandidate).with(func(o *Observed) {
				o.Record.Rollback = &v1alpha1.RollbackRecord{Reason: v1alpha1.RollbackRequested,
					DecidedAt: metav1.NewTime(began)}
			}),
			says: []string{"Relocate: the rollout rolls back"},
		},
		"nothing is on": {
			b: blockedDrain().remediesEnabled(), stalled: true,
			says: []string{"MirrorMissingImages is Disabled", "RaiseMaxUnavailable is Disabled"},
		},
		"one at a time": {
			b: exhausted().candidates(scaleCandidate).remedyOnRecord(scaleRecord, time.Minute, v1alpha1.RemedyTaken,
				&RemedyObject{Value: "5", HasNote: true, Ours: true}),
			says: []string{"ScaleIngress since 2026-03-01T11:59:00Z, because the drain of node worker-1 is blocked: it has 5 instead of 3"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := c.b.build()
			d := Decide(o)
			if diff := cmp.Diff(c.facts, factNames(d.Facts)); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if d.Stalled != c.stalled || (c.stalled && d.Reason != v1alpha1.ReasonDrainBlocked) {
				t.Errorf("stalled is %v for %s: %s", d.Stalled, d.Reason, d.Why)
			}
			saysAll(t, d, c.says)
			for _, a := range d.Actions {
				if _, is := remedyOf(a); is {
					t.Errorf("%s is done before it is on record", a.Key())
				}
			}
			if why := rules(o, d); len(why) > 0 {
				t.Error(why)
			}
		})
	}
}

func TestExtraReplicas(t *testing.T) {
	cases := map[string]struct {
		budget  DisruptionBudget
		ingress bool
		want    int
	}{
		"a router of 2, one broken": {DisruptionBudget{ExpectedPods: 2, CurrentHealthy: 1, MaxUnavailable: "1"},
			true, 3},
		"a router of 3, one broken": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 2, MaxUnavailable: "25%"},
			true, 2},
		"a router of 4, one broken": {DisruptionBudget{ExpectedPods: 4, CurrentHealthy: 3, MaxUnavailable: "25%"},
			true, 1},
		"a router of 5, two broken": {DisruptionBudget{ExpectedPods: 5, CurrentHealthy: 3, MaxUnavailable: "25%"},
			true, 4},
		"a router of 3, all broken": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 0, MaxUnavailable: "25%"},
			true, 0},
		"one may be missing": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 2, MaxUnavailable: "1"},
			false, 0},
		"none may be missing": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 3, MaxUnavailable: "0"},
			false, 0},
		"two have to be there": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 2, MinAvailable: "2"},
			false, 1},
		"all have to be there": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 2, MinAvailable: "100%"},
			false, 0},
		"half have to be there": {DisruptionBudget{ExpectedPods: 2, CurrentHealthy: 1, MinAvailable: "50%"},
			false, 2},
		"a value that is no number": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 2, MaxUnavailable: "some"},
			false, 0},
		"neither value": {DisruptionBudget{ExpectedPods: 3, CurrentHealthy: 2}, false, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, helps := extraReplicas(c.budget, c.ingress)
			if got != c.want || helps != (c.want > 0) {
				t.Fatalf("%d more replicas, helps %v; want %d", got, helps, c.want)
			}
			if !helps {
				return
			}
			// One less does not help, and with these a disruption is allowed.
			for extra, want := range map[int]bool{got - 1: false, got: true} {
				desired, _ := desiredHealthy(c.budget, c.budget.ExpectedPods+extra, c.ingress)
				if allowed := c.budget.CurrentHealthy+extra-desired > 0; allowed != want {
					t.Errorf("with %d more a disruption is allowed: %v, want %v", extra, allowed, want)
				}
			}
		})
	}
}
