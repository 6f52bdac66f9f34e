package mirror

import (
	"context"
	"strings"
	"testing"
)

func TestParseReference(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	cases := map[string]struct {
		endpoint string
		says     string // "" when it is fine
	}{
		"tag":              {"quay.io/acme/app:v1", ""},
		"digest":           {"quay.io/acme/app" + digest, ""},
		"port":             {"mirror.example.com:5000/app:v1", ""},
		"repository":       {"quay.io/acme/app", ""},
		"docker hub":       {"docker.io/nginx", ""},
		"the longest name": {"quay.io/" + strings.Repeat("a", 247) + ":v1", ""},
		"the longest tag":  {"quay.io/app:" + strings.Repeat("v", 128), ""},
		"upper case":       {"quay.io/Acme/app:v1", "lowercase"},
		"a name too long":  {"quay.io/" + strings.Repeat("a", 248) + ":v1", "at most 255 characters"},
		"a tag too long": {"quay.io/app:" + strings.Repeat("v", 129),
			"the tag has 129 characters, at most 128 are allowed"},
		"a digest too short": {"quay.io/app@sha256:abc", "invalid reference format"},
		"a directory":        {"ocidir://quay.io/app", "invalid reference format"},
		"nothing":            {"", "invalid reference format"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parseReference(tc.endpoint)
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// TestNamesAreCheckedBeforeAnybodyIsAsked: a node does not ask either.
func TestNamesAreCheckedBeforeAnybodyIsAsked(t *testing.T) {
	g := newTestRegistry(t)
	endpoint := g.host + "/Acme/app:v1"
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{endpoint, g.host + "/acme/app:v1"},
		VerifyOptions{})
	assertError(t, err, wantError{Unknown, endpoint, "reference"})
	if asked := g.requests(""); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}
