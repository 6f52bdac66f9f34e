package mirror

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// Estimate is what a job would do, as far as looking without writing can tell.
type Estimate struct {
	Reference string
	Digest    string // of the top manifest
	Blobs     int    // to upload
	Bytes     int64  // of them
	Mounts    int    // blobs that another job brings, or that the registry has elsewhere
	Requests  int    // about as many would be sent by the copy and the proof after it; none for an image that is there
	Err       *Error // why it would fail
}

// DryRun tells what the jobs would do, one estimate for each in the same order. It reads manifests
// and asks for blobs by HEAD, and writes nothing. What several jobs need is counted for the first
// of them: the others mount it.
func (c *Client) DryRun(ctx context.Context, jobs []Job) []Estimate {
	found := make([][]missingContent, len(jobs))
	estimates := make([]Estimate, len(jobs))
	_ = parallel(ctx, len(jobs), func(ctx context.Context, i int) *Error {
		estimates[i].Reference = jobs[i].Reference
		estimates[i].Digest, found[i], estimates[i].Err = c.missingAtTargets(ctx, jobs[i])
		return nil
	})
	brought := map[blobKey]bool{}
	for i := range estimates {
		for _, at := range found[i] {
			estimates[i].add(at, brought)
		}
	}
	return estimates
}

// missingContent is what one target lacks of an image.
type missingContent struct {
	hostUser  hostUser
	blobs     []blob
	manifests int
}

// What an image costs in requests: the look at the target and the question for a signature; each of
// its blobs: GET, POST and PUT; each of its manifests: GET and PUT.
const (
	imageRequests    = 2
	uploadRequests   = 3
	manifestRequests = 2
)

func (e *Estimate) add(at missingContent, brought map[blobKey]bool) {
	e.Requests += imageRequests + manifestRequests*at.manifests
	for _, b := range at.blobs {
		key := blobKey{at.hostUser, b.digest}
		if brought[key] {
			e.Mounts++
			e.Requests++
			continue
		}
		brought[key] = true
		e.Blobs++
		e.Bytes += max(b.size, 0)
		e.Requests += uploadRequests
	}
}

// missingAtTargets looks at the targets of one job.
func (c *Client) missingAtTargets(ctx context.Context, job Job) (dgst string, at []missingContent, failure *Error) {
	w := &jobRun{c: c, job: job, attempt: 1, round: newCheckRound()}
	if dgst, failure = w.resolveDigest(ctx); failure != nil {
		return "", nil, failure
	}
	for _, target := range job.Targets {
		found, failure := c.push.verifyEndpoint(ctx, target, job.verifyOptions(dgst, 1), w.round, nil)
		if failure == nil {
			dgst = found.tree.top.desc.Digest.String()
			continue
		}
		if ctx.Err() != nil || failure.Class != Incomplete && !pushMayHelp(failure) {
			return dgst, nil, failure
		}
		lacking, top, failure := c.missingAt(ctx, job, target, dgst)
		if failure != nil {
			return dgst, nil, failure
		}
		dgst = top
		at = append(at, lacking)
	}
	if len(job.Targets) > 0 {
		return dgst, at, nil
	}
	_, failure = c.node.verify(ctx, job.PullEndpoints, job.verifyOptions(dgst, 1), w.round, nil)
	return dgst, nil, failure
}

func (c *Client) missingAt(ctx context.Context, job Job, target, dgst string) (missingContent, string, *Error) {
	to, failure := c.push.open(ctx, target)
	if failure != nil {
		return missingContent{}, dgst, failure
	}
	var tried []*Error
	for _, from := range job.Sources {
		_, t, failure := c.sourceTree(ctx, from, digest.Digest(dgst), job.Platforms)
		if failure == nil {
			lacking, failure := to.missingBlobs(ctx, t)
			return lacking, t.top.desc.Digest.String(), failure
		}
		tried = append(tried, failure)
	}
	return missingContent{}, dgst, allFailed(tried)
}

// missingBlobs asks a repository for the blobs of a tree, each by HEAD.
func (r *repository) missingBlobs(ctx context.Context, t *tree) (missingContent, *Error) {
	gone := make([]bool, len(t.blobs))
	failure := parallel(ctx, len(t.blobs), func(ctx context.Context, i int) *Error {
		size, failure := r.headBlob(ctx, t.blobs[i])
		if failure == nil && size >= 0 {
			failure = t.blobs[i].checkSize(r, size)
		}
		if gone[i] = failure != nil && pushMayHelp(failure); gone[i] {
			return nil
		}
		return failure
	})
	out := missingContent{hostUser: r.hostUser, manifests: len(t.manifests)}
	for i, b := range t.blobs {
		if gone[i] {
			out.blobs = append(out.blobs, b)
		}
	}
	return out, failure
}
