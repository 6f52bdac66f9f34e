package plan

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// TestCollisions: what would be one tag at the mirror and is two at its sources is refused before
// anything is copied.
func TestCollisions(t *testing.T) {
	wildcard := item("*.example.com", allow, "m.local/x")
	cases := map[string]struct {
		b    *builder
		want string
	}{
		"two hosts under a wildcard": {newBuilder().tags(wildcard).uses("a.example.com/app:v1", "b.example.com/app:v1"),
			"are both m.local/x/app:v1 at the mirror, because the scopes *.example.com and *.example.com leave out what tells them apart"},
		"two hosts, other tags": {newBuilder().tags(wildcard).uses("a.example.com/app:v1",
			"b.example.com/app:v2"), ""},
		"two hosts, by digest": {newBuilder().digests(wildcard).uses("a.example.com/app"+sha, "b.example.com/app"+
			sha), ""},
		"one host, used twice": {newBuilder().tags(wildcard).uses("a.example.com/app:v1",
			"a.example.com/app:v1"), ""},
		"one of them is given up": {newBuilder().tags(wildcard).uses("a.example.com/app:v1",
			"b.example.com/app:v1").accepts("b.example.com/*"), ""},
		"two sources for one mirror": {newBuilder().tags(item("quay.io/a", allow, "m.local/x"),
			item("quay.io/b", allow, "m.local/x")).uses("quay.io/a/app:v1", "quay.io/b/app:v1"),
			"the scopes quay.io/a and quay.io/b"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			sum, _ := c.b.build(t).Summarize(nil, "", false)
			if c.want == "" {
				if sum.Lost != 0 {
					t.Errorf("refused: %+v", sum.Problems)
				}
				return
			}
			if sum.Lost != 1 || len(sum.Problems) != 1 || sum.Problems[0].Reason != v1alpha1.ReasonInvalidMirrorSets ||
				!strings.Contains(sum.Problems[0].Message, c.want) {
				t.Errorf("%d lost: %+v", sum.Lost, sum.Problems)
			}
		})
	}
}
