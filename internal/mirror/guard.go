package mirror

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxErrorBody is how much of a registry's error answer is read, in bytes; maxMessage how much of it is shown.
const (
	maxErrorBody = 8 << 10
	maxMessage   = 200
)

// guard stands between regclient and the network. It puts every request on a clock, notes what the registry answered
// for the classification of errors, and counts each sign of life as progress.
type guard struct {
	next  http.RoundTripper
	limit time.Duration
	// token is how the last request to the token service failed, nil when it went well. regclient makes these requests
	// without a context and from then on reports "unauthorized", be it a 503 or a refused connection.
	token atomic.Pointer[tokenFailure]
}

// tokenFailure has one of the two set.
type tokenFailure struct {
	status *StatusError
	err    error
}

// passing tells whether this says nothing about the credentials: the token service was down or busy.
func (f *tokenFailure) passing() bool {
	return f != nil && (f.err != nil || f.status.Status >= 500 || f.status.Status == http.StatusTooManyRequests)
}

// RoundTrip sends one request.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	w := startWatch(req.Context(), g.limit)
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { w.gotConnection() }}
	out := req.Clone(httptrace.WithClientTrace(w.ctx, trace))
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = upload{w, req.Body}
	}
	if again := req.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return upload{w, body}, nil
		}
	}
	resp, err := g.next.RoundTrip(out)
	if err != nil {
		err = w.why(err)
		if !w.connected.Load() && classOf(err) == Unknown {
			err = &NoConnectionError{Cause: err}
		}
		w.end()
		if exchangeOf(req.Context()) == nil {
			g.token.Store(&tokenFailure{err: err})
		}
		return nil, err
	}
	w.gotHeaders()
	resp.Body = download{w, resp.Body}
	g.note(req, resp)
	return resp, nil
}

// note keeps what the answer says about failure or success.
func (g *guard) note(req *http.Request, resp *http.Response) {
	var status *StatusError
	if resp.StatusCode >= 400 {
		status = readStatus(req, resp)
	}
	if x := exchangeOf(req.Context()); x != nil {
		x.answered(status)
		return
	}
	if status == nil {
		g.token.Store(nil)
		return
	}
	g.token.Store(&tokenFailure{status: status})
}

// readStatus takes a failed answer apart and leaves a short body for whoever reads it next. Retry-After is taken out
// of the header: regclient would hold back every request to the host for as long as the registry says, an hour
// perhaps; how long to wait is decided in retry and in the engine, per image.
func readStatus(req *http.Request, resp *http.Response) *StatusError {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a torn body only costs the explanation
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(nil))
	status := &StatusError{Status: resp.StatusCode}
	status.Code, status.Message = registryWords(body)
	for _, secret := range secretsOf(req) {
		status.Code = strings.ReplaceAll(status.Code, secret, "***")
		status.Message = strings.ReplaceAll(status.Message, secret, "***")
	}
	status.Code, status.Message = oneLine(status.Code), oneLine(status.Message)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		status.RetryAfter = time.Duration(seconds) * time.Second
	}
	resp.Header.Del("Retry-After")
	return status
}

// registryWords reads {"errors":[{"code":"DENIED","message":"...","detail":"..."}]}; the detail may be anything and is
// taken when it is text. Other bodies (a proxy's HTML page) say nothing that is worth showing.
func registryWords(body []byte) (code, message string) {
	var answer struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Detail  any    `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return "", ""
	}
	first := answer.Errors[0]
	if detail, ok := first.Detail.(string); ok && detail != "" {
		first.Message += ": " + detail
	}
	return first.Code, first.Message
}

// secretsOf lists what of a request must not be repeated, should a registry echo it in its answer.
func secretsOf(req *http.Request) []string {
	_, credential, ok := strings.Cut(req.Header.Get("Authorization"), " ")
	if !ok || credential == "" {
		return nil
	}
	secrets := []string{credential}
	if decoded, err := base64.StdEncoding.DecodeString(credential); err == nil {
		if _, password, ok := strings.Cut(string(decoded), ":"); ok && password != "" {
			secrets = append(secrets, password)
		}
	}
	return secrets
}

// oneLine makes foreign text fit to stand in a condition message: no control characters, not too long.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return text
}
