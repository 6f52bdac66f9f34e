package mirror

import (
	"context"
	"strings"

	"github.com/opencontainers/go-digest"
)

// signatures brings along the cosign signatures of every manifest of a tree. A node whose policy demands a signature
// looks for it where it found the manifest, under a tag made from the manifest's digest, and fails without it:
//
//	sha256:0a1b... -> sha256-0a1b....sig
//
// An image without a signature answers 404 and that is that.
func (j *transfer) signatures(ctx context.Context, t *tree) *Error {
	manifests := t.childrenFirst()
	return parallel(ctx, len(manifests), func(ctx context.Context, i int) *Error {
		return j.signature(ctx, signatureTag(manifests[i].desc.Digest))
	})
}

func signatureTag(d digest.Digest) string { return strings.Replace(d.String(), ":", "-", 1) + ".sig" }

func (j *transfer) signature(ctx context.Context, tag string) *Error {
	at, to := j.source.ref.SetTag(tag), j.target.ref.SetTag(tag)
	signed, failure := j.source.resolve(ctx, at)
	if failure != nil {
		if failure.Class == Missing {
			return nil
		}
		failure.Part = "signature " + tag
		return failure
	}
	top, failure := j.source.manifest(ctx, "signature "+tag, at.SetDigest(signed), digest.Digest(signed), -1)
	if failure != nil {
		return failure
	}
	t, failure := j.source.loadTree(ctx, top)
	if failure != nil {
		return failure
	}
	return j.push(ctx, t, to)
}
