package diagnosis

import (
	"regexp"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// attempt is what came of one place that a node has asked for an image.
type attempt struct {
	// endpoint is empty when the words do not name it: of a blob they never do.
	endpoint string
	mirror   bool
	cause    rollout.PullCause
	message  string
}

// parsePullMessage takes the words of a kubelet about a failed pull apart. It gives nothing when
// they do not say why: older kubelets only tell that they back off.
//
// The words are nested, each layer with its own prefix, and the innermost are those of
// containers/image:
//
//	Back-off pulling image "quay.io/acme/router:v1": ErrImagePull: unable to pull image or OCI artifact: pull image err: initializing
//	source docker://quay.io/acme/router:v1: (Mirrors also failed: [mirror.local/acme/router:v1: reading manifest v1 in
//	mirror.local/acme/router: manifest unknown]): quay.io/acme/router:v1: registry quay.io/acme is blocked in
//	/etc/containers/registries.conf or /etc/containers/registries.conf.d; artifact err: …
//
// Of several mirrors each has a pair of brackets, divided by a line break; the source comes last.
// Where no mirror applies, only the words about the source are there, without its name.
func parsePullMessage(reference, message string) []attempt {
	text := unwrap(message)
	if text == "" {
		return nil
	}
	rest, ok := strings.CutPrefix(text, "(Mirrors also failed: ")
	if !ok {
		return []attempt{parseSingleError(reference, text)}
	}
	mirrors, last, ok := strings.Cut(rest, "]): ")
	if !ok { // cut off somewhere: what there is of the mirrors still counts
		mirrors, last = strings.TrimRight(rest, "])"), ""
	}
	var out []attempt
	for _, one := range betweenBrackets.Split(strings.TrimPrefix(mirrors, "["), -1) {
		endpoint, why, _ := strings.Cut(one, ": ")
		out = append(out, attemptAt(endpoint, true, why))
	}
	if endpoint, why, ok := strings.Cut(last, ": "); ok {
		out = append(out, attemptAt(endpoint, false, why))
	}
	return out
}

// parseSingleError reads words without a list of mirrors: either there are none for the reference
// and they are about the source, or a manifest was served, by whomever, and they are about what is
// beneath it.
func parseSingleError(reference, text string) attempt {
	a := attemptAt(reference, false, text)
	if a.cause == rollout.PullIncomplete || a.cause == rollout.PullSignature || afterManifest.MatchString(text) {
		a.endpoint = ""
	}
	return a
}

var (
	betweenBrackets = regexp.MustCompile(`\]\s+\[`)
	// afterManifest are the steps after the top manifest was served; see containers/image, package
	// copy.
	afterManifest      = regexp.MustCompile(`(?i)^(copying system image from manifest list|(reading|fetching|writing) blob|parsing image configuration|choosing image instance)`)
	backOff            = regexp.MustCompile(`^(?:ImagePullBackOff: )?Back-off pulling image "[^"]*"(?:: )?`)
	failedToPull       = regexp.MustCompile(`^Failed to pull image "[^"]*": `)
	initializingSource = regexp.MustCompile(`^(?i:error )?initializing source docker://\S+: `)
)

// messagePrefixes are what kubelet, CRI and CRI-O put before the words of containers/image,
// outermost first; any of them may be missing.
var messagePrefixes = []string{
	"ErrImagePull: ", "SignatureValidationFailed: ", "RegistryUnavailable: ", "rpc error: code = Unknown desc = ",
	"rpc error: code = NotFound desc = ",
	"SignatureValidationFailed: ", "unable to pull image or OCI artifact: pull image err: ", "unable to pull image: ",
}

// unwrap leaves the words of containers/image.
func unwrap(message string) string {
	text, _, _ := strings.Cut(strings.TrimSpace(message), "; artifact err:")
	text = backOff.ReplaceAllString(text, "")
	text = failedToPull.ReplaceAllString(text, "")
	for _, w := range messagePrefixes {
		text = strings.TrimPrefix(text, w)
	}
	return strings.TrimSpace(initializingSource.ReplaceAllString(text, ""))
}

// attemptAt classifies the words about one place. Its name is taken out of them first.
func attemptAt(endpoint string, isMirror bool, message string) attempt {
	repository, _, _ := strings.Cut(endpoint, "@")
	plain := strings.ReplaceAll(strings.ReplaceAll(message, endpoint, ""), repository, "")
	if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
		plain = strings.ReplaceAll(plain, repository[:i], "")
	}
	return attempt{endpoint: endpoint, mirror: isMirror, cause: causeOf(plain), message: pullcheck.ErrorDetail(message)}
}

// causeOf gives the words a cause. What the mirror engine calls corrupt is as incomplete as what is
// not there: something beneath the manifest has to be copied again.
func causeOf(message string) rollout.PullCause {
	if pullcheck.IsPolicyRefusal(message) {
		return rollout.PullSignature
	}
	cause := PullCauseOf(pullcheck.Classify(message))
	if cause == rollout.PullOther && strings.Contains(strings.ToLower(message), "bad gateway") {
		return rollout.PullUnreachable // a proxy, or a load balancer, does not reach the registry
	}
	return cause
}

// PullCauseOf is what a class of the mirror engine means for a node's pull.
func PullCauseOf(class mirror.ErrorClass) rollout.PullCause {
	switch class {
	case mirror.Missing:
		return rollout.PullMissing
	case mirror.Incomplete, mirror.Corrupt:
		return rollout.PullIncomplete
	case mirror.Denied:
		return rollout.PullDenied
	case mirror.Blocked:
		return rollout.PullBlocked
	case mirror.TLS:
		return rollout.PullUntrusted
	case mirror.Timeout, mirror.Refused:
		return rollout.PullUnreachable
	case mirror.RateLimited:
		return rollout.PullThrottled
	default: // Quota and ReadOnly are about pushes
		return rollout.PullOther
	}
}
