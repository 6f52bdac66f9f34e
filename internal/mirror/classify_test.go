package mirror

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestClassOfStatus has what registries really say. Sources: quay endpoints/v2/errors.py, Harbor's
// quota and policy middlewares, ECR's error messages, distribution's error codes, Docker Hub,
// GitHub and Google's artifact registry.
func TestClassOfStatus(t *testing.T) {
	cases := map[string]struct {
		status     StatusError
		pull, push ErrorClass
	}{
		"no login": {StatusError{Status: 401, Code: "UNAUTHORIZED"}, Denied, Denied},
		"not allowed": {StatusError{Status: 403, Code: "DENIED",
			Message: "requested access to the resource is denied"}, Denied, Denied},
		"not found":         {StatusError{Status: 404, Code: "MANIFEST_UNKNOWN"}, Missing, Missing},
		"tag expired":       {StatusError{Status: 404, Code: "TAG_EXPIRED"}, Missing, Missing},
		"gone":              {StatusError{Status: 410}, Missing, Missing},
		"too many requests": {StatusError{Status: 429, Code: "TOOMANYREQUESTS"}, RateLimited, RateLimited},
		"Google's quota of requests": {StatusError{Status: 429,
			Message: "Quota exceeded for quota metric 'Requests per project per region'"}, RateLimited, RateLimited},
		"ECR's rate by its code": {StatusError{Status: 400, Code: "TOOMANYREQUESTS", Message: "Rate exceeded"},
			RateLimited, RateLimited},
		"maintenance with an end": {StatusError{Status: 503, RetryAfter: time.Minute}, RateLimited, RateLimited},
		"maintenance":             {StatusError{Status: 503}, Unknown, Unknown},
		"Quay is read-only": {StatusError{Status: 405, Code: "DENIED",
			Message: "System is currently read-only."}, Unknown, ReadOnly},
		"olareg is read-only": {StatusError{Status: 403, Code: "DENIED", Message: "repository is read-only"},
			Denied, ReadOnly},
		"a proxy project of Harbor": {StatusError{Status: 405, Code: "UNSUPPORTED",
			Message: "can not push artifact to a proxy project"}, Unknown, ReadOnly},
		"Quay's quota": {StatusError{Status: 403, Code: "DENIED",
			Message: "Quota has been exceed on namespace"}, Quota, Quota},
		"Harbor's quota": {StatusError{Status: 412, Code: "DENIED",
			Message: "adding 1.3 MiB of storage resource will exceed the configured upper limit of 1 MiB."},
			Quota, Quota},
		"Azure's quota beneath": {StatusError{Status: 500, Message: "ErrorCode=AccountSizeOverQuota"},
			Quota, Quota},
		"IBM's quota of pulls": {StatusError{Status: 403, Code: "DENIED",
			Message: "You have exceeded your pull traffic quota"}, Quota, Quota},
		"too large":            {StatusError{Status: 413}, Unknown, Quota},
		"insufficient storage": {StatusError{Status: 507}, Unknown, Quota},
		"Harbor's scanner": {StatusError{Status: 412, Code: "PROJECTPOLICYVIOLATION",
			Message: "current image with 3 vulnerabilities cannot be pulled"}, Blocked, Blocked},
		"Xray": {StatusError{Status: 403,
			Message: "was not downloaded due to the download blocking policy configured in Xray"}, Blocked, Blocked},
		"Quay's countries": {StatusError{Status: 403, Code: "DENIED",
			Message: "The region from which you are pulling has been geo-ip blocked."}, Blocked, Blocked},
		"legal reasons": {StatusError{Status: 451}, Blocked, Blocked},
		"AWS's policies": {StatusError{Status: 403, Code: "DENIED",
			Message: "no identity-based policy allows the ecr:BatchGetImage action"}, Denied, Denied},
		"gateway timeout": {StatusError{Status: 504}, Timeout, Timeout},
		"its own fault":   {StatusError{Status: 500, Code: "UNKNOWN"}, Unknown, Unknown},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if pull, push := classOfStatus(&tc.status, false), classOfStatus(&tc.status, true); pull != tc.pull ||
				push != tc.push {
				t.Errorf("got %s to a pull and %s to a push, want %s and %s", pull, push, tc.pull, tc.push)
			}
		})
	}
}

// TestProxyAnswers: what a web proxy says to CONNECT.
func TestProxyAnswers(t *testing.T) {
	cases := map[int]ErrorClass{
		http.StatusForbidden: Blocked, http.StatusUnavailableForLegalReasons: Blocked,
		http.StatusProxyAuthRequired: Denied,
		http.StatusBadGateway:        Refused, http.StatusGatewayTimeout: Refused,
	}
	for status, class := range cases {
		t.Run(http.StatusText(status), func(t *testing.T) {
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
				_ *http.Request) {
				w.WriteHeader(status)
			}))
			t.Cleanup(proxy.Close)
			address, err := url.Parse(proxy.URL)
			if err != nil {
				t.Fatal(err)
			}
			transport, ok := Access{}.newTransport("registry.example.com", false).(*http.Transport)
			if !ok {
				t.Fatal("another transport than net/http's")
			}
			transport.Proxy = http.ProxyURL(address)
			endpoint := "registry.example.com/acme/app:v1"
			_, err = newTestClient(Access{Transport: transport}).Verify(context.Background(), []string{endpoint},
				VerifyOptions{})
			assertError(t, err, wantError{class, endpoint, "manifest"})
			var failed *ProxyError
			if !errors.As(err, &failed) ||
				*failed != (ProxyError{Proxy: address.Host, Target: "registry.example.com:443", Status: status}) {
				t.Errorf("got %+v", failed)
			}
			if text := "the proxy " + address.Host +
				" does not connect to registry.example.com:443: HTTP"; !strings.Contains(err.Error(), text) {
				t.Errorf("%q does not say %q", err, text)
			}
		})
	}
}

// TestFirstFailureOfAnUploadIsTold: what regclient asks afterwards must not hide why the upload
// failed.
func TestFirstFailureOfAnUploadIsTold(t *testing.T) {
	full, lost, login := &StatusError{Status: 413}, &StatusError{Status: 404}, &StatusError{Status: 401}
	type answer struct {
		method string
		status *StatusError
	}
	cases := map[string]struct {
		answers []answer
		want    *StatusError
	}{
		"success":   {[]answer{{"POST", nil}, {"PUT", nil}}, nil},
		"a failure": {[]answer{{"POST", nil}, {"PUT", full}}, full},
		"and its cleanup": {[]answer{{"POST", nil}, {"PUT", full}, {"PATCH", lost}, {"GET", lost},
			{"DELETE", nil}}, full},
		"in pieces after all":       {[]answer{{"POST", nil}, {"PUT", full}, {"PATCH", nil}, {"PUT", nil}}, nil},
		"a piece that fails":        {[]answer{{"POST", nil}, {"PATCH", full}, {"DELETE", nil}}, full},
		"a login, then well":        {[]answer{{"GET", login}, {"GET", nil}}, nil},
		"a login, then not allowed": {[]answer{{"GET", login}, {"GET", lost}}, lost},
		"no mount, then full":       {[]answer{{"POST", lost}, {"POST", nil}, {"PUT", full}}, full},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			record := &operationRecord{}
			for _, a := range tc.answers {
				record.recordResponse(a.method, a.status)
			}
			if got := record.status(); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
