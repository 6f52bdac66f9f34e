package mirror

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/errs"
	"github.com/regclient/regclient/types/manifest"
	"github.com/regclient/regclient/types/mediatype"
	"github.com/regclient/regclient/types/platform"
)

// maxDepth is how deep indexes may nest. Real ones nest once, twice at most.
const maxDepth = 5

// tree is an image with everything beneath its top manifest, each part once however often it is
// named.
type tree struct {
	top       *manifestNode
	manifests map[digest.Digest]*manifestNode
	blobs     []blob
	platforms []string // "linux/arm64/v8", in the order of the index; empty when the top is no index

	knownBlobs     map[digest.Digest]bool // blobs seen so far
	platformFilter []string               // the platforms that are looked at; nil for all
}

// manifestNode is one manifest of a tree.
type manifestNode struct {
	desc     descriptor.Descriptor
	manifest manifest.Manifest
	children []*manifestNode
}

// part names a child: "child sha256:... (linux/arm64)".
func (n *manifestNode) part() string {
	name := "child " + n.desc.Digest.String()
	if n.desc.Platform != nil {
		name += " (" + platformName(n.desc.Platform) + ")"
	}
	return name
}

func platformName(p *platform.Platform) string {
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
}

// fetchFunc gets the manifest of a node.
type fetchFunc func(ctx context.Context, n *manifestNode) (manifest.Manifest, *Error)

// fetchChild gets a manifest that another one names, from the registry unless it was read before.
func (r *repository) fetchChild(ctx context.Context, n *manifestNode) (manifest.Manifest, *Error) {
	return r.cachedManifest(ctx, n.part(), r.ref.SetDigest(n.desc.Digest.String()), n.desc.Digest, n.descriptorSize())
}

// loadTree fetches every manifest beneath top, level by level. What an index names must be there:
// its absence is Incomplete, not Missing, since the top manifest has been served and a node will
// not look elsewhere any more. With only, what an index names for other platforms is left out.
func (r *repository) loadTree(ctx context.Context, top manifest.Manifest, platforms []string, get fetchFunc) (*tree,
	*Error) {
	root := &manifestNode{desc: top.GetDescriptor(), manifest: top}
	t := &tree{
		top: root, manifests: map[digest.Digest]*manifestNode{root.desc.Digest: root},
		knownBlobs: map[digest.Digest]bool{}, platformFilter: platforms,
	}
	level := []*manifestNode{root}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return nil, &Error{Class: Corrupt, Endpoint: r.endpoint, Part: level[0].part(), Err: errTooDeep{},
				noFallback: true}
		}
		var next []*manifestNode
		for _, n := range level {
			below, err := t.expand(n)
			if err != nil {
				return nil, &Error{Class: Corrupt, Endpoint: r.endpoint, Part: n.part(), Err: redact(err),
					noFallback: true}
			}
			next = append(next, below...)
		}
		failure := parallel(ctx, len(next), func(ctx context.Context, i int) (failure *Error) {
			n := next[i]
			n.manifest, failure = get(ctx, n)
			return failure
		})
		if failure != nil {
			return nil, belowTopManifest(failure)
		}
		level = next
	}
	t.platforms = platformsOf(root)
	return t, nil
}

type errTooDeep struct{}

func (errTooDeep) Error() string { return "indexes are nested too deeply" }

// descriptorSize is the manifest's size as its parent gives it, -1 when it gives none.
func (n *manifestNode) descriptorSize() int64 {
	if n.desc.Size > 0 {
		return n.desc.Size
	}
	return -1
}

// belowTopManifest says what a failure below a served top manifest means: a node has committed
// itself to this endpoint, so it is final, and what is not there makes the image incomplete.
func belowTopManifest(e *Error) *Error {
	e.noFallback = true
	if e.Class == Missing {
		e.Class = Incomplete
	}
	return e
}

// expand notes the blobs of a manifest and returns those of its children that were not seen before.
func (t *tree) expand(n *manifestNode) (fresh []*manifestNode, err error) {
	if image, ok := n.manifest.(manifest.Imager); ok {
		return nil, t.addBlobs(image)
	}
	index, ok := n.manifest.(manifest.Indexer)
	if !ok {
		return nil, errs.ErrUnsupportedMediaType
	}
	entries, err := index.GetManifestList()
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !isManifest(entry.MediaType) {
			t.addBlob(entry) // a build cache lists layers in an index
			continue
		}
		if len(t.platformFilter) > 0 && entry.Platform != nil && !matchesAny(entry.Platform, t.platformFilter) {
			continue
		}
		child, seen := t.manifests[entry.Digest]
		if !seen {
			child = &manifestNode{desc: entry}
			t.manifests[entry.Digest] = child
			fresh = append(fresh, child)
		}
		n.children = append(n.children, child)
	}
	return fresh, nil
}

func (t *tree) addBlobs(image manifest.Imager) error {
	config, err := image.GetConfig()
	if err == nil {
		t.addBlob(config)
	} else if !errors.Is(err, errs.ErrUnsupportedMediaType) { // docker schema 1 has no config blob
		return err
	}
	layers, err := image.GetLayers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		t.addBlob(layer)
	}
	return nil
}

// addBlob leaves out layers that live elsewhere by design (Windows base layers): nodes fetch them
// from their URLs.
func (t *tree) addBlob(d descriptor.Descriptor) {
	if len(d.URLs) > 0 || t.knownBlobs[d.Digest] {
		return
	}
	t.knownBlobs[d.Digest] = true
	size := d.Size
	if d.MediaType == "" && size == 0 {
		size = -1 // docker schema 1 lists digests only
	}
	t.blobs = append(t.blobs, blob{digest: d.Digest, size: size, mediaType: d.MediaType})
}

// isManifest tells manifests from blobs among the entries of an index. The type may be missing:
// then it is a manifest.
func isManifest(mediaType string) bool {
	switch mediaType {
	case "", mediatype.Docker1Manifest, mediatype.Docker1ManifestSigned, mediatype.Docker2Manifest,
		mediatype.Docker2ManifestList, mediatype.OCI1Manifest, mediatype.OCI1ManifestList, mediatype.OCI1Artifact:
		return true
	}
	return false
}

// platformsOf lists the platforms an index offers, nested indexes included; "unknown/unknown" marks
// build attestations.
func platformsOf(n *manifestNode) []string {
	var names []string
	for _, child := range n.children {
		if p := child.desc.Platform; p != nil && p.OS != "unknown" && !slices.Contains(names, platformName(p)) {
			names = append(names, platformName(p))
		}
		for _, name := range platformsOf(child) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// digests are those of all manifests of the tree, sorted.
func (t *tree) digests() []string {
	digests := make([]string, 0, len(t.manifests))
	for d := range t.manifests {
		digests = append(digests, d.String())
	}
	slices.Sort(digests)
	return digests
}

// missingPlatforms lists the wanted platforms that are not there.
func (t *tree) missingPlatforms(wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(want string) bool {
		return slices.ContainsFunc(t.platforms, func(have string) bool { return satisfies(have, want) })
	})
}

// satisfies tells whether one platform is another, or a variant of it: "linux/arm64/v8" satisfies
// "linux/arm64".
func satisfies(have, want string) bool { return have == want || strings.HasPrefix(have, want+"/") }

// matchesAny tells whether a platform is among those that are wanted.
func matchesAny(p *platform.Platform, wanted []string) bool {
	name := platformName(p)
	return slices.ContainsFunc(wanted, func(want string) bool { return satisfies(name, want) })
}

// levels orders the manifests so that each level only names manifests of the levels before it:
// registries refuse an index whose children are not there yet, and a reader must never see one.
func (t *tree) levels() [][]*manifestNode {
	var levels [][]*manifestNode
	height := map[*manifestNode]int{}
	for _, n := range t.childrenFirst() {
		h := 0
		for _, child := range n.children {
			h = max(h, height[child]+1)
		}
		height[n] = h
		if h == len(levels) {
			levels = append(levels, nil)
		}
		levels[h] = append(levels[h], n)
	}
	return levels
}

// childrenFirst orders the manifests so that each comes after everything it names.
func (t *tree) childrenFirst() []*manifestNode {
	var order []*manifestNode
	done := map[*manifestNode]bool{}
	var visit func(n *manifestNode)
	visit = func(n *manifestNode) {
		if done[n] {
			return
		}
		done[n] = true
		for _, child := range n.children {
			visit(child)
		}
		order = append(order, n)
	}
	visit(t.top)
	return order
}
