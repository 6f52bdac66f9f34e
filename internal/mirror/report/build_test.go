package report

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

const app = "quay.io/acme/app:v1"

var owner = []string{"Deployment shop/app"}

func TestBuildListsAReference(t *testing.T) {
	changed := v1alpha1.ReportedReference{
		Image: app, Class: "Blocking", Change: "NewlyBlocked", State: "Open", Owners: owner, OwnerCount: 1,
		Pools:  []string{"worker"},
		Before: []string{app}, After: []string{"m.local/acme/app:v1"},
	}
	with := func(edit func(r *v1alpha1.ReportedReference)) []v1alpha1.ReportedReference {
		out := changed
		edit(&out)
		return []v1alpha1.ReportedReference{out}
	}
	other := mirrored(app, "custom")
	other.After.Endpoints[0].Reference = "n.local/acme/app:v1"
	short := mirrored("docker.io/library/nginx:latest", "worker")
	short.Spellings = []string{"docker.io/nginx", "nginx"}
	cases := map[string]struct {
		w    *fixture
		want []v1alpha1.ReportedReference
	}{
		"unchanged: its owners, and no more": {shop().withUnchanged(app), []v1alpha1.ReportedReference{
			{Image: app, Class: "Blocking", Change: "Unchanged", Owners: owner, OwnerCount: 1},
		}},
		"open": {shop().withMirrored(app), []v1alpha1.ReportedReference{changed}},
		"proven, to the second": {shop().withMirrored(app).withProof(app, began.Add(1500*time.Millisecond)),
			with(func(r *v1alpha1.ReportedReference) {
				r.State, r.ServedBy, r.Digest, r.ProvenAt = "Proven", "m.local/acme/app:v1", "sha256:"+
					strings.Repeat("a", 64), metav1.NewTime(began.Add(time.Second))
			})},
		"failing": {shop().withMirrored(app).withFailure(app), with(func(r *v1alpha1.ReportedReference) {
			r.State = "Failing"
			r.Message = app + ", used by Deployment shop/app, is not proven at m.local/acme/app:v1: m.local/acme/app:v1: Missing; it is tried again by itself"
		})},
		"in two pools in two ways": {&fixture{
			rollout: shop().rollout, plan: plan.Plan{Items: []plan.Item{other, mirrored(app, "worker")}},
			found: shop().withUnchanged(app).found,
		}, append(with(func(r *v1alpha1.ReportedReference) {
			r.Pools, r.After = []string{"custom"}, []string{"n.local/acme/app:v1"}
		}), changed)},
		"two spellings of one image": {&fixture{
			rollout: shop().rollout, plan: plan.Plan{Items: []plan.Item{short}},
			found: shop().withUnchanged("docker.io/nginx", "nginx", "redis").found,
		}, []v1alpha1.ReportedReference{
			{Image: "docker.io/nginx", Class: "Blocking", Change: "NewlyBlocked", State: "Open", Owners: owner,
				OwnerCount: 1, Pools: []string{"worker"},
				Before: []string{"docker.io/library/nginx:latest"}, After: []string{"docker.io/library/nginx:latest"}},
			{Image: "nginx", Class: "Blocking", Change: "NewlyBlocked", State: "Open", Owners: owner, OwnerCount: 1,
				Pools:  []string{"worker"},
				Before: []string{"docker.io/library/nginx:latest"}, After: []string{"docker.io/library/nginx:latest"}},
			{Image: "redis", Class: "Blocking", Change: "Unchanged", Owners: owner, OwnerCount: 1},
		}},
		"no reference at all": {&fixture{
			rollout: shop().rollout, plan: plan.Plan{InvalidReferences: []string{"UPPER"}},
			found: shop().withUnchanged("UPPER").found,
		}, []v1alpha1.ReportedReference{{Image: "UPPER", Class: "Blocking", Change: "Unchanged", Owners: owner,
			OwnerCount: 1,
			Message:    "it is not an image reference, so no node can pull it, before or after; correct it in its owners"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.w.reports(began)
			if len(got) != 1 {
				t.Fatalf("%d parts, want 1", len(got))
			}
			if diff := cmp.Diff(c.want, got[0].References, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
			if want := len(c.w.found.References); int(got[0].Count) != want {
				t.Errorf("count %d, want %d", got[0].Count, want)
			}
		})
	}
}

func TestBuildHead(t *testing.T) {
	got := shop().withMirrored(app).withGaps(inventory.UnreadSource{Source: "Knative services", Kind: "Service",
		Why: "this cluster does not have it", Absent: true},
		inventory.UnreadSource{Source: "release payload", Kind: "ClusterVersion",
			Why: "reading it is not allowed"}).reports(began.Add(300 * time.Millisecond))[0]
	got.References = nil
	want := v1alpha1.SafeMirrorReport{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-0", Labels: mirrorset.Labels("shop"),
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "safemirror.io/v1alpha1", Kind: "SafeMirrorRollout", Name: "shop", UID: "uid-shop"},
			}},
		Rollout: "shop", PlanHash: "sha256:planned", Part: 1, Parts: 1, Count: 1, WrittenAt: metav1.NewTime(began),
		UnreadSources: []v1alpha1.UnreadSource{
			{Source: "release payload (ClusterVersion)", Message: "reading it is not allowed"},
			{Source: "Knative services (Service)", Message: "this cluster does not have it"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// With nothing in the cluster there is one part, which says so.
func TestBuildOfNothing(t *testing.T) {
	got := shop().reports(began)
	if len(got) != 1 || got[0].Part != 1 || got[0].Parts != 1 || got[0].Count != 0 {
		t.Errorf("parts %+v", got)
	}
}

func TestBuildBoundsLists(t *testing.T) {
	w := shop().withMirrored(app)
	i, ref := w.item(app), &w.found.References[0]
	i.Pools, i.Before.Endpoints, ref.Owners, ref.Count = nil, nil, nil, 40
	for n := range 40 {
		i.Pools = append(i.Pools, strings.Repeat("p", n))
		i.Before.Endpoints = append(i.Before.Endpoints, registriesconf.Endpoint{Reference: app})
		ref.Owners = append(ref.Owners, inventory.Owner{Kind: "Pod", Namespace: "shop", Name: strings.Repeat("n", 700)})
		w.withGaps(inventory.UnreadSource{Source: "a"}, inventory.UnreadSource{Source: "b"},
			inventory.UnreadSource{Source: "c"})
	}
	got := w.reports(began)[0]
	r := got.References[0]
	if len(r.Pools) != 32 || len(r.Before) != 32 || len(r.Owners) != 5 || r.OwnerCount != 40 ||
		len(got.UnreadSources) != 100 {
		t.Errorf("%d pools, %d places, %d owners of %d, %d gaps", len(r.Pools), len(r.Before), len(r.Owners),
			r.OwnerCount, len(got.UnreadSources))
	}
	if o := r.Owners[0]; len(o) > maxOwner || !strings.HasSuffix(o, "n…") {
		t.Errorf("owner of %d bytes: …%s", len(o), o[len(o)-8:])
	}
}

func TestTruncate(t *testing.T) {
	cases := map[string]struct {
		s    string
		most int
		want string
	}{
		"as it is":                 {"quay.io/acme", 12, "quay.io/acme"},
		"one byte too long":        {"quay.io/acme/", 12, "quay.io/a…"},
		"between characters":       {"aééééé", 8, "aéé…"},
		"not inside one":           {"ééééé", 8, "éé…"},
		"not UTF-8":                {"a\xffb", 8, `a\xffb`},
		"control characters":       {"two\nlines\x00\u202e", 24, `two lines\u0000\u202e`},
		"nothing":                  {"", 8, ""},
		"a character of four":      {"😀😀😀", 11, "😀😀…"},
		"a character ends at most": {"éééé", 8, "éééé"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := truncate(c.s, c.most); got != c.want || len(got) > c.most {
				t.Errorf("%q (%d bytes), want %q", got, len(got), c.want)
			}
		})
	}
}

// The order in which references are found changes nothing.
func TestBuildIsDeterministic(t *testing.T) {
	w := randomFixture(1, 700)
	want := w.reports(began)
	r := rand.New(rand.NewPCG(2, 0))
	r.Shuffle(len(w.found.References), func(i, j int) {
		w.found.References[i], w.found.References[j] = w.found.References[j], w.found.References[i]
	})
	if diff := cmp.Diff(want, w.reports(began)); diff != "" {
		t.Errorf("reports (-first +shuffled):\n%s", diff)
	}
}

// Whatever the references are: each is in exactly one part, sorted, and no part is larger than it
// may be.
func TestEveryReferenceIsInOnePart(t *testing.T) {
	for seed := range uint64(8) {
		w := randomFixture(seed, int(seed)*100)
		seen := map[string]string{}
		for _, part := range w.reports(began) {
			inThis := map[string]bool{}
			for _, r := range part.References {
				if other, ok := seen[r.Image]; ok && other != part.Name {
					t.Errorf("seed %d: %q is in %s and %s", seed, r.Image, other, part.Name)
				}
				seen[r.Image], inThis[r.Image] = part.Name, true
			}
			if len(inThis) != int(part.Count) {
				t.Errorf("seed %d: %s counts %d references and has %d", seed, part.Name, part.Count, len(inThis))
			}
			inOrder := slices.IsSortedFunc(part.References,
				func(a, b v1alpha1.ReportedReference) int { return strings.Compare(a.Image, b.Image) })
			if len(part.References) > maxEntries || !inOrder {
				t.Errorf("seed %d: %s has %d entries, sorted %t", seed, part.Name, len(part.References), inOrder)
			}
			if text := encoded(t, part); len(text) > maxBytes {
				t.Errorf("seed %d: %s has %d bytes", seed, part.Name, len(text))
			}
		}
		for _, ref := range w.found.References {
			if seen[truncate(ref.Image, maxImage)] == "" {
				t.Errorf("seed %d: %q is in no part", seed, ref.Image)
			}
		}
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The estimate is never below the truth, and not far above it either.
func TestSizeOf(t *testing.T) {
	for _, part := range randomFixture(3, 300).reports(began) {
		for i := range part.References {
			r := &part.References[i]
			if have, est := len(encoded(t, r)), sizeOf(r); est < have || est > 3*have+300 {
				t.Errorf("estimated %d bytes for %d: %s", est, have, r.Image)
			}
		}
		for _, g := range part.UnreadSources {
			if have, est := len(encoded(t, g)), sizeOfGap(g); est < have {
				t.Errorf("estimated %d bytes for the %d of gap %q", est, have, g.Source)
			}
		}
	}
}
