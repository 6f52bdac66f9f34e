package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/regclient/regclient/pkg/archive"
	"github.com/regclient/regclient/types/errs"
)

// tarball makes a layer of files: name, content, name, content ...
func tarball(t *testing.T, compression archive.CompressType, files ...string) content {
	t.Helper()
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for i := 0; i < len(files); i += 2 {
		header := tar.Header{Typeflag: tar.TypeReg, Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packed, err := archive.Compress(&raw, compression)
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	return newContent(layerType, all)
}

func TestReadFile(t *testing.T) {
	const path = "release-manifests/image-references"
	lower := tarball(t, archive.CompressGzip, path, "lower", "etc/hosts", "x")
	upper := tarball(t, archive.CompressZstd, path, "upper")
	other := tarball(t, archive.CompressNone, "etc/passwd", "y")
	removed := tarball(t, archive.CompressGzip, "release-manifests/.wh.image-references", "")
	emptied := tarball(t, archive.CompressGzip, "release-manifests/.wh..wh..opq", "")
	long := tarball(t, archive.CompressGzip, path, strings.Repeat("z", 101))
	build := func(layers ...content) image {
		img := singleArch("payload", "amd64", layers...)
		return withoutLast(t, img) // singleArch adds a layer that is no tarball
	}
	cases := map[string]struct {
		image image
		want  string
		class ErrorClass
		cause error
	}{
		"in the only layer":               {image: build(lower), want: "lower"},
		"the top layer wins":              {image: build(lower, upper), want: "upper"},
		"in a lower layer":                {image: build(lower, other), want: "lower"},
		"removed":                         {image: build(lower, removed), class: Missing, cause: errs.ErrFileDeleted},
		"the whole directory was emptied": {image: build(lower, emptied), class: Missing, cause: errs.ErrFileDeleted},
		"removed and made again":          {image: build(removed, upper), want: "upper"},
		"nowhere":                         {image: build(other), class: Missing, cause: errs.ErrFileNotFound},
		"larger than the limit":           {image: build(long), class: Corrupt},
		"of one platform": {image: indexOf(entry{build(other),
			object{"os": "linux", "architecture": "arm64"}}, entry{build(lower),
			object{"os": "linux", "architecture": "amd64"}}), want: "lower"},
		"of a platform that is not offered": {image: indexOf(entry{build(lower),
			object{"os": "linux", "architecture": "arm64"}}), class: Missing},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			empty, g := newTestRegistry(t), newTestRegistry(t)
			g.seed(t, "release", "v1", tc.image)
			refs := []string{empty.host + "/release:v1", g.host + "/release:v1"}
			got, err := newTestClient(plainHTTP()).ReadFile(context.Background(), refs, "linux/amd64", path, 100)
			if tc.class == "" {
				if err != nil || string(got) != tc.want {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			failure := asError(t, err)
			if failure.Class != tc.class || failure.Endpoint != refs[1] || tc.cause != nil &&
				!errors.Is(err, tc.cause) {
				t.Errorf("%v", err)
			}
		})
	}
}

// withoutLast leaves out the last layer.
func withoutLast(t *testing.T, img image) image {
	t.Helper()
	var m struct {
		SchemaVersion int      `json:"schemaVersion"`
		MediaType     string   `json:"mediaType"`
		Config        object   `json:"config"`
		Layers        []object `json:"layers"`
	}
	mustJSON(t, img.top.raw, &m)
	m.Layers = m.Layers[:len(m.Layers)-1]
	img.top = newContent(manifestType, toJSON(m))
	img.blobs = img.blobs[:len(img.blobs)-1]
	return img
}

func TestReadFileDoesNotTrustALayerOfAnotherDigest(t *testing.T) {
	const path = "release-manifests/image-references"
	g := newTestRegistry(t)
	layer, forged := tarball(t, archive.CompressNone, path, "true"), tarball(t, archive.CompressNone, path, "lies")
	img := withoutLast(t, singleArch("payload", "amd64", layer))
	g.seed(t, "release", "v1", img)
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, layer.digest) {
			return false
		}
		_, _ = w.Write(forged.raw)
		return true
	})
	for _, file := range []string{path, "somewhere/else"} {
		_, err := newTestClient(plainHTTP()).ReadFile(context.Background(), []string{g.host + "/release:v1"}, "",
			file, 100)
		assertError(t, err, wantError{Corrupt, g.host + "/release:v1", "blob " + layer.digest})
	}
}
