package mirror

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// authTransport stands between regclient and the network. It lets requests out as the limits of the
// host allow, puts every one on a clock, notes what the registry answered for the classification of
// errors, and counts each sign of life as progress.
type authTransport struct {
	next    http.RoundTripper
	timeout time.Duration
	host    *hostTraffic
	// lastTokenFailure is how the last request to the token service failed, nil when it went well.
	// regclient makes these requests without a context and from then on reports "unauthorized", be
	// it a 503 or a refused connection.
	lastTokenFailure atomic.Pointer[tokenFailure]
	tokens           tokenStore
}

// tokenFailure has one of status and err set.
type tokenFailure struct {
	service string // host of the token service
	status  *StatusError
	err     error
}

// isTransient tells whether this says nothing about the credentials: the token service was down or
// busy.
func (f *tokenFailure) isTransient() bool {
	return f != nil && (f.err != nil || f.status.Status >= 500 || f.status.isRateLimit())
}

// RoundTrip sends one request.
func (g *authTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	record := operationRecordOf(req.Context())
	if record == nil {
		return g.requestToken(req)
	}
	release, err := g.host.acquire(req.Context(), requestKind{
		write: isWrite(req.Method), resumed: !isWrite(req.Method) && record.isReading(),
		redirected: req.Response != nil,
	})
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, status, err := g.send(g.tokens.useNewest(req), release)
	if err != nil {
		return nil, err
	}
	record.recordResponse(req.Method, status)
	// a redirect is yet to be followed
	if req.Method == http.MethodGet && resp.StatusCode < http.StatusMultipleChoices {
		record.markReading()
	}
	used := bearerToken(resp.Request)
	switch {
	case status == nil:
		g.tokens.markAccepted(used)
	case status.Status == http.StatusUnauthorized && g.tokens.renew(used, g.requestToken):
		// regclient compares what was sent with what it would send now, and tries again when they
		// differ.
		resp.Request.Header.Del("Authorization")
		record.markTokenRenewed()
	}
	return resp, nil
}

// requestToken sends a request to the token service. It does not queue: whatever needs the token
// has, or holds a place that others wait for.
func (g *authTransport) requestToken(req *http.Request) (*http.Response, error) {
	resp, status, err := g.send(req, func() {})
	switch {
	case err != nil:
		g.lastTokenFailure.Store(&tokenFailure{service: req.URL.Host, err: err})
		return nil, err
	case status != nil:
		g.lastTokenFailure.Store(&tokenFailure{service: req.URL.Host, status: status})
	default:
		g.lastTokenFailure.Store(nil)
		g.tokens.remember(req, resp)
	}
	return resp, nil
}

// send puts a request on the clock and the meter. leave is called when it is over: at a failure, at
// an answer without a body, or when the body is closed.
func (g *authTransport) send(req *http.Request, release func()) (*http.Response, *StatusError, error) {
	idle := startIdleTimeout(req.Context(), g.timeout)
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { idle.onConnected() }}
	out := req.Clone(httptrace.WithClientTrace(idle.ctx, trace))
	finish := g.wrapBody(idle, req, out)
	resp, err := g.next.RoundTrip(out)
	if err == nil || idle.connected.Load() {
		g.host.countRequest(req.Method)
	}
	if err != nil {
		err = explainCertificate(g.next, out, idle.causeOf(err))
		if !idle.connected.Load() && classOf(err) == Unknown {
			err = &NoConnectionError{Cause: err}
		}
		idle.stop()
		finish()
		release()
		return nil, nil, err
	}
	idle.onHeaders()
	resp.Request = out
	resp.Body = g.host.limitBody(idle.ctx, idle.downloadBody(resp.Body), g.host.downloadRate, &g.host.received)
	resp.Body = &releasingBody{ReadCloser: resp.Body, release: release, stop: context.AfterFunc(req.Context(), release)}
	if req.Method == http.MethodHead || resp.ContentLength == 0 {
		release()
	}
	var status *StatusError
	if resp.StatusCode >= http.StatusBadRequest {
		status = readErrorResponse(out, resp, g.host.now())
		finish()
		g.host.recordResponse(status.isRateLimit(), status.RetryAfter)
	} else {
		g.host.recordResponse(false, requestedWait(resp.Header, false, g.host.now()))
	}
	return resp, status, nil
}

// wrapBody puts the request body, if any, on the clock and the meter. finish makes sure that it is
// not read any more.
func (g *authTransport) wrapBody(idle *idleTimeout, req, out *http.Request) (finish func()) {
	if req.Body == nil || req.Body == http.NoBody {
		return func() {}
	}
	wrap := func(b io.ReadCloser) *uploadBody {
		return &uploadBody{idle: idle, body: g.host.limitBody(idle.ctx, b, g.host.uploadRate, &g.host.sent)}
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

// releasingBody gives the place among the requests in progress back when the body is done with, or
// when whoever asked for it is: regclient leaves some bodies open.
type releasingBody struct {
	io.ReadCloser
	release func()
	stop    func() bool
}

func (c *releasingBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		c.stop()
		c.release()
	}
	return n, err
}

func (c *releasingBody) Close() error {
	defer c.release()
	c.stop()
	return c.ReadCloser.Close()
}
