package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// TestTheNextRung has, for each remedy, what it needs and what it lacks. What is begun is a fact; nothing is done in the same decision.
func TestTheNextRung(t *testing.T) {
	helped := func(r v1alpha1.RemedyRecord) v1alpha1.RemedyRecord {
		r.Outcome = v1alpha1.OutcomeHelped
		return r
	}
	failed := func(r v1alpha1.RemedyRecord) v1alpha1.RemedyRecord {
		r.Outcome = v1alpha1.OutcomeImpossible
		return r
	}
	// exhausted: the pulls were proven again in vain, so that the remedies that disturb come into view.
	exhausted := func() *builder {
		return heldDrain().remedied(failed(mirrorRecord), 40*time.Second, v1alpha1.RemedyEnded, nil)
	}
	cases := map[string]struct {
		b       *builder
		facts   []string
		stalled bool
		says    []string
	}{
		"the pull of a second ago is waited for":                {b: heldDrain().obstacle(func(ob *Obstacle) { ob.Since = now.Add(-time.Second) })},
		"what passes by itself is left alone":                   {b: heldDrain().obstacle(func(ob *Obstacle) { ob.Hindrance, ob.Since = HindranceMigrating, began })},
		"a node that is drained and not followed is taken up":   {b: heldDrain().takes("worker-1", "Working").with(func(o *Observed) { o.Record.Release.Nodes = []string{"worker-2"} }), facts: []string{"NodesTaken worker-1"}},
		"a node that is drained, and its pods do not come back": {b: heldDrain().takes("worker-1", "Working"), facts: []string{"RemedyBegun MirrorMissingImages Image " + routerImage}},
		"nothing is disturbed for them":                         {b: exhausted().takes("worker-1", "Working").offer(cordonOffer)},
		"nothing has begun":                                     {b: heldDrain().with(func(o *Observed) { o.Record.StartedAt = nil }), facts: []string{"Started"}},
		"what is in the way is unknown":                         {b: heldDrain().with(func(o *Observed) { o.Obstacles = Unseen[[]Obstacle]("x") })},

		"first the mirror": {b: heldDrain(), facts: []string{"RemedyBegun MirrorMissingImages Image " + routerImage}},
		"then the pod, once its image was proven": {
			b:     heldDrain().proven(20*time.Second).remedied(helped(mirrorRecord), 30*time.Second, v1alpha1.RemedyEnded, nil),
			facts: []string{"RemedyBegun RestartFailingPods Pod router-x"},
		},
		"no pod for an image whose proof is older than the trouble": {
			b:       exhausted().proven(50*time.Second).only(v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods),
			stalled: true, says: []string{"was not proven since", "MirrorMissingImages: was tried once", "Relocate is Disabled"},
		},
		"no pod that has run": {
			b: heldDrain().proven(20*time.Second).remedied(helped(mirrorRecord), 30*time.Second, v1alpha1.RemedyEnded, nil).
				obstacle(func(ob *Obstacle) { ob.Pods[0].AllWaiting = false }).only(v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods),
			stalled: true, says: []string{"pod openshift-ingress/router-x has a container that has run, or nobody who would replace it"},
		},
		"no pod that nobody replaces": {
			b: heldDrain().proven(20*time.Second).remedied(helped(mirrorRecord), 30*time.Second, v1alpha1.RemedyEnded, nil).
				obstacle(func(ob *Obstacle) { ob.Pods[0].Owner = "" }).only(v1alpha1.MirrorMissingImages, v1alpha1.RestartFailingPods),
			stalled: true, says: []string{"nobody who would replace it"},
		},
		"a pod that was restarted is given time": {
			b: heldDrain().proven(20*time.Second).remedied(helped(mirrorRecord), 30*time.Second, v1alpha1.RemedyEnded, nil).
				remedied(helped(podRemedy), 15*time.Second, v1alpha1.RemedyEnded, nil).offer(cordonOffer),
			says: []string{"the last remedy is given until 2026-03-01T12:00:45Z to help"},
		},
		"and after that the next remedy comes": {
			b: heldDrain().proven(80*time.Second).remedied(helped(mirrorRecord), 90*time.Second, v1alpha1.RemedyEnded, nil).
				remedied(helped(podRemedy), 75*time.Second, v1alpha1.RemedyEnded, nil).offer(cordonOffer),
			facts: []string{"RemedyBegun Relocate Node worker-0"},
		},
		"an authority that nodes lack": {
			b:     exhausted().obstacle(func(ob *Obstacle) { ob.Pods[0].Pulls[0].Cause = PullUntrusted }).offer(trustOffer, cordonOffer),
			facts: []string{"RemedyBegun TrustMirrorCA ConfigMap user-ca"},
		},
		"no authority where it is not distrust": {b: exhausted().offer(trustOffer, cordonOffer), facts: []string{"RemedyBegun Relocate Node worker-0"}},
		"no authority where somebody else's is": {
			b: exhausted().only(v1alpha1.TrustMirrorCA).obstacle(func(ob *Obstacle) { ob.Pods[0].Pulls[0].Cause = PullUntrusted }).
				offer(Offer{Node: "worker-1", Action: v1alpha1.TrustMirrorCA, Kind: "ConfigMap", Name: "user-ca", Refusal: "there are certificates for it already"}),
			stalled: true, says: []string{"TrustMirrorCA: there are certificates for it already"},
		},
		"elsewhere": {b: exhausted().offer(cordonOffer), facts: []string{"RemedyBegun Relocate Node worker-0"}},
		"elsewhere, and there is no other node": {
			b:       exhausted().only(v1alpha1.Relocate).offer(Offer{Node: "worker-1", Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0"}),
			stalled: true, says: []string{"no other node has the image"},
		},
		"elsewhere, and the role is not bound": {
			b: exhausted().only(v1alpha1.Relocate).offer(Offer{Node: "worker-1", Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0", Spares: 1,
				Refusal: "the operator may not patch nodes: bind the ClusterRole safe-mirror-remediation"}),
			stalled: true, says: []string{"safe-mirror-remediation"},
		},
		"elsewhere, once only": {
			b:       exhausted().only(v1alpha1.Relocate).offer(cordonOffer).remedied(cordonRecord, 30*time.Second, v1alpha1.RemedyEnded, nil),
			stalled: true, says: []string{"Relocate: was tried once"},
		},
		"a cordon in effect, and its pod": {
			b:     exhausted().offer(cordonOffer).remedied(cordonRecord, 10*time.Second, v1alpha1.RemedyTaken, &Changed{Value: Cordoned, Noted: true, Ours: true}),
			facts: []string{"RemedyBegun Relocate Pod router-x"},
		},
		"nothing that disturbs while the user holds": {
			b: exhausted().offer(cordonOffer).held(), stalled: true, says: []string{"Relocate: spec.state is Held"},
		},
		"the mirror even then": {b: heldDrain().held(), facts: []string{"RemedyBegun MirrorMissingImages Image " + routerImage}},
		"more routers":         {b: exhausted().offer(scaleOffer), facts: []string{"RemedyBegun ScaleIngress IngressController default"}},
		"more routers, and no nodes for them": {
			b:       exhausted().only(v1alpha1.ScaleIngress).offer(Offer{Node: "worker-1", Action: v1alpha1.ScaleIngress, Kind: "IngressController", Name: "default", Value: "3", Spares: 1}),
			stalled: true, says: []string{"2 more replicas would be needed, and they could start on 1 nodes"},
		},
		"more routers, and a pipeline sets their number": {
			b: exhausted().only(v1alpha1.ScaleIngress).offer(Offer{Node: "worker-1", Action: v1alpha1.ScaleIngress, Kind: "IngressController", Name: "default", Value: "3", Spares: 2,
				Refusal: `the number of replicas of IngressController default is "argocd-controller"'s to set`}),
			stalled: true, says: []string{"argocd-controller"},
		},
		"more pods of a budget of a number help nothing": {
			b: exhausted().only(v1alpha1.ScaleDeployments).obstacle(func(ob *Obstacle) { ob.Budget.MaxUnavailable = "1" }).
				offer(Offer{Node: "worker-1", Action: v1alpha1.ScaleDeployments, Kind: "Deployment", Name: "cart", Value: "3", Spares: 9}),
			stalled: true, says: []string{"with up to 4 more replicas PodDisruptionBudget openshift-ingress/router-default would allow nothing either"},
		},
		"room for the correction": {
			b:     exhausted().only(v1alpha1.RaiseMaxUnavailable).plan(func(p *Plan) { p.Digest = "sha256:corrected" }),
			facts: []string{"RemedyBegun RaiseMaxUnavailable MachineConfigPool worker"},
		},
		"no room without a correction": {b: exhausted().only(v1alpha1.RaiseMaxUnavailable), stalled: true, says: []string{"no corrected configuration waits"}},
		"no room where one node would be left": {
			b:       exhausted().only(v1alpha1.RaiseMaxUnavailable).plan(func(p *Plan) { p.Digest = "sha256:corrected" }).down("worker-2"),
			stalled: true, says: []string{"1 nodes of pool worker are available"},
		},
		"a budget that never allows anything is a person's": {
			b: heldDrain().obstacle(func(ob *Obstacle) { ob.Hindrance = HindranceBudgetZero }), stalled: true,
			says: []string{"the drain of node worker-1 is held up since 2026-03-01T11:59:00Z by BudgetZero (Image " + routerImage + ": the mirror answers 404)", "No other node is released"},
		},
		"on the way back nothing is disturbed, and nothing waits for it": {
			b: exhausted().offer(cordonOffer).with(func(o *Observed) {
				o.Record.Rollback = &v1alpha1.RollbackRecord{Reason: v1alpha1.RollbackRequested, DecidedAt: metav1.NewTime(began)}
			}),
			says: []string{"Relocate: the rollout goes back"},
		},
		"nothing is on": {
			b: heldDrain().only(), stalled: true, says: []string{"MirrorMissingImages is Disabled", "RaiseMaxUnavailable is Disabled"},
		},
		"one at a time": {
			b:    exhausted().offer(scaleOffer).remedied(scaleRecord, time.Minute, v1alpha1.RemedyTaken, &Changed{Value: "5", Noted: true, Ours: true}),
			says: []string{"ScaleIngress since 2026-03-01T11:59:00Z, because the drain of node worker-1 is held up: it has 5 instead of 3"},
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
		budget  Budget
		ingress bool
		want    int
	}{
		"a router of 2, one broken": {Budget{Expected: 2, Healthy: 1, MaxUnavailable: "1"}, true, 3},
		"a router of 3, one broken": {Budget{Expected: 3, Healthy: 2, MaxUnavailable: "25%"}, true, 2},
		"a router of 4, one broken": {Budget{Expected: 4, Healthy: 3, MaxUnavailable: "25%"}, true, 1},
		"a router of 5, two broken": {Budget{Expected: 5, Healthy: 3, MaxUnavailable: "25%"}, true, 4},
		"a router of 3, all broken": {Budget{Expected: 3, Healthy: 0, MaxUnavailable: "25%"}, true, 0},
		"one may be missing":        {Budget{Expected: 3, Healthy: 2, MaxUnavailable: "1"}, false, 0},
		"none may be missing":       {Budget{Expected: 3, Healthy: 3, MaxUnavailable: "0"}, false, 0},
		"two have to be there":      {Budget{Expected: 3, Healthy: 2, MinAvailable: "2"}, false, 1},
		"all have to be there":      {Budget{Expected: 3, Healthy: 2, MinAvailable: "100%"}, false, 0},
		"half have to be there":     {Budget{Expected: 2, Healthy: 1, MinAvailable: "50%"}, false, 2},
		"a value that is no number": {Budget{Expected: 3, Healthy: 2, MaxUnavailable: "some"}, false, 0},
		"neither value":             {Budget{Expected: 3, Healthy: 2}, false, 0},
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
				desired, _ := desiredHealthy(c.budget, c.budget.Expected+extra, c.ingress)
				if allowed := c.budget.Healthy+extra-desired > 0; allowed != want {
					t.Errorf("with %d more a disruption is allowed: %v, want %v", extra, allowed, want)
				}
			}
		})
	}
}
