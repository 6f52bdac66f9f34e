package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func TestFindings(t *testing.T) {
	wildcard := func() *builder { return mirroredTag().accepts("quay.io/acme/*") }
	off := func() *builder {
		return newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).knowsAdvisory("quay.io/acme/app:v1")
	}
	cases := map[string]struct {
		b       *builder
		results registryResults
		want    State
		says    []string // nothing: there is no message
	}{
		"not asked yet": {mirroredTag(), registryResults{}, StateOpen, nil},
		"proven":        {mirroredTag(), registryResults{}.proven(mirroredJob, 0), StateProven, nil},
		"proven, and looked at again": {mirroredTag(),
			registryResults{}.proven(mirroredJob, 0).recheckedAs(mirroredJob, mirror.Running), StateProven, nil},
		"failed, and whether it matters is asked": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Missing), StateOpen,
			[]string{"still being asked", "it can only be pulled from m.local/acme/app:v1, and that fails", "Missing"}},
		"blocked, and whether it matters is asked": {blockedDigest(), registryResults{}, StateOpen,
			[]string{"still being asked", "blocked (NeverContactSource on quay.io/acme"}},
		"failed, and it matters": {mirroredTag(), registryResults{}.failed(mirroredJob, mirror.Denied).proven("before "+
			mirroredJob, 0), StateFailing,
			[]string{"used by Deployment shop/app", "not proven at m.local/acme/app:v1", "spec.mirroring.pushSecret"}},
		"failed, and somebody else fills the mirror": {mirroredTag().verifyOnly(),
			registryResults{}.failed(mirroredJob, mirror.Missing).proven("before "+mirroredJob, 0), StateFailing,
			[]string{"spec.mirroring.mode is VerifyOnly"}},
		"lost": {blockedDigest(), registryResults{}.proven("before "+blockedJob, 0), StateLost,
			[]string{"could not be pulled any more", "Add to spec.imageDigestMirrors: {source: quay.io/acme"}},
		"was missing before": {mirroredTag(), registryResults{}.failed(mirroredJob, mirror.Missing).failed("before "+
			mirroredJob, mirror.Missing), StateNoWorse,
			[]string{"cannot be pulled today either: before"}},
		"was blocked before": {mirroredTag().blocks("quay.io", "m.local"), registryResults{}, StateNoWorse,
			[]string{"cannot be pulled today either: every place it could be pulled from is blocked by quay.io"}},
		"accepted": {wildcard(), registryResults{}, StateAccepted,
			[]string{"spec.inventory.acceptedRisks: nobody needs quay.io/acme/*"}},
		"nothing can start it now": {off(), registryResults{}, StateIgnored,
			[]string{"Advisory: nothing can start a pod with it now"}},
		"nothing can start it now, and it fails": {off(), registryResults{}.failed(mirroredJob, mirror.Quota),
			StateIgnored,
			[]string{"so it holds nothing; under the planned configuration it can only be pulled from m.local/acme/app:v1", "Quota"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			found := c.b.build(t).Findings(c.results)
			if len(found) != 1 {
				t.Fatalf("%d findings, want 1", len(found))
			}
			f := found[0]
			if f.State != c.want {
				t.Errorf("state %s, want %s", f.State, c.want)
			}
			if len(c.says) == 0 && f.Message != "" {
				t.Errorf("message %q, want none", f.Message)
			}
			assertContains(t, f.Message, c.says...)
		})
	}
}

// What cannot be pulled for want of a name is lost or no worse by the name alone.
func TestFindingsOfImpossibleNames(t *testing.T) {
	p := mirroredTag().build(t)
	i := &p.Items[0]
	i.Target, i.After.Endpoints, i.After.Err = "", nil, "repository name must be lowercase"
	i.Before.Endpoints, i.Before.Err = nil, "name is too long"
	f := p.Findings(nil)[0]
	if f.State != StateNoWorse {
		t.Errorf("state %s, want %s", f.State, StateNoWorse)
	}
	assertContains(t, f.Message, "its name cannot be rewritten for its mirror: name is too long")
}

// A proof counts as evidence for what is accepted or ignored, too.
func TestFindingsCarryTheProof(t *testing.T) {
	for name, b := range map[string]*builder{"blocking": mirroredTag(), "accepted": mirroredTag().accepts("*")} {
		f := b.build(t).Findings(registryResults{}.proven(mirroredJob, time.Minute))[0]
		if want := now.Add(-time.Minute); !f.Result.Proof.At.Equal(want) {
			t.Errorf("%s: proven at %s, want %s", name, f.Result.Proof.At, want)
		}
	}
}

// Findings tell of each item what Judge counts.
func TestFindingsAgreeWithSummary(t *testing.T) {
	b := newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).
		uses("quay.io/acme/good:v1", "quay.io/acme/open:v1", "quay.io/acme/failed:v1", "quay.io/acme/dead:v1",
			"quay.io/acme/lost"+sha, "quay.io/acme/risky:v1").
		knowsAdvisory("quay.io/acme/off:v1").accepts("quay.io/acme/risky:*")
	job := func(name string) string { return "quay.io/acme/" + name + " in worker" }
	results := registryResults{}.proven(job("good:v1"), 0).
		failed(job("failed:v1"), mirror.Missing).proven("before "+job("failed:v1"), 0).
		failed(job("dead:v1"), mirror.Missing).failed("before "+job("dead:v1"), mirror.Missing).
		proven("before "+job("lost"+sha), 0)
	p := b.build(t)
	got := map[State]int{}
	for _, f := range p.Findings(results) {
		got[f.State]++
	}
	sum, transfers := p.Summarize(results, "", true)
	want := map[State]int{
		StateProven: transfers.Verified, StateFailing: transfers.Failed,
		StateOpen: transfers.Total - transfers.Verified - transfers.Failed,
		StateLost: sum.Lost, StateNoWorse: sum.NoWorse, StateAccepted: sum.Accepted, StateIgnored: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-judge +findings):\n%s", diff)
	}
}

func TestSpellings(t *testing.T) {
	p := newBuilder().tags(item("docker.io", block, "m.local/docker")).uses("nginx", "docker.io/nginx", "nginx",
		"docker.io/library/nginx:latest").build(t)
	if want := []string{"docker.io/library/nginx:latest", "docker.io/nginx",
		"nginx"}; !slices.Equal(p.Items[0].Spellings, want) {
		t.Errorf("spellings %q, want %q", p.Items[0].Spellings, want)
	}
}
