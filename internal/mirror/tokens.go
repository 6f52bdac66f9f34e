package mirror

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxTokenBody is how much of a token service's answer is read, in bytes; maxTokens how many tokens
// are remembered: one a repository, an hour or less.
const (
	maxTokenBody = 1 << 20
	maxTokens    = 4096
)

// minTokenLife is the life that regclient gives to every token at least, also when its service
// promised less.
const minTokenLife = time.Minute

// tokenStore are the bearer tokens that came through one guard. regclient keeps each until the time
// it is said to end, and reports "unauthorized" when the registry refuses it before: after a
// restart of the registry, a change of its keys, or because the clocks differ. Such a token is
// replaced here.
//
//	GET layer with T -> 200, ... an hour later PUT upload with T -> 401      ask for T', try again with T'
//	POST upload with T -> 401, and T was never good for anything             access is denied
type tokenStore struct {
	mu    sync.Mutex
	known map[string]*token
}

type token struct {
	request     *http.Request // asks for another one like it
	accepted    bool          // the registry has taken it
	replacement string        // what replaces it

	renewing sync.Mutex
}

// remember remembers the token in the answer of a token service, and corrects its life for
// regclient: from now on by our own clock, and no longer than promised.
func (t *tokenStore) remember(req *http.Request, resp *http.Response) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody))
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), errReader{err}))
		return
	}
	_ = resp.Body.Close()
	value, body := parseToken(body, time.Now())
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if value == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxTokens {
		t.known = map[string]*token{}
	}
	t.known[value] = &token{request: req}
}

type errReader struct{ err error }

func (f errReader) Read([]byte) (int, error) { return 0, f.err }

// parseToken takes the token out of {"token":"...","expires_in":300,"issued_at":"..."} and gives
// the body to pass on. regclient reads a life below a minute as a minute; it gets the token as one
// that is older.
//
//	now 12:00:00, expires_in 20, issued_at 11:30:00 -> issued_at 11:59:20: good until 12:00:20
func parseToken(body []byte, now time.Time) (value string, passOn []byte) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return "", body
	}
	for _, name := range []string{"access_token", "token"} { // in regclient's order
		if value, _ = fields[name].(string); value != "" {
			break
		}
	}
	lifetime := minTokenLife
	if seconds, ok := fields["expires_in"].(float64); ok && seconds > 0 {
		lifetime = time.Duration(seconds) * time.Second
	}
	fields["issued_at"] = now.Add(-max(0, minTokenLife-lifetime)).UTC().Format(time.RFC3339Nano)
	passOn, err := json.Marshal(fields)
	if err != nil {
		return "", body
	}
	return value, passOn
}

// useNewest gives the request with the latest replacement of its token.
func (t *tokenStore) useNewest(req *http.Request) *http.Request {
	used := bearerToken(req)
	if latest := t.newest(used); latest != used {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+latest)
	}
	return req
}

func (t *tokenStore) newest(value string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		known := t.known[value]
		if known == nil || known.replacement == "" {
			return value
		}
		value = known.replacement
	}
}

// markAccepted notes that the registry took a token.
func (t *tokenStore) markAccepted(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.known[value]; known != nil {
		known.accepted = true
	}
}

// renew replaces a token that was good once, and tells whether there is another one now. Of many
// requests that were refused at the same time one asks, the others wait for what it gets.
func (t *tokenStore) renew(value string, ask func(*http.Request) (*http.Response, error)) bool {
	t.mu.Lock()
	known := t.known[value]
	good := known != nil && known.accepted
	t.mu.Unlock()
	if !good {
		return false
	}
	known.renewing.Lock()
	defer known.renewing.Unlock()
	if t.newest(value) != value {
		return true
	}
	fresh := repeatRequest(known.request, ask)
	if fresh == "" || fresh == value {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known.replacement = fresh
	return true
}

// repeatRequest repeats a request for a token; "" when there is none to be had.
func repeatRequest(req *http.Request, ask func(*http.Request) (*http.Response, error)) string {
	req = req.Clone(req.Context())
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return ""
		}
		req.Body = body
	}
	resp, err := ask(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody))
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	value, _ := parseToken(body, time.Now())
	return value
}

// bearerToken is the token of a request, "" when it has none.
func bearerToken(req *http.Request) string {
	value, found := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !found {
		return ""
	}
	return value
}
