package payload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const releaseImage = "quay.io/ocp/release:4.20.1"

// document is an ImageStream with the tags.
func document(tags ...string) string {
	return `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"4.20.1","annotations":{"a":"b"}},"spec":{"lookupPolicy":{"local":false},"tags":[` +
		strings.Join(tags, ",") + `]},"status":{"dockerImageRepository":""}}`
}

func tag(name, kind, image string) string {
	return fmt.Sprintf(`{"name":%q,"annotations":{"io.openshift.build.commit.id":"0"},"from":{"kind":%q,"name":%q},"generation":2,"importPolicy":{},"referencePolicy":{"type":"Source"}}`, name, kind, image)
}

const digest = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"

func TestReadComponents(t *testing.T) {
	cli, router := tag("cli", "DockerImage", "quay.io/ocp/art"+digest),
		tag("haproxy-router", "DockerImage", "quay.io/ocp/router"+digest)
	both := []Component{{"cli", "quay.io/ocp/art" + digest}, {"haproxy-router", "quay.io/ocp/router" + digest}}
	const prefix = "release-manifests/image-references of release image " + releaseImage + ": "
	cases := map[string]struct {
		document string
		want     []Component
		problem  string
	}{
		"a release":           {document: document(cli, router), want: both},
		"in any order":        {document: document(router, cli), want: both},
		"one component twice": {document: document(router, cli, router), want: both},
		"tags of something else": {document: document(router, cli, tag("a", "ImageStreamTag", "b:c"),
			`{"name":"d"}`), want: both},
		"blanks around it": {document: "\n " + document(cli, router) + "\n", want: both},
		"not JSON": {document: "kind: ImageStream",
			problem: "it is not JSON of an ImageStream: invalid character 'k' looking for beginning of value"},
		"nothing": {problem: "it is not JSON of an ImageStream: EOF"},
		"cut off": {document: document(cli)[:80],
			problem: "it is not JSON of an ImageStream: unexpected EOF"},
		"more than one document": {document: document(cli) + "{}", problem: "something follows the ImageStream"},
		"another kind": {document: `{"kind":"List","apiVersion":"v1"}`,
			problem: `it is a "List" of "v1", not an ImageStream of image.openshift.io/v1`},
		"the kind of another group": {document: `{"kind":"ImageStream","apiVersion":"v1"}`,
			problem: `it is a "ImageStream" of "v1", not an ImageStream of image.openshift.io/v1`},
		"no component": {document: document(), problem: "it names no image"},
		"a component without a name": {document: document(tag("", "DockerImage", "quay.io/a/b")),
			problem: "spec.tags[0] has no name"},
		"a component without an image": {document: document(cli, tag("a", "DockerImage", "")),
			problem: `spec.tags[1] (a): "" is not an image reference: invalid reference format`},
		"two images for one component": {document: document(cli, tag("cli", "DockerImage", "quay.io/ocp/b"+digest)),
			problem: "component cli is listed with two images, quay.io/ocp/art" + digest + " and quay.io/ocp/b" +
				digest},
		"too many components": {document: document(strings.Split(strings.Repeat("{} ", maxComponents+1),
			" ")[:maxComponents+1]...), problem: "it has 5001 tags, more than the 5000 that are read"},
		"too large": {document: strings.Repeat(" ", maxBytes+1),
			problem: "it has 8388609 bytes, more than the 8388608 that a list of images may have"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			read := func(_ context.Context, image, path string) ([]byte, error) {
				if image != releaseImage || path != ImageReferences {
					return nil, fmt.Errorf("asked for %s of %s", path, image)
				}
				return []byte(c.document), nil
			}
			got, err := ReadComponents(context.Background(), read, releaseImage)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("components (-want +got):\n%s", diff)
			}
			if problem := errorText(err); problem != "" && problem != prefix+c.problem ||
				(c.problem == "") != (err == nil) {
				t.Errorf("error %q, want %q", problem, prefix+c.problem)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What the registry says reaches the caller, who may retry.
func TestReadError(t *testing.T) {
	denied := errors.New("unauthorized")
	_, err := ReadComponents(context.Background(),
		func(context.Context, string, string) ([]byte, error) { return nil, denied }, releaseImage)
	if !errors.Is(err, denied) || err.Error() != "reading release-manifests/image-references of release image "+
		releaseImage+": unauthorized" {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document(tag("cli", "DockerImage", "quay.io/ocp/art"+digest))))
	f.Add([]byte(`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","spec":{"tags":[{"from":null},null]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		if (err == nil) != (len(got) > 0) {
			t.Errorf("%d components, error %v", len(got), err)
		}
	})
}
