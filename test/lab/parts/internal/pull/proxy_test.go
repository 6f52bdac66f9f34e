package pull

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childVariable marks the process that pulls through the proxy.
const childVariable = "PULL_THROUGH_PROXY"

// The environment names a proxy and a certificate authority, and both are read once per process. So
// this test pulls in a child of its own. "example.com" stands for quay.io: the proxy sends every
// name to a registry of ours, as the proxy of the lab does.
func TestProxyAndCertificateAuthorityOfTheEnvironment(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		f := newFixture(t)
		f.load("")
		f.mustPull("example.com/shop/web:v1")
		return
	}
	secure := newRegistry(t, httptest.NewTLSServer)
	secure.push("shop/web", "v1", "web")
	proxy := httptest.NewServer(tunnelTo(secure.host()))
	t.Cleanup(proxy.Close)
	authority := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, secure.ca(), 0o644); err != nil {
		t.Fatal(err)
	}

	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childVariable+"=yes", "HTTPS_PROXY="+proxy.URL, "SSL_CERT_FILE="+authority)
	if output, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if n := secure.count("/manifests/v1"); n != 1 {
		t.Errorf("the registry was asked %d times, want once", n)
	}
}

// tunnelTo answers CONNECT for example.com with a connection to address.
func tunnelTo(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || !strings.HasPrefix(r.Host, "example.com:") {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		up, err := net.Dial("tcp", address)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer up.Close()
		down, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer down.Close()
		_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(up, buffered) }() // which may hold the first bytes already
		_, _ = io.Copy(down, up)
	}
}
