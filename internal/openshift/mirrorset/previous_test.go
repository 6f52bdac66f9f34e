package mirrorset

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestPreviousSetsAreReadBack(t *testing.T) {
	idms := []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"a.local/acme", "b.local/acme"},
		MirrorSourcePolicy: v1alpha1.NeverContactSource}}
	itms := []v1alpha1.ImageMirrors{{Source: "ghcr.io", Mirrors: []string{"a.local/ghcr"}}}
	cases := map[string]Previous{"digests alone": {Digest: idms}, "tags alone": {Tag: itms},
		"both": {Digest: idms, Tag: itms}}
	names := map[string]bool{}
	for name, p := range cases {
		t.Run(name, func(t *testing.T) {
			now := &v1alpha1.SafeMirrorRollout{}
			now.Name, now.Spec.ImageTagMirrors = "shop",
				[]v1alpha1.ImageMirrors{{Source: "quay.io", Mirrors: []string{"c.local"}}}
			revision, err := p.Revision(now, "operators", 3)
			if err != nil {
				t.Fatal(err)
			}
			ref := p.Reference("shop")
			names[ref.Name] = true
			if revision.Name != ref.Name || revision.Namespace != "operators" || revision.Revision != 3 ||
				revision.Labels[LabelRollout] != "shop" {
				t.Errorf("revision %+v, want %s", revision.ObjectMeta, ref.Name)
			}
			if len(revision.OwnerReferences) > 0 {
				t.Error("a foreground deletion of the rollout would delete it first")
			}
			got, err := ReadRevision(reordered(t, revision), *ref)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p, got); diff != "" {
				t.Errorf("lists (-want +got):\n%s", diff)
			}
			earlier := WithPrevious(now, got)
			if earlier.Name != "shop" || len(now.Spec.ImageTagMirrors) != 1 {
				t.Errorf("rollout %s, and the spec of now is %+v", earlier.Name, now.Spec)
			}
			if diff := cmp.Diff(p, PreviousOf(IDMS(earlier), ITMS(earlier))); diff != "" {
				t.Errorf("sets (-want +got):\n%s", diff)
			}
		})
	}
	if len(names) != len(cases) {
		t.Errorf("names %v: want one for each content", names)
	}
}

// reordered is the revision as an API server may return it: the same JSON with other white space
// and order of fields.
func reordered(t *testing.T, revision *appsv1.ControllerRevision) *appsv1.ControllerRevision {
	t.Helper()
	var data any
	if err := json.Unmarshal(revision.Data.Raw, &data); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	out := revision.DeepCopy()
	out.Data.Raw = text
	return out
}

func TestNoPreviousSets(t *testing.T) {
	if ref := (Previous{}).Reference("shop"); ref != nil {
		t.Errorf("reference %+v", ref)
	}
	if _, err := (Previous{}).Revision(&v1alpha1.SafeMirrorRollout{}, "operators", 1); err == nil {
		t.Error("an empty revision is made")
	}
}

// What was edited, or is no mirror set, is refused by name.
func TestRevisionsThatAreRefused(t *testing.T) {
	p := Previous{Tag: []v1alpha1.ImageMirrors{{Source: "ghcr.io", Mirrors: []string{"a.local/ghcr"}}}}
	cases := map[string]struct{ data, want string }{
		"no JSON":       {"?", "no List"},
		"nothing":       {`{}`, "was changed"},
		"another kind":  {`{"items":[{"kind":"Pod"}]}`, "is a Pod"},
		"other mirrors": {`{"items":[{"kind":"ImageTagMirrorSet","spec":{"imageTagMirrors":[{"source":"ghcr.io","mirrors":["evil.local"]}]}}]}`, "was changed"},
		"no spec":       {`{"items":[{"kind":"ImageTagMirrorSet","spec":3}]}`, "data.items[0]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			revision := &appsv1.ControllerRevision{}
			revision.Data.Raw = []byte(c.data)
			if _, err := ReadRevision(revision, *p.Reference("shop")); err == nil ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
