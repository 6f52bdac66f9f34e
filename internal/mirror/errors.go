package mirror

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrorClass says what kind of thing went wrong, so that callers can tell what to do about it.
type ErrorClass string

// The classes of errors.
const (
	// Missing: the registry answered that it does not have it.
	Missing ErrorClass = "Missing"
	// Denied: credentials are missing, wrong, or not allowed to do this.
	Denied ErrorClass = "Denied"
	// Blocked: a policy forbids it, whatever the credentials: the registry's, a scanner's, or a
	// proxy's on the way.
	Blocked ErrorClass = "Blocked"
	// TLS: the certificate is not trusted, or the other side does not speak TLS. See
	// CertificateError.
	TLS ErrorClass = "TLS"
	// Timeout: no answer in time. See NoResponseError.Connected for the kind on which a node hangs.
	Timeout ErrorClass = "Timeout"
	// RateLimited: the registry asked to come back later, several times or for long. See
	// HostBackoffError and StatusError.RetryAfter.
	RateLimited ErrorClass = "RateLimited"
	// Corrupt: what is served is not what its digest or size says, or not the image that was
	// expected.
	Corrupt ErrorClass = "Corrupt"
	// Refused: nobody listens, the name does not resolve, or the connection breaks.
	Refused ErrorClass = "Refused"
	// Incomplete: the top manifest is served but something beneath it is not there.
	Incomplete ErrorClass = "Incomplete"
	// ReadOnly: the registry does not take pushes here.
	ReadOnly ErrorClass = "ReadOnly"
	// Quota: the registry takes no more: a quota is used up, its disk is full, or a layer is too
	// large for it.
	Quota ErrorClass = "Quota"
	// Unknown: anything else, a registry's own 5xx failures among it.
	Unknown ErrorClass = "Unknown"
)

// Error is what every operation of this package fails with. Find it with errors.As; Class decides,
// Error() explains.
type Error struct {
	Class    ErrorClass
	Endpoint string // the reference, repository or host as the caller wrote it
	// "manifest", "child sha256:... (linux/arm64)", "blob sha256:...", "push", "push blob
	// sha256:...", ...
	Part string
	Err  error

	// final: a node that meets this does not go on to its next endpoint.
	noFallback bool
	// again: what made it fail has been fixed meanwhile.
	retryable bool
}

// Error is one line: which endpoint, which part, what happened.
func (e *Error) Error() string {
	var b strings.Builder
	for _, prefix := range []string{e.Endpoint, e.Part} {
		if prefix != "" {
			b.WriteString(prefix + ": ")
		}
	}
	b.WriteString(string(e.Class))
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap gives the cause: one of the typed errors below, or a network error.
func (e *Error) Unwrap() error { return e.Err }

// StatusError is an answer of a registry that is not a success.
type StatusError struct {
	Status     int           // HTTP status
	Code       string        // the registry's error code, MANIFEST_UNKNOWN for example; may be empty
	Message    string        // the registry's own words, shortened; may be empty
	RetryAfter time.Duration // how long the registry asked to wait; 0 when it did not say

	rateLimitExhausted bool // it says that no further request is free
	uploadSessionLost  bool // it does not know the upload that it has opened
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.Status, http.StatusText(e.Status))
	words := slices.DeleteFunc([]string{e.Code, e.Message}, func(s string) bool { return s == "" })
	if len(words) > 0 {
		text += " (" + strings.Join(words, ": ") + ")"
	}
	if e.uploadSessionLost {
		text += ", the upload that it has opened is lost"
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(", asks to come back in %s", e.RetryAfter.Round(time.Second))
	}
	return text
}

// isRateLimit tells the answers that ask for fewer requests: 429 most of all, but GitHub refuses
// with 403, a server under maintenance with 503, and a few use the code alone.
func (e *StatusError) isRateLimit() bool {
	switch e.Status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		return e.RetryAfter > 0 || e.rateLimitExhausted
	case http.StatusServiceUnavailable:
		return e.RetryAfter > 0
	}
	return e.Code == "TOOMANYREQUESTS"
}

// DigestError is content that is not what was asked for.
type DigestError struct{ Want, Got string }

func (e *DigestError) Error() string { return fmt.Sprintf("serves %s, expected %s", e.Got, e.Want) }

// SizeError is a blob or manifest of another size than its descriptor says, in bytes.
type SizeError struct{ Want, Got int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("is %d bytes, its descriptor says %d", e.Got, e.Want)
}

// TooLargeError is a manifest that no node reads to its end.
type TooLargeError struct{ Limit int64 } // in bytes

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("is larger than the %d MiB that a node reads of a manifest", e.Limit>>20)
}

// PlatformError is an index without a platform that is needed.
type PlatformError struct{ Missing, Present []string }

func (e *PlatformError) Error() string {
	return fmt.Sprintf("index has no %s, only %s", strings.Join(e.Missing, ", "), strings.Join(e.Present, ", "))
}

// NoResponseError is a registry that stays silent.
type NoResponseError struct {
	After time.Duration
	// Connected: the connection stood and no answer came. A node has no limit for this and hangs
	// for ever, so such an endpoint is worse than one that is down.
	Connected bool
}

func (e *NoResponseError) Error() string {
	if e.Connected {
		return fmt.Sprintf("accepted the connection but stayed silent for %s (a node would wait for ever)", e.After)
	}
	return fmt.Sprintf("no connection within %s", e.After)
}

// Timeout marks this as a timeout in the sense of net.Error.
func (e *NoResponseError) Timeout() bool { return true }

// NoConnectionError is a connection that never stood, for a reason that has no type of its own: a
// proxy that refuses to connect answers with a mere status text, such as "Bad Gateway".
type NoConnectionError struct{ Cause error }

func (e *NoConnectionError) Error() string { return "no connection: " + e.Cause.Error() }

// Unwrap gives the cause.
func (e *NoConnectionError) Unwrap() error { return e.Cause }

// HostBackoffError is a registry host that asked to be left alone for longer than an image should
// wait. Nothing was sent to it.
type HostBackoffError struct {
	Host  string
	Until time.Time
	Wait  time.Duration // from when the error arose until then
}

func (e *HostBackoffError) Error() string {
	return fmt.Sprintf("%s asked for a pause until %s (%s from now); nothing was sent",
		e.Host, e.Until.UTC().Format(time.RFC3339), e.Wait.Round(time.Second))
}

// TokenServiceError is a registry's token service that could not be asked. It says nothing about
// the credentials.
type TokenServiceError struct {
	Service string // its host
	Err     error
}

func (e *TokenServiceError) Error() string {
	return fmt.Sprintf("the token service %s gave no answer about the access: %v", e.Service, e.Err)
}

// Unwrap gives the cause.
func (e *TokenServiceError) Unwrap() error { return e.Err }

// ProxyError is a proxy that does not connect to the registry.
type ProxyError struct {
	Proxy, Target string // host:port of both
	Status        int    // HTTP status of the proxy's answer to CONNECT
}

func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s does not connect to %s: HTTP %d %s", e.Proxy, e.Target, e.Status,
		http.StatusText(e.Status))
}

// ReferenceError is a reference that registries or nodes do not take.
type ReferenceError struct{ Reason string }

func (e *ReferenceError) Error() string { return "is not an image reference: " + e.Reason }

// StalledError is a job that made no progress at all, whatever it was waiting for.
type StalledError struct{ After time.Duration }

func (e *StalledError) Error() string { return fmt.Sprintf("no progress for %s", e.After) }

// Timeout marks this as a timeout in the sense of net.Error.
func (e *StalledError) Timeout() bool { return true }

// AttemptsError is the failure of the last endpoint tried, together with those before it. Unwrap
// gives the last one's cause: that is also the error a node reports.
type AttemptsError struct {
	Last   error
	Before []*Error
}

func (e *AttemptsError) Error() string {
	texts := make([]string, len(e.Before))
	for i, before := range e.Before {
		texts[i] = before.Error()
	}
	return fmt.Sprintf("%v (tried before: %s)", e.Last, strings.Join(texts, "; "))
}

// Unwrap gives the cause of the last failure.
func (e *AttemptsError) Unwrap() error { return e.Last }

// PanicError is a programming error that was caught in a worker. Stack is for logs, not for users.
type PanicError struct {
	Value any
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: panic: %v", e.Value) }

// allFailed is the error when no endpoint was good: the last one's, with the earlier ones attached.
func allFailed(tried []*Error) *Error {
	if len(tried) == 0 {
		return &Error{Class: Missing, Part: partManifest, Err: errNoEndpoint{}}
	}
	last := *tried[len(tried)-1]
	if before := tried[:len(tried)-1]; len(before) > 0 {
		last.Err = &AttemptsError{Last: last.Err, Before: before}
	}
	return &last
}

type errNoEndpoint struct{}

func (errNoEndpoint) Error() string { return "there is no endpoint to pull from" }
