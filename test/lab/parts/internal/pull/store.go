package pull

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/containers/image/v5/docker/reference"
	"github.com/opencontainers/go-digest"
)

// Image is one stored image. As in containers-storage it is identified by its config, so
// two names with the same content are one image with two names.
type Image struct {
	ID      string                  `json:"id"`      // digest of the config
	Names   []string                `json:"names"`   // with tag or digest, always with a registry
	Digests []digest.Digest         `json:"digests"` // of the manifest, and of the index it was chosen from
	Blobs   map[digest.Digest]int64 `json:"blobs"`   // config and layers, with sizes
}

// Size is the sum of the image's blobs.
func (i Image) Size() int64 {
	var sum int64
	for _, size := range i.Blobs {
		sum += size
	}
	return sum
}

// RepoDigests combines each repository that the image has a name in with each of its digests,
// sorted, as CRI-O does. A pod's imageID is the first one, which may be a combination that no
// registry ever had. For example, quay.io/a:v1 and m.example/b:v1 with the same content make
// both pods report m.example/b@sha256:….
func (i Image) RepoDigests() []string {
	var all []string
	for _, name := range i.Names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue
		}
		for _, d := range i.Digests {
			if canonical, err := reference.WithDigest(reference.TrimNamed(named), d); err == nil {
				all = append(all, canonical.String())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// store is the image store of one node, kept in a file so that it survives a restart of the lab.
type store struct {
	path string

	mu     sync.Mutex
	images []Image
}

func openStore(path string) (*store, error) {
	s := &store{path: path}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the image store: %w", err)
	}
	if err := json.Unmarshal(content, &s.images); err != nil {
		return nil, fmt.Errorf("reading the image store %s: %w", path, err)
	}
	return s, nil
}

// find looks an image up by name, without asking any registry. A digest is also found under another
// name of the same repository: after a pull of quay.io/a:v1, quay.io/a@sha256:… is present. The
// reverse does not hold: a pull by digest makes no tag.
func (s *store) find(ref reference.Named) (Image, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, image := range s.images {
		if slices.Contains(image.Names, ref.String()) {
			return image, true
		}
	}
	digested, ok := ref.(reference.Digested)
	if !ok {
		return Image{}, false
	}
	for _, image := range s.images {
		if slices.Contains(image.Digests, digested.Digest()) && image.in(ref.Name()) {
			return image, true
		}
	}
	return Image{}, false
}

func (i Image) in(repository string) bool {
	return slices.ContainsFunc(i.Names, func(name string) bool {
		named, err := reference.ParseNormalizedNamed(name)
		return err == nil && named.Name() == repository
	})
}

// blob returns the size of a blob that some stored image has.
func (s *store) blob(d digest.Digest) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, image := range s.images {
		if size, ok := image.Blobs[d]; ok {
			return size, true
		}
	}
	return 0, false
}

// add stores an image and moves the name to it, if another image had it: a tag that was pushed
// again.
func (s *store) add(added Image) (Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.images {
		s.images[i].Names = slices.DeleteFunc(s.images[i].Names, func(name string) bool {
			return slices.Contains(added.Names, name)
		})
	}
	at := slices.IndexFunc(s.images, func(image Image) bool { return image.ID == added.ID })
	if at < 0 {
		s.images = append(s.images, added)
	} else {
		s.images[at].Names = append(s.images[at].Names, added.Names...)
		s.images[at].Digests = union(s.images[at].Digests, added.Digests)
		added = s.images[at]
	}
	return added, s.save()
}

func (s *store) list() []Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.images)
}

func (s *store) save() error {
	content, err := json.MarshalIndent(s.images, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".new", content, 0o644); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}

func union(have, more []digest.Digest) []digest.Digest {
	for _, d := range more {
		if !slices.Contains(have, d) {
			have = append(have, d)
		}
	}
	return have
}
