package mirror

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/ref"
)

// The tags under which cosign keeps what belongs to an image, made from the digest of each of its
// manifests:
//
//	sha256:0a1b... -> sha256-0a1b....sig
//
// A node whose policy demands a signature looks for the first of them where it found the manifest,
// and fails without it. Nodes look for none of the others.
var (
	signatureTags = []string{".sig"}
	digestTags    = []string{".sig", ".att", ".sbom"}
)

// attached is what belongs to the manifests of a tree, as far as it stands under tags.
type attached struct {
	cancel  context.CancelFunc
	lookups sync.WaitGroup
	tags    []attachment
	failure *Error
}

type attachment struct {
	tag    string
	digest string // what the source has under it
}

// findAttached looks for what stands under tags, while the image is being copied: the signatures
// that nodes look for and, with referrers, attestations and bills of material. What an image does
// not have is answered with 404, and that is that.
//
// Most indexes have no signature, and then most of their children have none. They are asked about
// only when the index has one, as "cosign sign --recursive" leaves it, or where the order says so.
func (j *transfer) findAttached(ctx context.Context, t *tree, request copyRequest) *attached {
	ctx, cancel := context.WithCancel(ctx)
	a := &attached{cancel: cancel}
	suffixes := signatureTags
	if request.referrers {
		suffixes = digestTags
	}
	a.lookups.Go(func() {
		a.failure = withRecover(func() *Error {
			nodes := t.childrenFirst()
			below, top := nodes[:len(nodes)-1], nodes[len(nodes)-1:]
			failure := j.resolveTags(ctx, a, top, suffixes)
			if failure != nil || len(a.tags) == 0 && !request.referrers && !request.childSignatures {
				return failure
			}
			return j.resolveTags(ctx, a, below, suffixes)
		})
	})
	return a
}

// stop gives up looking.
func (a *attached) stop() {
	a.cancel()
	a.lookups.Wait()
}

// resolveTags adds the tags that the source has for the manifests.
func (j *transfer) resolveTags(ctx context.Context, a *attached, manifests []*manifestNode, suffixes []string) *Error {
	found := make([]attachment, len(manifests)*len(suffixes))
	failure := parallel(ctx, len(found), func(ctx context.Context, i int) *Error {
		tag := digestTag(manifests[i/len(suffixes)].desc.Digest, suffixes[i%len(suffixes)])
		dgst, failure := j.source.resolveDigest(ctx, j.source.ref.SetTag(tag))
		switch {
		case failure == nil:
			found[i] = attachment{tag, dgst}
		case failure.Class != Missing:
			failure.Part = "signature " + tag
			return failure
		}
		return nil
	})
	a.tags = append(a.tags, slices.DeleteFunc(found, func(at attachment) bool { return at.tag == "" })...)
	return failure
}

// pushAttached brings along what was found to belong to the manifests of a tree and, with all,
// whatever else refers to them.
func (j *transfer) pushAttached(ctx context.Context, t *tree, a *attached, all bool) *Error {
	a.lookups.Wait()
	a.cancel()
	if a.failure != nil {
		return a.failure
	}
	failure := parallel(ctx, len(a.tags), func(ctx context.Context, i int) *Error {
		at := j.source.ref.SetTag(a.tags[i].tag).SetDigest(a.tags[i].digest)
		return j.copyAttached(ctx, "signature "+a.tags[i].tag, at, j.target.ref.SetTag(a.tags[i].tag))
	})
	if failure != nil || !all {
		return failure
	}
	manifests := t.childrenFirst()
	return parallel(ctx, len(manifests), func(ctx context.Context, i int) *Error {
		return j.copyReferrers(ctx, manifests[i].desc.Digest, 0)
	})
}

func signatureTag(d digest.Digest) string { return digestTag(d, ".sig") }

func digestTag(d digest.Digest, suffix string) string {
	return strings.Replace(d.String(), ":", "-", 1) + suffix
}

// copyAttached copies something beside the image.
func (j *transfer) copyAttached(ctx context.Context, part string, at, to ref.Ref) *Error {
	top, failure := j.source.cachedManifest(ctx, part, at, digest.Digest(at.Digest), -1)
	if failure != nil {
		return failure
	}
	t, failure := j.source.loadTree(ctx, top, nil, j.source.fetchChild)
	if failure != nil {
		return failure
	}
	return j.push(ctx, t, to)
}

// copyReferrers copies what names the subject as its subject, and what refers to that in turn.
// regclient asks the referrers API, or the tag that stands in for it (sha256-0a1b...), and keeps
// that tag at targets without the API.
func (j *transfer) copyReferrers(ctx context.Context, subject digest.Digest, depth int) *Error {
	if depth > maxDepth {
		return &Error{Class: Corrupt, Endpoint: j.source.endpoint, Part: "referrers of " + subject.String(),
			Err: errTooDeep{}}
	}
	var found []descriptor.Descriptor
	failure := j.source.do(ctx, "referrers of "+subject.String(), func(ctx context.Context) error {
		list, err := j.source.conn.rc.ReferrerList(ctx, j.source.ref.SetDigest(subject.String()))
		found = list.Descriptors
		return err
	})
	if failure != nil {
		return failure
	}
	// One after the other: each may have to be added to the same tag.
	for _, d := range slices.Clone(found) {
		at := j.source.ref.SetDigest(d.Digest.String())
		if failure := j.copyAttached(ctx, "referrer "+d.Digest.String(), at,
			j.target.ref.SetDigest(d.Digest.String())); failure != nil {
			return failure
		}
		if failure := j.copyReferrers(ctx, d.Digest, depth+1); failure != nil {
			return failure
		}
	}
	return nil
}
