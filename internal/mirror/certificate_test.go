package mirror

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestClockSkew: when a certificate seems to be of the past or the future, the first question is
// whose clock is wrong.
func TestClockSkew(t *testing.T) {
	ca := newAuthority(t)
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	cases := map[string]struct {
		from, until time.Time
		date        string // of the registry; "" for the right one
		says        []string
	}{
		"we are behind": {year(2198), year(2199), "Tue, 02 Jan 2198 00:00:00 GMT",
			[]string{"is not valid before 2198-01-01T00:00:00Z", "days behind the registry's"}},
		"we are ahead": {year(2018), year(2019), "Tue, 02 Jan 2018 00:00:00 GMT",
			[]string{"expired at 2019-01-01T00:00:00Z", "days ahead of the registry's"}},
		"the certificate is new": {year(2198), year(2199), "",
			[]string{"is not valid before 2198-01-01T00:00:00Z", "clock agrees with ours"}},
		"the certificate is old": {year(2018), year(2019), "",
			[]string{"expired at 2019-01-01T00:00:00Z", "clock agrees with ours"}},
		"no date": {year(2018), year(2019), "none",
			[]string{"expired at 2019-01-01T00:00:00Z", "days ago by our clock"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newTestTLSRegistry(t, ca, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = tc.from, tc.until })
			g.inject(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") != "" {
					t.Error("sent a login to a registry that it did not verify")
				}
				switch tc.date {
				case "":
				case "none":
					w.Header()["Date"] = nil
				default:
					w.Header().Set("Date", tc.date)
				}
				return false
			})
			access := withLogins(t, g.host, "acme")
			access.Insecure, access.ExtraCAs = nil, ca.pem()
			_, err := newTestClient(access).Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
			assertError(t, err, wantError{TLS, g.host + "/app:v1", "manifest"})
			for _, text := range tc.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			var certificate *CertificateError
			if !errors.As(err, &certificate) || certificate.Host != g.host || certificate.NotAfter != tc.until {
				t.Errorf("%+v", certificate)
			}
		})
	}
}
