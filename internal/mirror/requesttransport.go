package mirror

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// requestTransport is the last stop between regclient and the guard. It edits how uploads are
// opened, and measures answers.
//
// regclient opens every upload with POST ?mount=<digest> and without "from". Quay fails on that,
// and most others ignore it. Instead, the upload asks the registry to mount the blob from the very
// repository it is for:
//
//	POST /v2/acme/app/blobs/uploads/?mount=sha256:base&from=acme/app
//	201    the repository has it already: nothing to download or upload
//	202    it does not; the answer says where to upload to
//
// so that one request does the work of a HEAD and a POST. Where that is not wanted (see
// transfer.stream), the digest is left out.
type requestTransport struct{ next http.RoundTripper }

// RoundTrip sends one request.
func (t requestTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if s := hostLatencyOf(req.Context()); s != nil {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), s.trace()))
	}
	if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/blobs/uploads/") {
		req = addMountSource(req)
	}
	resp, err := t.next.RoundTrip(req)
	if err == nil {
		recordPushedDigest(req, resp)
	}
	return resp, err
}

func addMountSource(req *http.Request) *http.Request {
	query := req.URL.Query()
	if !query.Has("mount") || query.Has("from") {
		return req
	}
	if repository, _ := req.Context().Value(mountFromKey{}).(string); repository != "" {
		query.Set("from", repository)
	} else {
		query.Del("mount")
	}
	edited := req.Clone(req.Context())
	edited.URL.RawQuery = query.Encode()
	return edited
}

type mountFromKey struct{}

// withMountFrom makes an upload ask first whether the repository that it is for has the blob.
func withMountFrom(ctx context.Context, repository string) context.Context {
	return context.WithValue(ctx, mountFromKey{}, repository)
}

// hostLatency is the longest time that a registry took from the request on an open connection to
// the first byte of its answer.
type hostLatency struct{ longest atomic.Int64 }

type hostLatencyKey struct{}

func withHostLatency(ctx context.Context, s *hostLatency) context.Context {
	return context.WithValue(ctx, hostLatencyKey{}, s)
}

func hostLatencyOf(ctx context.Context) *hostLatency {
	s, _ := ctx.Value(hostLatencyKey{}).(*hostLatency)
	return s
}

func (s *hostLatency) get() time.Duration { return time.Duration(s.longest.Load()) }

func (s *hostLatency) trace() *httptrace.ClientTrace {
	var started atomic.Int64
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { started.Store(time.Now().UnixNano()) },
		GotFirstResponseByte: func() {
			took := time.Now().UnixNano() - started.Load()
			for before := s.longest.Load(); took > before; before = s.longest.Load() {
				if s.longest.CompareAndSwap(before, took) {
					return
				}
			}
		},
	}
}
