package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	// Platforms must be present when the image is an index: those of the nodes that may run it.
	Platforms []string
	// FullDownload proves by downloading everything; see VerifyOptions.
	FullDownload bool
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

// outcome is what one run of a job came to. On failure, copied and digest still tell how far it got.
type outcome struct {
	digest string
	proof  Proof
	copied []Copied
	err    *Error
}

// run does one job: find out the digest, fill what is not proven, then walk the endpoints as a node.
func (c *Client) run(ctx context.Context, job Job, digest string) (out outcome) {
	out.digest = digest
	if out.digest == "" {
		if out.digest, out.err = c.pin(ctx, job); out.err != nil {
			return out
		}
	}
	for _, target := range job.Fill {
		copied, failure := c.fill(ctx, job, target, out.digest)
		if failure != nil {
			out.err = failure
			return out
		}
		if copied.To != "" {
			out.copied = append(out.copied, copied)
		}
	}
	out.proof, out.err = c.node.verify(ctx, job.Walk, VerifyOptions{
		Digest: out.digest, Platforms: job.Platforms, FullDownload: job.FullDownload,
	})
	return out
}

// pin resolves the tag of a job, once. "" without an error means that any image under the tag will do:
//
//	somebody else fills the mirrors, no source answers (air gap)   there is nothing to compare with, and nothing to copy
//	every source says 404                                          the same: what the mirrors hold is all there is
//	we fill, and a source cannot be asked right now                an error: the mirror may hold yesterday's image
func (c *Client) pin(ctx context.Context, job Job) (string, *Error) {
	if job.Digest != "" {
		return job.Digest, nil
	}
	digest, _, failure := c.source.digest(ctx, job.From)
	if failure == nil {
		return digest, nil
	}
	if ctx.Err() == nil && (len(job.Fill) == 0 || missingEverywhere(failure)) {
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

// fill makes sure that a mirror reference of ours holds the image. It looks with the push access: whether nodes can see
// it too is for the walk to find out, and copying again would not change that. Nor is a mirror that is down, silent or
// not trusted asked a second time by a copy.
func (c *Client) fill(ctx context.Context, job Job, target, digest string) (Copied, *Error) {
	_, failure := c.push.prove(ctx, target, VerifyOptions{Digest: digest, FullDownload: job.FullDownload})
	if failure == nil {
		return Copied{}, nil
	}
	if ctx.Err() != nil || failure.Class != Incomplete && !pushMayHelp(failure) {
		return Copied{}, failure
	}
	return c.copyTo(ctx, job.From, target, digest)
}
