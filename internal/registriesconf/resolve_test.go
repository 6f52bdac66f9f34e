package registriesconf

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResolveReference(t *testing.T) {
	type want struct {
		reference string
		byDigest  bool
		short     bool
		invalid   bool
	}
	cases := map[string]want{
		"quay.io/acme/app:v1":                 {reference: "quay.io/acme/app:v1"},
		"quay.io/acme/app":                    {reference: "quay.io/acme/app:latest"},
		"quay.io/acme/app" + digest:           {reference: "quay.io/acme/app" + digest, byDigest: true},
		"quay.io/acme/app:v1" + digest:        {reference: "quay.io/acme/app" + digest, byDigest: true},
		"docker.io/nginx:1":                   {reference: "docker.io/library/nginx:1"},
		"docker.io/acme/nginx":                {reference: "docker.io/acme/nginx:latest"},
		"index.docker.io/nginx:1":             {reference: "docker.io/library/nginx:1"},
		"localhost/app:1":                     {reference: "localhost/app:1"},
		"host:5000/app:1":                     {reference: "host:5000/app:1"},
		"nginx":                               {short: true},
		"nginx:1":                             {short: true},
		"library/nginx" + digest:              {short: true},
		"localhost:5000":                      {short: true},
		"quay.io":                             {short: true},
		"":                                    {invalid: true},
		"quay.io/Acme:v1":                     {invalid: true},
		"Nginx":                               {invalid: true},
		"quay.io/acme@sha256:00":              {invalid: true},
		"https://quay.io/acme":                {invalid: true},
		"quay.io/" + strings.Repeat("a", 300): {invalid: true},
	}
	for ref, tc := range cases {
		t.Run(ref, func(t *testing.T) {
			r, err := Config{}.Resolve(ref)
			var short *ShortNameError
			got := want{r.Reference, r.ByDigest, errors.As(err, &short), err != nil && short == nil}
			if diff := cmp.Diff(tc, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestShortNameError(t *testing.T) {
	_, err := Config{}.Resolve("nginx:1")
	if err == nil || !strings.Contains(err.Error(), `"nginx:1"`) {
		t.Errorf("the error does not name the reference: %v", err)
	}
}

func TestCandidates(t *testing.T) {
	config := parsed(t, `
unqualified-search-registries = ["registry.access.redhat.com", "docker.io"]
[aliases]
"fedora" = "registry.fedoraproject.org/fedora"
"hub" = "docker.io/hub"
"gone" = ""
`)
	cases := map[string][]string{
		"nginx:1": {"registry.access.redhat.com/nginx:1", "docker.io/library/nginx:1"},
		"nginx":   {"registry.access.redhat.com/nginx:latest", "docker.io/library/nginx:latest"},
		"library/nginx" + digest: {"registry.access.redhat.com/library/nginx" + digest, "docker.io/library/nginx" +
			digest},
		"nginx:1" + digest:           {"registry.access.redhat.com/nginx" + digest, "docker.io/library/nginx" + digest},
		"localhost:5000":             {"registry.access.redhat.com/localhost:5000", "docker.io/library/localhost:5000"},
		"fedora:42":                  {"registry.fedoraproject.org/fedora:42"},
		"fedora":                     {"registry.fedoraproject.org/fedora:latest"},
		"hub":                        {"docker.io/library/hub:latest"},
		"gone":                       {"registry.access.redhat.com/gone:latest", "docker.io/library/gone:latest"},
		"quay.io/acme/app":           {"quay.io/acme/app:latest"},
		"docker.io/nginx:1" + digest: {"docker.io/library/nginx" + digest},
		"Nginx":                      nil,
		"":                           nil,
		"quay.io/UPPER":              nil,
	}
	got := map[string][]string{}
	for ref := range cases {
		got[ref] = config.Candidates(ref)
	}
	if diff := cmp.Diff(cases, got); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
}

func TestUsableAndEqual(t *testing.T) {
	a, b, blocked := Endpoint{Reference: "a", Mirror: true}, Endpoint{Reference: "b"},
		Endpoint{Reference: "b", Blocked: true, BlockedBy: "x"}
	of := func(endpoints ...Endpoint) Resolution { return Resolution{Endpoints: endpoints} }
	if diff := cmp.Diff([]Endpoint{a}, of(a, blocked).Usable()); diff != "" {
		t.Errorf("usable (-want +got):\n%s", diff)
	}
	otherBlocker := blocked
	otherBlocker.BlockedBy = "y"
	insecure := a
	insecure.Insecure = true
	cases := map[string]struct {
		a, b Resolution
		want bool
	}{
		"same":               {of(a, b), of(a, b), true},
		"order":              {of(a, b), of(b, a), false},
		"fewer":              {of(a, b), of(a), false},
		"blocked":            {of(a, b), of(a, blocked), false},
		"blocked by another": {of(a, blocked), of(a, otherBlocker), true},
		"insecure":           {of(a), of(insecure), false},
		"error":              {Resolution{Err: "x"}, Resolution{}, false},
		"scope":              {Resolution{Scope: "x"}, Resolution{Scope: "y"}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.a.Equal(tc.b); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
