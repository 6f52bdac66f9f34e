package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

func TestCorpusHasTheSizeItSays(t *testing.T) {
	for name, want := range map[string]struct {
		images, layers int   // distinct layers at least
		bytes          int64 // of all distinct layers
	}{
		"A": {60, 60 + 3*6, 250e6},
		"B": {200, 200 + 3*4, 18e6},
	} {
		t.Run(name, func(t *testing.T) {
			list := specs(1, 1)[name].list()
			if len(list) != want.images {
				t.Errorf("%d images, want %d", len(list), want.images)
			}
			sizes := map[layer]int64{}
			for _, image := range list {
				for _, child := range image.children {
					for _, layer := range child.layers {
						sizes[layer] = layer.size
					}
				}
			}
			var sum int64
			for _, size := range sizes {
				sum += size
			}
			if off := sum - want.bytes; off < -want.bytes/1000 || off > want.bytes/1000 {
				t.Errorf("distinct layers come to %d bytes, want %d within a thousandth", sum, want.bytes)
			}
			if len(sizes) < want.layers {
				t.Errorf("%d distinct layers, want at least %d", len(sizes), want.layers)
			}
		})
	}
}

// The corpora share bases, and nothing else: an image of corpus A has the three layers of its base
// in common with 11 others.
func TestCorpusSharesBases(t *testing.T) {
	users := map[layer]int{}
	for _, image := range specs(1, 1)["A"].list() {
		for _, child := range image.children {
			for _, layer := range child.layers {
				users[layer]++
			}
		}
	}
	shared := map[int]int{}
	for _, n := range users {
		shared[n]++
	}
	own := len(users) - 3*6
	if diff := cmp.Diff(map[int]int{12: 3 * 6, 1: own}, shared); diff != "" {
		t.Errorf("layers by how many images have them (-want +got):\n%s", diff)
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	first, again, other := pushSmall(t, 7), pushSmall(t, 7), pushSmall(t, 8)
	if diff := cmp.Diff(first.digests, again.digests); diff != "" {
		t.Errorf("the same seed gives other images (-first +again):\n%s", diff)
	}
	if first.unique != again.unique || first.blobs != again.blobs {
		t.Errorf("the same seed gives %d bytes in %d blobs, and then %d in %d", first.unique, first.blobs, again.unique,
			again.blobs)
	}
	for repository, digest := range first.digests {
		if other.digests[repository] == digest {
			t.Errorf("another seed gives the same %s", repository)
		}
	}
}

// A run may count only if all of its images are there and right.
func TestCompleteFindsWhatIsMissing(t *testing.T) {
	host := newRegistry(t)
	spec := specs(7, 0.002)["A"]
	spec.images = 6
	c, err := newPusher(host).push(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	err = c.complete(context.Background(), host, prefix)
	if err == nil || !strings.HasPrefix(err.Error(), "6 of 6 images are missing or differ") {
		t.Errorf("nothing is below %s, but: %v", prefix, err)
	}
	// The same repositories with the images of another seed: the tags are there, the digests
	// differ.
	spec.seed++
	other, err := newPusher(host).push(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for i, repository := range c.repositories {
		c.repositories[i] = strings.TrimPrefix(repository, "corpus-a/")
		c.digests[c.repositories[i]] = c.digests[repository]
		other.digests[c.repositories[i]] = other.digests[repository]
	}
	if err := c.complete(context.Background(), host, "corpus-a"); err == nil {
		t.Error("images of another seed passed as these")
	}
	c.digests = other.digests
	if err := c.complete(context.Background(), host, "corpus-a"); err != nil {
		t.Errorf("all of it is there, but: %v", err)
	}
}

func TestLayerIsAnArchiveOfItsSize(t *testing.T) {
	l := layer{seed: 3, size: 70_001}
	read, write := io.Pipe()
	go func() { write.CloseWithError(l.writeGzip(write)) }()
	content, err := gzip.NewReader(read)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(content)
	if _, err := archive.Next(); err != nil {
		t.Fatal(err)
	}
	size := &counter{}
	if _, err := io.Copy(size, archive); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Next(); size.n != l.size || err != io.EOF {
		t.Errorf("a file of %d bytes and then %v, want %d and the end", size.n, err, l.size)
	}
}

func pushSmall(t *testing.T, seed uint64) *corpus {
	t.Helper()
	spec := specs(seed, 0.002)["A"]
	spec.images = 10
	c, err := newPusher(newRegistry(t)).push(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newRegistry(t *testing.T) string {
	t.Helper()
	handler := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		handler.Close()
	})
	return strings.TrimPrefix(server.URL, "http://")
}
