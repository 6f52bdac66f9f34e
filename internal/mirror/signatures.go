package mirror

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/ref"
)

// The tags under which cosign keeps what belongs to an image, made from the digest of each of its manifests:
//
//	sha256:0a1b... -> sha256-0a1b....sig
//
// A node whose policy demands a signature looks for the first of them where it found the manifest, and fails without it. Nodes look
// for none of the others.
var (
	signatureTags = []string{".sig"}
	digestTags    = []string{".sig", ".att", ".sbom"}
)

// accompany brings along what belongs to the manifests of a tree: the signatures that nodes look for and, with all, attestations,
// bills of material, and whatever else refers to them. What an image does not have is answered with 404, and that is that.
func (j *transfer) accompany(ctx context.Context, t *tree, all bool) *Error {
	suffixes := signatureTags
	if all {
		suffixes = digestTags
	}
	manifests := t.childrenFirst()
	return parallel(ctx, len(manifests), func(ctx context.Context, i int) *Error {
		subject := manifests[i].desc.Digest
		for _, suffix := range suffixes {
			if failure := j.attachment(ctx, digestTag(subject, suffix)); failure != nil {
				return failure
			}
		}
		if all {
			return j.referrers(ctx, subject, 0)
		}
		return nil
	})
}

func signatureTag(d digest.Digest) string { return digestTag(d, ".sig") }

func digestTag(d digest.Digest, suffix string) string {
	return strings.Replace(d.String(), ":", "-", 1) + suffix
}

func (j *transfer) attachment(ctx context.Context, tag string) *Error {
	at, to := j.source.ref.SetTag(tag), j.target.ref.SetTag(tag)
	attached, failure := j.source.resolve(ctx, at)
	if failure != nil {
		if failure.Class == Missing {
			return nil
		}
		failure.Part = "signature " + tag
		return failure
	}
	return j.extra(ctx, "signature "+tag, at.SetDigest(attached), to)
}

// extra copies something beside the image.
func (j *transfer) extra(ctx context.Context, part string, at, to ref.Ref) *Error {
	top, failure := j.source.known(ctx, part, at, digest.Digest(at.Digest), -1)
	if failure != nil {
		return failure
	}
	t, failure := j.source.loadTree(ctx, top, nil, j.source.child)
	if failure != nil {
		return failure
	}
	return j.push(ctx, t, to)
}

// referrers copies what names the subject as its subject, and what refers to that in turn. regclient asks the referrers API, or the
// tag that stands in for it (sha256-0a1b...), and keeps that tag at targets without the API.
func (j *transfer) referrers(ctx context.Context, subject digest.Digest, depth int) *Error {
	if depth > maxDepth {
		return &Error{Class: Corrupt, Endpoint: j.source.endpoint, Part: "referrers of " + subject.String(), Err: errTooDeep{}}
	}
	var found []descriptor.Descriptor
	failure := j.source.do(ctx, "referrers of "+subject.String(), func(ctx context.Context) error {
		list, err := j.source.link.rc.ReferrerList(ctx, j.source.ref.SetDigest(subject.String()))
		found = list.Descriptors
		return err
	})
	if failure != nil {
		return failure
	}
	// One after the other: each may have to be added to the same tag.
	for _, d := range slices.Clone(found) {
		at := j.source.ref.SetDigest(d.Digest.String())
		if failure := j.extra(ctx, "referrer "+d.Digest.String(), at, j.target.ref.SetDigest(d.Digest.String())); failure != nil {
			return failure
		}
		if failure := j.referrers(ctx, d.Digest, depth+1); failure != nil {
			return failure
		}
	}
	return nil
}
