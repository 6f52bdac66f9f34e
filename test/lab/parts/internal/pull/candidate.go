package pull

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/pkg/shortnames"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// candidates turns a name of a pod into the references that the runtime tries, in order. For
// example with the usual search list:
//
//	quay.io/a/b                  quay.io/a/b:latest
//	quay.io/a/b:v1@sha256:…      quay.io/a/b@sha256:…   (CRI-O drops the tag)
//	nginx                        registry.access.redhat.com/nginx:latest, docker.io/library/nginx:latest
func candidates(sys *types.SystemContext, name string) ([]reference.Named, error) {
	resolved, err := shortnames.Resolve(sys, name)
	if err != nil {
		return nil, err
	}
	var all []reference.Named
	for _, candidate := range resolved.PullCandidates {
		named, err := withoutTagOfDigest(candidate.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, named)
	}
	return all, nil
}

func withoutTagOfDigest(named reference.Named) (reference.Named, error) {
	digested, ok := named.(reference.Digested)
	if !ok {
		return named, nil
	}
	return reference.WithDigest(reference.TrimNamed(named), digested.Digest())
}

// attempt is the pull of one candidate.
type attempt struct {
	name reference.Named
	sys  *types.SystemContext
	dest *destination

	endpoint string   // that served the top manifest
	tried    []string // all locations, of the image and then of the artifact
}

// run copies the image and falls back, as CRI-O does, to an OCI artifact of the same name.
func (a *attempt) run(ctx context.Context) error {
	ref, err := docker.NewReference(a.name)
	if err != nil {
		return err
	}
	imageErr := a.copy(ctx, ref)
	if imageErr == nil || ctx.Err() != nil {
		return imageErr
	}
	artifactErr := a.artifact(ctx, ref)
	return fmt.Errorf("unable to pull image or OCI artifact: pull image err: %w; artifact err: %w", imageErr,
		artifactErr)
}

func (a *attempt) copy(ctx context.Context, ref types.ImageReference) error {
	policy, err := a.policy()
	if err != nil {
		return err
	}
	policyContext, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	defer policyContext.Destroy() //nolint:errcheck // it has nothing to clean up
	_, err = copy.Image(ctx, policyContext, a.dest.Reference(), tracedReference{ref, a}, &copy.Options{
		SourceCtx: a.sys,
		// The destination's context decides only where the cache of blob locations is. It matters
		// to those who push; a path that cannot exist keeps it in memory.
		DestinationCtx: &types.SystemContext{BlobInfoCacheDir: os.DevNull + "/none"},
		// Our destination could not store sigstore signatures. The policy has read those that it
		// needs before this.
		RemoveSignatures: true,
	})
	return err
}

// policy is the node's, or the one a fresh OS ships if the daemon has not written any.
func (a *attempt) policy() (*signature.Policy, error) {
	policy, err := signature.DefaultPolicy(a.sys)
	if errors.Is(err, os.ErrNotExist) {
		return &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}, nil
	}
	return policy, err
}

// tracedReference is a reference that notes which endpoint its source is opened at. It hands out
// the library's own source, so copy.Image does not know the difference.
type tracedReference struct {
	types.ImageReference
	attempt *attempt
}

func (w tracedReference) NewImageSource(ctx context.Context, sys *types.SystemContext) (source types.ImageSource,
	err error) {
	var t endpointTrace
	t.record(func() { source, err = w.ImageReference.NewImageSource(ctx, sys) })
	w.attempt.tried = append(w.attempt.tried, t.locations...)
	if err == nil {
		w.attempt.endpoint = t.last()
	}
	return source, err
}

var errIsAnImage = errors.New("provided artifact is a container image")

// artifact is what remains of CRI-O's second try: it opens the reference again, through all
// mirrors, and finds either the same error or a container image.
func (a *attempt) artifact(ctx context.Context, ref types.ImageReference) error {
	served := a.endpoint
	source, err := tracedReference{ref, a}.NewImageSource(ctx, a.sys)
	a.endpoint = served // the log is about the image
	if err != nil {
		return fmt.Errorf("get manifest: build image source: %w", err)
	}
	defer source.Close()
	blob, mime, err := source.GetManifest(ctx, nil)
	if err != nil {
		return fmt.Errorf("get manifest: %w", err)
	}
	if isImage(blob, mime) {
		return errIsAnImage
	}
	return errors.New("copy artifact: the lab does not keep artifacts")
}

// isImage applies CRI-O's rule: an index is an image, and so is a manifest whose config
// is an image's and which names no artifact type.
func isImage(blob []byte, mime string) bool {
	if manifest.MIMETypeIsMultiImage(mime) {
		return true
	}
	parsed, err := manifest.FromBlob(blob, mime)
	if err != nil {
		return true
	}
	configs := []string{"", imgspecv1.MediaTypeImageConfig, manifest.DockerV2Schema2ConfigMediaType}
	if !slices.Contains(configs, parsed.ConfigInfo().MediaType) {
		return false
	}
	oci, err := manifest.OCI1FromManifest(blob)
	return err != nil || oci.ArtifactType == ""
}
