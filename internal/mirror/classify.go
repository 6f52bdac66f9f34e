package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/regclient/regclient/types/errs"
)

// classify turns what one operation came back with into an Error. The order matters: a network
// failure is believed before an HTTP status, because the status is of an earlier request of the
// same operation.
//
//	GET manifest -> 401, then the token service refuses the connection: Refused, not Denied
func (r *repository) classify(ctx context.Context, part string, err error, record *operationRecord) *Error {
	e := &Error{Endpoint: r.endpoint, Part: part}
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		e.Err = context.Cause(ctx)
		e.Class = classOf(e.Err)
		e.noFallback = true
		return e
	}
	status := record.status()
	if token := r.conn.transport.lastTokenFailure.Load(); errors.Is(err, errs.ErrHTTPUnauthorized) &&
		token.isTransient() {
		// The registry's 401 only says that a token is needed; that none could be had is the
		// reason, and it may pass.
		return r.tokenFailed(part, token)
	}
	if errors.Is(err, errs.ErrSizeLimitExceeded) {
		err = &TooLargeError{Limit: maxManifestBytes}
	}
	// A 404 is the registry's answer to the new token, so there is nothing to try again.
	e.retryable = record.hasNewToken() && (status == nil || status.Status != http.StatusNotFound)
	if class := classOf(err); class != Unknown {
		e.Class, e.Err = class, redact(err)
		var silent *NoResponseError
		e.noFallback = class == Corrupt || errors.As(err, &silent) && silent.Connected
		return e
	}
	switch {
	case status != nil:
		e.Class, e.Err = classOfStatus(status, isPush(part)), status
	case errors.Is(err, errs.ErrHTTPUnauthorized):
		e.Class, e.Err = Denied, errTokenDenied{}
	default:
		e.Class, e.Err = Unknown, redact(err)
	}
	return e
}

func (r *repository) tokenFailed(part string, token *tokenFailure) *Error {
	e := &Error{Class: Unknown, Endpoint: r.endpoint, Part: part}
	if token.status != nil {
		e.Class = classOfStatus(token.status, false)
		e.Err = &TokenServiceError{Service: token.service, Err: token.status}
		return e
	}
	e.Class, e.Err = classOf(token.err), &TokenServiceError{Service: token.service, Err: redact(token.err)}
	var silent *NoResponseError
	e.noFallback = errors.As(token.err, &silent) && silent.Connected
	return e
}

// classOf looks at typed causes only; an HTTP answer is not one of them.
func classOf(err error) ErrorClass {
	var proxy *ProxyError
	switch {
	case errors.As(err, &proxy):
		return classOfProxy(proxy.Status)
	case hasType[*HostBackoffError](err):
		return RateLimited
	case errors.Is(err, errs.ErrDigestMismatch), hasType[*DigestError](err), hasType[*SizeError](err),
		hasType[*TooLargeError](err):
		return Corrupt
	case isTLS(err):
		return TLS
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return Timeout
	case isConnectionError(err):
		return Refused
	}
	return Unknown
}

func hasType[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func isTLS(err error) bool {
	var remote *net.OpError
	return hasType[*tls.CertificateVerificationError](err) || hasType[x509.UnknownAuthorityError](err) ||
		hasType[x509.HostnameError](err) || hasType[x509.CertificateInvalidError](err) ||
		hasType[tls.RecordHeaderError](err) ||
		errors.Is(err, http.ErrSchemeMismatch) ||
		// An alert sent by the other side ("remote error: tls: bad certificate") has no exported
		// type.
		errors.As(err, &remote) && remote.Op == "remote error"
}

func isConnectionError(err error) bool {
	for _, broken := range []error{
		io.EOF, io.ErrUnexpectedEOF, errs.ErrShortRead,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return hasType[*net.OpError](err) || hasType[*net.DNSError](err) || hasType[*NoConnectionError](err)
}

// classOfProxy reads a proxy's answer to CONNECT. The registry has not been asked, so any failure
// that is not a verdict means that it is out of reach.
func classOfProxy(status int) ErrorClass {
	switch status {
	case http.StatusProxyAuthRequired:
		return Denied
	case http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return Blocked
	}
	return Refused
}

// classOfStatus reads an HTTP status, and the words that come with it where the status alone is
// ambiguous. push matters because 405 to a GET is a broken registry, to a POST a read-only one.
func classOfStatus(status *StatusError, push bool) ErrorClass {
	switch {
	case status.isRateLimit():
		return RateLimited
	case push && isReadOnly(status):
		return ReadOnly
	case isQuotaExceeded(status, push):
		return Quota
	case isPolicyBlock(status):
		return Blocked
	case status.uploadSessionLost:
		return Unknown
	}
	switch status.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusNotFound, http.StatusGone:
		return Missing
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return Timeout
	}
	return Unknown
}

// isReadOnly knows how registries refuse every push alike: distribution and Harbor's proxy projects
// answer 405, Quay in read-only mode and others answer 403 or 503 and say so in words, for which
// there is no code.
func isReadOnly(status *StatusError) bool {
	switch status.Status {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusLocked:
		return true
	}
	return strings.Contains(normalizedText(status), "readonly")
}

// normalizedText are a registry's own, in a form in which spellings do not matter: "READ_ONLY",
// "read-only" and "Read only" all become "readonly".
func normalizedText(status *StatusError) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(status.Code + " " + status.Message))
}

// isQuotaExceeded knows how registries say that they take no more. There is no code for it:
//
//	Quay            403 DENIED "Quota has been exceed on namespace"
//	Harbor          403 DENIED "adding 29.0 MiB of storage resource, which ... will exceed the configured upper limit of 10.0 MiB."
//	ECR             4xx with the name of its exception: LimitExceeded
//	distribution    500 UNKNOWN "... no space left on device"
//	WebDAV, proxies 507; and 413 where a layer is larger than a proxy before the registry lets pass
func isQuotaExceeded(status *StatusError, push bool) bool {
	switch status.Status {
	case http.StatusInsufficientStorage, http.StatusRequestEntityTooLarge:
		return push
	}
	text := normalizedText(status)
	for _, phrase := range []string{"quota", "exceedtheconfiguredupperlimit", "limitexceeded", "nospaceleft"} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}

// isPolicyBlock knows the verdicts that no login changes: of scanners (Harbor answers 412
// PROJECTPOLICYVIOLATION, Xray and Nexus 403), of countries (451, Quay 403), and of web proxies.
// The word policy alone is not enough: AWS says "no identity-based policy allows" when a login may
// not do something.
func isPolicyBlock(status *StatusError) bool {
	switch status.Status {
	case http.StatusUnavailableForLegalReasons:
		return true
	case http.StatusForbidden, http.StatusPreconditionFailed:
		text := normalizedText(status)
		for _, phrase := range []string{"blocked", "blocking", "policyviolation", "violatespolicy", "quarantine",
			"prohibited"} {
			if strings.Contains(text, phrase) {
				return true
			}
		}
	}
	return false
}

// isPush tells whether a part is about writing; see Error.Part.
func isPush(part string) bool { return strings.HasPrefix(part, partPush) }

type errTokenDenied struct{}

func (errTokenDenied) Error() string { return "the registry's token service gave no access" }

// redactedError shows a shortened text of an error that may carry a URL with a signature in its
// query, and keeps the cause beneath for errors.As.
type redactedError struct {
	text  string
	cause error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.cause }

var (
	queryPattern    = regexp.MustCompile(`\?[^\s"')\]]*`)
	userinfoPattern = regexp.MustCompile(`//[^/\s"'@]+@`)
)

// redact takes the secrets out of an error text. A blob download is often redirected to an object
// store whose URL is a credential by itself:
//
//	Get "https://s3.example.com/b?X-Amz-Signature=...": dial tcp ... -> GET https://s3.example.com/b?...: dial tcp ...
func redact(err error) error {
	text, cause := err.Error(), err
	var request *url.Error
	if errors.As(err, &request) {
		text, cause = strings.ToUpper(request.Op)+" "+request.URL+": "+request.Err.Error(), request.Err
		if namesHost(cause) {
			text = cause.Error()
		}
	}
	text = userinfoPattern.ReplaceAllString(queryPattern.ReplaceAllString(text, "?..."), "//")
	return &redactedError{text: oneLine(text, maxErrorText), cause: cause}
}

// namesHost tells errors that name the host themselves and are not about the URL.
func namesHost(err error) bool {
	return hasType[*CertificateError](err) || hasType[*HostBackoffError](err) || hasType[*ProxyError](err)
}
