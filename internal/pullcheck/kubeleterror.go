package pullcheck

import (
	"regexp"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// errorPattern is a text by which a class of failure is known.
type errorPattern struct {
	class      mirror.ErrorClass
	substrings []string
}

// errorPatterns are looked for in this order. The texts are those of Go's net, tls and x509
// packages, of containers/image (docker/errors.go, internal/manifest, copy/digesting_reader.go) and
// of the registries' error codes. Those that contain another come first:
//
//	net/http: TLS handshake timeout           is a Timeout, not TLS
//	tls: failed to verify certificate: x509…  is TLS, also when it is said of a blob
var errorPatterns = []errorPattern{
	{mirror.Timeout, []string{"handshake timeout", "i/o timeout", "deadline exceeded", "timeout exceeded",
		"connection timed out", "gateway timeout", "gateway time-out"}},
	{mirror.TLS, []string{"x509:", "tls:", "server gave http response to https client"}},
	{mirror.RateLimited, []string{"too many requests", "toomanyrequests", "statuscode: 429", "rate limit"}},
	{mirror.Corrupt, []string{"digest did not match", "does not match provided manifest digest",
		"does not match expected", "does not match selected", "digest mismatch", "gzip: invalid", "invalid checksum"}},
	{mirror.Denied, []string{
		"unauthorized", "authentication required", "invalid username/password", "access denied", "denied:",
		"access to the resource is denied",
		"forbidden", "insufficient_scope", "statuscode: 401", "statuscode: 403",
	}},
	{mirror.Incomplete, []string{"no image found in"}},
	{mirror.Missing, []string{"manifest unknown", "name unknown", "blob unknown", "not found", "statuscode: 404",
		"not known to registry"}},
	{mirror.Refused, []string{
		"connection refused", "no such host", "server misbehaving", "no route to host", "network is unreachable",
		"connection reset", "broken pipe",
		"proxyconnect", "registry is unavailable", ": eof", "unexpected eof",
	}},
	// The node's own registries.conf forbids it. Under NeverContactSource these words end every
	// failed pull, whatever the mirrors have said before, so they decide only where nothing else is
	// said. No login helps.
	{mirror.Blocked, []string{"is blocked in"}},
}

// belowManifestSteps are the steps that come after the top manifest was served (containers/image,
// package copy). What is missing there is missing beneath it, and a node does not go on to its next
// mirror.
var belowManifestSteps = []string{"copying system image from manifest list", "reading blob", "fetching blob",
	"initializing image from source", "parsing image configuration"}

// classify reads what a node says of a failed pull. Being text it may be wrong; the words
// themselves go to the user with it.
func classify(message string) mirror.ErrorClass {
	// Newer CRI-O tries an OCI artifact of the same name next and says of that too.
	text, _, _ := strings.Cut(strings.ToLower(message), "; artifact err:")
	for _, s := range errorPatterns {
		if !containsAny(text, s.substrings) {
			continue
		}
		if s.class == mirror.Missing && containsAny(text, belowManifestSteps) {
			return mirror.Incomplete
		}
		return s.class
	}
	return mirror.Unknown
}

// isTransientClass tells whether the kubelet's next try may find it otherwise without anybody doing
// anything.
func isTransientClass(class mirror.ErrorClass) bool {
	switch class {
	case mirror.Timeout, mirror.Refused, mirror.RateLimited, mirror.Unknown:
		return true
	default:
		return false
	}
}

// isPolicyRefusal tells whether the node's policy.json refused the image. That is about the name
// that the pod spells.
func isPolicyRefusal(message string) bool {
	return containsAny(strings.ToLower(message),
		[]string{"source image rejected", "rejected by policy", "signature validation failed",
			"a signature was required"})
}

// isNodeProblem tells of failures that are the node's own: its disk, and the limit that the kubelet
// puts on its pulls per second.
func isNodeProblem(message string) bool {
	return containsAny(strings.ToLower(message),
		[]string{"no space left on device", "disk quota exceeded", "pull qps exceeded", "read-only file system"})
}

func containsAny(text string, message []string) bool {
	for _, w := range message {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

var (
	queryPattern    = regexp.MustCompile(`\?[^\s"')\]]*`)
	userinfoPattern = regexp.MustCompile(`//[^/\s"'@]+@`)
)

// errorDetail is what a registry or a node has said, fit for a status: one line, bounded, and
// without the signed URLs to which a download is often redirected.
func errorDetail(message string) string {
	const longest = 500
	text := userinfoPattern.ReplaceAllString(queryPattern.ReplaceAllString(message, "?..."), "//")
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "..."
	}
	return text
}
