package plan

import (
	"strings"
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// What an item looks like before and after the registries are asked.
func TestPullForecast(t *testing.T) {
	const tag, dgst = "quay.io/acme/app:v1", "quay.io/acme/app" + sha
	gains := func() *builder { return newBuilder().tags(item("quay.io/acme", "", "m.local/acme")).uses(tag) }
	blocked := func() *builder { return newBuilder().tags(item("quay.io/acme", block, "m.local/acme")).uses(dgst) }
	shadowed := func() *builder {
		return newBuilder().existingDigests("quay.io/acme",
			"m.local/acme").tags(item("quay.io/acme/app", "", "m.local/app")).uses(dgst)
	}
	cases := map[string]struct {
		b       *builder
		results registryResults
		want    PullForecast
		says    string
	}{
		"ours, and nobody asked":      {gains(), nil, ToMirror, ""},
		"ours, and the mirror has it": {gains(), registryResults{}.proven(tag+" in worker", 0), Proven, ""},
		"ours, and the mirror lacks it": {gains(),
			registryResults{}.failed(tag+" in worker", mirror.Missing).proven("before "+tag+" in worker", 0),
			ToMirror, ""},
		"ours, and it is gone today as well": {gains(),
			registryResults{}.failed(tag+" in worker", mirror.Missing).failed("before "+tag+" in worker",
				mirror.Missing), NoWorse, ""},
		"blocked, and nobody asked": {blocked(), nil, Lost, "Add to spec.imageDigestMirrors"},
		"blocked, and it works today": {blocked(), registryResults{}.proven("before "+dgst+" in worker", 0),
			Lost, "every place it could be pulled from is blocked"},
		"blocked, and it is gone today": {blocked(),
			registryResults{}.failed("before "+dgst+" in worker", mirror.Missing), NoWorse, ""},
		"blocked, and there is no answer": {blocked(), registryResults{}, AtRisk, "may not be pullable"},
		"shadowed, and nobody asked": {shadowed(), nil, AtRisk,
			"ImageTagMirrorSet/shop takes its scope quay.io/acme/app away"},
		"shadowed, and the source has it": {shadowed(), registryResults{}.proven(dgst+" in worker", 0), Proven, ""},
		"shadowed, and the source does not": {shadowed(),
			registryResults{}.failed(dgst+" in worker", mirror.Missing).proven("before "+dgst+" in worker", 0), Lost,
			"and that fails"},
		"accepted": {blocked().accepts("*"), nil, Accepted, ""},
		"not in use": {newBuilder().tags(item("quay.io/acme", block,
			"m.local/acme")).knowsAdvisory(dgst), nil, NotBlocking, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := c.b.build(t)
			if len(p.Items) != 1 {
				t.Fatalf("%d items, want 1", len(p.Items))
			}
			if got := p.PullForecast(p.Items[0], c.results); got != c.want {
				t.Errorf("outlook %s, want %s", got, c.want)
			}
			if got := p.LossMessage(p.Items[0], c.results); c.says != "" && !strings.Contains(got, c.says) {
				t.Errorf("%q does not say %q", got, c.says)
			}
		})
	}
}

func TestAcceptedRiskIndex(t *testing.T) {
	p := newBuilder().tags(item("quay.io/acme", block,
		"m.local/acme")).uses("quay.io/acme/app:v1").accepts("docker.io/*").accepts("quay.io/*").build(t)
	risks := newBuilder().accepts("docker.io/*").accepts("quay.io/*").spec.Inventory.AcceptedRisks
	if got := p.Items[0].AcceptedRiskIndex(risks); got != 1 {
		t.Errorf("accepted by %d, want 1", got)
	}
	if got := (Item{}).AcceptedRiskIndex(risks); got != -1 {
		t.Errorf("accepted by %d, want none", got)
	}
}
