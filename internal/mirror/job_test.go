package mirror

import (
	"context"
	"reflect"
	"testing"
)

func TestJobKey(t *testing.T) {
	base := Job{Reference: "a", Digest: "d", Sources: []string{"f"}, Targets: []string{"m"},
		PullEndpoints: []string{"m", "f"}, RequiredPlatforms: []string{"p"}}
	same := base
	same.Sources = []string{"f"}
	if base.Key() != same.Key() || !base.equal(same) {
		t.Error("equal jobs have different keys")
	}
	cases := map[string]func(j *Job){
		"reference":        func(j *Job) { j.Reference = "b" },
		"digest":           func(j *Job) { j.Digest = "" },
		"from":             func(j *Job) { j.Sources = nil },
		"fill":             func(j *Job) { j.Targets = []string{"m", "n"} },
		"walk":             func(j *Job) { j.PullEndpoints = []string{"f", "m"} },
		"platforms":        func(j *Job) { j.RequiredPlatforms = []string{"q"} },
		"others":           func(j *Job) { j.OtherMirrors = []string{"o"} },
		"only":             func(j *Job) { j.Platforms = []string{"p"} },
		"referrers":        func(j *Job) { j.Referrers = true },
		"child signatures": func(j *Job) { j.ChildSignatures = true },
		"download":         func(j *Job) { j.Download = DownloadFull },
		"cache":            func(j *Job) { j.PullThroughCache = true },
	}
	if fields := reflect.TypeFor[Job]().NumField(); fields != len(cases) {
		t.Errorf("%d fields, %d cases", fields, len(cases))
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			other := base
			change(&other)
			if base.Key() == other.Key() || base.equal(other) {
				t.Error("a different job has the same key")
			}
		})
	}
}

// TestResolveDigest is about tags whose source does not answer: when is that an error, and when is
// any image accepted?
func TestResolveDigest(t *testing.T) {
	img := multiArch("app")
	present := func(t *testing.T) string {
		g := newTestRegistry(t)
		g.seed(t, "app", "v1", img)
		return g.host + "/app:v1"
	}
	absent := func(t *testing.T) string { return newTestRegistry(t).host + "/app:v1" }
	gone := func(t *testing.T) string {
		g := newTestRegistry(t)
		g.server.Close()
		return g.host + "/app:v1"
	}
	cases := map[string]struct {
		job   Job
		from  []func(t *testing.T) string
		want  string
		class ErrorClass
	}{
		"given": {job: Job{Digest: "sha256:given"},
			from: []func(*testing.T) string{present}, want: "sha256:given"},
		"the first that answers": {from: []func(*testing.T) string{gone, absent, present},
			want: img.top.digest},
		"others fill, no source answers": {from: []func(*testing.T) string{gone}, want: ""},
		"we fill, no source has it": {job: Job{Targets: []string{"m"}},
			from: []func(*testing.T) string{absent, absent}, want: ""},
		"we fill, the source is down": {job: Job{Targets: []string{"m"}},
			from: []func(*testing.T) string{gone}, class: Refused},
		"we fill, one is down, one lacks it": {job: Job{Targets: []string{"m"}},
			from: []func(*testing.T) string{gone, absent}, class: Missing},
		"we fill, one lacks it, one is down": {job: Job{Targets: []string{"m"}},
			from: []func(*testing.T) string{absent, gone}, class: Refused},
		"we fill, and there is no source at all": {job: Job{Targets: []string{"m"}}, want: ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, endpoint := range tc.from {
				tc.job.Sources = append(tc.job.Sources, endpoint(t))
			}
			got, failure := (&jobRun{c: newTestClient(plainHTTP()), job: tc.job}).resolveDigest(context.Background())
			if tc.class == "" && (failure != nil || got != tc.want) {
				t.Errorf("got %q, %v, want %q", got, failure, tc.want)
			}
			if tc.class != "" && (failure == nil || failure.Class != tc.class) {
				t.Errorf("got %q, %v, want %s", got, failure, tc.class)
			}
		})
	}
}
