package mirrorset

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestPreviousSetsComeBack(t *testing.T) {
	digest := []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"a.local/acme", "b.local/acme"}, MirrorSourcePolicy: v1alpha1.NeverContactSource}}
	tag := []v1alpha1.ImageMirrors{{Source: "ghcr.io", Mirrors: []string{"a.local/ghcr"}}}
	cases := map[string]struct{ digest, tag []v1alpha1.ImageMirrors }{
		"none": {}, "digests alone": {digest, nil}, "tags alone": {nil, tag}, "both": {digest, tag},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := &v1alpha1.SafeMirrorRollout{}
			before.Spec.ImageDigestMirrors, before.Spec.ImageTagMirrors = c.digest, c.tag
			packed, err := Encode(Digest(before), Tag(before))
			if err != nil {
				t.Fatal(err)
			}
			now := &v1alpha1.SafeMirrorRollout{}
			now.Name, now.Spec.ImageTagMirrors = "shop", []v1alpha1.ImageMirrors{{Source: "quay.io", Mirrors: []string{"c.local"}}}
			got, err := Earlier(now, packed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before.Spec, got.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if got.Name != "shop" || len(now.Spec.ImageTagMirrors) != 1 {
				t.Errorf("rollout %s, and the spec of now is %+v", got.Name, now.Spec)
			}
		})
	}
}

func TestWhatIsNotAPreviousSet(t *testing.T) {
	cases := map[string]string{"not base64": "?", "not gzip": "aGVsbG8=", "holds no mirror sets": "H4sIAAAAAAAAAwMAAAAAAAAAAAA="}
	for want, packed := range cases {
		if _, err := Earlier(&v1alpha1.SafeMirrorRollout{}, packed); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", packed, err, want)
		}
	}
}

// What the record has no room for is refused before anything is changed.
func TestPreviousSetsThatAreTooLarge(t *testing.T) {
	r := &v1alpha1.SafeMirrorRollout{}
	for i := range 20000 {
		r.Spec.ImageTagMirrors = append(r.Spec.ImageTagMirrors, v1alpha1.ImageMirrors{Source: fmt.Sprintf("quay.io/%x", i*2654435761), Mirrors: []string{"m.local"}})
	}
	if _, err := Encode(nil, Tag(r)); err == nil || !strings.Contains(err.Error(), "room for 65536") {
		t.Errorf("got %v", err)
	}
}
