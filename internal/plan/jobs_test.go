package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func TestJobs(t *testing.T) {
	platforms := []string{"linux/amd64", "linux/arm64"}
	copyJob := mirror.Job{
		Reference: filledJob, From: []string{"quay.io/acme/app:v1"}, Fill: []string{"m.local/acme/app:v1"},
		Walk: []string{"m.local/acme/app:v1"}, Platforms: platforms,
	}
	lookJob := mirror.Job{Reference: filledJob, Walk: []string{"m.local/acme/app:v1"}, Platforms: platforms}
	beforeJob := mirror.Job{Reference: "before " + filledJob, Walk: []string{"quay.io/acme/app:v1"}, Platforms: platforms}
	shadowedLook := mirror.Job{Reference: shadowedJob, Walk: []string{"quay.io/acme/shop/app" + sha}, Platforms: platforms}
	shadowedBefore := mirror.Job{
		Reference: "before " + shadowedJob, Walk: []string{"m.local/acme/shop/app" + sha, "quay.io/acme/shop/app" + sha}, Platforms: platforms,
	}
	cases := map[string]struct {
		b       *builder
		copying bool
		said    answers
		want    []mirror.Job
	}{
		"ours, before anything may be written": {filled(), false, nil, nil},
		"ours":                                 {filled(), true, nil, []mirror.Job{copyJob}},
		"ours, filled by somebody else":        {filled().verifyOnly(), true, nil, []mirror.Job{lookJob}},
		"ours, failed: could it be pulled":     {filled(), true, answers{}.failed(filledJob, mirror.Missing), []mirror.Job{copyJob, beforeJob}},
		"that stays asked while it is tried again": {filled(), true, answers{}.failed(filledJob, mirror.Missing).again(filledJob, mirror.Running),
			[]mirror.Job{copyJob, beforeJob}},
		"ours, proven": {filled(), true, answers{}.proven(filledJob, 0), []mirror.Job{copyJob}},
		"nobody's: only whether it could be pulled": {blockedDigest(), false, nil, []mirror.Job{{Reference: "before " + blockedJob, Walk: []string{"quay.io/acme/app" + sha}, Platforms: platforms}}},
		"nobody's, and nobody's before":             {filled().blocks("quay.io", "m.local"), true, nil, nil},
		"somebody else's, before anything":          {shadowed(), false, nil, []mirror.Job{shadowedLook}},
		"somebody else's":                           {shadowed(), true, nil, []mirror.Job{shadowedLook}},
		"somebody else's, failed":                   {shadowed(), false, answers{}.failed(shadowedJob, mirror.Refused), []mirror.Job{shadowedLook, shadowedBefore}},
		"what nothing can start is mirrored, too": {spec().tags(item("quay.io/acme", block, "m.local/acme")).knows("quay.io/acme/app:v1"), true, nil,
			[]mirror.Job{copyJob}},
		"the source comes last, and is copied from": {
			spec().blocks("quay.io").digests(item("quay.io/acme", allow, "m.local/acme")).uses("quay.io/acme/app" + sha), true, nil,
			[]mirror.Job{{
				Reference: blockedJob, Fill: []string{"m.local/acme/app" + sha}, Walk: []string{"m.local/acme/app" + sha}, Platforms: platforms,
			}},
		},
		"(c) the source may be contacted": {
			spec().tags(item("quay.io/acme", allow, "m.local/acme")).uses("quay.io/acme/app:v1"), true, nil, []mirror.Job{{
				Reference: filledJob, From: []string{"quay.io/acme/app:v1", "quay.io/acme/app:v1"}, Fill: []string{"m.local/acme/app:v1"},
				Walk: []string{"m.local/acme/app:v1", "quay.io/acme/app:v1"}, Platforms: platforms,
			}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range c.want {
				c.want[i].ChildSignatures = len(c.want[i].Fill) > 0
			}
			if diff := cmp.Diff(c.want, c.b.build(t).Jobs(c.copying, c.said), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
}

// Every job has a name of its own: the engine keeps one for each.
func TestJobsHaveNamesOfTheirOwn(t *testing.T) {
	b := spec().in("custom", "worker").adds("custom", "[[registry]]\nprefix = \"m.local\"\nlocation = \"n.local\"\n").
		tags(item("quay.io/acme", allow, "m.local/acme"), item("docker.io", block, "m.local/docker")).
		uses("quay.io/acme/app:v1", "quay.io/acme/app"+sha, "nginx", "docker.io/nginx", "docker.io/library/nginx:1")
	p := b.build(t)
	said := answers{}
	for _, i := range p.Items {
		said.failed(i.Key(), mirror.Missing)
	}
	seen := map[string]bool{}
	for _, j := range p.Jobs(true, said) {
		if seen[j.Reference] {
			t.Errorf("two jobs are called %q", j.Reference)
		}
		seen[j.Reference] = true
	}
	if len(seen) < 2*len(p.Items)-2 {
		t.Errorf("%d jobs for %d items", len(seen), len(p.Items))
	}
}

func TestTheNameOfAnItemWithoutAPool(t *testing.T) {
	if got := (Item{Name: "quay.io/acme/app:v1"}).Key(); got != "quay.io/acme/app:v1" {
		t.Errorf("%q", got)
	}
}
