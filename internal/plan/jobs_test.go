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
		Reference: mirroredJob, Sources: []string{"quay.io/acme/app:v1"}, Targets: []string{"m.local/acme/app:v1"},
		PullEndpoints: []string{"m.local/acme/app:v1"}, RequiredPlatforms: platforms,
	}
	lookJob := mirror.Job{Reference: mirroredJob, PullEndpoints: []string{"m.local/acme/app:v1"},
		RequiredPlatforms: platforms}
	beforeJob := mirror.Job{Reference: "before " + mirroredJob, PullEndpoints: []string{"quay.io/acme/app:v1"},
		RequiredPlatforms: platforms}
	shadowedLook := mirror.Job{Reference: shadowedJob, PullEndpoints: []string{"quay.io/acme/shop/app" + sha},
		RequiredPlatforms: platforms}
	shadowedBefore := mirror.Job{
		Reference:         "before " + shadowedJob,
		PullEndpoints:     []string{"m.local/acme/shop/app" + sha, "quay.io/acme/shop/app" + sha},
		RequiredPlatforms: platforms,
	}
	cases := map[string]struct {
		b       *builder
		copying bool
		results registryResults
		want    []mirror.Job
	}{
		"ours, before anything may be written": {mirroredTag(), false, nil, nil},
		"ours":                                 {mirroredTag(), true, nil, []mirror.Job{copyJob}},
		"ours, filled by somebody else":        {mirroredTag().verifyOnly(), true, nil, []mirror.Job{lookJob}},
		"ours, failed: could it be pulled": {mirroredTag(), true,
			registryResults{}.failed(mirroredJob, mirror.Missing), []mirror.Job{copyJob, beforeJob}},
		"that stays asked while it is tried again": {mirroredTag(), true,
			registryResults{}.failed(mirroredJob, mirror.Missing).recheckedAs(mirroredJob, mirror.Running),
			[]mirror.Job{copyJob, beforeJob}},
		"ours, proven": {mirroredTag(), true, registryResults{}.proven(mirroredJob, 0), []mirror.Job{copyJob}},
		"nobody's: only whether it could be pulled": {blockedDigest(), false, nil,
			[]mirror.Job{{Reference: "before " + blockedJob, PullEndpoints: []string{"quay.io/acme/app" + sha},
				RequiredPlatforms: platforms}}},
		"nobody's, and nobody's before":    {mirroredTag().blocks("quay.io", "m.local"), true, nil, nil},
		"somebody else's, before anything": {shadowed(), false, nil, []mirror.Job{shadowedLook}},
		"somebody else's":                  {shadowed(), true, nil, []mirror.Job{shadowedLook}},
		"somebody else's, failed": {shadowed(), false,
			registryResults{}.failed(shadowedJob, mirror.Refused), []mirror.Job{shadowedLook, shadowedBefore}},
		"what nothing can start is mirrored, too": {newBuilder().tags(item("quay.io/acme", block,
			"m.local/acme")).knowsAdvisory("quay.io/acme/app:v1"), true, nil,
			[]mirror.Job{copyJob}},
		"the source comes last, and is copied from": {
			newBuilder().blocks("quay.io").digests(item("quay.io/acme", allow,
				"m.local/acme")).uses("quay.io/acme/app" + sha), true, nil,
			[]mirror.Job{{
				Reference: blockedJob, Targets: []string{"m.local/acme/app" + sha},
				PullEndpoints: []string{"m.local/acme/app" + sha}, RequiredPlatforms: platforms,
			}},
		},
		"(c) the source may be contacted": {
			newBuilder().tags(item("quay.io/acme", allow, "m.local/acme")).uses("quay.io/acme/app:v1"), true, nil,
			[]mirror.Job{{
				Reference: mirroredJob, Sources: []string{"quay.io/acme/app:v1", "quay.io/acme/app:v1"},
				Targets:       []string{"m.local/acme/app:v1"},
				PullEndpoints: []string{"m.local/acme/app:v1", "quay.io/acme/app:v1"}, RequiredPlatforms: platforms,
			}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range c.want {
				c.want[i].ChildSignatures = len(c.want[i].Targets) > 0
			}
			if diff := cmp.Diff(c.want, c.b.build(t).Jobs(c.copying, c.results), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
		})
	}
}

// Every job has a name of its own: the engine keeps one for each.
func TestJobsHaveNamesOfTheirOwn(t *testing.T) {
	b := newBuilder().inPools("custom", "worker").withDropIn("custom",
		"[[registry]]\nprefix = \"m.local\"\nlocation = \"n.local\"\n").
		tags(item("quay.io/acme", allow, "m.local/acme"), item("docker.io", block, "m.local/docker")).
		uses("quay.io/acme/app:v1", "quay.io/acme/app"+sha, "nginx", "docker.io/nginx", "docker.io/library/nginx:1")
	p := b.build(t)
	results := registryResults{}
	for _, i := range p.Items {
		results.failed(i.Key(), mirror.Missing)
	}
	seen := map[string]bool{}
	for _, j := range p.Jobs(true, results) {
		if seen[j.Reference] {
			t.Errorf("two jobs are called %q", j.Reference)
		}
		seen[j.Reference] = true
	}
	if len(seen) < 2*len(p.Items)-2 {
		t.Errorf("%d jobs for %d items", len(seen), len(p.Items))
	}
}

func TestKeyWithoutPool(t *testing.T) {
	if got := (Item{Name: "quay.io/acme/app:v1"}).Key(); got != "quay.io/acme/app:v1" {
		t.Errorf("%q", got)
	}
}

// A mirror of the list that holds the image in part is a failure without an error of the job itself.
func TestCheckStateTodayOfOtherMirror(t *testing.T) {
	for class, want := range map[mirror.ErrorClass]checkState{
		mirror.Incomplete: checkFailed, mirror.Corrupt: checkFailed, mirror.Missing: checkPassed,
	} {
		r := mirror.Result{Proof: mirror.Proof{At: now}, OtherMirrors: []mirror.ImageCheck{
			{Err: &mirror.Error{Class: class}}}}
		if got := checkStateToday(r); got != want {
			t.Errorf("%s in another mirror: state %v, want %v", class, got, want)
		}
	}
}
