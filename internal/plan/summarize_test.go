package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// The rollouts of these tests: one whose mirror is filled by us, and one whose references are
// served by nobody.
func mirroredTag() *builder {
	return newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app:v1")
}

func blockedDigest() *builder {
	return newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app" + sha)
}

func shadowed() *builder {
	return newBuilder().existingDigests("quay.io/acme",
		"m.local/acme").tags(item("quay.io/acme/shop", "", "m.local/shop")).
		uses("quay.io/acme/shop/app" + sha)
}

const (
	mirroredJob = "quay.io/acme/app:v1 in worker"
	blockedJob  = "quay.io/acme/app" + sha + " in worker"
	shadowedJob = "quay.io/acme/shop/app" + sha + " in worker"
)

func TestOutcomes(t *testing.T) {
	cases := map[string]struct {
		b       *builder
		results registryResults
		want    outcome
	}{
		"ours: not looked at yet": {mirroredTag(), registryResults{}, outcomeUnknown},
		"ours: queued": {mirroredTag(),
			registryResults{mirroredJob: {State: mirror.Queued}}, outcomeUnknown},
		"ours: proven": {mirroredTag(), registryResults{}.proven(mirroredJob, 0),
			outcomePullable},
		"ours: proven, and looked at again": {mirroredTag(),
			registryResults{}.proven(mirroredJob, 0).recheckedAs(mirroredJob, mirror.Running), outcomePullable},
		"ours: failed, and asked whether it matters": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Missing), outcomeUnknown},
		"ours: failed, and it matters": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Missing).proven("before "+mirroredJob, 0), outcomeNotMirrored},
		"ours: failed, and tried again": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Missing).recheckedAs(mirroredJob,
				mirror.Running).proven("before "+mirroredJob, 0), outcomeNotMirrored},
		"ours: failed, and was dead before": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Missing).failed("before "+mirroredJob, mirror.Missing),
			outcomeNoWorse},
		"ours: was dead before, and is asked again": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Missing).failed("before "+mirroredJob,
				mirror.Missing).recheckedAs("before "+mirroredJob, mirror.Queued), outcomeNoWorse},
		"accepted": {mirroredTag().accepts("*"),
			registryResults{}.failed(mirroredJob, mirror.Missing).proven("before "+mirroredJob, 0), outcomeNotBlocking},
		"nothing can start it now": {newBuilder().tags(item("quay.io/acme", block,
			"m.local/acme")).knowsAdvisory("quay.io/acme/app:v1"), registryResults{}, outcomeNotBlocking},
		"blocked: not looked at yet": {blockedDigest(), registryResults{}, outcomeUnknown},
		"blocked: could be pulled": {blockedDigest(),
			registryResults{}.proven("before "+blockedJob, 0), outcomeLost},
		"blocked: was dead before": {blockedDigest(),
			registryResults{}.failed("before "+blockedJob, mirror.Missing), outcomeNoWorse},
		"blocked: was blocked before": {mirroredTag().blocks("quay.io", "m.local"),
			registryResults{}, outcomeNoWorse},
		"elsewhere: can be pulled": {shadowed(), registryResults{}.proven(shadowedJob, 0),
			outcomePullable},
		"elsewhere: cannot, and could": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).proven("before "+shadowedJob, 0), outcomeLost},
		"elsewhere: cannot, and could not": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Missing),
			outcomeNoWorse},
		"elsewhere: cannot, and is asked about": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused), outcomeUnknown},
		"dead for its registry's word: a damaged image": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Corrupt),
			outcomeNoWorse},
		"refused to us: its pods may have credentials": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Denied),
			outcomeLost},
		"asked too often: it is there": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.RateLimited),
			outcomeUnknown},
		"out of reach for long: an air gap": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Timeout),
			outcomeNoWorse},
		"out of reach for a moment: an outage proves nothing": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob,
				mirror.Timeout).change("before "+shadowedJob,
				func(r *mirror.Result) { r.Attempts = minFailedAttempts - 1 }), outcomeUnknown},
		"out of reach for long enough": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob,
				mirror.Refused).change("before "+shadowedJob,
				func(r *mirror.Result) { r.Attempts = minFailedAttempts }), outcomeNoWorse},
		"a registry with an error of its own, for a moment": {shadowed(),
			registryResults{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob,
				mirror.Unknown).change("before "+shadowedJob, func(r *mirror.Result) { r.Attempts = 1 }),
			outcomeUnknown},
		"ours: the source is refused to us, and not its pods": {mirroredTag(),
			registryResults{}.failed(mirroredJob, mirror.Denied).failed("before "+mirroredJob, mirror.Denied),
			outcomeNotMirrored},
		"ours, filled by others: missing, and it matters": {mirroredTag().verifyOnly(),
			registryResults{}.failed(mirroredJob, mirror.Missing).proven("before "+mirroredJob, 0), outcomeNotMirrored},
		"ours, filled by others: there": {mirroredTag().verifyOnly(),
			registryResults{}.proven(mirroredJob, 0), outcomePullable},
		"what is said of the item in another pool is not said": {mirroredTag(),
			registryResults{}.proven("quay.io/acme/app:v1 in master", 0), outcomeUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := c.b.build(t)
			if got := p.outcome(p.Items[0], c.results); got != c.want {
				t.Errorf("fate %d, want %d", got, c.want)
			}
		})
	}
}

func TestSummarizeCounts(t *testing.T) {
	b := newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).
		uses("quay.io/acme/good:v1", "quay.io/acme/older:v1", "quay.io/acme/open:v1", "quay.io/acme/failed:v1",
			"quay.io/acme/dead:v1",
			"quay.io/acme/lost"+sha, "quay.io/acme/asked"+sha, "docker.io/library/nginx", "quay.io/acme/risky:v1").
		knowsAdvisory("quay.io/acme/off:v1").accepts("quay.io/acme/risky:*")
	job := func(name string) string { return "quay.io/acme/" + name + " in worker" }
	results := registryResults{}.proven(job("good:v1"), time.Minute).proven(job("older:v1"),
		5*time.Minute).recheckedAs(job("older:v1"), mirror.Queued).
		failed(job("failed:v1"), mirror.Missing).proven("before "+job("failed:v1"), 0).
		failed(job("dead:v1"), mirror.Missing).failed("before "+job("dead:v1"), mirror.Missing).
		proven("before "+job("lost"+sha), 0).
		change(job("good:v1"), func(r *mirror.Result) {
			r.Copies = []mirror.CopyResult{{Pushed: true, Bytes: 100}, {Pushed: false, Bytes: 7}}
		}).
		change(job("off:v1"), func(r *mirror.Result) { r.Copies = []mirror.CopyResult{{Pushed: true, Bytes: 1000}} })
	plan, transfers := b.build(t).Summarize(results, "sha256:engaged", true)
	wantPlan := rollout.PlanSummary{Digest: plan.Digest, Total: 10, Changed: 9, PendingChecks: 1, Accepted: 1,
		NoWorse: 1, Lost: 1, Advisory: 1}
	if diff := cmp.Diff(wantPlan, withoutWorst(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	wantWork := rollout.Transfers{
		PlanDigest: "sha256:engaged", Copying: true, Total: 5, Verified: 2, Failed: 1, Copied: 2, Bytes: 1107,
		OldestProof: now.Add(-5 * time.Minute),
	}
	if diff := cmp.Diff(wantWork, transfersWithoutWorst(transfers)); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
	if len(plan.Problems) != 1 || len(transfers.Problems) != 1 {
		t.Errorf("%d and %d named, want one each", len(plan.Problems), len(transfers.Problems))
	}
}

func withoutWorst(p rollout.PlanSummary) rollout.PlanSummary {
	p.Problems = nil
	return p
}

func transfersWithoutWorst(t rollout.Transfers) rollout.Transfers {
	t.Problems = nil
	return t
}

func TestSummarizeIsBounded(t *testing.T) {
	b := newBuilder().tags(item("quay.io/acme", block, "m.local/acme"))
	results := registryResults{}
	for _, c := range "abcdefghijklmno" {
		b.uses("quay.io/acme/"+string(c)+sha, "quay.io/acme/"+string(c)+":v1")
		results.proven("before quay.io/acme/"+string(c)+sha+" in worker", 0).
			failed("quay.io/acme/"+string(c)+":v1 in worker", mirror.Missing).proven("before quay.io/acme/"+string(c)+
			":v1 in worker", 0)
	}
	plan, transfers := b.build(t).Summarize(results, "", false)
	if plan.Lost != 15 || len(plan.Problems) != maxProblems || transfers.Failed != 15 ||
		len(transfers.Problems) != maxProblems {
		t.Errorf("lost %d (%d named), failed %d (%d named)", plan.Lost, len(plan.Problems), transfers.Failed,
			len(transfers.Problems))
	}
}

// A lost reference is named with who needs it, why it is lost, and what to write into which field.
func TestSuggestions(t *testing.T) {
	beforeOf := func(job string) registryResults { return registryResults{}.proven("before "+job, 0) }
	cases := map[string]struct {
		b       *builder
		results registryResults
		want    []string
	}{
		"(b) a digest where only tags are mirrored": {blockedDigest(), beforeOf(blockedJob), []string{
			"quay.io/acme/app@sha", "used by Deployment shop/app",
			"every place it could be pulled from is blocked (NeverContactSource on quay.io/acme",
			"Add to spec.imageDigestMirrors: {source: quay.io/acme, mirrors: [m.local/acme], mirrorSourcePolicy: NeverContactSource}, or list the reference in spec.inventory.acceptedRisks",
		}},
		"a tag where only digests are mirrored": {
			newBuilder().digests(item("quay.io/acme", block, "m.local/acme",
				"n.local/acme")).uses("quay.io/acme/app:v1"), beforeOf(mirroredJob), []string{
				"Add to spec.imageTagMirrors: {source: quay.io/acme, mirrors: [m.local/acme, n.local/acme], mirrorSourcePolicy: NeverContactSource}",
			}},
		"(d) a narrower scope": {shadowed(), beforeOf(shadowedJob).failed(shadowedJob, mirror.Refused), []string{
			"it can only be pulled from quay.io/acme/shop/app@sha, and that fails",
			"ImageTagMirrorSet/shop takes its scope quay.io/acme/shop away from the mirrors it has today",
			"Add to spec.imageDigestMirrors: {source: quay.io/acme/shop, mirrors: [m.local/acme/shop]}",
		}},
		"the narrower scope is the repository itself": {
			newBuilder().existingDigests("quay.io/acme",
				"m.local/acme").tags(item("quay.io/acme/app", "", "m.local/shop")).uses("quay.io/acme/app" + sha),
			beforeOf(blockedJob).failed(blockedJob, mirror.Refused), []string{
				"Add to spec.imageDigestMirrors: {source: quay.io/acme/app, mirrors: [m.local/acme/app]}",
			}},
		"refused to us": {blockedDigest(), registryResults{}.failed("before "+blockedJob, mirror.Denied), []string{
			"known to its pods only", "refuses the cluster's pull secret",
		}},
		"a wildcard": {
			newBuilder().tags(item("*.quay.io", block, "m.local")).uses("eu.quay.io/acme/app" + sha),
			registryResults{}.proven("before eu.quay.io/acme/app"+sha+" in worker", 0), []string{
				"Add to spec.imageDigestMirrors: {source: *.quay.io, mirrors: [m.local], mirrorSourcePolicy: NeverContactSource}",
			}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			plan, _ := c.b.build(t).Summarize(c.results, "", false)
			if len(plan.Problems) != 1 {
				t.Fatalf("%d named, want one: %+v", len(plan.Problems), plan)
			}
			p := plan.Problems[0]
			if p.Reason != v1alpha1.ReasonImagesLost || p.Kind != "Image" || p.Name == "" {
				t.Errorf("problem %+v", p)
			}
			assertContains(t, p.Message, c.want...)
		})
	}
	t.Run("nobody knows a mirror", func(t *testing.T) {
		text := suggestion(Item{})
		assertContains(t, text, "Add an item to spec.imageTagMirrors with source", "a mirror that holds the image")
	})
}

func assertContains(t *testing.T, message string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(short(message), part) {
			t.Errorf("no %q in:\n%s", part, short(message))
		}
	}
}

// A name that cannot be rewritten for its mirror is lost without anybody being asked.
func TestImpossibleRewrite(t *testing.T) {
	p := mirroredTag().build(t)
	i := &p.Items[0]
	i.Target, i.After.Endpoints, i.After.Err = "", nil, "repository name must be lowercase"
	plan, _ := p.Summarize(registryResults{}.proven("before "+mirroredJob, 0), "", false)
	if len(plan.Problems) != 1 {
		t.Fatalf("plan %+v", plan)
	}
	assertContains(t, plan.Problems[0].Message, "cannot be rewritten for the mirror: repository name must be lowercase")
}

// A copy or a proof that fails is named with where, and what happens next.
func TestFailures(t *testing.T) {
	cases := map[string]struct {
		b      *builder
		class  mirror.ErrorClass
		reason v1alpha1.ConditionReason
		want   []string
	}{
		"a damaged mirror": {mirroredTag(), mirror.Incomplete, v1alpha1.ReasonImagesFailed,
			[]string{"not proven at m.local/acme/app:v1", "Incomplete", "tried again by itself"}},
		"credentials": {mirroredTag(), mirror.Denied, v1alpha1.ReasonMirrorUnreachable,
			[]string{"spec.mirroring.pushSecret"}},
		"a certificate": {mirroredTag(), mirror.TLS, v1alpha1.ReasonMirrorUnreachable,
			[]string{"spec.additionalTrustedCA"}},
		"nobody listens": {mirroredTag(), mirror.Refused, v1alpha1.ReasonMirrorUnreachable,
			[]string{"the mirror's address in the spec"}},
		"no answer": {mirroredTag(), mirror.Timeout, v1alpha1.ReasonMirrorUnreachable,
			[]string{"the mirror's address in the spec"}},
		"no uploads": {mirroredTag(), mirror.ReadOnly, v1alpha1.ReasonMirrorUnreachable,
			[]string{"spec.mirroring.mode to VerifyOnly"}},
		"somebody else's": {mirroredTag().verifyOnly(), mirror.Missing, v1alpha1.ReasonImagesFailed,
			[]string{"by whoever fills the mirror"}},
		"used by Deployment": {mirroredTag(), mirror.Missing, v1alpha1.ReasonImagesFailed,
			[]string{"used by Deployment shop/app"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, transfers := c.b.build(t).Summarize(registryResults{}.failed(mirroredJob, c.class).proven("before "+
				mirroredJob, 0), "", true)
			if len(transfers.Problems) != 1 {
				t.Fatalf("transfers %+v", transfers)
			}
			if got := transfers.Problems[0]; got.Reason != c.reason || got.Name != "quay.io/acme/app:v1" {
				t.Errorf("problem %+v, want reason %s", got, c.reason)
			}
			assertContains(t, transfers.Problems[0].Message, c.want...)
		})
	}
}

func TestOwnersAreNamed(t *testing.T) {
	p := blockedDigest().build(t)
	p.Items[0].Reference.Owners = []inventory.Owner{{Kind: "Pod", Namespace: "shop", Name: "app-1"}}
	p.Items[0].Reference.Count = 12
	plan, _ := p.Summarize(registryResults{}.proven("before "+blockedJob, 0), "", false)
	assertContains(t, plan.Problems[0].Message, "used by Pod shop/app-1 and 11 more")
}
