package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// set writes a mirror set of items such as "quay.io/acme m.local/acme,n.local/acme Never".
func set(kind, name string, items ...string) string {
	field := map[string]string{"ImageTagMirrorSet": "imageTagMirrors",
		"ImageDigestMirrorSet": "imageDigestMirrors"}[kind]
	out := fmt.Sprintf("apiVersion: config.openshift.io/v1\nkind: %s\nmetadata: {name: %s}\nspec:\n  %s:\n", kind,
		name, field)
	for _, i := range items {
		parts := strings.Fields(i)
		out += fmt.Sprintf("  - {source: %q, mirrors: [%s]", parts[0], parts[1])
		if len(parts) > 2 {
			out += ", mirrorSourcePolicy: " +
				map[string]string{"Never": "NeverContactSource", "Allow": "AllowContactingSource"}[parts[2]]
		}
		out += "}\n"
	}
	return out
}

func tags(name string, items ...string) string { return set("ImageTagMirrorSet", name, items...) }
func digests(name string, items ...string) string {
	return set("ImageDigestMirrorSet", name, items...)
}

func summarize(list []v1alpha1.ImageMirrors) []string {
	var out []string
	for _, m := range list {
		out = append(out, strings.TrimSpace(m.Source+" "+strings.Join(m.Mirrors, ",")+" "+string(m.MirrorSourcePolicy)))
	}
	return out
}

func TestMerge(t *testing.T) {
	cases := map[string]struct {
		sets          []string
		tags, digests []string
		notes         []string // a part of each
		err           []string
	}{
		"in their order": {
			sets: []string{tags("b", "z.io m.local/z"), tags("a", "a.io m.local/a")},
			tags: []string{"z.io m.local/z", "a.io m.local/a"},
		},
		"both kinds": {
			sets: []string{tags("a", "a.io m.local/a Never"), digests("a", "a.io m.local/a Never")},
			tags: []string{"a.io m.local/a NeverContactSource"}, digests: []string{"a.io m.local/a NeverContactSource"},
		},
		"one source in two sets": {
			sets: []string{tags("a", "a.io m.local/a"), tags("b", "a.io b.local/a,m.local/a Allow")},
			tags: []string{"a.io m.local/a,b.local/a"},
			notes: []string{
				"the 1 mirrors of ImageTagMirrorSet b spec.imageTagMirrors[0] come after those of ImageTagMirrorSet a spec.imageTagMirrors[0]",
			},
		},
		"the same twice": {
			sets: []string{tags("a", "a.io m.local/a"), tags("b", "a.io m.local/a")},
			tags: []string{"a.io m.local/a"}, notes: []string{"says nothing that"},
		},
		"never, and one kind only": {
			sets: []string{tags("a", "a.io m.local/a Never")},
			tags: []string{"a.io m.local/a NeverContactSource"}, notes: []string{"add it to imageDigestMirrors"},
		},
		"two policies of one kind": {
			sets: []string{tags("a", "a.io m.local/a Never"), tags("b", "a.io m.local/a")},
			err: []string{"a.io", "NeverContactSource in ImageTagMirrorSet a spec.imageTagMirrors[0]",
				"AllowContactingSource in ImageTagMirrorSet b"},
		},
		"two policies across kinds": {
			sets: []string{digests("a", "a.io m.local/a"), tags("a", "a.io m.local/a Never")},
			err:  []string{"ImageDigestMirrorSet a", "ImageTagMirrorSet a"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects, err := Read(file(strings.Join(c.sets, "---\n")))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Merge(objects)
			for _, want := range c.err {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
			if c.err != nil {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]string{c.tags, c.digests},
				[][]string{summarize(got.Spec.ImageTagMirrors), summarize(got.Spec.ImageDigestMirrors)}); diff != "" {
				t.Errorf("items (-want +got):\n%s", diff)
			}
			if len(got.Notes) != len(c.notes) {
				t.Errorf("notes %q, want %d", got.Notes, len(c.notes))
			}
			for i := range min(len(c.notes), len(got.Notes)) {
				if !strings.Contains(got.Notes[i], c.notes[i]) {
					t.Errorf("note %q does not say %q", got.Notes[i], c.notes[i])
				}
			}
		})
	}
}

// TestInit reads what it has written, so that the comments cannot break it.
func TestInit(t *testing.T) {
	objects, err := Read(file(tags("itms-0", "a.io m.local/a", "*.b.io m.local/b") + "---\n" +
		digests("idms-0", "a.io m.local/a")))
	if err != nil {
		t.Fatal(err)
	}
	text, err := Init(objects, "site", "a.yaml, b.yaml")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(file(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r := again[0].Rollout
	if r.Name != "site" || r.Spec.State != v1alpha1.StateHeld {
		t.Errorf("%s is %s", r.Name, r.Spec.State)
	}
	if diff := cmp.Diff([][]string{{"a.io m.local/a", "*.b.io m.local/b"}, {"a.io m.local/a"}},
		[][]string{summarize(r.Spec.ImageTagMirrors), summarize(r.Spec.ImageDigestMirrors)}); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	// What is commented out is a rollout, too.
	uncommented := strings.NewReplacer("\n  # mirroring", "\n  mirroring", "\n  #   mode", "\n    mode",
		"\n  # inventory", "\n  inventory",
		"\n  #   additionalImages", "\n    additionalImages", "\n  #   acceptedRisks", "\n    acceptedRisks",
		"\n  #   - pattern", "\n    - pattern",
		"\n  #     reason", "\n      reason", "\n  # release", "\n  release", "\n  #   stages", "\n    stages",
		"\n  #   - pool", "\n    - pool",
		"\n  #     nodes", "\n      nodes", "\n  #   pushSecret", "\n    pushSecret", "\n  #     name",
		"\n      name").Replace(text)
	again, err = Read(file(uncommented))
	if err != nil {
		t.Fatalf("%v\n%s", err, uncommented)
	}
	if spec := again[0].Rollout.Spec; len(spec.Release.Stages) != 3 || spec.Mirroring.PushSecret.Name == "" ||
		len(spec.Inventory.AcceptedRisks) != 1 {
		t.Errorf("the commented fields are not read: %+v", spec)
	}
}

func TestInitRejects(t *testing.T) {
	cases := map[string]struct{ text, name, want string }{
		"a rollout":      {rolloutText, "", "already"},
		"no items":       {"apiVersion: config.openshift.io/v1\nkind: ImageTagMirrorSet\nmetadata: {name: a}\nspec: {}\n", "", "no items"},
		"no such name":   {tagSet, "Not A Name", "metadata.name"},
		"no mirrors":     {tags("a", "a.io []"), "", "mirrors"},
		"too many items": {tags("a", manyItems(65)...), "", "Too many: 65"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects, err := Read(file(strings.ReplaceAll(c.text, "[[]]", "[]")))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := Init(objects, c.name, "f.yaml"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v and\n%s", err, text)
			}
		})
	}
}

func manyItems(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("a%d.io m.local/a", i)
	}
	return out
}
