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
	// Reference is the logical reference, the source's form: quay.io/acme/app:v1. It is the identity of the job.
	Reference string
	// Digest is the expected digest of the top manifest. "" for a tag: it is resolved at the first of From that
	// answers and then stays fixed for as long as the job is wanted unchanged, however the tag moves.
	Digest string
	// From is where the image is pulled from today, in order.
	From []string
	// Fill are the references at our mirrors that must be filled. Empty where somebody else fills them (VerifyOnly).
	Fill []string
	// Walk are the usable endpoints that a node will try, in order.
	Walk []string
	// Others are further mirrors that a node may come to ask for this image, those of other mirror sets included. Each must be complete
	// or answer 404 at its top manifest; what was found is in Result.Others and does not fail the job.
	Others []string
	// Platforms must be present when the image is an index: those of the nodes that may run it.
	Platforms []string
	// Only limits the copy and the proof of an index to these platforms. The index itself is kept whole, so its digest stays; registries
	// that check what an index names refuse it. nil copies everything.
	Only []string
	// Referrers brings along, whenever the image is copied, what refers to it: attestations, bills of material, signatures of any kind.
	// cosign's signatures, which nodes look for, are brought along always.
	Referrers bool
	// ChildSignatures looks for cosign's signature of every manifest of an index, also when the index itself has none. "cosign sign
	// --recursive" signs all of them, so that one question tells; who signs children only sets this.
	ChildSignatures bool `json:",omitempty"`
	// Download says how much a proof downloads.
	Download Download
	// Cache says that the endpoints are pull-through caches; see VerifyOptions.
	Cache bool
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

// same tells whether two jobs have the same key, at a hundredth of the cost: every reconcile states all its jobs again.
func (j Job) same(other Job) bool {
	return j.Reference == other.Reference && j.Digest == other.Digest &&
		slices.Equal(j.From, other.From) && slices.Equal(j.Fill, other.Fill) && slices.Equal(j.Walk, other.Walk) &&
		slices.Equal(j.Others, other.Others) && slices.Equal(j.Platforms, other.Platforms) && slices.Equal(j.Only, other.Only) &&
		j.Referrers == other.Referrers && j.ChildSignatures == other.ChildSignatures && j.Download == other.Download && j.Cache == other.Cache
}

// want is what must be found at an endpoint. Each attempt takes another sample.
func (j Job) want(digest string, attempt int) VerifyOptions {
	return VerifyOptions{
		Digest: digest, Platforms: j.Platforms, Only: j.Only, Download: j.Download, Seed: uint64(attempt), Cache: j.Cache,
	}
}

// Finding is what another mirror of the list has of an image.
type Finding struct {
	Endpoint string
	// Digest is of the top manifest that it serves; empty when it serves none.
	Digest string
	// Err is nil when the mirror is complete, or is not asked any further because it answers 404. Class Incomplete or Corrupt: a node
	// that comes to it fails. Class Corrupt with a DigestError: it serves another image under the tag.
	Err *Error
}

// outcome is what one run of a job came to. On failure, copied and the digests still tell how far it got.
type outcome struct {
	digest string
	source string // what the tag was resolved to in this run, "" when it was not asked
	mirror string // what the first mirror to fill had under the tag instead, before it was filled
	proof  Proof
	copied []Copied
	others []Finding
	err    *Error
}

// work is one run of a job under way.
type work struct {
	c       *Client
	job     Job
	attempt int
	pass    pass
	live    *live
	out     outcome
	// first is the first look at the first mirror to fill; seen is what a node would see at the mirrors that were filled.
	first *glance
	seen  map[string]known
}

// run does one job: find out the digest, fill what is not proven, then walk the endpoints as a node.
func (c *Client) run(ctx context.Context, job Job, digest string, attempt int, p pass, l *live) outcome {
	w := &work{c: c, job: job, attempt: attempt, pass: p, live: l, seen: map[string]known{}}
	w.out.digest = digest
	l.begin()
	w.out.err = w.do(ctx)
	return w.out
}

func (w *work) do(ctx context.Context) *Error {
	if len(w.job.Fill) > 0 {
		defer w.c.source.approach(ctx, w.job.From)()
		w.first = w.c.node.glance(ctx, w.job.Fill[0], w.job.Cache, w.pass)
	}
	if w.out.digest == "" {
		var failure *Error
		if w.out.digest, failure = w.pin(ctx); failure != nil {
			return failure
		}
	}
	w.noteMirror()
	for i, target := range w.job.Fill {
		first := w.first
		if i > 0 {
			first = nil
		}
		if failure := w.fill(ctx, target, first); failure != nil {
			return failure
		}
	}
	var failure *Error
	w.out.proof, failure = w.c.node.verify(ctx, w.job.Walk, w.want(), w.pass, w.seen)
	if ctx.Err() == nil {
		w.look(ctx)
	}
	return failure
}

func (w *work) want() VerifyOptions { return w.job.want(w.out.digest, w.attempt) }

// noteMirror keeps what the mirror has under the tag when it is something else.
func (w *work) noteMirror() {
	if w.first == nil || w.first.failure != nil {
		return
	}
	if had := w.first.top.GetDescriptor().Digest.String(); had != w.out.digest {
		w.out.mirror = had
	}
}

// pin resolves the tag of a job, once. "" without an error means that any image under the tag will do:
//
//	somebody else fills the mirrors, no source answers (air gap)   there is nothing to compare with, and nothing to copy
//	every source says 404                                          the same: what the mirrors hold is all there is
//	we fill, and a source cannot be asked right now                an error: the mirror may hold yesterday's image
func (w *work) pin(ctx context.Context) (string, *Error) {
	if w.job.Digest != "" {
		return w.job.Digest, nil
	}
	// An empty mirror means a copy, which needs the manifest anyway: one GET instead of a HEAD and a GET.
	soon := w.first != nil && w.first.failure != nil && w.first.failure.Class == Missing
	found, _, failure := w.c.source.digest(ctx, w.job.From, soon)
	if failure == nil {
		w.out.source = found
		return found, nil
	}
	if ctx.Err() == nil && (len(w.job.Fill) == 0 || missingEverywhere(failure)) {
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

// fill makes sure that a mirror reference of ours holds the image. It looks first as a node does. Where a node is denied or does not
// trust the mirror, the push access may see more; whether nodes see it too is for the walk to find out, and copying again would not
// change that. A mirror that is down or silent is not asked a second time.
func (w *work) fill(ctx context.Context, target string, first *glance) *Error {
	want := w.want()
	found, failure := w.c.node.prove(ctx, target, want, w.pass, first)
	if failure == nil {
		w.seen[target] = known{found: found}
		w.c.remember(ctx, target, found.tree)
		return nil
	}
	if ctx.Err() == nil && w.pushSeesMore(failure) {
		first = w.c.push.glance(ctx, target, w.job.Cache, w.pass)
		_, failure = w.c.push.prove(ctx, target, want, w.pass, first)
	} else if first == nil && failure.Class != Incomplete {
		first = &glance{failure: failure}
	}
	if failure == nil || ctx.Err() != nil || failure.Class != Incomplete && !pushMayHelp(failure) {
		return failure
	}
	copied, failure := w.c.copyTo(ctx, w.order(target, failure, first), w.pass, w.live)
	if failure != nil {
		return failure
	}
	w.out.copied = append(w.out.copied, copied.Copied)
	if copied.top != nil {
		w.seen[target] = known{first: w.c.node.vouched(ctx, target, copied.top, w.job.Cache, w.pass)}
	}
	return nil
}

// pushSeesMore tells whether a mirror may show the push access what it does not show a node. Some answer 404 where others deny; that is
// looked into only when a first copy has not helped.
func (w *work) pushSeesMore(failure *Error) bool {
	return failure.Class == Denied || failure.Class == TLS || failure.Class == Missing && w.attempt > 1
}

// remember puts what a mirror was proven to have into the ledger, so that new images take their shared layers from it.
func (c *Client) remember(ctx context.Context, target string, t *tree) {
	r, failure := c.push.open(ctx, target)
	if failure != nil {
		return // the ledger only saves work
	}
	c.memory.resumed.found(r.site)
	for _, b := range t.blobs {
		c.memory.ledger.record(r.site, r.ref.Repository, b.digest)
	}
}

func (w *work) order(target string, failure *Error, first *glance) copyOrder {
	order := copyOrder{
		from: w.job.From, to: target, want: digest.Digest(w.out.digest), only: w.job.Only, referrers: w.job.Referrers,
		childSignatures: w.job.ChildSignatures,
	}
	if first != nil {
		order.state = stateOf(first.top, first.failure, order.want)
	}
	if failure.Class == Incomplete {
		order.state = damaged
	}
	return order
}

// look asks the other mirrors of the list, as a node would.
func (w *work) look(ctx context.Context) {
	for _, endpoint := range w.job.Others {
		first := w.c.node.glance(ctx, endpoint, w.job.Cache, w.pass)
		finding := Finding{Endpoint: endpoint, Err: first.failure}
		if first.failure == nil {
			finding.Digest = first.top.GetDescriptor().Digest.String()
			_, finding.Err = w.c.node.prove(ctx, endpoint, w.want(), w.pass, first)
		} else if first.failure.Class == Missing {
			finding.Err = nil
		}
		w.out.others = append(w.out.others, finding)
	}
}
