package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Job is one image that must be pullable, and what may be done to make it so.
type Job struct {
	// Reference is the logical reference, the source's form: quay.io/acme/app:v1. It is the
	// identity of the job.
	Reference string
	// Digest is the expected digest of the top manifest. "" for a tag: it is resolved at the first
	// of From that answers and then stays fixed for as long as the job is wanted unchanged, however
	// the tag moves.
	Digest string
	// Sources is where the image is pulled from today, in order.
	Sources []string
	// Targets are the references at our mirrors that must be filled. Empty where somebody else
	// fills them (VerifyOnly).
	Targets []string
	// PullEndpoints are the usable endpoints that a node will try, in order.
	PullEndpoints []string
	// OtherMirrors are further mirrors that a node may come to ask for this image, those of other
	// mirror sets included. Each must be complete or answer 404 at its top manifest; what was found
	// is in Result.Others and does not fail the job.
	OtherMirrors []string
	// RequiredPlatforms must be present when the image is an index: those of the nodes that may run
	// it.
	RequiredPlatforms []string
	// Platforms limits the copy and the proof of an index to these platforms. The index itself is
	// kept whole, so its digest stays; registries that check what an index names refuse it. nil
	// copies everything.
	Platforms []string
	// Referrers brings along, whenever the image is copied, what refers to it: attestations, bills
	// of material, signatures of any kind. cosign's signatures, which nodes look for, are brought
	// along always.
	Referrers bool
	// ChildSignatures looks for cosign's signature of every manifest of an index, also when the
	// index itself has none. "cosign sign --recursive" signs all of them, so that one question
	// tells; who signs children only sets this.
	ChildSignatures bool `json:",omitempty"`
	// Download says how much a proof downloads.
	Download Download
	// PullThroughCache says that the endpoints are pull-through caches; see VerifyOptions.
	PullThroughCache bool
}

// Key identifies everything in the job: a job with another key is other work.
func (j Job) Key() string {
	text, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings and booleans always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// equal tells whether two jobs have the same key, at a hundredth of the cost: every reconcile
// states all its jobs again.
func (j Job) equal(other Job) bool {
	return j.Reference == other.Reference && j.Digest == other.Digest &&
		slices.Equal(j.Sources, other.Sources) && slices.Equal(j.Targets, other.Targets) &&
		slices.Equal(j.PullEndpoints, other.PullEndpoints) &&
		slices.Equal(j.OtherMirrors, other.OtherMirrors) &&
		slices.Equal(j.RequiredPlatforms, other.RequiredPlatforms) && slices.Equal(j.Platforms, other.Platforms) &&
		j.Referrers == other.Referrers && j.ChildSignatures == other.ChildSignatures && j.Download == other.Download &&
		j.PullThroughCache == other.PullThroughCache
}

// verifyOptions is what must be found at an endpoint. Each attempt takes another sample.
func (j Job) verifyOptions(digest string, attempt int) VerifyOptions {
	return VerifyOptions{
		Digest: digest, RequiredPlatforms: j.RequiredPlatforms, Platforms: j.Platforms, Download: j.Download,
		Seed: uint64(attempt), PullThroughCache: j.PullThroughCache,
	}
}

// ImageCheck is what another mirror of the list has of an image.
type ImageCheck struct {
	Endpoint string
	// Digest is of the top manifest that it serves; empty when it serves none.
	Digest string
	// Err is nil when the mirror is complete, or is not asked any further because it answers 404.
	// Class Incomplete or Corrupt: a node that comes to it fails. Class Corrupt with a DigestError:
	// it serves another image under the tag.
	Err *Error
}

// runResult is what one run of a job came to. On failure, copied and the digests still tell how far
// it got.
type runResult struct {
	digest       string
	sourceDigest string // what the tag was resolved to in this run, "" when it was not asked
	mirrorDigest string // what the first mirror to fill had under the tag instead, before it was filled
	proof        Proof
	copies       []CopyResult
	otherMirrors []ImageCheck
	err          *Error
}

// jobRun is one run of a job in progress.
type jobRun struct {
	c        *Client
	job      Job
	attempt  int
	round    checkRound
	progress *jobProgress
	result   runResult
	// firstCheck is the first look at the first mirror to fill; seen is what a node would see at
	// the mirrors that were filled.
	firstCheck *manifestCheck
	endpoints  map[string]endpointState
}

// runJob does one job: find out the digest, fill what is not proven, then walk the endpoints as a
// node.
func (c *Client) runJob(ctx context.Context, job Job, digest string, attempt int, round checkRound,
	progress *jobProgress) runResult {
	w := &jobRun{c: c, job: job, attempt: attempt, round: round, progress: progress,
		endpoints: map[string]endpointState{}}
	w.result.digest = digest
	progress.start()
	w.result.err = w.do(ctx)
	return w.result
}

func (w *jobRun) do(ctx context.Context) *Error {
	if len(w.job.Targets) > 0 {
		defer w.c.source.preconnect(ctx, w.job.Sources)()
		w.firstCheck = w.c.node.checkTopManifest(ctx, w.job.Targets[0], w.job.PullThroughCache, w.round)
	}
	if w.result.digest == "" {
		var failure *Error
		if w.result.digest, failure = w.resolveDigest(ctx); failure != nil {
			return failure
		}
	}
	w.recordMirrorDigest()
	for i, target := range w.job.Targets {
		first := w.firstCheck
		if i > 0 {
			first = nil
		}
		if failure := w.ensureTarget(ctx, target, first); failure != nil {
			return failure
		}
	}
	var failure *Error
	w.result.proof, failure = w.c.node.verify(ctx, w.job.PullEndpoints, w.verifyOptions(), w.round, w.endpoints)
	if ctx.Err() == nil {
		w.checkOtherMirrors(ctx)
	}
	return failure
}

func (w *jobRun) verifyOptions() VerifyOptions {
	return w.job.verifyOptions(w.result.digest, w.attempt)
}

// recordMirrorDigest keeps what the mirror has under the tag when it is something else.
func (w *jobRun) recordMirrorDigest() {
	if w.firstCheck == nil || w.firstCheck.failure != nil {
		return
	}
	if had := w.firstCheck.top.GetDescriptor().Digest.String(); had != w.result.digest {
		w.result.mirrorDigest = had
	}
}

// resolveDigest resolves the tag of a job, once. "" without an error means that any image under the
// tag will do:
//
//	somebody else fills the mirrors, no source answers (air gap)   there is nothing to compare with, and nothing to copy
//	every source says 404                                          the same: what the mirrors hold is all there is
//	we fill, and a source cannot be asked right now                an error: the mirror may hold yesterday's image
func (w *jobRun) resolveDigest(ctx context.Context) (string, *Error) {
	if w.job.Digest != "" {
		return w.job.Digest, nil
	}
	// An empty mirror means a copy, which needs the manifest anyway: one GET instead of a HEAD and
	// a GET.
	withManifest := w.firstCheck != nil && w.firstCheck.failure != nil && w.firstCheck.failure.Class == Missing
	found, _, failure := w.c.source.digest(ctx, w.job.Sources, withManifest)
	if failure == nil {
		w.result.sourceDigest = found
		return found, nil
	}
	if ctx.Err() == nil && (len(w.job.Targets) == 0 || missingEverywhere(failure)) {
		return "", nil
	}
	return "", failure
}

func missingEverywhere(e *Error) bool {
	var attempts *AttemptsError
	if errors.As(e, &attempts) {
		for _, before := range attempts.Before {
			if before.Class != Missing {
				return false
			}
		}
	}
	return e.Class == Missing
}

// ensureTarget makes sure that a mirror reference of ours holds the image. It looks first as a node
// does. Where a node is denied or does not trust the mirror, the push access may see more; whether
// nodes see it too is for the walk to find out, and copying again would not change that. A mirror
// that is down or silent is not asked a second time.
func (w *jobRun) ensureTarget(ctx context.Context, target string, first *manifestCheck) *Error {
	want := w.verifyOptions()
	found, failure := w.c.node.verifyEndpoint(ctx, target, want, w.round, first)
	if failure == nil {
		w.endpoints[target] = endpointState{verified: found}
		w.c.recordLocations(ctx, target, found.tree)
		return nil
	}
	if ctx.Err() == nil && w.pushMaySeeMore(failure) {
		first = w.c.push.checkTopManifest(ctx, target, w.job.PullThroughCache, w.round)
		_, failure = w.c.push.verifyEndpoint(ctx, target, want, w.round, first)
	} else if first == nil && failure.Class != Incomplete {
		first = &manifestCheck{failure: failure}
	}
	if failure == nil || ctx.Err() != nil || failure.Class != Incomplete && !pushMayHelp(failure) {
		return failure
	}
	copied, failure := w.c.copyTo(ctx, w.copyRequest(target, failure, first), w.round, w.progress)
	if failure != nil {
		return failure
	}
	w.result.copies = append(w.result.copies, copied.CopyResult)
	if copied.pushedTop != nil {
		w.endpoints[target] = endpointState{manifest: w.c.node.checkPushed(ctx, target, copied.pushedTop,
			w.job.PullThroughCache, w.round)}
	}
	return nil
}

// pushMaySeeMore tells whether a mirror may show the push access what it does not show a node. Some
// answer 404 where others deny; that is looked into only when a first copy has not helped.
func (w *jobRun) pushMaySeeMore(failure *Error) bool {
	return failure.Class == Denied || failure.Class == TLS || failure.Class == Missing && w.attempt > 1
}

// recordLocations puts what a mirror was proven to have into the ledger, so that new images take
// their shared layers from it.
func (c *Client) recordLocations(ctx context.Context, target string, t *tree) {
	r, failure := c.push.open(ctx, target)
	if failure != nil {
		return // the ledger only saves work
	}
	c.shared.resumeHints.markResumed(r.hostUser)
	for _, b := range t.blobs {
		c.shared.locations.record(r.hostUser, r.ref.Repository, b.digest)
	}
}

func (w *jobRun) copyRequest(target string, failure *Error, first *manifestCheck) copyRequest {
	request := copyRequest{
		sources: w.job.Sources, target: target, digest: digest.Digest(w.result.digest), platforms: w.job.Platforms,
		referrers:       w.job.Referrers,
		childSignatures: w.job.ChildSignatures,
	}
	if first != nil {
		request.targetState = targetStateOf(first.top, first.failure, request.digest)
	}
	if failure.Class == Incomplete {
		request.targetState = targetDamaged
	}
	return request
}

// checkOtherMirrors asks the other mirrors of the list, as a node would.
func (w *jobRun) checkOtherMirrors(ctx context.Context) {
	for _, endpoint := range w.job.OtherMirrors {
		first := w.c.node.checkTopManifest(ctx, endpoint, w.job.PullThroughCache, w.round)
		imageCheck := ImageCheck{Endpoint: endpoint, Err: first.failure}
		if first.failure == nil {
			imageCheck.Digest = first.top.GetDescriptor().Digest.String()
			_, imageCheck.Err = w.c.node.verifyEndpoint(ctx, endpoint, w.verifyOptions(), w.round, first)
		} else if first.failure.Class == Missing {
			imageCheck.Err = nil
		}
		w.result.otherMirrors = append(w.result.otherMirrors, imageCheck)
	}
}
