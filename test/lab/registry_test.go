//go:build lab

package lab

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"testing"
)

// startRegistriesOnly is a lab without a cluster.
func startRegistriesOnly(t *testing.T) *Lab {
	t.Helper()
	l := newLab(Options{Log: logWriter{t}})
	t.Cleanup(l.Stop)
	if err := l.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := l.startRegistries(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRegistries(t *testing.T) {
	l := startRegistriesOnly(t)
	t.Run("one image has one digest everywhere", func(t *testing.T) { testPush(t, l) })
	t.Run("damage shows at once and can be repaired", func(t *testing.T) { testDamage(t, l) })
	t.Run("names, certificates and passwords over the wire", func(t *testing.T) { testWire(t, l) })
}

const reference = "acme/router:v1"

func testPush(t *testing.T, l *Lab) {
	source := push(t, l.Registry("quay.io"), Image{})
	mirrored := push(t, l.Registry("mirror.internal.example.com"), Image{})
	if source != mirrored {
		t.Errorf("the source has %s, the mirror %s", source, mirrored)
	}
	got, err := l.Registry("public").Digest(t.Context(), reference)
	if err != nil || got != source {
		t.Errorf("the tag has digest %s (%v), want %s", got, err, source)
	}
	wantHas(t, l.Registry("second"), reference, false)
	if err := l.Registry("quay.io").Wipe(); err != nil {
		t.Fatal(err)
	}
	wantHas(t, l.Registry("quay.io"), reference, false)
	wantHas(t, l.Registry("mirror"), reference, true)
}

func testDamage(t *testing.T, l *Lab) {
	r := l.Registry("second")
	push(t, r, Image{})
	children, err := r.Children(t.Context(), reference)
	if err != nil {
		t.Fatal(err)
	}
	child := "acme/router@" + children["linux/amd64"]
	blobs, err := r.Blobs(t.Context(), child)
	if err != nil {
		t.Fatal(err)
	}
	layer := blobs[1]
	if err := r.DeleteBlob("acme/router", layer); err != nil {
		t.Fatal(err)
	}
	if code := r.headBlob(t, "acme/router", layer); code != http.StatusNotFound {
		t.Errorf("the deleted layer is answered %d, want 404", code)
	}
	if err := r.DeleteManifest(t.Context(), "acme/router", children["linux/amd64"]); err != nil {
		t.Fatal(err)
	}
	wantHas(t, r, child, false)
	wantHas(t, r, reference, true) // the index hides it

	push(t, r, Image{})
	wantHas(t, r, child, true)
	if code := r.headBlob(t, "acme/router", layer); code != http.StatusOK {
		t.Errorf("the layer pushed again is answered %d, want 200", code)
	}
}

func testWire(t *testing.T, l *Lab) {
	user, password := l.Registry("mirror").Credentials()
	for name, test := range map[string]struct {
		url            string
		ca             []byte
		user, password string
		want           int // 0: no answer
	}{
		"public":                      {url: "https://quay.io/v2/", ca: l.PublicCA(), want: 200},
		"public by another name":      {url: "https://registry.redhat.io/v2/", ca: l.PublicCA(), want: 200},
		"mirror without the password": {url: "https://mirror.internal.example.com/v2/", ca: l.PrivateCA(), want: 401},
		"mirror with the password": {url: "https://mirror.internal.example.com/v2/", ca: l.PrivateCA(), user: user,
			password: password, want: 200},
		"mirror, unknown authority": {url: "https://mirror.internal.example.com/v2/", ca: l.PublicCA()},
		"a host of the real web":    {url: "https://example.com/v2/", ca: l.PublicCA()},
	} {
		t.Run(name, func(t *testing.T) {
			code, err := overTheWire(t, l, test.url, test.ca, test.user, test.password)
			if code != test.want || (err == nil) != (test.want != 0) {
				t.Errorf("%s: %d, %v; want %d", test.url, code, err, test.want)
			}
		})
	}
}

func push(t *testing.T, r *Registry, image Image) string {
	t.Helper()
	digest, err := r.Push(t.Context(), reference, image)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func wantHas(t *testing.T, r *Registry, reference string, want bool) {
	t.Helper()
	has, err := r.Has(t.Context(), reference)
	if err != nil || has != want {
		t.Errorf("the registry %s has %s: %t (%v), want %t", r.Name, reference, has, err, want)
	}
}

func (r *Registry) headBlob(t *testing.T, repository, digest string) int {
	t.Helper()
	code, err := ask(t, nil, r.ca, http.MethodHead, "https://"+r.address+"/v2/"+repository+"/blobs/"+digest, r.user,
		r.password)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func overTheWire(t *testing.T, l *Lab, target string, ca []byte, user, password string) (int, error) {
	t.Helper()
	proxy, err := url.Parse(l.Wire().URL())
	if err != nil {
		t.Fatal(err)
	}
	return ask(t, http.ProxyURL(proxy), ca, http.MethodGet, target, user, password)
}

func ask(t *testing.T, proxy func(*http.Request) (*url.URL, error), ca []byte, method, target, user,
	password string) (int, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{Proxy: proxy, TLSClientConfig: &tls.Config{RootCAs: roots},
		DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return response.StatusCode, nil
}
