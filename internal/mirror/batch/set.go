package batch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// Image is one image and the place that has to hold it.
type Image struct {
	// Sources are the references it may be copied from; the first one names it.
	Sources []string
	// Destination is where it belongs: a reference by tag or by digest.
	Destination string
	// Digest is what the image must be, "" for whatever is under the tag of the source.
	Digest string
	// PullEndpoints are the mirrors that a node tries for it, in order.
	PullEndpoints []string
	// requestedAt are the places in the user's files that ask for it.
	requestedAt []string
	// verifyOnly is set where the rollout says that somebody else fills the mirror.
	verifyOnly bool
}

// Source is the reference by which the image is known.
func (i Image) Source() string { return i.Sources[0] }

// Repository is the repository of the destination, without tag and digest.
func (i Image) Repository() string {
	named, err := reference.ParseNormalizedNamed(i.Destination)
	if err != nil {
		panic(err) // a destination has been parsed
	}
	return named.Name()
}

// Job is the work that the image is for the mirror engine. Without copying nothing is written: the
// mirrors are read as a node reads them. Of an index only the platforms are taken, if any are
// given, and it has to have all of them. The job is identified by the destination.
func (i Image) Job(copying bool, platforms []string) mirror.Job {
	job := mirror.Job{Reference: i.Destination, Digest: i.Digest, PullEndpoints: i.PullEndpoints,
		RequiredPlatforms: platforms, Platforms: platforms}
	if copying && !i.verifyOnly {
		job.Sources, job.Targets = i.Sources, []string{i.Destination}
	}
	return job
}

// NotServed is a reference that was asked for and that the mirror sets do not redirect, so that
// nothing can be mirrored for it.
type NotServed struct {
	Source string `json:"source"`
	// Reason says why, and what to add to the mirror sets.
	Reason string `json:"reason"`
}

// Set is everything that one run is about.
type Set struct {
	Images    []Image
	NotServed []NotServed
	// Outside counts the references of which the mirror sets say nothing at all: a list of all
	// images of a cluster holds many.
	Outside int
}

// ToRegistry sends every line under a repository prefix ("mirror.example.com/acme"): the registry
// host of the source is cut off, what follows it is kept.
//
//	quay.io/acme/app:v1  ->  mirror.example.com/acme/acme/app:v1
//
// A line with a destination of its own goes there; prefix may be empty when every line has one.
func ToRegistry(lines []Line, prefix string) (Set, error) {
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		if err := validatePrefix(prefix); err != nil {
			return Set{}, err
		}
	}
	var b setBuilder
	var problems problemList
	for _, line := range lines {
		destination := line.Destination
		if destination == "" {
			var err error
			if destination, err = destinationBelow(prefix, line.Source); err != nil {
				problems.add("%s: %w", line.Position, err)
				continue
			}
		}
		b.add(Image{
			Sources: []string{line.Source}, Destination: destination, PullEndpoints: []string{destination},
			requestedAt: []string{line.Position},
		})
	}
	return b.set, problems.join()
}

func validatePrefix(prefix string) error {
	named, err := parseReference(prefix + "/x")
	if err != nil || named.Name() != prefix+"/x" {
		return fmt.Errorf("--to %s: give a registry host and a path in lower case, without scheme, tag and digest, for example mirror.example.com/acme", prefix)
	}
	return nil
}

// destinationBelow is the destination of a source below a prefix.
func destinationBelow(prefix, source string) (string, error) {
	if prefix == "" {
		return "", fmt.Errorf("%s has no destination: give --to HOST/PATH, or write the destination after the source", source)
	}
	named, err := parseReference(source)
	if err != nil {
		return "", err
	}
	to, err := reference.ParseNormalizedNamed(prefix + "/" + reference.Path(named))
	if err != nil {
		return "", fmt.Errorf("%s below %s: %w", source, prefix, err)
	}
	return withTagOrDigest(to, named).String(), nil
}

// setBuilder collects images, each source and destination once.
type setBuilder struct {
	set  Set
	seen map[string]bool
}

func (b *setBuilder) add(image Image) {
	key := image.Source() + " " + image.Destination
	if b.seen[key] {
		return
	}
	if b.seen == nil {
		b.seen = map[string]bool{}
	}
	b.seen[key] = true
	// What is read or written by digest can be nothing else, wherever the other side has it.
	image.Digest = digestOf(image.Source())
	if image.Digest == "" {
		image.Digest = digestOf(image.Destination)
	}
	b.set.Images = append(b.set.Images, image)
}

// CollisionError is a destination to which two sources would write different images.
type CollisionError struct {
	Destination string
	// Sources are the two, each with where it is asked for and what it is.
	Sources [2]string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("%s and %s would both be written to %s: give one of them another destination, or take it off the list",
		e.Sources[0], e.Sources[1], e.Destination)
}

// MergeDestinations makes one image of those that share a destination, and refuses what cannot
// share it. digest asks what a source is now; it is only called where two sources by tag meet.
//
//	quay.io/acme/app@sha256:4c1c…, docker.io/acme/app@sha256:4c1c…   one image with two sources
//	quay.io/acme/app:v1, docker.io/acme/app:v1                       one image if both are the same now, else a *CollisionError
func (s *Set) MergeDestinations(digest func(source string) (string, error)) error {
	var settled []Image
	index := map[string]int{}
	var problems problemList
	for _, image := range s.Images {
		i, taken := index[image.Destination]
		if !taken {
			index[image.Destination] = len(settled)
			settled = append(settled, image)
			continue
		}
		merged, err := merge(settled[i], image, digest)
		if err != nil {
			problems.add("%w", err)
			continue
		}
		settled[i] = merged
	}
	s.Images = settled
	return problems.join()
}

func merge(first, second Image, digest func(string) (string, error)) (Image, error) {
	var described [2]string
	var digests [2]string
	for i, image := range []Image{first, second} {
		described[i] = fmt.Sprintf("%s (%s)", image.Source(), strings.Join(image.requestedAt, ", "))
		digests[i] = image.Digest
		if digests[i] == "" {
			var err error
			if digests[i], err = digest(image.Source()); err != nil {
				return Image{}, fmt.Errorf("%s goes to %s, as another source does, and whether they are the same image cannot be told: %w",
					described[i], image.Destination, err)
			}
			described[i] = fmt.Sprintf("%s (%s, now %s)", image.Source(), strings.Join(image.requestedAt, ", "),
				digests[i])
		}
	}
	if digests[0] != digests[1] {
		return Image{}, &CollisionError{Destination: first.Destination, Sources: described}
	}
	first.Digest = digests[0]
	first.Sources = slices.Concat(first.Sources, second.Sources)
	first.requestedAt = slices.Concat(first.requestedAt, second.requestedAt)
	return first, nil
}

// Targets are one repository for each registry host that something is written to, in the order of
// the images.
func (s *Set) Targets() []string {
	var out []string
	seen := map[string]bool{}
	for _, image := range s.Images {
		host, _, _ := strings.Cut(image.Destination, "/")
		if !image.verifyOnly && !seen[host] {
			seen[host] = true
			out = append(out, image.Repository())
		}
	}
	return out
}
