package mirror

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// guard stands between regclient and the network. It lets requests out as the limits of the host allow, puts every one on
// a clock, notes what the registry answered for the classification of errors, and counts each sign of life as progress.
type guard struct {
	next  http.RoundTripper
	limit time.Duration
	host  *host
	// token is how the last request to the token service failed, nil when it went well. regclient makes these requests
	// without a context and from then on reports "unauthorized", be it a 503 or a refused connection.
	token  atomic.Pointer[tokenFailure]
	tokens tokens
}

// tokenFailure has one of status and err set.
type tokenFailure struct {
	service string // host of the token service
	status  *StatusError
	err     error
}

// passing tells whether this says nothing about the credentials: the token service was down or busy.
func (f *tokenFailure) passing() bool {
	return f != nil && (f.err != nil || f.status.Status >= 500 || f.status.isRateLimit())
}

// RoundTrip sends one request.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	if x == nil {
		return g.askForToken(req)
	}
	leave, err := g.host.admit(req.Context(), admission{
		write: isWrite(req.Method), again: !isWrite(req.Method) && x.reading(), onward: req.Response != nil,
	})
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, status, err := g.send(g.tokens.refresh(req), leave)
	if err != nil {
		return nil, err
	}
	x.answered(req.Method, status)
	if req.Method == http.MethodGet && resp.StatusCode < http.StatusMultipleChoices { // a redirect is yet to be followed
		x.beginsToRead()
	}
	used := bearer(resp.Request)
	switch {
	case status == nil:
		g.tokens.worked(used)
	case status.Status == http.StatusUnauthorized && g.tokens.renew(used, g.askForToken):
		// regclient compares what was sent with what it would send now, and tries again when they differ.
		resp.Request.Header.Del("Authorization")
		x.tokenRenewed()
	}
	return resp, nil
}

// askForToken sends a request to the token service. It does not queue: whatever needs the token has, or holds a place
// that others wait for.
func (g *guard) askForToken(req *http.Request) (*http.Response, error) {
	resp, status, err := g.send(req, func() {})
	switch {
	case err != nil:
		g.token.Store(&tokenFailure{service: req.URL.Host, err: err})
		return nil, err
	case status != nil:
		g.token.Store(&tokenFailure{service: req.URL.Host, status: status})
	default:
		g.token.Store(nil)
		g.tokens.given(req, resp)
	}
	return resp, nil
}

// send puts a request on the clock and the meter. leave is called when it is over: at a failure, at an answer without a
// body, or when the body is closed.
func (g *guard) send(req *http.Request, leave func()) (*http.Response, *StatusError, error) {
	w := startWatch(req.Context(), g.limit)
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { w.gotConnection() }}
	out := req.Clone(httptrace.WithClientTrace(w.ctx, trace))
	finish := g.attach(w, req, out)
	resp, err := g.next.RoundTrip(out)
	if err == nil || w.connected.Load() {
		g.host.count(req.Method)
	}
	if err != nil {
		err = explainCertificate(g.next, out, w.why(err))
		if !w.connected.Load() && classOf(err) == Unknown {
			err = &NoConnectionError{Cause: err}
		}
		w.end()
		finish()
		leave()
		return nil, nil, err
	}
	w.gotHeaders()
	resp.Request = out
	resp.Body = g.host.metered(w.ctx, w.download(resp.Body), g.host.down, &g.host.received)
	resp.Body = &closing{ReadCloser: resp.Body, leave: leave, stop: context.AfterFunc(req.Context(), leave)}
	if req.Method == http.MethodHead || resp.ContentLength == 0 {
		leave()
	}
	var status *StatusError
	if resp.StatusCode >= http.StatusBadRequest {
		status = readStatus(out, resp, g.host.now())
		finish()
		g.host.heard(status.isRateLimit(), status.RetryAfter)
	} else {
		g.host.heard(false, askedPause(resp.Header, false, g.host.now()))
	}
	return resp, status, nil
}

// attach puts the request body, if any, on the clock and the meter. finish makes sure that it is not read any more.
func (g *guard) attach(w *watch, req, out *http.Request) (finish func()) {
	if req.Body == nil || req.Body == http.NoBody {
		return func() {}
	}
	wrap := func(b io.ReadCloser) *upload {
		return &upload{w: w, body: g.host.metered(w.ctx, b, g.host.up, &g.host.sent)}
	}
	current := wrap(req.Body)
	out.Body = current
	if again := req.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) { // only ever called within RoundTrip
			current.finish()
			fresh, err := again()
			if err != nil {
				return nil, err
			}
			current = wrap(fresh)
			return current, nil
		}
	}
	return func() { current.finish() }
}

// closing gives the place among the requests under way back when the body is done with, or when whoever asked for it is:
// regclient leaves some bodies open.
type closing struct {
	io.ReadCloser
	leave func()
	stop  func() bool
}

func (c *closing) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		c.stop()
		c.leave()
	}
	return n, err
}

func (c *closing) Close() error {
	defer c.leave()
	c.stop()
	return c.ReadCloser.Close()
}
