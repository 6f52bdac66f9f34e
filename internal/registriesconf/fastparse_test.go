package registriesconf

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker/reference"
)

// requireSameAsLibrary fails unless fastParse either passes or says what c/image says.
func requireSameAsLibrary(t *testing.T, ref string) (certain bool) {
	t.Helper()
	got, certain := fastParse(ref)
	if !certain {
		return false
	}
	want, err := reference.ParseDockerRef(ref)
	if err != nil {
		t.Errorf("%q: certain that it is %s, but c/image says %v", ref, got, err)
		return true
	}
	if got.String() != want.String() || got.Name() != want.Name() {
		t.Errorf("%q is %s of %s, and for c/image %s of %s", ref, got, got.Name(), want, want.Name())
	}
	wantTag, tagged := want.(reference.Tagged)
	gotTag, gotTagged := got.(reference.Tagged)
	wantDigest, digested := want.(reference.Canonical)
	gotDigest, gotDigested := got.(reference.Canonical)
	if tagged != gotTagged || digested != gotDigested || tagged && gotTag.Tag() != wantTag.Tag() || digested &&
		gotDigest.Digest() != wantDigest.Digest() {
		t.Errorf("%q is a %T of c/image and a %T here", ref, want, got)
	}
	return true
}

func TestFastParse(t *testing.T) {
	const sha = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	cases := map[string]struct {
		ref     string
		certain bool
	}{
		"a tag":                      {"quay.io/acme/app:v1.2_3-x", true},
		"no tag":                     {"quay.io/acme/app", true},
		"a digest":                   {"quay.io/acme/app" + sha, true},
		"a tag and a digest":         {"quay.io/acme/app:v1" + sha, true},
		"a port":                     {"registry:5000/app:v1", true},
		"Docker Hub":                 {"docker.io/library/nginx:1", false},
		"Docker Hub's other name":    {"index.docker.io/library/nginx", false},
		"no registry":                {"nginx:1", false},
		"localhost":                  {"localhost/app", false},
		"two separators":             {"quay.io/acme/a__b", false},
		"capitals":                   {"quay.io/Acme/app", false},
		"capitals in the tag":        {"quay.io/acme/app:V1", true},
		"an empty tag":               {"quay.io/acme/app:", false},
		"an empty component":         {"quay.io/acme//app", false},
		"a separator at the end":     {"quay.io/acme/app-", false},
		"a short digest":             {"quay.io/acme/app@sha256:e3b0", false},
		"another algorithm":          {"quay.io/acme/app@sha512:" + strings.Repeat("a", 128), false},
		"a name that is too long":    {"quay.io/" + strings.Repeat("a", 248), false},
		"a name that just fits":      {"quay.io/" + strings.Repeat("a", 247), true},
		"a host that ends in a dash": {"quay-.io/acme/app", false},
		"an IPv6 address":            {"[::1]:5000/acme/app", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := requireSameAsLibrary(t, c.ref); got != c.certain {
				t.Errorf("%q: certain %t, want %t", c.ref, got, c.certain)
			}
		})
	}
}

// TestFastParseMatchesCImage draws references from pieces that are right, wrong, and nearly right.
func TestFastParseMatchesCImage(t *testing.T) {
	pieces := []string{"quay.io", "a", "B", "0", ".", "-", "_", "__", "/", ":", "@", "@sha256:" +
		strings.Repeat("0f", 32), ":5000", "/acme", "/app", ":v1", "docker.io", "é", " "}
	random, certain := rand.New(rand.NewPCG(1, 2)), 0
	for range 200_000 {
		var b strings.Builder
		b.WriteString([]string{"quay.io/", "h:5000/", "a.b-c.d/", "", "docker.io/"}[random.IntN(5)])
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		if requireSameAsLibrary(t, b.String()) {
			certain++
		}
		if t.Failed() {
			return
		}
	}
	if certain < 5_000 {
		t.Errorf("only %d references were plain: the test proves nothing", certain)
	}
}

func FuzzFastParse(f *testing.F) {
	for _, ref := range []string{"quay.io/acme/app:v1", "h:5000/a@sha256:" + strings.Repeat("0", 64), "a.b/c"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) { requireSameAsLibrary(t, ref) })
}
