// Package payload reads which images an OpenShift release payload is made of.
//
// A release image is an ordinary image that holds manifests. One of its files, an ImageStream, maps
// the names that the manifests use for components to images by digest.
package payload

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containers/image/v5/docker/reference"
	imagev1 "github.com/openshift/api/image/v1"
)

const (
	// ImageReferences is the path of the list of components in a release image (the cluster version
	// operator reads the same file).
	ImageReferences = "release-manifests/image-references"

	// maxBytes bounds the file, which has about 150 KB in a release of 190 components.
	maxBytes = 8 << 20
	// maxComponents bounds the list.
	maxComponents = 5000
)

// Component is one image of a release.
type Component struct {
	// Name is what the release's manifests call it, such as haproxy-router.
	Name string
	// Image is its reference, by digest in every release that was published.
	Image string
}

// ReadComponents lists the components of a release image, sorted by name. read returns one file out
// of an image's layers; it says itself what went wrong when it cannot. A document that is not such
// a list is an error that names the image and the entry.
func ReadComponents(ctx context.Context, read func(ctx context.Context, image, path string) ([]byte, error),
	releaseImage string) ([]Component, error) {
	data, err := read(ctx, releaseImage, ImageReferences)
	if err != nil {
		return nil, fmt.Errorf("reading %s of release image %s: %w", ImageReferences, releaseImage, err)
	}
	out, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s of release image %s: %w", ImageReferences, releaseImage, err)
	}
	return out, nil
}

func parse(data []byte) ([]Component, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that a list of images may have", len(data), maxBytes)
	}
	var stream imagev1.ImageStream
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&stream); err != nil {
		return nil, fmt.Errorf("it is not JSON of an ImageStream: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the ImageStream")
	}
	if stream.Kind != "ImageStream" || stream.APIVersion != imagev1.GroupVersion.String() {
		return nil, fmt.Errorf("it is a %q of %q, not an ImageStream of %s", stream.Kind, stream.APIVersion,
			imagev1.GroupVersion)
	}
	if len(stream.Spec.Tags) > maxComponents {
		return nil, fmt.Errorf("it has %d tags, more than the %d that are read", len(stream.Spec.Tags), maxComponents)
	}
	return components(stream.Spec.Tags)
}

// components leaves out tags that refer to something other than an image.
func components(tags []imagev1.TagReference) ([]Component, error) {
	var out []Component
	for i, tag := range tags {
		if tag.From == nil || tag.From.Kind != "DockerImage" {
			continue
		}
		if tag.Name == "" {
			return nil, fmt.Errorf("spec.tags[%d] has no name", i)
		}
		if _, err := reference.ParseNormalizedNamed(tag.From.Name); err != nil {
			return nil, fmt.Errorf("spec.tags[%d] (%s): %q is not an image reference: %w", i, tag.Name,
				tag.From.Name, err)
		}
		out = append(out, Component{Name: tag.Name, Image: tag.From.Name})
	}
	if len(out) == 0 {
		return nil, errors.New("it names no image")
	}
	slices.SortFunc(out, func(a, b Component) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Image, b.Image))
	})
	for i := 1; i < len(out); i++ {
		if out[i].Name == out[i-1].Name && out[i].Image != out[i-1].Image {
			return nil, fmt.Errorf("component %s is listed with two images, %s and %s", out[i].Name, out[i-1].Image,
				out[i].Image)
		}
	}
	return slices.Compact(out), nil
}
