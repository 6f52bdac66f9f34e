package mirror

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func auth(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// dockerConfigOf makes a document from key, user pairs; the password of x is x-secret.
func dockerConfigOf(pairs ...string) []byte {
	auths := object{}
	for i := 0; i < len(pairs); i += 2 {
		auths[pairs[i]] = object{"auth": auth(pairs[i+1], pairs[i+1]+"-secret")}
	}
	return toJSON(object{"auths": auths})
}

func TestKeychainFor(t *testing.T) {
	cases := map[string]struct {
		docs             [][]byte
		host, repository string
		want             string // user, "" for none
	}{
		"host": {
			docs: [][]byte{dockerConfigOf("quay.io", "host")},
			host: "quay.io", repository: "acme/app", want: "host",
		},
		"the longest path wins": {
			docs: [][]byte{dockerConfigOf("quay.io", "host", "quay.io/acme", "acme", "quay.io/acme/app", "app")},
			host: "quay.io", repository: "acme/app", want: "app",
		},
		"a path is matched by whole elements": {
			docs: [][]byte{dockerConfigOf("quay.io", "host", "quay.io/acme", "acme")},
			host: "quay.io", repository: "acmeco/app", want: "host",
		},
		"a longer path than asked for does not match": {
			docs: [][]byte{dockerConfigOf("quay.io/acme/app/sub", "sub")},
			host: "quay.io", repository: "acme/app", want: "",
		},
		"the first document with a match wins over a longer match later": {
			docs: [][]byte{dockerConfigOf("quay.io", "first"), dockerConfigOf("quay.io/acme", "second")},
			host: "quay.io", repository: "acme/app", want: "first",
		},
		"a document without a match is passed over": {
			docs: [][]byte{dockerConfigOf("ghcr.io", "first"), dockerConfigOf("quay.io", "second")},
			host: "quay.io", repository: "acme/app", want: "second",
		},
		"the port belongs to the host": {
			docs: [][]byte{dockerConfigOf("mirror.example.com", "plain", "mirror.example.com:5000", "port")},
			host: "mirror.example.com:5000", repository: "app", want: "port",
		},
		"another port is another host": {
			docs: [][]byte{dockerConfigOf("mirror.example.com", "plain")},
			host: "mirror.example.com:5000", repository: "app", want: "",
		},
		"docker hub by the key of docker login": {
			docs: [][]byte{dockerConfigOf("https://index.docker.io/v1/", "hub")},
			host: "docker.io", repository: "library/nginx", want: "hub",
		},
		"docker hub by its API host": {
			docs: [][]byte{dockerConfigOf("docker.io", "hub")},
			host: "registry-1.docker.io", repository: "library/nginx", want: "hub",
		},
		"docker hub by path": {
			docs: [][]byte{dockerConfigOf("https://index.docker.io/v1/", "hub", "docker.io/acme", "acme")},
			host: "docker.io", repository: "acme/app", want: "acme",
		},
		"the plain spelling wins over the legacy one": {
			docs: [][]byte{dockerConfigOf("https://index.docker.io/v1/", "legacy", "docker.io", "plain")},
			host: "docker.io", repository: "library/nginx", want: "plain",
		},
		"a key with a scheme": {
			docs: [][]byte{dockerConfigOf("https://quay.io", "quay")},
			host: "quay.io", repository: "acme/app", want: "quay",
		},
		"a key with a scheme and the API's path": {
			docs: [][]byte{dockerConfigOf("https://mirror.example.com:5000/v1/", "mirror")},
			host: "mirror.example.com:5000", repository: "acme/app", want: "mirror",
		},
		"a key with http and the newer API's path": {
			docs: [][]byte{dockerConfigOf("http://mirror.example.com/v2/", "mirror")},
			host: "mirror.example.com", repository: "acme/app", want: "mirror",
		},
		"an empty entry is no login": {
			docs: [][]byte{[]byte(`{"auths":{"quay.io":{}}}`)},
			host: "quay.io", repository: "acme/app", want: "",
		},
		"username and password without auth": {
			docs: [][]byte{[]byte(`{"auths":{"quay.io":{"username":"u","password":"p"}}}`)},
			host: "quay.io", repository: "acme/app", want: "u",
		},
		"a document without auths": {
			docs: [][]byte{[]byte(`{}`)},
			host: "quay.io", repository: "acme/app", want: "",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeychain(tc.docs...)
			if err != nil {
				t.Fatal(err)
			}
			login, found := k.Lookup(tc.host, tc.repository)
			if login.Username != tc.want || found != (tc.want != "") {
				t.Errorf("For(%s, %s) = %v, %v, want user %q", tc.host, tc.repository, login, found, tc.want)
			}
		})
	}
}

func TestKeychainIdentityToken(t *testing.T) {
	k, err := ParseKeychain([]byte(`{"auths":{"quay.io":{"identitytoken":"refresh"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	login, found := k.Lookup("quay.io", "app")
	if diff := cmp.Diff(Login{IdentityToken: "refresh"}, login); diff != "" || !found {
		t.Errorf("found %v, (-want +got):\n%s", found, diff)
	}
}

func TestKeychainNotesWhatItCannotUse(t *testing.T) {
	cases := map[string]struct {
		docs [][]byte
		want []string // what each note says
	}{
		"credentials": {docs: [][]byte{dockerConfigOf("quay.io", "u")}},
		"helpers": {
			docs: [][]byte{
				dockerConfigOf("quay.io", "u"),
				[]byte(`{"auths":{"gcr.io":{}},"credHelpers":{"gcr.io":"gcloud","000.dkr.ecr.us-east-1.amazonaws.com":"ecr-login"}}`),
			},
			want: []string{`document 2: credHelpers says that those of "000.dkr.ecr.us-east-1.amazonaws.com" are kept in docker-credential-ecr-login`, `"gcr.io" are kept in docker-credential-gcloud`},
		},
		"a store": {docs: [][]byte{[]byte(`{"credsStore":"desktop"}`)},
			want: []string{"document 1: credsStore says that credentials are kept in docker-credential-desktop"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeychain(tc.docs...)
			if err != nil {
				t.Fatal(err)
			}
			notes := k.Warnings()
			if len(notes) != len(tc.want) {
				t.Fatalf("notes %q, want %d", notes, len(tc.want))
			}
			for i, want := range tc.want {
				if !strings.Contains(notes[i], want) {
					t.Errorf("%q does not say %q", notes[i], want)
				}
			}
		})
	}
}

func TestParseKeychainNamesTheDocumentAndNotItsContent(t *testing.T) {
	cases := map[string]struct {
		docs      [][]byte
		want      KeychainError
		wantWords []string
	}{
		"not JSON": {
			docs:      [][]byte{dockerConfigOf("quay.io", "u"), []byte("hunter2")},
			want:      KeychainError{Document: 2},
			wantWords: []string{"document 2", "not docker config JSON"},
		},
		"empty":      {docs: [][]byte{nil}, want: KeychainError{Document: 1}, wantWords: []string{"document 1"}},
		"other JSON": {docs: [][]byte{[]byte(`["hunter2"]`)}, want: KeychainError{Document: 1}},
		"wrong types": {docs: [][]byte{[]byte(`{"auths":{"quay.io":{"auth":["hunter2"]}}}`)},
			want: KeychainError{Document: 1}},
		"auth not coded": {docs: [][]byte{[]byte(`{"auths":{"quay.io":{"auth":"hunter2!"}}}`)},
			want: KeychainError{Document: 1, Entry: "quay.io"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKeychain(tc.docs...)
			var got *KeychainError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a *KeychainError", err)
			}
			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, word := range tc.wantWords {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q repeats the content", err)
			}
		})
	}
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	k, err := ParseKeychain(dockerConfigOf("quay.io", "robot"))
	if err != nil {
		t.Fatal(err)
	}
	login, _ := k.Lookup("quay.io", "app")
	for _, value := range []any{login, &login, k, Access{Keychain: k}, Accesses{Node: Access{Keychain: k}}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, value); strings.Contains(text, "robot-secret") ||
				strings.Contains(text, auth("robot", "robot-secret")) {
				t.Errorf("%s of %T prints the password: %s", format, value, text)
			}
		}
	}
}
