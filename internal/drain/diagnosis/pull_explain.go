package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// PullContext is what is known of how nodes pull, beside their own words.
type PullContext struct {
	// Configs are the registries configurations by the name of the rendered MachineConfig that
	// nodes run.
	Configs map[string]registriesconf.Config
	// Sets are all mirror sets of the cluster: they say who blocks a source, and who shadows a
	// mirror.
	Sets registriesconf.Sets
	// LastCheck is what somebody else has found at a place lately, the mirror engine for example;
	// ok is false when nobody has looked. Nil asks nobody.
	LastCheck func(endpoint string) (cause rollout.PullCause, message string, ok bool)
}

// maxAttempts bounds the places that are named of one pull.
const maxAttempts = 4

// explain says why a node that runs this configuration cannot pull the reference. words are those
// of its kubelet and may be empty: then what is known of the places decides, in the order in which
// the node asks them.
//
// The cause is that of the first mirror: it is what was meant to serve the image, and what can be
// fixed from outside. The source decides only when no mirror applies. Example, with
// NeverContactSource and an empty mirror:
//
//	mirror.local/acme/router:v1 answers 404 (manifest unknown); the source quay.io/acme/router:v1 is blocked by ImageTagMirrorSet/quay
func (p PullContext) explain(reference, message, rendered string) rollout.FailedPull {
	out := rollout.FailedPull{Reference: reference, Cause: rollout.PullOther}
	config, known := p.Configs[rendered]
	named, err := registriesconf.ParseReference(reference)
	full := reference
	var resolution registriesconf.Resolution
	if err == nil {
		full = named.String()
		if known {
			resolution = config.ResolveNamed(named)
		}
	}
	attempts := parsePullMessage(full, message)
	noMessage := len(attempts) == 0
	if noMessage {
		attempts = p.expectedAttempts(resolution)
	}
	p.fillEndpoints(attempts, resolution)
	for _, a := range attempts[:min(len(attempts), maxAttempts)] {
		out.Attempts = append(out.Attempts, rollout.PullAttempt{Endpoint: a.endpoint, Source: !a.mirror, Cause: a.cause,
			Message: a.message})
	}
	if len(attempts) == 0 {
		out.Message = cmp.Or(resolution.Err,
			"the node does not say why, and nothing is known of the places that it asks")
		return out
	}
	deciding := decidingAttempt(attempts)
	out.Cause, out.Endpoint = deciding.cause, deciding.endpoint
	out.BlockedBy = p.blockedBy(resolution, attempts)
	if !slices.ContainsFunc(attempts, func(a attempt) bool { return a.mirror }) {
		out.ShadowedBy = p.shadowedBy(reference, resolution, rendered)
	}
	out.Message = describePull(out, attempts, deciding, noMessage)
	return out
}

// expectedAttempts makes the attempts that the node must have made of what is known of its places.
// One that nobody has looked at stays out, for the sake of one that is known to fail; when none is
// known, the first that is not blocked is named without a cause.
func (p PullContext) expectedAttempts(resolution registriesconf.Resolution) []attempt {
	var known, unknown []attempt
	for _, e := range resolution.Endpoints {
		a := attempt{endpoint: e.Reference, mirror: e.Mirror, cause: rollout.PullOther}
		switch {
		case e.Blocked:
			a.cause = rollout.PullBlocked
			known = append(known, a)
		case p.LastCheck != nil:
			if cause, detail, ok := p.LastCheck(e.Reference); ok {
				a.cause, a.message = cause, pullcheck.ErrorDetail(detail)
				known = append(known, a)
				continue
			}
			unknown = append(unknown, a)
		default:
			unknown = append(unknown, a)
		}
	}
	if len(unknown) == 0 || slices.ContainsFunc(known, func(a attempt) bool { return a.cause != rollout.PullBlocked }) {
		return known
	}
	return append(unknown, known...)
}

// fillEndpoints finds the place of an attempt whose words do not name it: what goes wrong beneath
// the manifest does so at the first place that has the manifest, for a node does not look further.
func (p PullContext) fillEndpoints(attempts []attempt, resolution registriesconf.Resolution) {
	for i := range attempts {
		if attempts[i].endpoint != "" {
			continue
		}
		usable := resolution.Usable()
		for _, e := range usable {
			if p.LastCheck != nil {
				if cause, _, ok := p.LastCheck(e.Reference); ok && cause == rollout.PullMissing {
					continue
				}
			}
			attempts[i].endpoint, attempts[i].mirror = e.Reference, e.Mirror
			break
		}
	}
}

// decidingAttempt is the attempt that the pull fails by.
func decidingAttempt(attempts []attempt) attempt {
	if i := slices.IndexFunc(attempts, func(a attempt) bool { return a.cause == rollout.PullSignature }); i >= 0 {
		return attempts[i] // the policy is the node's, whoever serves the image
	}
	if i := slices.IndexFunc(attempts,
		func(a attempt) bool { return a.mirror && a.cause != rollout.PullBlocked }); i >= 0 {
		return attempts[i]
	}
	return attempts[len(attempts)-1]
}

// blockedBy names the objects that block the source, when the node has met that.
func (p PullContext) blockedBy(resolution registriesconf.Resolution, attempts []attempt) string {
	i := slices.IndexFunc(attempts, func(a attempt) bool { return !a.mirror && a.cause == rollout.PullBlocked })
	if i < 0 {
		return ""
	}
	for _, e := range resolution.Endpoints {
		if !e.Mirror && e.Blocked {
			return cmp.Or(strings.Join(p.Sets.Origins(e.BlockedBy), ", "), "the entry "+e.BlockedBy+
				" of registries.conf")
		}
	}
	return ""
}

// shadowedBy names the object that takes the reference away from mirrors which other nodes still
// use for it: the narrower scope of a set has no mirrors of the kind that the reference needs, and
// nothing is passed down to it.
func (p PullContext) shadowedBy(reference string, resolution registriesconf.Resolution, rendered string) string {
	if len(resolution.Endpoints) == 0 {
		return ""
	}
	for name, other := range p.Configs {
		if name == rendered {
			continue
		}
		if before, err := other.Resolve(reference); err == nil {
			if by := registriesconf.ShadowedBy(p.Sets, before, resolution); by != "" {
				return by
			}
		}
	}
	return ""
}

// describePull says what the node met, the place that decides first and the source after it.
func describePull(pull rollout.FailedPull, attempts []attempt, deciding attempt, noMessage bool) string {
	out := describeAttempt(deciding)
	if !deciding.mirror && deciding.cause == rollout.PullBlocked {
		out = fmt.Sprintf("the source %s is blocked by %s, and no mirror serves it %s", deciding.endpoint,
			cmp.Or(pull.BlockedBy, "registries.conf"), referenceKind(pull.Reference))
	}
	if pull.ShadowedBy != "" {
		out += fmt.Sprintf("; a mirror serves it to nodes without the new configuration, and %s takes it away from that mirror", pull.ShadowedBy)
	}
	if source := attempts[len(attempts)-1]; deciding.mirror && !source.mirror && source.endpoint != deciding.endpoint {
		switch {
		case source.cause == rollout.PullBlocked:
			out += fmt.Sprintf("; the source is blocked by %s", cmp.Or(pull.BlockedBy, "registries.conf"))
		case source.message != "":
			out += "; the source: " + describeAttempt(source)
		}
	}
	if deciding.cause == rollout.PullIncomplete {
		out += "; a node does not try another place once it has the manifest"
	}
	if noMessage {
		out += " (the node itself does not say why)"
	}
	return out
}

func referenceKind(reference string) string {
	if strings.Contains(reference, "@") {
		return "by digest"
	}
	return "by tag"
}

// causeText are how a place answers, by cause.
var causeText = map[rollout.PullCause]string{
	rollout.PullMissing:     "answers 404",
	rollout.PullIncomplete:  "has the manifest and lacks something beneath it",
	rollout.PullDenied:      "refuses the node's login",
	rollout.PullUntrusted:   "has a certificate that the node does not trust",
	rollout.PullUnreachable: "does not answer",
	rollout.PullBlocked:     "is blocked",
	rollout.PullSignature:   "serves an image that the node's image policy refuses",
	rollout.PullThrottled:   "answers 429",
	rollout.PullOther:       "fails",
}

func describeAttempt(a attempt) string {
	out := cmp.Or(a.endpoint, "a place that the node does not name") + " " + causeText[a.cause]
	if a.cause == rollout.PullOther && a.message == "" {
		return "the node asks " + a.endpoint + " first, of which nothing is known"
	}
	if a.message != "" && a.cause != rollout.PullBlocked {
		out += " (" + innermostError(a.message) + ")"
	}
	return out
}

// innermostError is the end of nested words, which is where the cause is: reading manifest v1 in
// mirror.local/acme/router: manifest unknown.
func innermostError(message string) string {
	const limit = 160
	if i := strings.Index(message, " in "); strings.HasPrefix(message, "reading manifest ") && i > 0 {
		if _, rest, ok := strings.Cut(message[i:], ": "); ok {
			message = rest
		}
	}
	if r := []rune(message); len(r) > limit {
		return "…" + string(r[len(r)-limit:])
	}
	return message
}
