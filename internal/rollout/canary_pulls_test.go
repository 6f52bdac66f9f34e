package rollout

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// canaryPulls is what the first worker has shown with the new configuration.
func (b *builder) canaryPulls(kinds ...CanaryGroup) *builder {
	b.o.CanaryPulls = Known(CanaryPulls{Groups: kinds, PodsLeft: 1})
	return b
}

func workerGroup(change func(k *CanaryGroup)) CanaryGroup {
	k := CanaryGroup{Pool: "worker", Architecture: "amd64", Nodes: []string{"worker-0"}, Selected: true, Wanted: 3,
		Proven: 3}
	change(&k)
	return k
}

func TestCanaryPulls(t *testing.T) {
	const ensure = "ensure-canary/" + planDigest
	missing := []Problem{{Reason: v1alpha1.ReasonNodesCannotPull, Kind: "Node", Name: "worker-0",
		Message: "node worker-0: cannot pull quay.io/acme/router:v1: mirror.example.com/acme/router:v1: manifest unknown"}}
	passed := workerGroup(func(*CanaryGroup) {})
	master := CanaryGroup{Pool: "master", Nodes: []string{"master-0"}, Selected: true}
	one := func() *builder { return observed().rendered().done("worker-0") }
	waits := func(says ...string) want {
		return want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure},
			blockers: []string{"Node worker-0"}, says: says}
	}
	unaskedPool := want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure},
		blockers: []string{"MachineConfigPool worker"},
		says:     []string{"no other node is released"}}
	goesOn := want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"},
		facts: []string{"ReleaseIntended master"}}
	outgrown := want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure},
		blockers: []string{"MachineConfigPool worker"},
		says: []string{"the layers of 2 critical images", "2 nodes with the new configuration by now, 1 when",
			"before another node is released"}}
	fails := want{phase: PhaseRelease, reason: v1alpha1.ReasonNodesCannotPull, stalled: true, actions: []string{ensure},
		blockers: []string{"Node worker-0"},
		says:     []string{"quay.io/acme/router:v1", "mirror.example.com", "worker-0"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"no node has the configuration": {
			o: observed().rendered().canaryPulls().build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"},
				facts: []string{"ReleaseIntended worker"}},
		},
		"the first has it, and nothing was chosen": {o: one().canaryPulls().build(),
			want: unaskedPool},
		"what was chosen is about another pool": {o: one().canaryPulls(master).build(),
			want: unaskedPool},
		"the node cannot be asked yet": {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) {
			k.Selected, k.Wanted,
				k.Proven = false, 0, 0
		})).build(), want: unaskedPool},
		"pulls are in progress": {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) { k.Proven = 1 })).build(),
			want: waits("1 of 3 critical images")},
		"one of two architectures is not done": {o: one().canaryPulls(passed,
			workerGroup(func(k *CanaryGroup) { k.Architecture, k.ManifestOnly, k.Proven = "arm64", 1, 1 })).build(),
			want: waits("arm64", "2 of 3")},
		"one cannot be pulled, one is in progress": {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) {
			k.Proven,
				k.Failed, k.Problems = 1, 1, missing
		})).build(), want: fails},
		"one cannot be pulled, in an open pool too": {o: one().releaseIntended("master").canaryPulls(workerGroup(func(k *CanaryGroup) { k.Proven, k.Failed, k.Problems = 2, 1, missing })).build(), want: fails},
		"all were pulled": {o: one().canaryPulls(passed).build(),
			want: goesOn},
		"all were pulled, some by manifest only":                             {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) { k.Proven, k.ManifestOnly, k.UpdatedWhenSelected = 1, 2, 1 })).build(), want: goesOn},
		"some by manifest only, and no further node is done":                 {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) { k.ManifestOnly, k.Proven, k.UpdatedWhenSelected = 2, 1, 1 })).build(), want: goesOn},
		"some by manifest only, and another node is done that may lack them": {o: one().done("worker-1").canaryPulls(workerGroup(func(k *CanaryGroup) { k.ManifestOnly, k.Proven, k.UpdatedWhenSelected = 2, 1, 1 })).build(), want: outgrown},
		"another node is done, and it had them as well":                      {o: one().done("worker-1").canaryPulls(workerGroup(func(k *CanaryGroup) { k.ManifestOnly, k.Proven, k.UpdatedWhenSelected = 2, 1, 2 })).build(), want: goesOn},
		"another node is done, and all layers were shown before":             {o: one().done("worker-1").canaryPulls(workerGroup(func(k *CanaryGroup) { k.UpdatedWhenSelected = 1 })).build(), want: goesOn},
		"another node is done, and it is being asked":                        {o: one().done("worker-1").canaryPulls(workerGroup(func(k *CanaryGroup) { k.ManifestOnly, k.Proven, k.UpdatedWhenSelected = 1, 1, 1 })).build(), want: waits("2 of 3")},
		"another node is done and cannot pull what the first had": {o: one().done("worker-1").canaryPulls(workerGroup(func(k *CanaryGroup) {
			k.ManifestOnly, k.Proven, k.Failed, k.Problems, k.UpdatedWhenSelected = 1, 1, 1, missing, 2
		})).build(), want: fails},
		"nodes have gone since": {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) {
			k.ManifestOnly, k.Proven,
				k.UpdatedWhenSelected = 2, 1, 2
		})).build(), want: goesOn},
		"some by manifest only, another node is done, and the intent of the next release is on record": {o: one().done("worker-1").releaseIntended("master").canaryPulls(workerGroup(func(k *CanaryGroup) { k.ManifestOnly, k.Proven, k.UpdatedWhenSelected = 2, 1, 1 })).build(), want: outgrown},
		"nothing is critical": {o: one().canaryPulls(workerGroup(func(k *CanaryGroup) {
			k.Wanted,
				k.Proven = 0, 0
		})).build(), want: goesOn},
		"the user does without, and pods are left": {o: one().with(func(o *Observed) { o.CanaryPulls = Known(CanaryPulls{Disabled: true, PodsLeft: 2}) }).build(), want: goesOn},
		"the rollout is held, and it goes on": {
			o:    one().held().canaryPulls(workerGroup(func(k *CanaryGroup) { k.Proven = 1 })).build(),
			want: waits("1 of 3 critical images"),
		},
		"another process has seen the proof, and the intent is on record": {
			o: one().releaseIntended("master").canaryPulls().build(), want: unaskedPool,
		},
		"it is not known": {
			o:    one().with(func(o *Observed) { o.CanaryPulls = Unknown[CanaryPulls]("connection refused") }).build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonUnreadable, blockers: []string{"Canary Canary"}},
		},
		"nothing is left to release": {
			o: observed().updated().canaryPulls(workerGroup(func(k *CanaryGroup) { k.Proven = 1 })).build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"},
				facts: []string{"PoolRestored master"}},
		},
		"the end waits for the pods to be told to go": {
			o:    observed().updated().restored("master", "worker").canaryPulls(passed).build(),
			want: want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"}},
		},
		"the end is on record without": {
			o:    observed().updated().restored("master", "worker").build(),
			want: want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"RolloutCompleted"}},
		},
		"a rollback takes the pods away": {
			o: one().canaryPulls(passed).with(func(o *Observed) {
				o.Rollout.Requests = []Request{{ID: "1", Verb: v1alpha1.RequestRollback}}
			}).build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"},
				facts: []string{"RollbackStarted"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestCanarySummary(t *testing.T) {
	o := observed().updated().canaryPulls(
		workerGroup(func(k *CanaryGroup) {
			k.ManifestOnly, k.Proven = 1, 2
			k.Skipped = []string{"pool worker, amd64: quay.io/acme/big: its size is not known", "more"}
		}),
		CanaryGroup{Pool: "master", Selected: true, Wanted: 1, Proven: 1}).build()
	const want = "the first nodes with it have pulled 4 critical images under their own names, 1 of which they had the layers of already; " +
		"not asked for: pool worker, amd64: quay.io/acme/big: its size is not known and 1 more"
	if got := strings.Join(pullSummaries(o), "; "); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
