package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const tagSet = `apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata:
  name: acme
spec:
  imageTagMirrors:
  - source: quay.io/acme
    mirrors: [m.local/acme]
`

const digestSet = `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: acme
spec:
  imageDigestMirrors:
  - source: quay.io/acme
    mirrors: [m.local/acme]
`

const rolloutText = `apiVersion: safemirror.io/v1alpha1
kind: SafeMirrorRollout
metadata:
  name: acme
spec:
  imageTagMirrors:
  - source: quay.io/acme
    mirrors: [m.local/acme]
`

func file(text string) File { return File{Name: "f.yaml", Data: []byte(text)} }

func TestRead(t *testing.T) {
	cases := map[string]struct {
		text string
		want []string
	}{
		"a rollout": {rolloutText, []string{"f.yaml:1 SafeMirrorRollout acme"}},
		"two documents": {"# by oc-mirror\n---\n" + tagSet + "---\n" + digestSet,
			[]string{"f.yaml:3 ImageTagMirrorSet acme", "f.yaml:12 ImageDigestMirrorSet acme"}},
		"a divider with a comment": {tagSet + "--- # next\n" + digestSet + "---\n",
			[]string{"f.yaml:1 ImageTagMirrorSet acme", "f.yaml:10 ImageDigestMirrorSet acme"}},
		"JSON": {`{"apiVersion":"config.openshift.io/v1","kind":"ImageTagMirrorSet","metadata":{"name":"acme"},"spec":{"imageTagMirrors":[]}}`, []string{"f.yaml:1 ImageTagMirrorSet acme"}},
		"a List of what oc get says": {"apiVersion: v1\nkind: List\nitems:\n- " +
			strings.ReplaceAll(strings.TrimSpace(tagSet), "\n", "\n  ") + "\n",
			[]string{"f.yaml:1 items[0] ImageTagMirrorSet acme"}},
		"Windows line ends": {strings.ReplaceAll(tagSet, "\n", "\r\n"),
			[]string{"f.yaml:1 ImageTagMirrorSet acme"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects, err := Read(file(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range objects {
				got = append(got, o.At+" "+o.description())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRejects(t *testing.T) {
	cases := map[string]struct {
		text string
		want []string
	}{
		"nothing": {"# only a comment\n", []string{"f.yaml: holds no object", "SafeMirrorRollout"}},
		"no YAML": {"kind: [", []string{"f.yaml:1", "line 1"}},
		"a tab":   {"kind: X\n\tname: y\n", []string{"f.yaml:1", "line 2"}},
		"bytes":   {"\x00\x01\x02", []string{"f.yaml:1"}},
		"a list":  {"- a\n- b\n", []string{"f.yaml:1", "object"}},
		"another kind": {"apiVersion: v1\nkind: ConfigMap\n",
			[]string{"f.yaml:1", `"ConfigMap"`, "ImageTagMirrorSet"}},
		"no kind": {"a: b\n", []string{"f.yaml:1", `kind ""`}},
		"an old version": {strings.Replace(rolloutText, "v1alpha1", "v1", 1),
			[]string{"safemirror.io/v1", "safemirror.io/v1alpha1"}},
		"a version of ITMS": {strings.Replace(tagSet, "/v1", "/v1alpha1", 1),
			[]string{"config.openshift.io/v1alpha1", "write config.openshift.io/v1"}},
		"an ICSP": {"apiVersion: operator.openshift.io/v1alpha1\nkind: ImageContentSourcePolicy\n",
			[]string{"oc adm migrate icsp"}},
		"a misspelt field": {strings.Replace(tagSet, "mirrors:", "mirors:", 1),
			[]string{"f.yaml:8", `"spec.imageTagMirrors[0].mirors"`}},
		"in the second document": {digestSet + "---\n" + strings.Replace(tagSet, "source:", "sorce:", 1),
			[]string{"f.yaml:16", `sorce`}},
		"an unknown field": {rolloutText + "  colour: red\n", []string{"f.yaml:9", `"spec.colour"`}},
		"a wrong type": {strings.Replace(tagSet, "[m.local/acme]", "m.local/acme", 1),
			[]string{"f.yaml:", "mirrors"}},
		"a key twice": {tagSet + "spec: {}\n", []string{"f.yaml:", "spec"}},
		"one object twice": {tagSet + "---\n" + tagSet,
			[]string{"f.yaml:10", "ImageTagMirrorSet acme is at f.yaml:1 already"}},
		"an item of a List": {"apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  apiVersion: v1\n",
			[]string{"items[0]", `"Pod"`}},
		"no name": {strings.Replace(tagSet, "name: acme", "labels: {}", 1),
			[]string{"metadata.name is missing"}},
		"no mirrors at all": {"apiVersion: safemirror.io/v1alpha1\nkind: SafeMirrorRollout\nmetadata: {name: x}\nspec: {}\n", []string{"f.yaml:4", "imageTagMirrors", "nothing to roll out"}},
		"no mirrors of an item": {strings.Replace(rolloutText, "[m.local/acme]", "[]", 1),
			[]string{"f.yaml:8", "spec.imageTagMirrors[0].mirrors", "at least 1 items"}},
		"a mechanism that is none": {rolloutText + "  release:\n    mechanism: Teleport\n",
			[]string{"f.yaml:10", `spec.release.mechanism: Unsupported value: "Teleport"`}},
		"a rule in CEL": {strings.Replace(rolloutText, "[", "[quay.io/acme] #", 1),
			[]string{"mirrors: give at least one mirror that is not the source"}},
		"a policy that is none": {rolloutText + "    mirrorSourcePolicy: Never\n",
			[]string{"f.yaml:9", `Unsupported value: "Never"`}},
		"a state that is none": {rolloutText + "  state: Paused\n", []string{"f.yaml:9", `"Paused"`, "Held"}},
		"a mode that is none":  {rolloutText + "  mirroring: {mode: Copy}\n", []string{`"Copy"`, "VerifyOnly"}},
		"a risk without a reason": {rolloutText + "  inventory:\n    acceptedRisks:\n    - pattern: x\n",
			[]string{"acceptedRisks[0]", "reason"}},
		"a name with capitals": {strings.Replace(rolloutText, "name: acme", "name: Acme", 1),
			[]string{"f.yaml:4", `"Acme"`}},
		"two mistakes": {"kind: A\n---\nkind: B\n", []string{`"A"`, `"B"`}},
		"too many items": {rolloutText + strings.Repeat("  - {source: a.io, mirrors: [b.io]}\n", 64),
			[]string{"Too many: 65: must have at most 64 items", "64"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects, err := Read(file(c.text))
			if err == nil {
				t.Fatalf("read %+v", objects)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestProposedChange(t *testing.T) {
	read := func(texts ...string) []Object {
		t.Helper()
		objects, err := Read(file(strings.Join(texts, "---\n")))
		if err != nil {
			t.Fatal(err)
		}
		return objects
	}
	change, err := ProposedChange(read(tagSet, strings.ReplaceAll(digestSet, "name: acme", "name: other")))
	if err != nil || !change.IsPlain() || change.Rollout.Name != "mirrors" ||
		len(change.Rollout.Spec.ImageTagMirrors) != 1 || len(change.Rollout.Spec.ImageDigestMirrors) != 1 {
		t.Errorf("two sets: %+v, %v", change, err)
	}
	if change, err := ProposedChange(read(tagSet, digestSet)); err != nil || change.Rollout.Name != "acme" {
		t.Errorf("two sets of one name: %+v, %v", change.Rollout, err)
	}
	if change, err := ProposedChange(read(rolloutText)); err != nil || change.IsPlain() ||
		change.Rollout.Name != "acme" {
		t.Errorf("a rollout: %+v, %v", change.Rollout, err)
	}
	if _, err := ProposedChange(read(rolloutText, tagSet)); err == nil || !strings.Contains(err.Error(), "alone") {
		t.Errorf("a rollout and a set: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{tagSet, digestSet, rolloutText, "---\n---\n",
		"apiVersion: v1\nkind: List\nitems: [{}]\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := Read(file(text))
		if err == nil && len(objects) == 0 {
			t.Error("neither an object nor an error")
		}
	})
}
