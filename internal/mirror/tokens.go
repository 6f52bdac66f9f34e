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

// maxTokenBody is how much of a token service's answer is read, in bytes; maxTokens how many tokens are remembered: one a
// repository, an hour or less.
const (
	maxTokenBody = 1 << 20
	maxTokens    = 4096
)

// shortestLife is the life that regclient gives to every token at least, also when its service promised less.
const shortestLife = time.Minute

// tokens are the bearer tokens that came through one guard. regclient keeps each until the time it is said to end, and
// reports "unauthorized" when the registry refuses it before: after a restart of the registry, a change of its keys, or
// because the clocks differ. Such a token is replaced here.
//
//	GET layer with T -> 200, ... an hour later PUT upload with T -> 401      ask for T', try again with T'
//	POST upload with T -> 401, and T was never good for anything             access is denied
type tokens struct {
	mu    sync.Mutex
	known map[string]*token
}

type token struct {
	request *http.Request // asks for another one like it
	worked  bool          // the registry has taken it
	next    string        // what replaces it

	renewing sync.Mutex
}

// given remembers the token in the answer of a token service, and corrects its life for regclient: from now on by our
// own clock, and no longer than promised.
func (t *tokens) given(req *http.Request, resp *http.Response) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody))
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		return
	}
	_ = resp.Body.Close()
	value, body := readToken(body, time.Now())
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

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// readToken takes the token out of {"token":"...","expires_in":300,"issued_at":"..."} and gives the body to pass on.
// regclient reads a life below a minute as a minute; it gets the token as one that is older.
//
//	now 12:00:00, expires_in 20, issued_at 11:30:00 -> issued_at 11:59:20: good until 12:00:20
func readToken(body []byte, now time.Time) (value string, passOn []byte) {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return "", body
	}
	for _, name := range []string{"access_token", "token"} { // in regclient's order
		if value, _ = fields[name].(string); value != "" {
			break
		}
	}
	life := shortestLife
	if seconds, ok := fields["expires_in"].(float64); ok && seconds > 0 {
		life = time.Duration(seconds) * time.Second
	}
	fields["issued_at"] = now.Add(-max(0, shortestLife-life)).UTC().Format(time.RFC3339Nano)
	passOn, err := json.Marshal(fields)
	if err != nil {
		return "", body
	}
	return value, passOn
}

// refresh gives the request with the latest replacement of its token.
func (t *tokens) refresh(req *http.Request) *http.Request {
	used := bearer(req)
	if latest := t.latest(used); latest != used {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+latest)
	}
	return req
}

func (t *tokens) latest(value string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		known := t.known[value]
		if known == nil || known.next == "" {
			return value
		}
		value = known.next
	}
}

// worked notes that the registry took a token.
func (t *tokens) worked(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.known[value]; known != nil {
		known.worked = true
	}
}

// renew replaces a token that was good once, and tells whether there is another one now. Of many requests that were
// refused at the same time one asks, the others wait for what it gets.
func (t *tokens) renew(value string, ask func(*http.Request) (*http.Response, error)) bool {
	t.mu.Lock()
	known := t.known[value]
	good := known != nil && known.worked
	t.mu.Unlock()
	if !good {
		return false
	}
	known.renewing.Lock()
	defer known.renewing.Unlock()
	if t.latest(value) != value {
		return true
	}
	fresh := askAgain(known.request, ask)
	if fresh == "" || fresh == value {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known.next = fresh
	return true
}

// askAgain repeats a request for a token; "" when there is none to be had.
func askAgain(req *http.Request, ask func(*http.Request) (*http.Response, error)) string {
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
	value, _ := readToken(body, time.Now())
	return value
}

// bearer is the token of a request, "" when it has none.
func bearer(req *http.Request) string {
	value, found := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !found {
		return ""
	}
	return value
}
