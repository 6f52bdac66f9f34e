package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// CertificateError is a registry's certificate that was not accepted, with what one needs to know
// to fix that.
type CertificateError struct {
	Host                string // whose certificate it is
	Names               []string
	Issuer              string
	NotBefore, NotAfter time.Time
	Now                 time.Time // by our clock
	// ServerTime is what the registry's clock said, in the Date header of its answer to a request
	// without verification and credentials. It is only asked for when the validity is in doubt; the
	// zero time when it did not say.
	ServerTime time.Time
	Err        error // what the verification said
}

func (e *CertificateError) Error() string {
	var hostname x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case e.Now.Before(e.NotBefore):
		return fmt.Sprintf("the certificate of %s is not valid before %s, and our clock says %s, %s earlier%s",
			e.Host, formatTime(e.NotBefore), formatTime(e.Now), formatDuration(e.NotBefore.Sub(e.Now)), e.skew())
	case e.Now.After(e.NotAfter):
		return fmt.Sprintf("the certificate of %s expired at %s, %s ago by our clock%s",
			e.Host, formatTime(e.NotAfter), formatDuration(e.Now.Sub(e.NotAfter)), e.skew())
	case errors.As(e.Err, &hostname):
		names := "no name"
		if len(e.Names) > 0 {
			names = strings.Join(e.Names, ", ")
		}
		return fmt.Sprintf("the certificate of %s is valid for %s only", e.Host, names)
	case errors.As(e.Err, &unknown):
		return fmt.Sprintf("the certificate of %s is issued by %q, which no trusted CA vouches for", e.Host, e.Issuer)
	}
	return fmt.Sprintf("the certificate of %s: %v", e.Host, e.Err)
}

// Unwrap gives what the verification said.
func (e *CertificateError) Unwrap() error { return e.Err }

// minClockSkew is from when on two clocks differ.
const minClockSkew = 30 * time.Second

func (e *CertificateError) skew() string {
	ahead := e.Now.Sub(e.ServerTime)
	switch {
	case e.ServerTime.IsZero():
		return ""
	case ahead >= minClockSkew:
		return fmt.Sprintf(" (which is %s ahead of the registry's)", formatDuration(ahead))
	case ahead <= -minClockSkew:
		return fmt.Sprintf(" (which is %s behind the registry's)", formatDuration(-ahead))
	}
	return " (and the registry's clock agrees with ours)"
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// formatDuration writes days where hours would be hard to read.
func formatDuration(d time.Duration) string {
	if days := int(d.Hours() / 24); days >= 2 {
		return fmt.Sprintf("%d days", days)
	}
	return d.Round(time.Second).String()
}

// explainCertificate makes a *CertificateError of a failed verification and leaves other errors
// alone.
func explainCertificate(transport http.RoundTripper, req *http.Request, err error) error {
	var failed *tls.CertificateVerificationError
	if !errors.As(err, &failed) || len(failed.UnverifiedCertificates) == 0 {
		return err
	}
	leaf, now := failed.UnverifiedCertificates[0], time.Now() // which is also what it was verified by
	e := &CertificateError{
		Host: req.URL.Host, Issuer: leaf.Issuer.String(), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Now: now,
		Err: failed,
	}
	e.Names = append(e.Names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		e.Names = append(e.Names, ip.String())
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		e.ServerTime = serverTime(req.Context(), transport, req.URL.Scheme+"://"+req.URL.Host+"/v2/")
	}
	return e
}

// serverTimeTimeout is how long the registry's clock is waited for. It only makes a message better.
const serverTimeTimeout = 5 * time.Second

// serverTime asks a registry for the time. Its certificate is not verified, so nothing is sent that
// is not public, and the answer is shown to people and used for nothing else.
func serverTime(ctx context.Context, transport http.RoundTripper, url string) time.Time {
	verifying, ok := transport.(*http.Transport)
	if !ok {
		return time.Time{}
	}
	ctx, cancel := context.WithTimeout(ctx, serverTimeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return time.Time{}
	}
	req.Header.Set("User-Agent", userAgent)
	trusting := verifying.Clone()
	trusting.TLSClientConfig.InsecureSkipVerify = true
	defer trusting.CloseIdleConnections()
	resp, err := trusting.RoundTrip(req)
	if err != nil {
		return time.Time{}
	}
	_ = resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}
