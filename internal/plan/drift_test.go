package plan

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

const (
	indexDigest = "sha256:aaaa"
	childDigest = "sha256:bbbb"
	otherDigest = "sha256:cccc"
)

func tagged(running ...string) Item {
	return Item{
		Name: "quay.io/acme/app:v1", Target: "m.local/acme/app:v1",
		Reference: inventory.Reference{Class: inventory.Blocking, Running: running},
		After: registriesconf.Resolution{Reference: "quay.io/acme/app:v1",
			Endpoints: []registriesconf.Endpoint{endpoint("m.local/acme/app:v1")}},
	}
}

func provenAs(digests ...string) mirror.Result {
	r := mirror.Result{}
	r.Proof.At, r.Proof.Digest, r.Proof.Digests = r.Proof.At.AddDate(1, 0, 0), indexDigest, digests
	return r
}

func TestDrift(t *testing.T) {
	byDigest, foreign := tagged(otherDigest), tagged(otherDigest)
	byDigest.After.ByDigest, foreign.Target = true, ""
	cases := map[string]struct {
		item Item
		r    mirror.Result
		want bool
	}{
		"the same index runs":     {tagged(indexDigest), provenAs(indexDigest, childDigest), false},
		"one platform of it runs": {tagged(childDigest), provenAs(indexDigest, childDigest), false},
		"another image runs":      {tagged(otherDigest), provenAs(indexDigest, childDigest), true},
		"some run it, some another": {tagged(otherDigest, childDigest),
			provenAs(indexDigest, childDigest), false},
		"nothing runs":                     {tagged(), provenAs(indexDigest), false},
		"nothing is proven yet":            {tagged(otherDigest), mirror.Result{}, false},
		"a digest cannot move":             {byDigest, provenAs(indexDigest), false},
		"what somebody else serves is his": {foreign, provenAs(indexDigest), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.item.drifted(c.r); got != c.want {
				t.Errorf("drifted %t, want %t", got, c.want)
			}
		})
	}
}

// TestTagDrift: Hold waits for a person, UseSource counts and goes on, UseRunning asks for what
// runs.
func TestTagDrift(t *testing.T) {
	item := tagged(otherDigest)
	results := map[string]mirror.Result{item.Key(): provenAs(indexDigest)}
	plan := func(how v1alpha1.TagDrift) Plan {
		p := Plan{Items: []Item{item}}
		p.Mirroring.TagDrift = how
		return p
	}
	for how, held := range map[v1alpha1.TagDrift]bool{"": true, v1alpha1.TagDriftHold: true,
		v1alpha1.TagDriftUseSource: false} {
		sum, transfers := plan(how).Summarize(results, "", true)
		if sum.Drifted != 1 || (transfers.Failed == 1) != held || (transfers.Verified == 1) == held {
			t.Errorf("%q: %d drifted, %d failed, %d verified", how, sum.Drifted, transfers.Failed, transfers.Verified)
		}
		if held && (len(transfers.Problems) != 1 || transfers.Problems[0].Reason != v1alpha1.ReasonTagsDrifted ||
			!strings.Contains(transfers.Problems[0].Message, "run "+otherDigest)) {
			t.Errorf("%q: worst %+v", how, transfers.Problems)
		}
	}
	if got := plan(v1alpha1.TagDriftUseRunning).job(item, true).Digest; got != otherDigest {
		t.Errorf("mirrors %q, want what runs", got)
	}
	if got := plan(v1alpha1.TagDriftUseRunning).job(tagged(otherDigest, childDigest), true).Digest; got != "" {
		t.Errorf("mirrors %q, and the containers do not agree", got)
	}
	if got := plan(v1alpha1.TagDriftUseSource).job(item, true).Digest; got != "" {
		t.Errorf("mirrors %q, want what the tag stands for", got)
	}
}
