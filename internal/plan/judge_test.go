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

// The rollouts of these tests: one whose mirror is filled by us, and one whose references are served by nobody.
func filled() *builder {
	return spec().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app:v1")
}

func blockedDigest() *builder {
	return spec().tags(item("quay.io/acme", block, "m.local/acme")).uses("quay.io/acme/app" + sha)
}

func shadowed() *builder {
	return spec().existingDigests("quay.io/acme", "m.local/acme").tags(item("quay.io/acme/shop", "", "m.local/shop")).
		uses("quay.io/acme/shop/app" + sha)
}

const (
	filledJob   = "quay.io/acme/app:v1 in worker"
	blockedJob  = "quay.io/acme/app" + sha + " in worker"
	shadowedJob = "quay.io/acme/shop/app" + sha + " in worker"
)

func TestFates(t *testing.T) {
	cases := map[string]struct {
		b    *builder
		said answers
		want fate
	}{
		"ours: not looked at yet":                    {filled(), answers{}, unknownFate},
		"ours: queued":                               {filled(), answers{filledJob: {State: mirror.Queued}}, unknownFate},
		"ours: proven":                               {filled(), answers{}.proven(filledJob, 0), good},
		"ours: proven, and looked at again":          {filled(), answers{}.proven(filledJob, 0).again(filledJob, mirror.Running), good},
		"ours: failed, and asked whether it matters": {filled(), answers{}.failed(filledJob, mirror.Missing), unknownFate},
		"ours: failed, and it matters":               {filled(), answers{}.failed(filledJob, mirror.Missing).proven("before "+filledJob, 0), failing},
		"ours: failed, and tried again":              {filled(), answers{}.failed(filledJob, mirror.Missing).again(filledJob, mirror.Running).proven("before "+filledJob, 0), failing},
		"ours: failed, and was dead before":          {filled(), answers{}.failed(filledJob, mirror.Missing).failed("before "+filledJob, mirror.Missing), noWorse},
		"ours: was dead before, and is asked again":  {filled(), answers{}.failed(filledJob, mirror.Missing).failed("before "+filledJob, mirror.Missing).again("before "+filledJob, mirror.Queued), noWorse},
		"accepted":                                             {filled().accepts("*"), answers{}.failed(filledJob, mirror.Missing).proven("before "+filledJob, 0), ignored},
		"nothing can start it now":                             {spec().tags(item("quay.io/acme", block, "m.local/acme")).knows("quay.io/acme/app:v1"), answers{}, ignored},
		"blocked: not looked at yet":                           {blockedDigest(), answers{}, unknownFate},
		"blocked: could be pulled":                             {blockedDigest(), answers{}.proven("before "+blockedJob, 0), lost},
		"blocked: was dead before":                             {blockedDigest(), answers{}.failed("before "+blockedJob, mirror.Missing), noWorse},
		"blocked: was blocked before":                          {filled().blocks("quay.io", "m.local"), answers{}, noWorse},
		"elsewhere: can be pulled":                             {shadowed(), answers{}.proven(shadowedJob, 0), good},
		"elsewhere: cannot, and could":                         {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).proven("before "+shadowedJob, 0), lost},
		"elsewhere: cannot, and could not":                     {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Missing), noWorse},
		"elsewhere: cannot, and is asked about":                {shadowed(), answers{}.failed(shadowedJob, mirror.Refused), unknownFate},
		"dead for its registry's word: a damaged image":        {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Corrupt), noWorse},
		"refused to us: its pods may have credentials":         {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Denied), lost},
		"asked too often: it is there":                         {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.RateLimited), unknownFate},
		"out of reach for long: an air gap":                    {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Timeout), noWorse},
		"out of reach for a moment: an outage proves nothing":  {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Timeout).change("before "+shadowedJob, func(r *mirror.Result) { r.Attempts = persistent - 1 }), unknownFate},
		"out of reach for long enough":                         {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Refused).change("before "+shadowedJob, func(r *mirror.Result) { r.Attempts = persistent }), noWorse},
		"a registry with an error of its own, for a moment":    {shadowed(), answers{}.failed(shadowedJob, mirror.Refused).failed("before "+shadowedJob, mirror.Unknown).change("before "+shadowedJob, func(r *mirror.Result) { r.Attempts = 1 }), unknownFate},
		"ours: the source is refused to us, and not its pods":  {filled(), answers{}.failed(filledJob, mirror.Denied).failed("before "+filledJob, mirror.Denied), failing},
		"ours, filled by others: missing, and it matters":      {filled().verifyOnly(), answers{}.failed(filledJob, mirror.Missing).proven("before "+filledJob, 0), failing},
		"ours, filled by others: there":                        {filled().verifyOnly(), answers{}.proven(filledJob, 0), good},
		"what is said of the item in another pool is not said": {filled(), answers{}.proven("quay.io/acme/app:v1 in master", 0), unknownFate},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := c.b.build(t)
			if got := p.fate(p.Items[0], c.said); got != c.want {
				t.Errorf("fate %d, want %d", got, c.want)
			}
		})
	}
}

func TestJudgeCounts(t *testing.T) {
	b := spec().tags(item("quay.io/acme", block, "m.local/acme")).
		uses("quay.io/acme/good:v1", "quay.io/acme/older:v1", "quay.io/acme/open:v1", "quay.io/acme/failed:v1", "quay.io/acme/dead:v1",
			"quay.io/acme/lost"+sha, "quay.io/acme/asked"+sha, "docker.io/library/nginx", "quay.io/acme/risky:v1").
		knows("quay.io/acme/off:v1").accepts("quay.io/acme/risky:*")
	job := func(name string) string { return "quay.io/acme/" + name + " in worker" }
	said := answers{}.proven(job("good:v1"), time.Minute).proven(job("older:v1"), 5*time.Minute).again(job("older:v1"), mirror.Queued).
		failed(job("failed:v1"), mirror.Missing).proven("before "+job("failed:v1"), 0).
		failed(job("dead:v1"), mirror.Missing).failed("before "+job("dead:v1"), mirror.Missing).
		proven("before "+job("lost"+sha), 0).
		change(job("good:v1"), func(r *mirror.Result) {
			r.Copied = []mirror.Copied{{Pushed: true, Bytes: 100}, {Pushed: false, Bytes: 7}}
		}).
		change(job("off:v1"), func(r *mirror.Result) { r.Copied = []mirror.Copied{{Pushed: true, Bytes: 1000}} })
	plan, work := b.build(t).Judge(said, "sha256:engaged", true)
	wantPlan := rollout.Plan{Digest: plan.Digest, Total: 10, Changed: 9, Probing: 1, Accepted: 1, NoWorse: 1, Lost: 1, Advisory: 1}
	if diff := cmp.Diff(wantPlan, without(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	wantWork := rollout.Transfers{
		Plan: "sha256:engaged", Copying: true, Total: 5, Verified: 2, Failed: 1, Copied: 2, Bytes: 1107, Oldest: now.Add(-5 * time.Minute),
	}
	if diff := cmp.Diff(wantWork, withoutWorst(work)); diff != "" {
		t.Errorf("transfers (-want +got):\n%s", diff)
	}
	if len(plan.Worst) != 1 || len(work.Worst) != 1 {
		t.Errorf("%d and %d named, want one each", len(plan.Worst), len(work.Worst))
	}
}

func without(p rollout.Plan) rollout.Plan {
	p.Worst = nil
	return p
}

func withoutWorst(t rollout.Transfers) rollout.Transfers {
	t.Worst = nil
	return t
}

func TestJudgeNamesAFewOnly(t *testing.T) {
	b := spec().tags(item("quay.io/acme", block, "m.local/acme"))
	said := answers{}
	for _, c := range "abcdefghijklmno" {
		b.uses("quay.io/acme/"+string(c)+sha, "quay.io/acme/"+string(c)+":v1")
		said.proven("before quay.io/acme/"+string(c)+sha+" in worker", 0).
			failed("quay.io/acme/"+string(c)+":v1 in worker", mirror.Missing).proven("before quay.io/acme/"+string(c)+":v1 in worker", 0)
	}
	plan, work := b.build(t).Judge(said, "", false)
	if plan.Lost != 15 || len(plan.Worst) != maxWorst || work.Failed != 15 || len(work.Worst) != maxWorst {
		t.Errorf("lost %d (%d named), failed %d (%d named)", plan.Lost, len(plan.Worst), work.Failed, len(work.Worst))
	}
}

// A lost reference is named with who needs it, why it is lost, and what to write into which field.
func TestRemedies(t *testing.T) {
	beforeOf := func(job string) answers { return answers{}.proven("before "+job, 0) }
	cases := map[string]struct {
		b    *builder
		said answers
		want []string
	}{
		"(b) a digest where only tags are mirrored": {blockedDigest(), beforeOf(blockedJob), []string{
			"quay.io/acme/app@sha", "used by Deployment shop/app", "every place it could be pulled from is blocked (NeverContactSource on quay.io/acme",
			"Add to spec.imageDigestMirrors: {source: quay.io/acme, mirrors: [m.local/acme], mirrorSourcePolicy: NeverContactSource}, or list the reference in spec.inventory.acceptedRisks",
		}},
		"a tag where only digests are mirrored": {
			spec().digests(item("quay.io/acme", block, "m.local/acme", "n.local/acme")).uses("quay.io/acme/app:v1"), beforeOf(filledJob), []string{
				"Add to spec.imageTagMirrors: {source: quay.io/acme, mirrors: [m.local/acme, n.local/acme], mirrorSourcePolicy: NeverContactSource}",
			}},
		"(d) a narrower scope": {shadowed(), beforeOf(shadowedJob).failed(shadowedJob, mirror.Refused), []string{
			"it can only be pulled from quay.io/acme/shop/app@sha, and that fails",
			"ImageTagMirrorSet/shop takes its scope quay.io/acme/shop away from the mirrors it has today",
			"Add to spec.imageDigestMirrors: {source: quay.io/acme/shop, mirrors: [m.local/acme/shop]}",
		}},
		"the narrower scope is the repository itself": {
			spec().existingDigests("quay.io/acme", "m.local/acme").tags(item("quay.io/acme/app", "", "m.local/shop")).uses("quay.io/acme/app" + sha),
			beforeOf(blockedJob).failed(blockedJob, mirror.Refused), []string{
				"Add to spec.imageDigestMirrors: {source: quay.io/acme/app, mirrors: [m.local/acme/app]}",
			}},
		"refused to us": {blockedDigest(), answers{}.failed("before "+blockedJob, mirror.Denied), []string{
			"known to its pods only", "refuses the cluster's pull secret",
		}},
		"a wildcard": {
			spec().tags(item("*.quay.io", block, "m.local")).uses("eu.quay.io/acme/app" + sha),
			answers{}.proven("before eu.quay.io/acme/app"+sha+" in worker", 0), []string{
				"Add to spec.imageDigestMirrors: {source: *.quay.io, mirrors: [m.local], mirrorSourcePolicy: NeverContactSource}",
			}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			plan, _ := c.b.build(t).Judge(c.said, "", false)
			if len(plan.Worst) != 1 {
				t.Fatalf("%d named, want one: %+v", len(plan.Worst), plan)
			}
			p := plan.Worst[0]
			if p.Reason != v1alpha1.ReasonImagesLost || p.Kind != "Image" || p.Name == "" {
				t.Errorf("problem %+v", p)
			}
			says(t, p.Message, c.want...)
		})
	}
	t.Run("nobody knows a mirror", func(t *testing.T) {
		text := remedy(Item{})
		says(t, text, "Add an item to spec.imageTagMirrors with source", "a mirror that holds the image")
	})
}

func says(t *testing.T, message string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(short(message), part) {
			t.Errorf("no %q in:\n%s", part, short(message))
		}
	}
}

// A name that cannot be rewritten for its mirror is lost without anybody being asked.
func TestAnImpossibleRewrite(t *testing.T) {
	p := filled().build(t)
	i := &p.Items[0]
	i.Fill, i.After.Endpoints, i.After.Err = "", nil, "repository name must be lowercase"
	plan, _ := p.Judge(answers{}.proven("before "+filledJob, 0), "", false)
	if len(plan.Worst) != 1 {
		t.Fatalf("plan %+v", plan)
	}
	says(t, plan.Worst[0].Message, "cannot be rewritten for the mirror: repository name must be lowercase")
}

// A copy or a proof that fails is named with where, and what happens next.
func TestFailures(t *testing.T) {
	cases := map[string]struct {
		b      *builder
		class  mirror.ErrorClass
		reason string
		want   []string
	}{
		"a damaged mirror":   {filled(), mirror.Incomplete, v1alpha1.ReasonImagesFailed, []string{"not proven at m.local/acme/app:v1", "Incomplete", "tried again by itself"}},
		"credentials":        {filled(), mirror.Denied, v1alpha1.ReasonMirrorUnreachable, []string{"spec.mirroring.pushSecret"}},
		"a certificate":      {filled(), mirror.TLS, v1alpha1.ReasonMirrorUnreachable, []string{"spec.additionalTrustedCA"}},
		"nobody listens":     {filled(), mirror.Refused, v1alpha1.ReasonMirrorUnreachable, []string{"the mirror's address in the spec"}},
		"no answer":          {filled(), mirror.Timeout, v1alpha1.ReasonMirrorUnreachable, []string{"the mirror's address in the spec"}},
		"no uploads":         {filled(), mirror.ReadOnly, v1alpha1.ReasonMirrorUnreachable, []string{"spec.mirroring.mode to VerifyOnly"}},
		"somebody else's":    {filled().verifyOnly(), mirror.Missing, v1alpha1.ReasonImagesFailed, []string{"by whoever fills the mirror"}},
		"used by Deployment": {filled(), mirror.Missing, v1alpha1.ReasonImagesFailed, []string{"used by Deployment shop/app"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, work := c.b.build(t).Judge(answers{}.failed(filledJob, c.class).proven("before "+filledJob, 0), "", true)
			if len(work.Worst) != 1 {
				t.Fatalf("transfers %+v", work)
			}
			if got := work.Worst[0]; got.Reason != c.reason || got.Name != "quay.io/acme/app:v1" {
				t.Errorf("problem %+v, want reason %s", got, c.reason)
			}
			says(t, work.Worst[0].Message, c.want...)
		})
	}
}

func TestOwnersAreNamed(t *testing.T) {
	p := blockedDigest().build(t)
	p.Items[0].Reference.Owners = []inventory.Owner{{Kind: "Pod", Namespace: "shop", Name: "app-1"}}
	p.Items[0].Reference.Count = 12
	plan, _ := p.Judge(answers{}.proven("before "+blockedJob, 0), "", false)
	says(t, plan.Worst[0].Message, "used by Pod shop/app-1 and 11 more")
}
