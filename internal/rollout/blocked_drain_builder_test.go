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

// blockedDrain: worker-0 has the new configuration, and the drain of worker-1 is blocked for a
// minute by a pod on worker-0 that cannot get its image. Every remedy is on.
func blockedDrain() *builder {
	b := observed().rendered().done("worker-0").releaseIntended("worker").startsUpdate("worker-1",
		"Draining").followed("worker-1")
	b.o.Record.Release.IntendedAt = metav1.NewTime(now.Add(-2 * time.Minute))
	b.o.Record.Release.UpdateStartedAt = &metav1.Time{Time: now.Add(-90 * time.Second)}
	b.eachPool(func(p *Pool) {
		ledger := *p.PauseRecord
		ledger.Release = &UnpauseWindow{IntendedAt: b.o.Record.Release.IntendedAt.UTC(), Target: p.Rendered,
			UpdatedBefore: 1, Closed: true, Deadline: now.Add(-time.Minute)}
		p.PauseRecord = &ledger
	}, "worker")
	b.o.Rollout.Remedies = v1alpha1.RemedyActions()
	b.o.BlockedDrains = Known([]BlockedDrain{pullBlockedDrain()})
	b.o.Remedies = Known(Remedies{})
	return b
}

func pullBlockedDrain() BlockedDrain {
	return BlockedDrain{
		Pool: "worker", Node: "worker-1", Since: now.Add(-time.Minute), Reason: DrainBlockPull,
		CauseChain: []CauseLink{{Kind: "Node", Name: "worker-1", Message: "is being drained"},
			{Kind: "Image", Name: routerImage, Message: "the mirror answers 404"}},
		Budget: &DisruptionBudget{Namespace: "openshift-ingress", Name: "router-default", CurrentHealthy: 2,
			DesiredHealthy: 2, ExpectedPods: 3, MaxUnavailable: "25%"},
		Pods: []FailingPod{{
			PodRef: PodRef{Namespace: "openshift-ingress", Name: "router-x", UID: "uid-x"}, Node: "worker-0",
			Reason: "ImagePullBackOff",
			Owner:  "Deployment/openshift-ingress/router-default", NeverStarted: true,
			Pulls: []FailedPull{{Reference: routerImage, Cause: PullMissing}},
		}},
	}
}

// blockedDrain changes the first drain that is blocked.
func (b *builder) blockedDrain(change func(blocked *BlockedDrain)) *builder {
	list, _ := b.o.BlockedDrains.Get()
	list = slices.Clone(list)
	list[0].Pods = slices.Clone(list[0].Pods)
	for i := range list[0].Pods {
		list[0].Pods[i].Pulls = slices.Clone(list[0].Pods[i].Pulls)
	}
	change(&list[0])
	b.o.BlockedDrains = Known(list)
	return b
}

// proven: the image of the waiting pod was proven so long ago.
func (b *builder) provenAgo(ago time.Duration) *builder {
	return b.blockedDrain(func(blocked *BlockedDrain) { blocked.Pods[0].Pulls[0].ProvenAt = now.Add(-ago) })
}

// remediesEnabled leaves these remedies on.
func (b *builder) remediesEnabled(actions ...v1alpha1.RemedyAction) *builder {
	b.o.Rollout.Remedies = actions
	return b
}

func (b *builder) candidates(offers ...RemedyCandidate) *builder {
	seen, _ := b.o.Remedies.Get()
	seen.Candidates = append(slices.Clone(seen.Candidates), offers...)
	b.o.Remedies = Known(seen)
	return b
}

// remedyOnRecord puts a remedy on record that was decided so long ago, with its object as the
// cluster has it.
func (b *builder) remedyOnRecord(r v1alpha1.RemedyRecord, ago time.Duration, state v1alpha1.RemedyState,
	c *RemedyObject) *builder {
	r.DecidedAt, r.Deadline = metav1.NewTime(now.Add(-ago)), metav1.NewTime(now.Add(remedyTime(r.Action)-ago))
	r.State, r.SpecHash, r.Node = state, b.o.Rollout.SpecHash, "worker-1"
	r.ID = string(r.Action) + "/" + r.Name + strings.Join(r.References, " ")
	b.o.Record.Remedies = append(b.o.Record.Remedies, r)
	if c != nil {
		seen, _ := b.o.Remedies.Get()
		c.ID = r.ID
		seen.Objects = append(slices.Clone(seen.Objects), *c)
		b.o.Remedies = Known(seen)
	}
	return b
}

var (
	mirrorRecord = v1alpha1.RemedyRecord{Action: v1alpha1.MirrorMissingImages, Kind: "Image",
		References: []string{routerImage}}
	podRestartRecord = v1alpha1.RemedyRecord{Action: v1alpha1.RestartFailingPods, Kind: "Pod",
		Namespace: "openshift-ingress", Name: "router-x", UID: "uid-x"}
	trustRecord = v1alpha1.RemedyRecord{Action: v1alpha1.TrustMirrorCA, Kind: "ConfigMap",
		Namespace: "openshift-config", Name: "user-ca", UID: "uid-ca", IntendedValue: "mirror.local..5000"}
	cordonRecord = v1alpha1.RemedyRecord{Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0",
		UID: "uid-worker-0", OriginalValue: Schedulable, IntendedValue: Cordoned}
	scaleRecord = v1alpha1.RemedyRecord{Action: v1alpha1.ScaleIngress, Kind: "IngressController",
		Namespace: "openshift-ingress-operator", Name: "default", UID: "uid-default", OriginalValue: "3",
		IntendedValue: "5"}
)

var (
	trustCandidate = RemedyCandidate{Node: "worker-1", Action: v1alpha1.TrustMirrorCA, Kind: "ConfigMap",
		Namespace: "openshift-config", Name: "user-ca", UID: "uid-ca", Key: "mirror.local..5000"}
	cordonCandidate = RemedyCandidate{Node: "worker-1", Action: v1alpha1.Relocate, Kind: "Node", Name: "worker-0",
		UID: "uid-worker-0", Value: Schedulable, FeasibleNodes: 1}
	scaleCandidate = RemedyCandidate{Node: "worker-1", Action: v1alpha1.ScaleIngress, Kind: "IngressController",
		Namespace: "openshift-ingress-operator", Name: "default", UID: "uid-default", Value: "3", FeasibleNodes: 2}
)

// blockedDrainBlocker makes up a drain that is blocked, with remedies on record and objects that
// may be anything.
func (g generator) blockedDrain(o *Observed) {
	o.Rollout.Remedies = v1alpha1.RemedyActions()
	if g.sometimes() {
		o.Rollout.Remedies = o.Rollout.Remedies[g.Intn(3):]
	}
	blocked := pullBlockedDrain()
	blocked.Reason = pick(g, DrainBlockPull, DrainBlockPull, DrainBlockCrashing, DrainBlockStarting,
		DrainBlockBudgetZero)
	blocked.Pods[0].NeverStarted = !g.sometimes()
	blocked.Pods[0].Pulls[0].Cause = pick(g, PullMissing, PullUntrusted)
	if g.Intn(2) == 0 {
		blocked.Pods[0].Pulls[0].ProvenAt = o.Now.Add(-time.Duration(g.Intn(90)) * time.Second)
	}
	blocked.Since = o.Now.Add(-time.Duration(g.Intn(180)) * time.Second)
	o.BlockedDrains = maybe(g, []BlockedDrain{blocked})
	b := &builder{*o}
	b.o.Remedies = Known(Remedies{Candidates: []RemedyCandidate{trustCandidate, cordonCandidate,
		scaleCandidate}[g.Intn(3):]})
	b.startsUpdate("worker-1", pick(g, "Draining", "Draining", "Draining", "Draining", "Draining", "Draining",
		"Draining", "Working", stateDone))
	records := []v1alpha1.RemedyRecord{mirrorRecord, podRestartRecord, trustRecord, cordonRecord, scaleRecord}
	g.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	for _, r := range records[g.Intn(6):] {
		c := &RemedyObject{Gone: g.sometimes(),
			Value:   pick(g, r.OriginalValue, r.OriginalValue, r.OriginalValue, r.IntendedValue, r.IntendedValue, "7"),
			HasNote: g.Intn(2) == 0, Ours: g.Intn(2) == 0}
		b.remedyOnRecord(r, time.Duration(g.Intn(150))*time.Second,
			pick(g, v1alpha1.RemedyIntended, v1alpha1.RemedyIntended, v1alpha1.RemedyIntended, v1alpha1.RemedyTaken,
				v1alpha1.RemedyEnding, v1alpha1.RemedyEnding, v1alpha1.RemedyEnded), c)
		if !g.sometimes() {
			break
		}
	}
	seen := b.o.Remedies
	*o = b.o
	if o.Remedies = seen; g.sometimes() {
		o.Remedies = Unknown[Remedies]("x")
	}
}
