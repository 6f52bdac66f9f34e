package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseToken(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		body, value, issued string
	}{
		"an hour, by a clock that is wrong": {`{"token":"t","expires_in":3600,"issued_at":"2029-06-01T00:00:00Z"}`, "t",
			"2030-01-01T12:00:00Z"},
		"less than regclient believes": {`{"token":"t","expires_in":20}`, "t", "2030-01-01T11:59:20Z"},
		"without a life":               {`{"token":"t"}`, "t", "2030-01-01T12:00:00Z"},
		"OAuth2": {`{"access_token":"a","token":"t","expires_in":300}`, "a",
			"2030-01-01T12:00:00Z"},
		"no token": {`{"expires_in":300}`, "", "2030-01-01T12:00:00Z"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			value, passOn := parseToken([]byte(tc.body), now)
			var fields map[string]any
			if err := json.Unmarshal(passOn, &fields); err != nil {
				t.Fatal(err)
			}
			if value != tc.value || fields["issued_at"] != tc.issued {
				t.Errorf("got %q of %s, want %q issued at %s", value, passOn, tc.value, tc.issued)
			}
		})
	}
	if value, passOn := parseToken([]byte("<html>"), now); value != "" || string(passOn) != "<html>" {
		t.Errorf("got %q, %q of a page", value, passOn)
	}
}

func tokenRequest(t *testing.T, token string) *http.Request {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://quay.io/v2/app/manifests/v1", nil)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

// issuer gives out t1, t2, t3 ...; once it fails, it fails for ever.
type issuer struct {
	mu    sync.Mutex
	given int
	err   error
}

func (i *issuer) ask(*http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return nil, i.err
	}
	i.given++
	return &http.Response{StatusCode: http.StatusOK,
		Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"token":"t%d"}`, i.given)))}, nil
}

// first makes tokens that know t1.
func (i *issuer) first(t *testing.T) *tokenStore {
	t.Helper()
	known := &tokenStore{}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://quay.io/token", nil)
	resp, err := i.ask(req)
	if err != nil {
		t.Fatal(err)
	}
	known.remember(req, resp)
	return known
}

func TestTokensAreReplacedOnlyWhenTheyWereGoodOnce(t *testing.T) {
	var service issuer
	known := service.first(t)
	if known.renew("t1", service.ask) || known.renew("", service.ask) || known.renew("of somebody else", service.ask) {
		t.Error("renewed a token that the registry has never taken")
	}
	known.markAccepted("t1")
	if !known.renew("t1", service.ask) {
		t.Fatal("not renewed")
	}
	if got := bearerToken(known.useNewest(tokenRequest(t, "t1"))); got != "t2" {
		t.Errorf("sends %q", got)
	}
	if got := bearerToken(known.useNewest(tokenRequest(t, ""))); got != "" {
		t.Errorf("sends %q where no token was", got)
	}
}

func TestNoNewTokenIsNoRenewal(t *testing.T) {
	var service issuer
	known := service.first(t)
	known.markAccepted("t1")
	service.err = errors.New("down")
	if known.renew("t1", service.ask) {
		t.Error("renewed without a token")
	}
}

// TestManyRefusalsAskOnce: a token that ends is refused to every request in progress.
func TestManyRefusalsAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var service issuer
		known := service.first(t)
		known.markAccepted("t1")
		var waiting sync.WaitGroup
		renewed := make([]bool, 16)
		for i := range renewed {
			waiting.Go(func() { renewed[i] = known.renew("t1", service.ask) })
		}
		waiting.Wait()
		want := make([]bool, 16)
		for i := range want {
			want[i] = true
		}
		if diff := cmp.Diff(want, renewed); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if service.given != 2 {
			t.Errorf("asked for %d tokens, want 2", service.given)
		}
	})
}

// TestTokenEndsAnywhere: whichever request is the first that the token is not good for any more, in
// a download, an upload or between the two, the copy succeeds.
func TestTokenEndsAnywhere(t *testing.T) {
	img := multiArch("faulty")
	for goodFor := 1; ; goodFor++ {
		source, target := newTestRegistry(t), newTestRegistry(t)
		source.seed(t, "faulty/app", "v1", img)
		source.withFaults(tokens401(goodFor, nil))
		given := target.withFaults(tokens401(goodFor, nil))
		c := newTestClient(plainHTTP())
		anew := func(context.Context, time.Duration) {
			t.Errorf("a token for %d requests: something had to be begun anew", goodFor)
		}
		c.source.sleep, c.push.sleep = anew, anew
		_, err := c.Copy(t.Context(), []string{source.host + "/faulty/app:v1"}, target.host+"/faulty/app:v1",
			img.top.digest)
		if err != nil {
			t.Errorf("a token for %d requests: %v", goodFor, err)
		}
		if lacking := target.wrongContent("faulty/app", "v1", img); len(lacking) > 0 {
			t.Errorf("a token for %d requests: lacks %v", goodFor, lacking)
		}
		if given.Hits()[0] == 2 && goodFor > 5 { // one to read and one to write with: none has ended early
			return
		}
		if goodFor > 100 {
			t.Fatal("the tokens never last for the whole copy")
		}
	}
}
