package batch

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const rollout = `apiVersion: safemirror.io/v1alpha1
kind: SafeMirrorRollout
metadata: {name: acme}
spec:
  imageTagMirrors:
  - source: quay.io/acme
    mirrors: [m1.example.com/acme, m2.example.com/acme]
  inventory:
    additionalImages: [quay.io/acme/extra:v1]
`

const tagSet = `apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: site}
spec:
  imageTagMirrors:
  - source: quay.io/site
    mirrors: [m1.example.com/site]
    mirrorSourcePolicy: NeverContactSource
`

const digestSet = `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: site}
spec:
  imageDigestMirrors:
  - source: quay.io/digests
    mirrors: [m1.example.com/digests]
`

func manifests(t *testing.T, texts ...string) Manifests {
	t.Helper()
	var m Manifests
	if err := m.Add("f", []byte(strings.Join(texts, "---\n"))); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMirrorSetsDecideWhereAnImageGoes(t *testing.T) {
	m := manifests(t, rollout, tagSet, digestSet)
	set, err := ByMirrorSets(m, parse(t,
		"quay.io/acme/app:v1", "quay.io/site/app:v1", "quay.io/digests/app@"+digestA, "quay.io/acme/extra:v1",
		"gcr.io/other/app:v1"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"quay.io/acme/extra:v1 -> m1.example.com/acme/extra:v1",
		"quay.io/acme/app:v1 -> m1.example.com/acme/app:v1",
		"quay.io/site/app:v1 -> m1.example.com/site/app:v1",
		"quay.io/digests/app@" + digestA + " -> m1.example.com/digests/app@" + digestA,
	}
	if diff := cmp.Diff(want, destinations(set)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if set.Outside != 1 || len(set.NotServed) != 0 {
		t.Errorf("%d outside, not served: %v", set.Outside, set.NotServed)
	}
	// A node tries both mirrors; the first is filled. The source proves nothing about the mirrors.
	if diff := cmp.Diff([]string{"m1.example.com/acme/app:v1", "m2.example.com/acme/app:v1"},
		set.Images[1].PullEndpoints); diff != "" {
		t.Errorf("walk (-want +got):\n%s", diff)
	}
}

func TestReferencesThatTheMirrorSetsDoNotServe(t *testing.T) {
	m := manifests(t, rollout, tagSet, digestSet)
	for name, tc := range map[string]struct{ line, want string }{
		"a digest under tag mirrors": {
			"quay.io/acme/app@" + digestA,
			"not served by these mirror sets: quay.io/acme has only imageTagMirrors, and this is a reference by digest; " +
				"add imageDigestMirrors for quay.io/acme with the mirrors m1.example.com/acme, m2.example.com/acme",
		},
		"a digest under tag mirrors whose source is never contacted": {
			"quay.io/site/app@" + digestA,
			"not served by these mirror sets: quay.io/site has only imageTagMirrors, and this is a reference by digest; " +
				"add imageDigestMirrors for quay.io/site with the mirrors m1.example.com/site (without them no node can pull it any more: " +
				"the source is blocked by NeverContactSource)",
		},
		"a tag under digest mirrors": {
			"quay.io/digests/app:v1",
			"not served by these mirror sets: quay.io/digests has only imageDigestMirrors, and this is a reference by tag; " +
				"add imageTagMirrors for quay.io/digests with the mirrors m1.example.com/digests",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ByMirrorSets(m, parse(t, tc.line))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]NotServed{{Source: tc.line, Reason: tc.want}}, set.NotServed); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAVerifyOnlyRolloutIsOnlyVerified(t *testing.T) {
	m := manifests(t, rollout+"  mirroring: {mode: VerifyOnly}\n")
	set, err := ByMirrorSets(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if job := set.Images[0].Job(true, nil); len(job.Targets) != 0 || len(job.Sources) != 0 || len(set.Targets()) != 0 {
		t.Errorf("job %+v, targets %v", job, set.Targets())
	}
}

func TestALineWithADestinationContradictsMirrorSets(t *testing.T) {
	_, err := ByMirrorSets(manifests(t, rollout), parse(t, "quay.io/acme/a:v1", "quay.io/acme/b:v1 m.example.com/b:v1"))
	if err == nil || !strings.HasPrefix(err.Error(), "l:2: has a destination, and with -f the mirror sets say") {
		t.Errorf("%v", err)
	}
}

func TestManifestsReadWhatOcPrints(t *testing.T) {
	var m Manifests
	list := `{"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [
		{"apiVersion": "config.openshift.io/v1", "kind": "ImageTagMirrorSet", "metadata": {"name": "a", "uid": "x", "resourceVersion": "1",
		 "creationTimestamp": "2030-01-01T00:00:00Z", "generation": 1}, "spec": {"imageTagMirrors": [{"source": "quay.io/a", "mirrors": ["m.example.com/a"]}]}, "status": {}}]}`
	if err := m.Add("f", []byte(list)); err != nil {
		t.Fatal(err)
	}
	if len(m.Sets.ITMSs) != 1 || len(m.Spec.ImageTagMirrors) != 1 || m.Spec.ImageTagMirrors[0].Source != "quay.io/a" {
		t.Errorf("%+v", m.Spec)
	}
}

func TestManifestsRefuse(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"nothing": {"# a comment\n---\n\n",
			"f: holds no object; give SafeMirrorRollout (safemirror.io/v1alpha1)"},
		"another kind": {"apiVersion: apps/v1\nkind: Deployment\n",
			`f:1: kind "Deployment" of apiVersion "apps/v1" is none of SafeMirrorRollout`},
		"another version": {"apiVersion: config.openshift.io/v1alpha1\nkind: ImageTagMirrorSet\n",
			`f:1: kind "ImageTagMirrorSet" of apiVersion "config.openshift.io/v1alpha1" is none of`},
		"no YAML, with a line": {tagSet + "---\n# second\n\nkind: [\n",
			"f:12: error converting YAML to JSON: yaml: line 12"},
		"a misspelt field": {strings.Replace(tagSet, "mirrors:", "mirors:", 1),
			`f:1: ImageTagMirrorSet: error unmarshaling JSON: while decoding JSON: json: unknown field "mirors"`},
		"no name": {strings.Replace(tagSet, "metadata: {name: site}\n", "", 1),
			"f:1: ImageTagMirrorSet: metadata.name is missing"},
		"the same twice": {tagSet + "---\n" + tagSet,
			"f:10: ImageTagMirrorSet/site is there twice, first at f:1"},
		"a set like a rollout's own": {
			rollout + "---\n" + strings.Replace(tagSet, "name: site", "name: acme", 1),
			"f:11: ImageTagMirrorSet/acme is there twice, first at f:1",
		},
		"a rollout of nothing": {
			"apiVersion: safemirror.io/v1alpha1\nkind: SafeMirrorRollout\nmetadata: {name: x}\nspec: {}\n",
			"f:1: SafeMirrorRollout/x: spec has neither imageTagMirrors nor imageDigestMirrors",
		},
		"an additional image without a registry": {
			strings.Replace(rollout, "quay.io/acme/extra:v1", "extra:v1", 1),
			`f:1: SafeMirrorRollout/acme: spec.inventory.additionalImages[0]: "extra:v1" names no registry`,
		},
		"rollouts of two modes": {
			rollout + "---\n" + strings.ReplaceAll(rollout, "acme", "other") + "  mirroring: {mode: VerifyOnly}\n",
			"f:11: SafeMirrorRollout/other: spec.mirroring.mode is VerifyOnly, that of the one at f:1 is CopyAndVerify: mirror them in two runs",
		},
		"two bad documents": {"kind: A\n---\nkind: B\n", "f:1: kind \"A\" of apiVersion \"\" is none of " + kindsRead +
			"\nf:3: kind \"B\""},
	} {
		t.Run(name, func(t *testing.T) {
			var m Manifests
			if err := m.Add("f", []byte(tc.text)); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s…", err, tc.want)
			}
		})
	}
}

func TestMirrorSetsThatTheOperatorWouldRefuseAreRefused(t *testing.T) {
	m := manifests(t, strings.Replace(tagSet, "m1.example.com/site", "https://m1.example.com/site", 1))
	_, err := ByMirrorSets(m, parse(t, "quay.io/site/app:v1"))
	if err == nil || !strings.HasPrefix(err.Error(), "ImageTagMirrorSet/site spec.imageTagMirrors[0].mirrors[0]: ") {
		t.Errorf("%v", err)
	}
}
