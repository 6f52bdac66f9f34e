package faultregistry

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const content = "the content of the registry"

// upstream answers every request with the content, and uploads with a place to go on.
func upstream(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		w.Header().Set("Location", "/v2/app/blobs/uploads/1?state=secret")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if r.Method == http.MethodPut {
		_, _ = io.WriteString(w, r.URL.RawQuery)
		return
	}
	_, _ = io.WriteString(w, content)
}

// serve puts a fault before the registry, both over real connections.
func serve(t *testing.T, faults ...Fault) (*Proxy, string) {
	t.Helper()
	registry := httptest.NewServer(http.HandlerFunc(upstream))
	t.Cleanup(registry.Close)
	address, err := url.Parse(registry.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := ForURL(address)
	proxy.SetFaults(faults...)
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return proxy, server.URL
}

type response struct {
	Status int
	Body   string
	Broken bool // the body ended too early, or there was no answer
}

func doRequest(t *testing.T, method, address string) (response, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return response{Broken: true}, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return response{Status: resp.StatusCode, Body: string(body), Broken: errors.Is(err, io.ErrUnexpectedEOF)},
		resp.Header
}

func TestFaults(t *testing.T) {
	cases := map[string]struct {
		do     Responder
		want   response
		header map[string]string
	}{
		"answer": {do: Respond(429, "slow down", "Retry-After", "3"),
			want: response{Status: 429, Body: "slow down"}, header: map[string]string{"Retry-After": "3"}},
		"error": {do: Error(403, "DENIED", "no"),
			want: response{Status: 403, Body: `{"errors":[{"code":"DENIED","message":"no"}]}`}},
		"redirect": {do: Redirect("http://elsewhere/"),
			want:   response{Status: 307, Body: "<a href=\"http://elsewhere/\">Temporary Redirect</a>.\n\n"},
			header: map[string]string{"Location": "http://elsewhere/"}},
		"circle": {do: RedirectToItself(),
			want:   response{Status: 307, Body: "<a href=\"/v2/\">Temporary Redirect</a>.\n\n"},
			header: map[string]string{"Location": "/v2/"}},
		"hang up":   {do: CloseConnection(), want: response{Broken: true}},
		"break off": {do: CloseAfter(3), want: response{Status: 200, Body: "the", Broken: true}},
		"truncate":  {do: Truncate(3), want: response{Status: 200, Body: "the"}},
		"corrupt":   {do: Corrupt(), want: response{Status: 200, Body: "the content og the registry"}},
		"status":    {do: Status(206), want: response{Status: 206, Body: content}},
		"header": {do: Header("Docker-Content-Digest", "sha256:lie"),
			want:   response{Status: 200, Body: content},
			header: map[string]string{"Docker-Content-Digest": "sha256:lie"}},
		"without header": {do: Header("Content-Type", ""), want: response{Status: 200, Body: content}},
		"trickle body":   {do: TrickleBody(time.Microsecond), want: response{Status: 200, Body: content}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			proxy, address := serve(t, Fault{Respond: tc.do})
			got, header := doRequest(t, http.MethodGet, address+"/v2/")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for name, want := range tc.header {
				if header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, header.Get(name), want)
				}
			}
			if diff := cmp.Diff([]int{1}, proxy.Hits()); diff != "" {
				t.Errorf("struck (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUploadsGoOnElsewhere(t *testing.T) {
	_, address := serve(t, Fault{Path: "/absolute", Respond: AbsoluteLocation()},
		Fault{Path: "/blobs/uploads/", Respond: LocationWithoutQuery()})
	_, header := doRequest(t, http.MethodPost, address+"/absolute")
	if got, want := header.Get("Location"), address+"/v2/app/blobs/uploads/1?state=secret"; got != want {
		t.Errorf("goes on at %s, want %s", got, want)
	}
	_, header = doRequest(t, http.MethodPost, address+"/v2/app/blobs/uploads/")
	if got, want := header.Get("Location"), "/v2/app/blobs/uploads/1"; got != want {
		t.Errorf("goes on at %s, want %s", got, want)
	}
	got, _ := doRequest(t, http.MethodPut, address+"/v2/app/blobs/uploads/1?digest=d")
	if want := "state=secret&digest=d"; got.Body != want {
		t.Errorf("the registry was asked with %s, want %s", got.Body, want)
	}
}

func TestOneUploadIsLostForEver(t *testing.T) {
	_, address := serve(t, Fault{Path: "/blobs/uploads/", Respond: LoseUpload()})
	var got []int
	for _, r := range []struct{ method, path string }{
		{http.MethodPost, ""}, {http.MethodPut, "1"}, {http.MethodPut, "2"}, {http.MethodGet, "1"},
		{http.MethodDelete, "1"},
	} {
		a, _ := doRequest(t, r.method, address+"/v2/app/blobs/uploads/"+r.path)
		got = append(got, a.Status)
	}
	if diff := cmp.Diff([]int{202, 404, 200, 404, 404}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// TestScript: which requests a fault is about.
func TestScript(t *testing.T) {
	type request struct{ method, path string }
	get := request{http.MethodGet, "/v2/app/blobs/x"}
	cases := map[string]struct {
		faults []Fault
		asked  []request
		want   []int // statuses
		hits   []int
	}{
		"none": {asked: []request{get}, want: []int{200}, hits: []int{}},
		"all":  {faults: []Fault{{}}, asked: []request{get, get}, want: []int{500, 500}, hits: []int{2}},
		"once": {faults: []Fault{{Times: 1}}, asked: []request{get, get}, want: []int{500, 200},
			hits: []int{1}},
		"the third": {faults: []Fault{{After: 2, Times: 1}}, asked: []request{get, get, get, get},
			want: []int{200, 200, 500, 200}, hits: []int{1}},
		"by method": {faults: []Fault{{Method: "HEAD|PUT"}}, asked: []request{get, {http.MethodPut, "/"}},
			want: []int{200, 500}, hits: []int{1}},
		"whole method": {faults: []Fault{{Method: "GE"}}, asked: []request{get}, want: []int{200}, hits: []int{0}},
		"by path": {faults: []Fault{{Path: "/blobs/"}}, asked: []request{get, {http.MethodGet, "/v2/"}},
			want: []int{500, 200}, hits: []int{1}},
		"by query": {faults: []Fault{{Query: "mount="}}, asked: []request{get, {http.MethodGet, "/v2/?mount=d"}},
			want: []int{200, 500}, hits: []int{1}},
		"the first": {faults: []Fault{{Times: 1}, {Respond: Respond(501, "")}}, asked: []request{get, get},
			want: []int{500, 501}, hits: []int{1, 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range tc.faults {
				if tc.faults[i].Respond == nil {
					tc.faults[i].Respond = Respond(http.StatusInternalServerError, "")
				}
			}
			proxy, address := serve(t, tc.faults...)
			var got []int
			for _, r := range tc.asked {
				a, _ := doRequest(t, r.method, address+r.path)
				got = append(got, a.Status)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.hits, proxy.Hits()); diff != "" {
				t.Errorf("struck (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSilence: the client gives up, and the proxy with it; else the server could not be closed.
func TestSilence(t *testing.T) {
	for name, do := range map[string]Responder{"hang": Hang(), "trickle headers": TrickleHeaders(time.Millisecond)} {
		t.Run(name, func(t *testing.T) {
			_, address := serve(t, Fault{Respond: do})
			client := &http.Client{Timeout: 20 * time.Millisecond}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			var timeout interface{ Timeout() bool }
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				_ = resp.Body.Close()
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
}
