package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestErrorText(t *testing.T) {
	missing := &Error{Class: Missing, Endpoint: "mirror/app:v1", Part: "manifest",
		Err: &StatusError{Status: 404, Code: "MANIFEST_UNKNOWN", Message: "no such tag"}}
	silent := &Error{Class: Timeout, Endpoint: "quay.io/app:v1", Part: "manifest",
		Err: &NoResponseError{After: 30 * time.Second, Connected: true}}
	cases := map[string]struct {
		err  error
		want string
	}{
		"status":  {missing, "mirror/app:v1: manifest: Missing: HTTP 404 Not Found (MANIFEST_UNKNOWN: no such tag)"},
		"silence": {silent, "quay.io/app:v1: manifest: Timeout: accepted the connection but stayed silent for 30s (a node would wait for ever)"},
		"not dialled": {&Error{Class: Timeout, Endpoint: "m/a", Part: "push",
			Err: &NoResponseError{After: time.Second}}, "m/a: push: Timeout: no connection within 1s"},
		"all failed": {allFailed([]*Error{missing, silent}),
			"quay.io/app:v1: manifest: Timeout: accepted the connection but stayed silent for 30s (a node would wait for ever) (tried before: mirror/app:v1: manifest: Missing: HTTP 404 Not Found (MANIFEST_UNKNOWN: no such tag))"},
		"no endpoint": {allFailed(nil), "manifest: Missing: there is no endpoint to pull from"},
		"size":        {&SizeError{Want: 2048, Got: 12}, "is 12 bytes, its descriptor says 2048"},
		"digest":      {&DigestError{Want: "sha256:a", Got: "sha256:b"}, "serves sha256:b, expected sha256:a"},
		"platform": {&PlatformError{Missing: []string{"linux/s390x"}, Present: []string{"linux/amd64"}},
			"index has no linux/s390x, only linux/amd64"},
		"stall": {&StalledError{After: time.Minute}, "no progress for 1m0s"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.err.Error(); got != tc.want {
				t.Errorf("\ngot  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestAfterAllKeepsTheCauseOfTheLast(t *testing.T) {
	last := &Error{Class: Denied, Err: &StatusError{Status: 403}}
	failure := allFailed([]*Error{{Class: Missing, Err: io.EOF}, last})
	var status *StatusError
	if !errors.As(failure, &status) || status.Status != 403 || errors.Is(failure, io.EOF) {
		t.Errorf("%v", failure)
	}
}

// hubTransport stands for Docker Hub: it notes the first request and refuses it.
type hubTransport struct{ asked chan *http.Request }

func (h hubTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	h.asked <- req
	status := http.StatusForbidden
	header := http.Header{}
	if req.Header.Get("Authorization") == "" {
		status = http.StatusUnauthorized
		header.Set("WWW-Authenticate", `Basic realm="hub"`)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("")),
		Request: req}, nil
}

func TestDockerHubByItsRealNameAndLogin(t *testing.T) {
	k, err := ParseKeychain(dockerConfigOf("https://index.docker.io/v1/", "hub"))
	if err != nil {
		t.Fatal(err)
	}
	hub := hubTransport{asked: make(chan *http.Request, 2)}
	c := newTestClient(Access{Keychain: k, Transport: hub})
	_, err = c.Verify(context.Background(), []string{"docker.io/nginx:latest"}, VerifyOptions{})
	assertError(t, err, wantError{Denied, "docker.io/nginx:latest", "manifest"})
	<-hub.asked
	req := <-hub.asked
	if url := req.URL.String(); url != "https://registry-1.docker.io/v2/library/nginx/manifests/latest" {
		t.Errorf("asked %s", url)
	}
	if user, password, _ := req.BasicAuth(); user != "hub" || password != "hub-secret" {
		t.Errorf("logged in as %q", user)
	}
}
