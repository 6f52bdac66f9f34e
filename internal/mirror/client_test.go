package mirror

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

func TestCanPush(t *testing.T) {
	ca := newAuthority(t)
	cases := map[string]struct {
		host  func(t *testing.T) string
		class ErrorClass
	}{
		"yes": {host: func(t *testing.T) string { return newTestRegistry(t).host }},
		"pushes are switched off": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				no := false
				g.storage = olareg.New(config.Config{
					Storage: config.ConfigStorage{StoreType: config.StoreMem},
					API:     config.ConfigAPI{PushEnabled: &no},
				})
				return g.host
			},
			class: ReadOnly,
		},
		"the storage is read-only": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				yes := true
				g.storage = olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem,
					ReadOnly: &yes}})
				return g.host
			},
			class: ReadOnly,
		},
		"read-only mode by 503": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				g.respondWith("POST", "/uploads/", 503,
					`{"errors":[{"code":"READ_ONLY","message":"system is currently read-only"}]}`)
				return g.host
			},
			class: ReadOnly,
		},
		"anonymous": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				g.inject(basicAuth(nil))
				return g.host
			},
			class: Denied,
		},
		"may read only": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				g.respondWith("POST", "/uploads/", 403, `{"errors":[{"code":"DENIED","message":"no push"}]}`)
				return g.host
			},
			class: Denied,
		},
		"no such project": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				g.respondWith("POST", "/uploads/", 404,
					`{"errors":[{"code":"NAME_UNKNOWN","message":"project not found"}]}`)
				return g.host
			},
			class: Missing,
		},
		"nobody there": {
			host: func(t *testing.T) string {
				g := newTestRegistry(t)
				g.server.Close()
				return g.host
			},
			class: Refused,
		},
		"unknown CA": {host: func(t *testing.T) string { return newTestTLSRegistry(t, ca).host }, class: TLS},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			access := plainHTTP()
			if tc.class == TLS {
				access.Insecure = nil
			}
			repository := tc.host(t) + "/acme/app"
			err := newTestClient(access).CanPush(context.Background(), repository)
			if tc.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			assertError(t, err, wantError{tc.class, repository, "push"})
		})
	}
}

func TestCanPushLeavesNothingBehind(t *testing.T) {
	g := newTestRegistry(t)
	if err := newTestClient(plainHTTP()).CanPush(context.Background(), g.host+"/acme/app"); err != nil {
		t.Fatal(err)
	}
	opened, closed := g.requests("POST /v2/acme/app/blobs/uploads/"), g.requests("DELETE /v2/acme/app/blobs/uploads/")
	if len(opened) != 1 || len(closed) != 1 {
		t.Errorf("opened %v, closed %v", opened, closed)
	}
	if g.has(t, "/v2/acme/app/blobs/"+unknownBlob.String()) {
		t.Error("the probe stored a blob")
	}
}

func TestPing(t *testing.T) {
	ca := newAuthority(t)
	plain, secure := newTestRegistry(t), newTestTLSRegistry(t, ca)
	login := newTestRegistry(t)
	login.respondWith("", "/v2/", 401, "")
	broken := newTestRegistry(t)
	broken.respondWith("", "/v2/", 503, "")
	brokenTLS := newTestTLSRegistry(t, ca)
	brokenTLS.respondWith("", "/v2/", 503, "")
	website := newTestRegistry(t)
	website.respondWith("", "/v2/", 404, "<html>")
	gone := newTestRegistry(t)
	gone.server.Close()
	cases := map[string]struct {
		endpoint string
		secure   bool
		class    ErrorClass
	}{
		"a host":                     {endpoint: plain.host},
		"a reference":                {endpoint: plain.host + "/acme/app:v1"},
		"a host that wants a login":  {endpoint: login.host},
		"https":                      {endpoint: secure.host + "/app", secure: true},
		"https without the CA":       {endpoint: plain.host, secure: true, class: TLS},
		"broken":                     {endpoint: broken.host, class: Unknown},
		"broken behind TLS":          {endpoint: brokenTLS.host, class: Unknown},
		"a web server, no registry":  {endpoint: website.host, class: Missing},
		"nobody there":               {endpoint: gone.host, class: Refused},
		"a name that does not exist": {endpoint: "registry.invalid", class: Refused},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			access := plainHTTP()
			if tc.secure {
				access = Access{ExtraCAs: ca.pem()}
			}
			err := newTestClient(access).Ping(context.Background(), tc.endpoint)
			if tc.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			assertError(t, err, wantError{tc.class, tc.endpoint, "ping"})
			got := asError(t, err)
			var status *StatusError
			if tc.class == Unknown && (!errors.As(got, &status) || status.Status != 503) {
				t.Errorf("%v does not tell what https answered", err)
			}
		})
	}
}

func TestDigest(t *testing.T) {
	img := multiArch("app")
	cases := map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"by HEAD": nil,
		"HEAD is not supported": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			return false
		},
		"HEAD without a digest": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
				w.Header().Set("Content-Type", indexType)
				return true
			}
			return false
		},
	}
	for name, fault := range cases {
		t.Run(name, func(t *testing.T) {
			empty, g := newTestRegistry(t), newTestRegistry(t)
			g.seed(t, "app", "v1", img)
			g.inject(fault)
			got, endpoint, err := newTestClient(plainHTTP()).Digest(context.Background(),
				[]string{empty.host + "/app:v1", g.host + "/app:v1"})
			if err != nil || got != img.top.digest || endpoint != g.host+"/app:v1" {
				t.Errorf("got %s at %s, %v", got, endpoint, err)
			}
		})
	}
}

func TestDigestOfNothing(t *testing.T) {
	g := newTestRegistry(t)
	_, _, err := newTestClient(plainHTTP()).Digest(context.Background(), []string{g.host + "/app:v1"})
	assertError(t, err, wantError{Missing, g.host + "/app:v1", "manifest"})
}
