package rollout

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// routerImage is what the pods of these tests wait for.
const routerImage = "quay.io/acme/router:v1"

// heldDrain: worker-0 has the new configuration, and the drain of worker-1 is held up for a minute by a pod on worker-0 that cannot get
// its image. Every remedy is on.
func heldDrain() *builder {
	b := observed().rendered().done("worker-0").intends("worker").takes("worker-1", "Draining").follows("worker-1")
	b.o.Record.Release.IntendedAt = metav1.NewTime(now.Add(-2 * time.Minute))
	b.o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-90 * time.Second)}
	b.eachPool(func(p *Pool) {
		ledger := *p.Ledger
		ledger.Release = &Pulse{IntendedAt: b.o.Record.Release.IntendedAt.UTC(), Target: p.Rendered, Updated: 1, Closed: true, Deadline: now.Add(-time.Minute)}
		p.Ledger = &ledger
	}, "worker")
	b.o.Rollout.Remedies = v1alpha1.RemedyActions()
	b.o.Obstacles = Seen([]Obstacle{pullObstacle()})
	b.o.Remedies = Seen(Remedies{})
	return b
}

func pullObstacle() Obstacle {
	return Obstacle{
		Pool: "worker", Node: "worker-1", Since: now.Add(-time.Minute), Hindrance: HindrancePull,
		Chain:  []Link{{Kind: "Node", Name: "worker-1", Message: "is being drained"}, {Kind: "Image", Name: routerImage, Message: "the mirror answers 404"}},
		Budget: &Budget{Namespace: "openshift-ingress", Name: "router-default", Healthy: 2, Desired: 2, Expected: 3, MaxUnavailable: "25%"},
		Pods: []FailingPod{{
			PodName: PodName{Namespace: "openshift-ingress", Name: "router-x", UID: "uid-x"}, Node: "worker-0", Reason: "ImagePullBackOff",
			Owner: "Deployment/openshift-ingress/router-default", AllWaiting: true, Pulls: []FailedPull{{Reference: routerImage, Cause: PullMissing}},
		}},
	}
}

// obstacle changes the first drain that is held up.
func (b *builder) obstacle(change func(ob *Obstacle)) *builder {
	list, _ := b.o.Obstacles.Get()
	list = slices.Clone(list)
	list[0].Pods = slices.Clone(list[0].Pods)
	for i := range list[0].Pods {
		list[0].Pods[i].Pulls = slices.Clone(list[0].Pods[i].Pulls)
	}
	change(&list[0])
	b.o.Obstacles = Seen(list)
	return b
}

// proven: the image of the waiting pod was proven so long ago.
func (b *builder) proven(ago time.Duration) *builder {
	return b.obstacle(func(ob *Obstacle) { ob.Pods[0].Pulls[0].Proven = now.Add(-ago) })
}

// only leaves these remedies on.
func (b *builder) only(actions ...v1alpha1.RemedyAction) *builder {
	b.o.Rollout.Remedies = actions
	return b
}

func (b *builder) offer(offers ...Offer) *builder {
	seen, _ := b.o.Remedies.Get()
	seen.Offers = append(slices.Clone(seen.Offers), offers...)
	b.o.Remedies = Seen(seen)
	return b
}

// remedied puts a remedy on record that was decided so long ago, with its object as the cluster has it.
func (b *builder) remedied(r v1alpha1.RemedyRecord, ago time.Duration, state v1alpha1.RemedyState, c *Changed) *builder {
	r.DecidedAt, r.Deadline = metav1.NewTime(now.Add(-ago)), metav1.NewTime(now.Add(remedyTime(r.Action)-ago))
	r.State, r.SpecHash, r.Node = state, b.o.Rollout.Spec, "worker-1"
	r.ID = string(r.Action) + "/" + r.Name + strings.Join(r.References, " ")
	b.o.Record.Remedies = append(b.o.Record.Remedies, r)
	if c != nil {
		seen, _ := b.o.Remedies.Get()
		c.ID = r.ID
		seen.Changed = append(slices.Clone(seen.Changed), *c)
		b.o.Remedies = Seen(seen)
	}
	return b
}

var (
	mirrorRecord = v1alpha1.RemedyRecord{Action: v1alpha1.MirrorMissingImages, Kind: "Image", References: []string{routerImage}}
	podRemedy    = v1alpha1.RemedyRecord{Action: v1alpha1.RestartFailingPods, Kind: "Pod", Namespace: "openshift-ingress", Name: "router-x", UID: "uid-x"}
	trustRecord  = v1alpha1.RemedyRecord{Action: v1alpha1.TrustMirrorCA, Kind: "ConfigMap", Namespace: "openshift-config", Name: "user-ca", UID: "uid-ca", IntendedValue: "mirror.local..5000"}
	cordonRecord = v1alpha1.RemedyRecord{Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0", UID: "uid-worker-0", OriginalValue: Schedulable, IntendedValue: Cordoned}
	scaleRecord  = v1alpha1.RemedyRecord{Action: v1alpha1.ScaleIngress, Kind: "IngressController", Namespace: "openshift-ingress-operator", Name: "default", UID: "uid-default", OriginalValue: "3", IntendedValue: "5"}
)

var (
	trustOffer  = Offer{Node: "worker-1", Action: v1alpha1.TrustMirrorCA, Kind: "ConfigMap", Namespace: "openshift-config", Name: "user-ca", UID: "uid-ca", Key: "mirror.local..5000"}
	cordonOffer = Offer{Node: "worker-1", Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0", UID: "uid-worker-0", Value: Schedulable, Spares: 1}
	scaleOffer  = Offer{Node: "worker-1", Action: v1alpha1.ScaleIngress, Kind: "IngressController", Namespace: "openshift-ingress-operator", Name: "default", UID: "uid-default", Value: "3", Spares: 2}
)

// heldUp makes up a drain that is held up, with remedies on record and objects that may be anything.
func (g generator) heldUp(o *Observed) {
	o.Rollout.Remedies = v1alpha1.RemedyActions()
	if g.some() {
		o.Rollout.Remedies = o.Rollout.Remedies[g.Intn(3):]
	}
	ob := pullObstacle()
	ob.Hindrance = pick(g, HindrancePull, HindrancePull, HindranceCrashing, HindranceStarting, HindranceBudgetZero)
	ob.Pods[0].AllWaiting = !g.some()
	ob.Pods[0].Pulls[0].Cause = pick(g, PullMissing, PullUntrusted)
	if g.Intn(2) == 0 {
		ob.Pods[0].Pulls[0].Proven = o.Now.Add(-time.Duration(g.Intn(90)) * time.Second)
	}
	ob.Since = o.Now.Add(-time.Duration(g.Intn(180)) * time.Second)
	o.Obstacles = maybe(g, []Obstacle{ob})
	b := &builder{*o}
	b.o.Remedies = Seen(Remedies{Offers: []Offer{trustOffer, cordonOffer, scaleOffer}[g.Intn(3):]})
	b.takes("worker-1", pick(g, "Draining", "Draining", "Draining", "Draining", "Draining", "Draining", "Draining", "Working", stateDone))
	records := []v1alpha1.RemedyRecord{mirrorRecord, podRemedy, trustRecord, cordonRecord, scaleRecord}
	g.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	for _, r := range records[g.Intn(6):] {
		c := &Changed{Gone: g.some(), Value: pick(g, r.OriginalValue, r.OriginalValue, r.OriginalValue, r.IntendedValue, r.IntendedValue, "7"), Noted: g.Intn(2) == 0, Ours: g.Intn(2) == 0}
		b.remedied(r, time.Duration(g.Intn(150))*time.Second, pick(g, v1alpha1.RemedyIntended, v1alpha1.RemedyIntended, v1alpha1.RemedyIntended, v1alpha1.RemedyTaken, v1alpha1.RemedyEnding, v1alpha1.RemedyEnding, v1alpha1.RemedyEnded), c)
		if !g.some() {
			break
		}
	}
	seen := b.o.Remedies
	*o = b.o
	if o.Remedies = seen; g.some() {
		o.Remedies = Unseen[Remedies]("x")
	}
}
