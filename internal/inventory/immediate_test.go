package inventory

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestImmediateConsumers: who reads the mirror sets from the API instead of waiting for a node, and
// what of it is a reference.
func TestImmediateConsumers(t *testing.T) {
	stream := func(name, spec, status string) client.Object {
		return manifest(imageStreamKind, name, "{spec: {tags: ["+spec+"]}, status: {tags: ["+status+"]}}")
	}
	node := stream("node", "{name: '20', from: {kind: DockerImage, name: 'quay.io/acme/node:20'}}",
		"{tag: '20', items: [{dockerImageReference: 'quay.io/acme/node@sha256:22'}, {dockerImageReference: 'quay.io/acme/node@sha256:11'}]}")
	cases := map[string]struct {
		objects                 []client.Object
		want, refs, unreadCases []string
	}{
		"an import": {
			objects: []client.Object{node},
			want:    []string{"image import of ImageStream shop/node: [quay.io/acme/node:20]"},
			refs: []string{"quay.io/acme/node:20 Advisory: ImageStream shop/node",
				"quay.io/acme/node@sha256:22 Advisory: ImageStream shop/node"},
		},
		"a scheduled import, and one that pods get through the integrated registry": {
			objects: []client.Object{stream("node",
				"{name: a, importPolicy: {scheduled: true}, from: {kind: DockerImage, name: 'quay.io/acme/node:a'}}, {name: b, referencePolicy: {type: Local}, from: {kind: DockerImage, name: 'quay.io/acme/node:b'}}", "")},
			want: []string{
				"image import of ImageStream shop/node: [quay.io/acme/node:b]",
				"pull-through of the integrated registry of ImageStream shop/node: [quay.io/acme/node:b]",
				"scheduled image import of ImageStream shop/node: [quay.io/acme/node:a]",
			},
			refs: []string{"quay.io/acme/node:a Advisory: ImageStream shop/node",
				"quay.io/acme/node:b Advisory: ImageStream shop/node"},
		},
		"tags that are pushed, or that follow another": {
			objects: []client.Object{stream("node",
				"{name: a, from: {kind: ImageStreamTag, name: 'other:a'}}, {name: c}",
				"{tag: b, items: [{dockerImageReference: 'registry.local/shop/node@sha256:12'}]}")},
		},
		"a build on an image": {
			objects: []client.Object{manifest(buildConfigKind, "app",
				"spec: {strategy: {sourceStrategy: {from: {kind: DockerImage, name: 'quay.io/acme/s2i:1'}}}, source: {images: [{from: {kind: DockerImage, name: 'quay.io/acme/data:1'}}]}}")},
			want: []string{"build of BuildConfig shop/app: [quay.io/acme/data:1 quay.io/acme/s2i:1]"},
			refs: []string{"quay.io/acme/data:1 Advisory: BuildConfig shop/app",
				"quay.io/acme/s2i:1 Advisory: BuildConfig shop/app"},
		},
		"a build on an ImageStream tag": {
			objects: []client.Object{node,
				manifest(buildConfigKind, "app",
					"spec: {strategy: {customStrategy: {from: {kind: ImageStreamTag, name: 'node:20'}}}}"),
				manifest(buildConfigKind, "other",
					"spec: {strategy: {customStrategy: {from: {kind: ImageStreamTag, namespace: elsewhere, name: 'node:20'}}}}")},
			want: []string{"build of BuildConfig shop/app: [quay.io/acme/node@sha256:22]",
				"build of BuildConfig shop/other: []", "image import of ImageStream shop/node: [quay.io/acme/node:20]"},
			refs: []string{"quay.io/acme/node:20 Advisory: ImageStream shop/node",
				"quay.io/acme/node@sha256:22 Advisory: BuildConfig shop/app and 1 more"},
		},
		"a Dockerfile in the build": {
			objects: []client.Object{manifest(buildConfigKind, "app",
				`spec: {strategy: {dockerStrategy: {}}, source: {dockerfile: "FROM --platform=linux/amd64 quay.io/acme/go:1 AS build\nRUN make\nfrom scratch\nFROM build\nFROM ${BASE}\nFROM\nFROM --platform=x\nFROM quay.io/acme/run:1\n"}}`)},
			want: []string{"build of BuildConfig shop/app: [quay.io/acme/go:1 quay.io/acme/run:1]"},
			refs: []string{"quay.io/acme/go:1 Advisory: BuildConfig shop/app",
				"quay.io/acme/run:1 Advisory: BuildConfig shop/app"},
		},
		"Dockerfiles elsewhere": {
			objects: []client.Object{
				manifest(buildConfigKind, "b",
					"spec: {strategy: {dockerStrategy: {}}, source: {git: {uri: 'https://git.acme.example/b'}}}"),
				manifest(buildConfigKind, "a", "spec: {strategy: {dockerStrategy: {}}}"),
			},
			want:        []string{"build of BuildConfig shop/a: []", "build of BuildConfig shop/b: []"},
			unreadCases: []string{"2 builds take their base images from a Dockerfile in their source repository, the first is BuildConfig shop/a"},
		},
		"a build in progress, and one that has ended": {
			objects: []client.Object{
				manifest(buildKind, "app-2", "{spec: {strategy: {sourceStrategy: {from: {kind: DockerImage, name: 'quay.io/acme/s2i:1'}}}}, status: {phase: Running}}"),
				manifest(buildKind, "app-1", "{spec: {strategy: {sourceStrategy: {from: {kind: DockerImage, name: 'quay.io/acme/s2i:0'}}}}, status: {phase: Complete}}"),
			},
			want: []string{"build of Build shop/app-2: [quay.io/acme/s2i:1]"},
			refs: []string{"quay.io/acme/s2i:1 Advisory: Build shop/app-2"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			expect(t, c.objects, Options{}, c.refs, c.unreadCases)
			var got []string
			for _, i := range (testCluster{objects: c.objects}).read(t, Options{}).ImmediateConsumers {
				got = append(got, fmt.Sprintf("%s of %s: %v", i.By, i.Owner, i.Images))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("immediate (-want +got):\n%s", diff)
			}
		})
	}
}
