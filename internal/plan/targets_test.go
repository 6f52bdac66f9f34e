package plan

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

func endpoint(reference string) registriesconf.Endpoint {
	return registriesconf.Endpoint{Reference: reference, Mirror: true}
}

// TestTargets: the first mirror of the spec is filled, or those that it names as targets; every
// other one is looked at.
func TestTargets(t *testing.T) {
	spec := func(targets ...string) v1alpha1.SafeMirrorRolloutSpec {
		s := v1alpha1.SafeMirrorRolloutSpec{ImageTagMirrors: []v1alpha1.ImageMirrors{{Source: "quay.io/acme",
			Mirrors: []string{"a.local/acme", "b.local/acme", "c.local/acme"}}}}
		s.Mirroring.Targets = targets
		return s
	}
	after := registriesconf.Resolution{Reference: "quay.io/acme/app:v1", Endpoints: []registriesconf.Endpoint{
		endpoint("foreign.local/app:v1"), endpoint("a.local/acme/app:v1"), endpoint("b.local/acme/app:v1"),
		endpoint("c.local/acme/app:v1"), {Reference: "quay.io/acme/app:v1"},
	}}
	cases := map[string]struct {
		targets []string
		first   string
		more    []string
		others  []string
	}{
		"the first of ours": {nil, "a.local/acme/app:v1", nil,
			[]string{"foreign.local/app:v1", "b.local/acme/app:v1"}},
		"a target": {[]string{"b.local/acme"}, "b.local/acme/app:v1", nil,
			[]string{"foreign.local/app:v1", "a.local/acme/app:v1"}},
		"two targets": {[]string{"b.local", "a.local/acme"}, "a.local/acme/app:v1",
			[]string{"b.local/acme/app:v1"}, []string{"foreign.local/app:v1"}},
		"a target for other images": {[]string{"a.local/acme/other"}, "", nil,
			[]string{"foreign.local/app:v1", "a.local/acme/app:v1", "b.local/acme/app:v1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			first, more := targetsOf(spec(c.targets...), after)
			if first != c.first || !cmp.Equal(c.more, more) {
				t.Errorf("fills %q and %v, want %q and %v", first, more, c.first, c.more)
			}
			before := registriesconf.Resolution{Endpoints: []registriesconf.Endpoint{endpoint("c.local/acme/app:v1"),
				{Reference: "quay.io/acme/app:v1"}}}
			if diff := cmp.Diff(c.others, otherMirrors(Item{Before: before, After: after, Target: first,
				MoreTargets: more})); diff != "" {
				t.Errorf("others (-want +got):\n%s", diff)
			}
		})
	}
}

// What the spec says of copying and proving is in the job.
func TestMirroringInTheJob(t *testing.T) {
	p := Plan{Platforms: []string{"linux/amd64", "linux/arm64"}}
	p.Mirroring.Platforms = []string{"linux/amd64"}
	p.Mirroring.Attachments = v1alpha1.AttachAll
	p.Mirroring.Verification = v1alpha1.VerificationSpec{Download: v1alpha1.DownloadAll,
		Caches: []string{"a.local/acme"}}
	i := Item{
		Name: "quay.io/acme/app:v1", Target: "b.local/acme/app:v1", MoreTargets: []string{"c.local/acme/app:v1"},
		OtherMirrors: []string{"d.local/app:v1"},
		Reference:    inventory.Reference{Platforms: []string{"linux/amd64"}},
		After:        registriesconf.Resolution{Endpoints: []registriesconf.Endpoint{endpoint("a.local/acme/app:v1")}},
	}
	want := mirror.Job{
		Reference: "quay.io/acme/app:v1", Targets: []string{"b.local/acme/app:v1", "c.local/acme/app:v1"},
		Sources: []string{}, PullEndpoints: []string{"a.local/acme/app:v1"},
		OtherMirrors: []string{"d.local/app:v1"}, RequiredPlatforms: []string{"linux/amd64"},
		Platforms: []string{"linux/amd64"},
		Referrers: true, ChildSignatures: true, Download: mirror.DownloadFull, PullThroughCache: true,
	}
	if diff := cmp.Diff(want, p.job(i, true)); diff != "" {
		t.Errorf("job (-want +got):\n%s", diff)
	}
	p.Mirroring.Verification = v1alpha1.VerificationSpec{Download: v1alpha1.DownloadSample, Caches: []string{"b.local"}}
	if j := p.job(i, true); j.Download != mirror.DownloadSample || j.PullThroughCache {
		t.Errorf("download %q, cache %t", j.Download, j.PullThroughCache)
	}
}

// A mirror further down the list that holds the image in part is a trap for the node that comes to
// it, whatever the first one holds.
func TestOtherMirrors(t *testing.T) {
	proof := mirror.Result{}
	proof.Proof.At = proof.Proof.At.AddDate(1, 0, 0)
	cases := map[string]struct {
		class mirror.ErrorClass
		want  checkState
	}{
		"holds it in part":      {mirror.Incomplete, checkFailed},
		"holds another image":   {mirror.Corrupt, checkFailed},
		"is down":               {mirror.Refused, checkPassed},
		"is not for the node":   {mirror.Denied, checkPassed},
		"does not have it, 404": {"", checkPassed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := proof
			r.OtherMirrors = []mirror.ImageCheck{{Endpoint: "b.local/acme/app:v1"}}
			if c.class != "" {
				r.OtherMirrors[0].Err = &mirror.Error{Class: c.class, Endpoint: "b.local/acme/app:v1",
					Err: errors.New("x")}
			}
			if got := checkStateOf(r); got != c.want {
				t.Errorf("finding %d, want %d", got, c.want)
			}
		})
	}
}
