package cli

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

func TestDefaultAuthfiles(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"usual": {
			map[string]string{"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/1000"},
			[]string{"/run/user/1000/containers/auth.json", "/home/me/.config/containers/auth.json",
				"/home/me/.docker/config.json"},
		},
		"other directories": {
			map[string]string{"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/1000", "XDG_CONFIG_HOME": "/conf",
				"DOCKER_CONFIG": "/docker"},
			[]string{"/run/user/1000/containers/auth.json", "/conf/containers/auth.json", "/docker/config.json"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := defaultAuthfiles(func(key string) string { return tc.env[key] })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestInsecureAppliesToNamedHosts(t *testing.T) {
	r := &mirrorRun{mirrorOptions: mirrorOptions{insecure: []string{"a.example.com:5000", "b.example.com/acme/"}}}
	for repository, want := range map[string]bool{
		"a.example.com:5000/acme/app": true,
		"a.example.com/acme/app":      false,
		"a.example.com:50001/acme":    false,
		"b.example.com/acme/app":      true,
		"b.example.com/acmeco/app":    false,
	} {
		if got := r.allowsInsecure(repository); got != want {
			t.Errorf("%s: %t, want %t", repository, got, want)
		}
	}
}

// needsLogin lets nobody in without the user and password.
func needsLogin(g *testRegistry, user, password string) {
	g.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, ok := r.BasicAuth(); ok && u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

func authfile(host, user, password string) string {
	return `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + `"}}}`
}

func TestMirrorUsesGivenAuthfiles(t *testing.T) {
	for name, give := range map[string]func(t *testing.T, r *mirrorTest, source, target string){
		"one file each": func(t *testing.T, r *mirrorTest, source, target string) {
			r.authfile, r.destAuthfile = r.file(t, "source.json", source), r.file(t, "target.json", target)
		},
		"the environment's file for the source": func(t *testing.T, r *mirrorTest, source, target string) {
			file := r.file(t, "source.json", source)
			r.getenv = func(name string) string { return map[string]string{"REGISTRY_AUTH_FILE": file}[name] }
			r.destAuthfile = r.file(t, "target.json", target)
		},
		"both in the usual places": func(t *testing.T, r *mirrorTest, source, target string) {
			if err := os.Mkdir(filepath.Join(r.dir, "containers"), 0o700); err != nil {
				t.Fatal(err)
			}
			r.file(t, "containers/auth.json", source)
			r.file(t, "config.json", target)
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "acme/app", "v1", "app")
			needsLogin(source, "reader", "r-secret")
			needsLogin(target, "writer", "w-secret")
			r := newTestRun(t, source, target)
			r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"), target.host
			give(t, r, authfile(source.host, "reader", "r-secret"), authfile(target.host, "writer", "w-secret"))
			report, code := r.runToEnd(t.Context(), t)
			if code != batch.ExitComplete {
				t.Errorf("exit code %d, %+v", code, report.Images)
			}
			if printed := r.out.String() + r.status.String(); strings.Contains(printed, "secret") {
				t.Errorf("a password is printed: %s", printed)
			}
		})
	}
}

// certificateOf is the certificate of a TLS server in PEM form.
func certificateOf(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func TestMirrorTrustsGivenCAs(t *testing.T) {
	source, storage := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	server := httptest.NewUnstartedServer(storage)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is part of the test
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	for name, tc := range map[string]struct {
		file string // "" for no --ca
		want string
	}{
		"none":              {"", "cannot write to " + host + "/acme/app: "},
		"a file":            {"ca.crt", ""},
		"a directory":       {"certs.d/" + host + "/ca.crt", ""},
		"for another host":  {"certs.d/m.example.com/ca.crt", "cannot write to " + host + "/acme/app: "},
		"for another port ": {"certs.d/127.0.0.1/ca.crt", "cannot write to " + host + "/acme/app: "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRun(t, source)
			if top, rest, isDir := strings.Cut(tc.file, "/"); tc.file != "" {
				if isDir {
					if err := os.MkdirAll(filepath.Join(r.dir, top, filepath.Dir(rest)), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				r.file(t, tc.file, certificateOf(server))
				r.cas = []string{filepath.Join(r.dir, top)}
			}
			r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"), host
			err := r.run(t.Context())
			if tc.want == "" {
				if err != nil || !storage.has(t, "acme/app", "v1") {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) ||
				!strings.HasSuffix(err.Error(),
					"; give the registry's CA with --ca, or allow it to be unverified with --insecure HOST") {
				t.Errorf("%v", err)
			}
		})
	}
}
