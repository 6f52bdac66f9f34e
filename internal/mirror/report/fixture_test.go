package report

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is what a report is made from: a rollout, a plan, an inventory, and what the registries
// said.
type fixture struct {
	rollout *v1alpha1.SafeMirrorRollout
	plan    plan.Plan
	found   inventory.Inventory
	results map[string]mirror.Result
}

func shop() *fixture {
	return &fixture{
		rollout: &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "uid-shop"}},
		plan:    plan.Plan{Digest: "sha256:planned"}, results: map[string]mirror.Result{},
	}
}

func reference(image string) inventory.Reference {
	return inventory.Reference{Image: image, Class: inventory.Blocking, Count: 1,
		Owners: []inventory.Owner{{Kind: "Deployment", Namespace: "shop", Name: "app"}}}
}

// withUnchanged adds references whose pulls stay as they are.
func (w *fixture) withUnchanged(images ...string) *fixture {
	for _, i := range images {
		w.found.References = append(w.found.References, reference(i))
	}
	return w
}

// withMirrored adds references of quay.io that will be pulled from m.local.
func (w *fixture) withMirrored(images ...string) *fixture {
	for _, i := range images {
		w.found.References = append(w.found.References, reference(i))
		w.plan.Items = append(w.plan.Items, mirrored(i, "worker"))
	}
	return w
}

func mirrored(image string, pools ...string) plan.Item {
	at := strings.Replace(image, "quay.io", "m.local", 1)
	return plan.Item{
		Reference: reference(image), Spellings: []string{image}, Name: image, Pools: pools,
		Change: registriesconf.NewlyBlocked, Target: at,
		Before: registriesconf.Resolution{Reference: image, Endpoints: []registriesconf.Endpoint{{Reference: image}}},
		After: registriesconf.Resolution{Reference: image, Scope: "quay.io", Endpoints: []registriesconf.Endpoint{
			{Reference: at, Mirror: true}, {Reference: image, Blocked: true, BlockedBy: "quay.io"},
		}},
	}
}

func (w *fixture) item(image string) *plan.Item {
	for i := range w.plan.Items {
		if w.plan.Items[i].Name == image {
			return &w.plan.Items[i]
		}
	}
	panic("no item " + image)
}

func (w *fixture) withProof(image string, at time.Time) *fixture {
	i := w.item(image)
	w.results[i.Key()] = mirror.Result{State: mirror.Verified, At: at,
		Proof: mirror.Proof{Endpoint: i.Target, Digest: "sha256:" + strings.Repeat("a", 64), At: at}}
	return w
}

// fails: it is not there, and could be pulled today.
func (w *fixture) withFailure(image string) *fixture {
	i := w.item(image)
	w.results[i.Key()] = mirror.Result{State: mirror.Failed, Attempts: 9,
		Err: &mirror.Error{Class: mirror.Missing, Endpoint: i.Target}}
	w.results["before "+i.Key()] = mirror.Result{State: mirror.Verified, Proof: mirror.Proof{At: began}}
	return w
}

func (w *fixture) withGaps(g ...inventory.UnreadSource) *fixture {
	w.found.UnreadSources = append(w.found.UnreadSources, g...)
	return w
}

// withParts is what the rollout's status says of the number of parts.
func (w *fixture) withParts(parts int32) *fixture {
	w.rollout.Status.Report = v1alpha1.ReportReference{Name: "shop-0", Parts: parts}
	return w
}

func (w *fixture) reports(now time.Time) []v1alpha1.SafeMirrorReport {
	return Build(w.rollout, w.plan, w.found, w.results, now)
}

func images(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("quay.io/acme/team-%d/service-%d:v1.%d", i%17, i, i%5))
	}
	return out
}

// randomFixture is a world of so many references of every kind and length, the same for the same
// seed.
func randomFixture(seed uint64, n int) *fixture {
	r := rand.New(rand.NewPCG(seed, 0))
	text := func(most int) string {
		const letters = `abcdefghij -/"\<>&é世` + "\u2028\n\x01\xff"
		runes := []rune(letters)
		out := make([]rune, r.IntN(most+1))
		for i := range out {
			out[i] = runes[r.IntN(len(runes))]
		}
		return string(out)
	}
	w := shop()
	for i := range n {
		image := fmt.Sprintf("quay.io/acme/app-%d:%s", i, text(1+r.IntN(60)))
		if r.IntN(40) == 0 {
			image += text(1500)
		}
		ref := reference(image)
		ref.Class = []inventory.Class{inventory.Blocking, inventory.Advisory, inventory.Historical}[r.IntN(3)]
		for range r.IntN(8) {
			ref.Owners = append(ref.Owners,
				inventory.Owner{Kind: "Deployment", Namespace: text(63), Name: text(r.IntN(900))})
			ref.Count++
		}
		w.found.References = append(w.found.References, ref)
		for pool := range r.IntN(3) {
			it := mirrored(image, fmt.Sprintf("pool-%d", pool), text(600))
			it.Reference = ref
			for range r.IntN(4) {
				it.After.Endpoints = append(it.After.Endpoints,
					registriesconf.Endpoint{Reference: text(200), Mirror: true})
			}
			w.plan.Items = append(w.plan.Items, it)
			switch r.IntN(4) {
			case 0:
				w.withProof(image, began.Add(-time.Duration(r.IntN(600))*time.Second))
			case 1:
				w.withFailure(image)
			}
		}
	}
	for range r.IntN(120) {
		w.withGaps(inventory.UnreadSource{Source: text(300), Kind: text(60), Why: text(1200), Absent: r.IntN(2) == 0})
	}
	return w
}
