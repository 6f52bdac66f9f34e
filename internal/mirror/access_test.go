package mirror

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/test/faultregistry"
)

// silentListener accepts connections and says nothing, not even the TLS handshake.
func silentListener(t *testing.T) (host string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		var held []net.Conn // kept, or the garbage collector would close them
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, c := range held {
					_ = c.Close()
				}
				return
			}
			held = append(held, conn)
		}
	}()
	return listener.Addr().String()
}

func TestTrust(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	img := singleArch("app", "amd64")
	g := newTestTLSRegistry(t, ours)
	g.seed(t, "app", "v1", img)
	web := newTestRegistry(t) // speaks http only
	web.seed(t, "app", "v1", img)
	always := func(string) bool { return true }
	cases := map[string]struct {
		access Access
		host   string
		class  ErrorClass
	}{
		"no CA":               {access: Access{}, host: g.host, class: TLS},
		"the CA of that host": {access: Access{CAs: map[string][]byte{g.host: ours.pem()}}, host: g.host},
		"a CA of another host": {access: Access{CAs: map[string][]byte{"other:5000": ours.pem()}}, host: g.host,
			class: TLS},
		"another CA": {access: Access{CAs: map[string][]byte{g.host: theirs.pem()}}, host: g.host,
			class: TLS},
		"a CA for all hosts": {access: Access{ExtraCAs: ours.pem()}, host: g.host},
		"insecure":           {access: Access{Insecure: always}, host: g.host},
		"insecure for another": {access: Access{Insecure: func(r string) bool { return r == "other/app" }},
			host: g.host, class: TLS},
		"http where TLS is expected": {access: Access{}, host: web.host, class: TLS},
		"http where http is allowed": {access: Access{Insecure: always}, host: web.host},
		"insecure by repository name": {access: Access{Insecure: func(r string) bool { return r == web.host+"/app" }},
			host: web.host},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			endpoint := tc.host + "/app:v1"
			_, err := newTestClient(tc.access).Verify(context.Background(), []string{endpoint}, VerifyOptions{})
			if tc.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			assertError(t, err, wantError{tc.class, endpoint, "manifest"})
		})
	}
}

// TestTrustIsPerHost guards against one host's CA being trusted for the next one through a shared
// transport.
func TestTrustIsPerHost(t *testing.T) {
	one, two := newAuthority(t), newAuthority(t)
	first, second := newTestTLSRegistry(t, one), newTestTLSRegistry(t, two)
	img := singleArch("app", "amd64")
	first.seed(t, "app", "v1", img)
	second.seed(t, "app", "v1", img)
	c := newTestClient(Access{CAs: map[string][]byte{first.host: append(one.pem(), two.pem()...)}})
	if _, err := c.Verify(context.Background(), []string{first.host + "/app:v1"}, VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Verify(context.Background(), []string{second.host + "/app:v1"}, VerifyOptions{})
	assertError(t, err, wantError{TLS, second.host + "/app:v1", "manifest"})
}

func TestTransportHonoursTheProxyEnvironment(t *testing.T) {
	transport, ok := Access{}.newTransport("quay.io", false).(*http.Transport)
	if !ok || transport.Proxy == nil {
		t.Fatalf("%T without a proxy", transport)
	}
}

// basicAuth lets users in by repository: users maps a repository to the only user that may use it.
func basicAuth(users map[string]string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" {
			return false
		}
		repo := strings.TrimPrefix(r.URL.Path, "/v2/")
		for _, kind := range []string{"/manifests/", "/blobs/"} {
			repo, _, _ = strings.Cut(repo, kind)
		}
		user, password, ok := r.BasicAuth()
		switch {
		case !ok:
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
		case user != users[repo] || password != user+"-secret":
			w.WriteHeader(http.StatusForbidden)
		default:
			return false
		}
		return true
	}
}

func withLogins(t *testing.T, pairs ...string) Access {
	t.Helper()
	k, err := ParseKeychain(dockerConfigOf(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	access := plainHTTP()
	access.Keychain = k
	return access
}

func TestCredentialsByPath(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	for _, repo := range []string{"acme/app", "other/app", "open/app"} {
		g.seed(t, repo, "v1", img)
	}
	g.inject(basicAuth(map[string]string{"acme/app": "acme", "other/app": "other", "open/app": "nobody",
		"acme/copy": "acme"}))
	c := newTestClient(withLogins(t, g.host+"/acme", "acme", g.host, "other"))
	for repo, class := range map[string]ErrorClass{"acme/app": "", "other/app": "", "open/app": Denied} {
		_, err := c.Verify(context.Background(), []string{g.host + "/" + repo + ":v1"}, VerifyOptions{})
		if class == "" && err != nil {
			t.Errorf("%s: %v", repo, err)
		}
		if class != "" {
			assertError(t, err, wantError{class, g.host + "/" + repo + ":v1", "manifest"})
		}
	}
	// From one login's repository to another's on the same host: the mount is refused, the copy
	// works.
	if _, err := c.Copy(context.Background(), []string{g.host + "/other/app:v1"}, g.host+"/acme/copy:v1",
		""); err != nil {
		t.Error(err)
	}
}

func TestAnonymousIsDenied(t *testing.T) {
	g := newTestRegistry(t)
	g.seed(t, "app", "v1", singleArch("app", "amd64"))
	g.inject(basicAuth(map[string]string{"app": "acme"}))
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
	assertError(t, err, wantError{Denied, g.host + "/app:v1", "manifest"})
}

// TestEachPartyUsesItsOwnAccess: what the push secret can read is not proven for nodes.
func TestEachPartyUsesItsOwnAccess(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	source.inject(basicAuth(map[string]string{"app": "reader"}))
	target.inject(basicAuth(map[string]string{"app": "pusher"}))
	from, to := source.host+"/app:v1", target.host+"/app:v1"
	c := newSplitClient(Accesses{
		Source: withLogins(t, source.host, "reader"),
		Push:   withLogins(t, target.host, "pusher"),
		Node:   plainHTTP(),
	})
	if _, err := c.Copy(context.Background(), []string{from}, to, ""); err != nil {
		t.Fatal(err)
	}
	_, err := c.Verify(context.Background(), []string{to}, VerifyOptions{})
	assertError(t, err, wantError{Denied, to, "manifest"})
}

// tokenService is a registry with bearer tokens; answer decides what the token service says.
func tokenService(t *testing.T, g *testRegistry, answer func(w http.ResponseWriter, r *http.Request)) {
	t.Helper()
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			answer(w, r)
			return true
		}
		if r.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+g.host+`/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

func TestTokens(t *testing.T) {
	cases := map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		class  ErrorClass
	}{
		"granted": {answer: func(w http.ResponseWriter, r *http.Request) {
			if user, _, _ := r.BasicAuth(); user != "acme" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = w.Write([]byte(`{"token":"good"}`))
		}},
		"refused": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
			class: Denied},
		"not good enough": {answer: func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = w.Write([]byte(`{"token":"bad"}`))
		}, class: Denied},
		"service is down": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
			class: Unknown},
		"service is busy": {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
			class: RateLimited},
		"service hangs up": {answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			class: Refused},
		"service is silent": {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			class: Timeout},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newTestRegistry(t)
			g.seed(t, "app", "v1", multiArch("app"))
			tokenService(t, g, tc.answer)
			access := withLogins(t, g.host, "acme")
			if strings.Contains(name, "silent") {
				access.Timeout = 100 * time.Millisecond
			}
			_, err := newTestClient(access).Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
			if tc.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			assertError(t, err, wantError{tc.class, g.host + "/app:v1", "manifest"})
		})
	}
}

func TestErrorsCarryNoSecrets(t *testing.T) {
	access := func(t *testing.T, g *testRegistry) Access { return withLogins(t, g.host, "acme") }
	cases := map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"a registry that echoes the header": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			_, password, _ := r.BasicAuth()
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write(toJSON(object{"errors": []object{{"code": "DENIED",
				"message": r.Header.Get("Authorization") + " " + password}}}))
			return true
		},
		"a redirect to a signed URL": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/blob?X-Amz-Signature=acme-secret", http.StatusTemporaryRedirect)
			return true
		},
		"a redirect with a password": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://acme:acme-secret@127.0.0.1:1/blob", http.StatusTemporaryRedirect)
			return true
		},
	}
	for name, fault := range cases {
		t.Run(name, func(t *testing.T) {
			g := newTestRegistry(t)
			g.inject(func(w http.ResponseWriter, r *http.Request) bool { return r.URL.Path != "/v2/" && fault(w, r) })
			_, err := newTestClient(access(t, g)).Verify(context.Background(), []string{g.host + "/app:v1"},
				VerifyOptions{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, secret := range []string{"acme-secret", auth("acme", "acme-secret"),
				base64.StdEncoding.EncodeToString([]byte("acme-secret"))} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q carries %q", err, secret)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q is more than one line", err)
			}
		})
	}
}

func TestSilenceIsATimeoutEverywhere(t *testing.T) {
	g := newTestRegistry(t)
	g.hang()
	endpoint := g.host + "/app:v1"
	// Without TLS the host is asked which protocol it speaks, so silence shows at that first
	// question already.
	calls := map[string]func(c *Client) error{
		"Verify": func(c *Client) error {
			_, err := c.Verify(context.Background(), []string{endpoint}, VerifyOptions{})
			return err
		},
		"Digest": func(c *Client) error {
			_, _, err := c.Digest(context.Background(), []string{endpoint})
			return err
		},
		"Copy": func(c *Client) error {
			_, err := c.Copy(context.Background(), []string{endpoint}, g.host+"/copy:v1", "")
			return err
		},
		"CanPush": func(c *Client) error { return c.CanPush(context.Background(), g.host+"/app") },
		"Ping":    func(c *Client) error { return c.Ping(context.Background(), g.host) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			var got *Error
			if err := call(newTestClient(shortTimeout())); !errors.As(err, &got) || got.Class != Timeout {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSilenceOverHTTP2(t *testing.T) {
	ca := newAuthority(t)
	g := newTestTLSRegistry(t, ca)
	versions := make(chan string, 1)
	g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		versions <- r.Proto
		<-r.Context().Done()
		return true
	})
	access := shortTimeout()
	access.Insecure, access.ExtraCAs = nil, ca.pem()
	_, err := newTestClient(access).Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
	assertError(t, err, wantError{Timeout, g.host + "/app:v1", "manifest"})
	var silence *NoResponseError
	if !errors.As(err, &silence) || !silence.Connected {
		t.Errorf("%v does not say that the connection stood", err)
	}
	if version := <-versions; version != "HTTP/2.0" {
		t.Errorf("spoke %s", version)
	}
}

func TestRateLimit(t *testing.T) {
	cases := map[string]struct {
		status     int
		header     []string
		wantAsked  int
		wantWaited time.Duration
		wantPaused time.Duration // from the last answer on
	}{
		// 0.5 + 1 + 2 + 4 + 8 + 8 + 8: the eighth answer is the last, and the host is left alone
		// for another 8 s.
		"without a hint": {429, nil, maxRateLimitAttempts, 31500 * time.Millisecond, 8 * time.Second},
		"with a short hint": {429, []string{"Retry-After", "3"}, maxRateLimitAttempts, 21 * time.Second,
			3 * time.Second},
		"503 with a hint": {503, []string{"Retry-After", "3"}, maxRateLimitAttempts, 21 * time.Second,
			3 * time.Second},
		"with a hint of an hour": {429, []string{"Retry-After", "3600"}, 1, 0, time.Hour},
		"with a hint of a year":  {429, []string{"Retry-After", "31536000"}, 1, 0, time.Hour},
		"with the window": {429, []string{"RateLimit-Limit", "100;w=21600", "RateLimit-Remaining", "0;w=21600"},
			1, 0, 216 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newTestRegistry(t)
			g.inject(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/manifests/") {
					return false
				}
				for i := 0; i < len(tc.header); i += 2 {
					w.Header().Set(tc.header[i], tc.header[i+1])
				}
				w.WriteHeader(tc.status)
				return true
			})
			traffic, clock := newTestTraffic()
			access := plainHTTP()
			c := newSplitClient(Accesses{Source: access, Push: access, Node: access, traffic: traffic})
			_, err := c.Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
			assertError(t, err, wantError{RateLimited, g.host + "/app:v1", "manifest"})
			if asked := len(g.requests("/manifests/")); asked != tc.wantAsked {
				t.Errorf("asked %d times, want %d", asked, tc.wantAsked)
			}
			totals := c.HostStats()[g.host]
			if totals.Waited != tc.wantWaited || totals.RateLimited != int64(tc.wantAsked) ||
				totals.BackoffUntil.Sub(clock.Now()) != tc.wantPaused {
				t.Errorf("waited %s, refused %d times, paused for %s; want %s, %d, %s", totals.Waited,
					totals.RateLimited,
					totals.BackoffUntil.Sub(clock.Now()), tc.wantWaited, tc.wantAsked, tc.wantPaused)
			}
		})
	}
}

// TestHostBackoffAppliesToAllClients: a host that asked for a long pause is not asked again by
// anybody, under other credentials either, until it is over; other hosts are.
func TestHostBackoffAppliesToAllClients(t *testing.T) {
	g, other := newTestRegistry(t), newTestRegistry(t)
	g.seed(t, "app", "v1", multiArch("app"))
	other.seed(t, "app", "v1", multiArch("app"))
	proxy := g.withFaults(onRegistry("GET", "/manifests/", 1, faultregistry.Respond(429, "", "Retry-After", "3600")))
	traffic, clock := newTestTraffic()
	verify := func(access Access, host string) error {
		c := newSplitClient(Accesses{Source: access, Push: access, Node: access, traffic: traffic})
		_, err := c.Verify(context.Background(), []string{host + "/app:v1"}, VerifyOptions{})
		return err
	}
	assertError(t, verify(plainHTTP(), g.host), wantError{RateLimited, g.host + "/app:v1", "manifest"})
	g.resetRequests()

	err := verify(withLogins(t, g.host, "acme"), g.host)
	var paused *HostBackoffError
	if !errors.As(err, &paused) || paused.Wait != time.Hour || paused.Until != clock.Now().Add(time.Hour) {
		t.Errorf("got %v", err)
	}
	if asked := g.requests(""); len(asked) > 0 {
		t.Errorf("asked %v in the pause", asked)
	}
	if err := verify(plainHTTP(), other.host); err != nil {
		t.Error(err)
	}
	clock.advance(time.Hour)
	if err := verify(plainHTTP(), g.host); err != nil {
		t.Error(err)
	}
	if struck := proxy.Hits()[0]; struck != 1 {
		t.Errorf("refused %d times", struck)
	}
}
