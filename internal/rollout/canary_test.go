package rollout

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// shows is what the first worker has shown with the new configuration.
func (b *builder) shows(kinds ...CanaryKind) *builder {
	b.o.Canary = Seen(Canary{Kinds: kinds, Left: 1})
	return b
}

func workers(change func(k *CanaryKind)) CanaryKind {
	k := CanaryKind{Pool: "worker", Architecture: "amd64", Nodes: []string{"worker-0"}, Chosen: true, Wanted: 3, Proven: 3}
	change(&k)
	return k
}

func TestCanary(t *testing.T) {
	const ensure = "ensure-canary/" + planDigest
	missing := []Problem{{Reason: v1alpha1.ReasonNodesCannotPull, Kind: "Node", Name: "worker-0",
		Message: "node worker-0: cannot pull quay.io/acme/router:v1: mirror.example.com/acme/router:v1: manifest unknown"}}
	passed := workers(func(*CanaryKind) {})
	master := CanaryKind{Pool: "master", Nodes: []string{"master-0"}, Chosen: true}
	one := func() *builder { return observed().rendered().done("worker-0") }
	waits := func(says ...string) want {
		return want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure}, blockers: []string{"Node worker-0"}, says: says}
	}
	unaskedPool := want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure}, blockers: []string{"MachineConfigPool worker"},
		says: []string{"no other node is released"}}
	goesOn := want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"}, facts: []string{"ReleaseIntended master"}}
	outgrown := want{phase: PhaseRelease, reason: v1alpha1.ReasonWaiting, actions: []string{ensure}, blockers: []string{"MachineConfigPool worker"},
		says: []string{"the layers of 2 critical images", "2 nodes with the new configuration by now, 1 when", "before another node is released"}}
	fails := want{phase: PhaseRelease, reason: v1alpha1.ReasonNodesCannotPull, stalled: true, actions: []string{ensure}, blockers: []string{"Node worker-0"},
		says: []string{"quay.io/acme/router:v1", "mirror.example.com", "worker-0"}}
	cases := map[string]struct {
		o    Observed
		want want
	}{
		"no node has the configuration": {
			o:    observed().rendered().shows().build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"}, facts: []string{"ReleaseIntended worker"}},
		},
		"the first has it, and nothing was chosen":                                                     {o: one().shows().build(), want: unaskedPool},
		"what was chosen is about another pool":                                                        {o: one().shows(master).build(), want: unaskedPool},
		"the node cannot be asked yet":                                                                 {o: one().shows(workers(func(k *CanaryKind) { k.Chosen, k.Wanted, k.Proven = false, 0, 0 })).build(), want: unaskedPool},
		"pulls are under way":                                                                          {o: one().shows(workers(func(k *CanaryKind) { k.Proven = 1 })).build(), want: waits("1 of 3 critical images")},
		"one of two architectures is not done":                                                         {o: one().shows(passed, workers(func(k *CanaryKind) { k.Architecture, k.Resolved, k.Proven = "arm64", 1, 1 })).build(), want: waits("arm64", "2 of 3")},
		"one cannot be pulled, one is under way":                                                       {o: one().shows(workers(func(k *CanaryKind) { k.Proven, k.Failed, k.Worst = 1, 1, missing })).build(), want: fails},
		"one cannot be pulled, in an open pool too":                                                    {o: one().intends("master").shows(workers(func(k *CanaryKind) { k.Proven, k.Failed, k.Worst = 2, 1, missing })).build(), want: fails},
		"all were pulled":                                                                              {o: one().shows(passed).build(), want: goesOn},
		"all were pulled, some by manifest only":                                                       {o: one().shows(workers(func(k *CanaryKind) { k.Proven, k.Resolved, k.Seen = 1, 2, 1 })).build(), want: goesOn},
		"some by manifest only, and no further node is done":                                           {o: one().shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Seen = 2, 1, 1 })).build(), want: goesOn},
		"some by manifest only, and another node is done that may lack them":                           {o: one().done("worker-1").shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Seen = 2, 1, 1 })).build(), want: outgrown},
		"another node is done, and it had them as well":                                                {o: one().done("worker-1").shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Seen = 2, 1, 2 })).build(), want: goesOn},
		"another node is done, and all layers were shown before":                                       {o: one().done("worker-1").shows(workers(func(k *CanaryKind) { k.Seen = 1 })).build(), want: goesOn},
		"another node is done, and it is being asked":                                                  {o: one().done("worker-1").shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Seen = 1, 1, 1 })).build(), want: waits("2 of 3")},
		"another node is done and cannot pull what the first had":                                      {o: one().done("worker-1").shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Failed, k.Worst, k.Seen = 1, 1, 1, missing, 2 })).build(), want: fails},
		"nodes have gone since":                                                                        {o: one().shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Seen = 2, 1, 2 })).build(), want: goesOn},
		"some by manifest only, another node is done, and the intent of the next release is on record": {o: one().done("worker-1").intends("master").shows(workers(func(k *CanaryKind) { k.Resolved, k.Proven, k.Seen = 2, 1, 1 })).build(), want: outgrown},
		"nothing is critical":                                                                          {o: one().shows(workers(func(k *CanaryKind) { k.Wanted, k.Proven = 0, 0 })).build(), want: goesOn},
		"the user does without, and pods are left":                                                     {o: one().with(func(o *Observed) { o.Canary = Seen(Canary{Disabled: true, Left: 2}) }).build(), want: goesOn},
		"the rollout is held, and it goes on": {
			o: one().held().shows(workers(func(k *CanaryKind) { k.Proven = 1 })).build(), want: waits("1 of 3 critical images"),
		},
		"another process has seen the proof, and the intent is on record": {
			o: one().intends("master").shows().build(), want: unaskedPool,
		},
		"it is not known": {
			o:    one().with(func(o *Observed) { o.Canary = Unseen[Canary]("connection refused") }).build(),
			want: want{phase: PhaseRelease, reason: v1alpha1.ReasonUnreadable, blockers: []string{"Canary Canary"}},
		},
		"nothing is left to release": {
			o:    observed().updated().shows(workers(func(k *CanaryKind) { k.Proven = 1 })).build(),
			want: want{phase: PhaseRestore, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"}, facts: []string{"PoolRestored master"}},
		},
		"the end waits for the pods to be told to go": {
			o:    observed().updated().givesBack("master", "worker").shows(passed).build(),
			want: want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"}},
		},
		"the end is on record without": {
			o:    observed().updated().givesBack("master", "worker").build(),
			want: want{phase: PhaseFinish, reason: v1alpha1.ReasonProgressing, facts: []string{"Completed"}},
		},
		"a rollback takes the pods away": {
			o: one().shows(passed).with(func(o *Observed) {
				o.Rollout.Requests = []Request{{ID: "1", Verb: v1alpha1.RequestRollback}}
			}).build(),
			want: want{phase: PhasePreflight, reason: v1alpha1.ReasonProgressing, actions: []string{"sweep-canary"}, facts: []string{"RollbackBegun"}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { check(t, c.o, c.want) })
	}
}

func TestCanaryIsTold(t *testing.T) {
	o := observed().updated().shows(
		workers(func(k *CanaryKind) {
			k.Resolved, k.Proven = 1, 2
			k.Skipped = []string{"pool worker, amd64: quay.io/acme/big: its size is not known", "more"}
		}),
		CanaryKind{Pool: "master", Chosen: true, Wanted: 1, Proven: 1}).build()
	const want = "the first nodes with it have pulled 4 critical images under their own names, 1 of which they had the layers of already; " +
		"not asked for: pool worker, amd64: quay.io/acme/big: its size is not known and 1 more"
	if got := strings.Join(pulled(o), "; "); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
