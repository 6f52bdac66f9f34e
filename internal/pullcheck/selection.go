package pullcheck

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Image is an image at a mirror that nodes are going to pull.
type Image struct {
	// Reference is the mirror reference by digest: mirror.example.com/acme/shop@sha256:... It must
	// be one that the nodes' present configuration pulls from that very place: no mirror set may
	// have mirrors for the mirror.
	Reference string
	// Bytes is what a node downloads for it at most; 0 when that is not known, and then it is never
	// probed.
	Bytes int64
	// Critical is true when a drain cannot end without it.
	Critical bool
	// Platforms are those of an index, such as linux/arm64; empty for a single image, which is
	// taken to suit every node.
	Platforms []string
}

// scope is the part of a mirror that one credential, CA and network path usually cover: the host
// and the first component of the path. mirror.example.com:5000/acme/shop/web@sha256:... is in
// mirror.example.com:5000/acme.
func (i Image) scope() string {
	name, _, _ := strings.Cut(i.Reference, "@")
	parts := strings.SplitN(name, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func (i Image) digest() string {
	_, digest, _ := strings.Cut(i.Reference, "@")
	return digest
}

func (i Image) runsOn(architecture string) bool {
	if len(i.Platforms) == 0 {
		return true
	}
	return slices.ContainsFunc(i.Platforms, func(p string) bool {
		return p == "linux/"+architecture || strings.HasPrefix(p, "linux/"+architecture+"/")
	})
}

// Check is one image that one node is to pull.
type Check struct {
	// Name of the pod: the same for the same rollout, node and image, so that a restart finds it
	// again.
	Name        string
	Group       NodeGroup
	Node        string
	Tolerations []corev1.Toleration
	Image       string
	Bytes       int64
	// Scope is what the probe stands for. A probe of a critical image stands for that image only.
	Scope    string
	Critical bool

	// What follows is for a canary only; see Canaries.

	// Config is the rendered MachineConfig under which the node is to pull. A proof is one for that
	// configuration alone.
	Config string
	// Endpoint is where the node is expected to find it, for messages.
	Endpoint string
	// ImageAbsent is true when the node surely did not have the image when the pod was made: then
	// the pull has shown its layers too.
	ImageAbsent bool
	// NodeSpecific is true when the image is to be on this very node, and not only be shown by one
	// of its kind; see Preloads.
	NodeSpecific bool
}

// SelectChecks takes a sample of the images for each target: of every scope one image, a critical
// one if there is one that leaves the other scopes their share, and else the smallest; those with
// critical ones first; then every other critical image, smallest first, for as long as there are
// bytes, pods and room. What finds no place is a Gap. Images that the node has already come last in
// their scope: a pull of those downloads no layers.
func SelectChecks(rollout string, images []Image, targets []SelectedNode, limits Limits) ([]Check, []SkippedNode) {
	var checks []Check
	var skipped []SkippedNode
	for _, t := range targets {
		r := nodeSelection{rollout: rollout, target: t, limits: limits}
		r.selectImages(images)
		checks, skipped = append(checks, r.checks...), append(skipped, r.skipped...)
	}
	return checks, skipped
}

// nodeSelection is what one node pulls.
type nodeSelection struct {
	rollout string
	target  SelectedNode
	limits  Limits
	bytes   int64
	checks  []Check
	skipped []SkippedNode
}

func (r *nodeSelection) selectImages(images []Image) {
	all := r.usable(images)
	scopes := map[string][]Image{}
	for _, i := range all {
		scopes[i.scope()] = append(scopes[i.scope()], i)
	}
	var samples []Image
	for _, scope := range slices.Sorted(maps.Keys(scopes)) {
		samples = append(samples, r.sample(scopes[scope], int64(len(scopes))))
		if cloudRegistry(scope) {
			r.skip(scope, "whether nodes have credentials there cannot be proven by a pod: the kubelet gives its cloud identity to pods that name "+
				"this registry, and not to pulls that are redirected to it; put them into the cluster's global pull secret")
		}
	}
	slices.SortStableFunc(samples, func(a, b Image) int {
		return cmp.Or(compareBools(!a.Critical, !b.Critical), cmp.Compare(a.Bytes, b.Bytes))
	})
	for _, i := range samples {
		r.add(i, i.scope())
	}
	for _, i := range all {
		taken := slices.ContainsFunc(r.checks, func(p Check) bool { return p.Image == i.Reference })
		if i.Critical && !taken {
			r.add(i, i.Reference)
		}
	}
}

// sample is the image that stands for its scope. A critical one that the node does not have stands
// for two things at once; it may take no more than an equal share of the bytes from the other
// scopes.
func (r *nodeSelection) sample(images []Image, scopes int64) Image {
	for _, i := range images {
		if i.Critical && !r.has(i) && i.Bytes <= r.limits.BytesPerNode/scopes {
			return i
		}
	}
	return images[0]
}

// usable are the images that the node can be asked to pull, each once: fresh before present, then
// by size.
func (r *nodeSelection) usable(images []Image) []Image {
	distinct := map[string]Image{}
	for _, i := range images {
		known, ok := distinct[i.Reference]
		if ok {
			i.Bytes, i.Critical = max(i.Bytes, known.Bytes), i.Critical || known.Critical
			if len(known.Platforms) > len(i.Platforms) {
				i.Platforms = known.Platforms
			}
		}
		distinct[i.Reference] = i
	}
	var out []Image
	for _, i := range slices.SortedFunc(maps.Values(distinct),
		func(a, b Image) int { return cmp.Compare(a.Reference, b.Reference) }) {
		switch {
		case i.digest() == "":
			r.skip(i.Reference, "it is not a reference by digest")
		case !i.runsOn(r.target.Group.Architecture):
		case i.Bytes <= 0:
			r.skip(i.Reference, "its size is not known")
		default:
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b Image) int {
		return cmp.Or(compareBools(r.has(a), r.has(b)), cmp.Compare(a.Bytes, b.Bytes))
	})
	return out
}

func (r *nodeSelection) has(i Image) bool {
	_, ok := slices.BinarySearch(r.target.PresentDigests, i.digest())
	return ok
}

// add adds a probe if it fits.
func (r *nodeSelection) add(i Image, subject string) {
	switch {
	case len(r.checks) >= r.limits.PodsPerNode:
		r.skip(subject, fmt.Sprintf("node %s pulls at most %d images for probes", r.target.Node, r.limits.PodsPerNode))
	case i.Bytes > r.limits.BytesPerNode-r.bytes:
		r.skip(subject, fmt.Sprintf("node %s downloads at most %s for probes, and %s with %s is more than what is left of it", r.target.Node,
			formatBytes(r.limits.BytesPerNode), path.Base(i.Reference), formatBytes(i.Bytes)))
	case r.bytes+i.Bytes > r.target.FreeBytes/unpackFactor:
		r.skip(subject, fmt.Sprintf("node %s has room for %s beside its headroom, and unpacked that is not enough",
			r.target.Node, formatBytes(r.target.FreeBytes)))
	default:
		r.bytes += i.Bytes
		r.checks = append(r.checks, Check{
			Name: podName(r.rollout, r.target.Node, i.Reference), Group: r.target.Group, Node: r.target.Node,
			Tolerations: r.target.Tolerations,
			Image:       i.Reference, Bytes: i.Bytes, Scope: i.scope(), Critical: i.Critical,
		})
	}
}

func (r *nodeSelection) skip(subject, reason string) {
	r.skipped = append(r.skipped, SkippedNode{Group: r.target.Group, Subject: subject, Reason: reason})
}

func podName(rollout, node, image string) string {
	sum := sha256.Sum256([]byte(rollout + "\n" + node + "\n" + image))
	return "safe-mirror-probe-" + hex.EncodeToString(sum[:10])
}

// cloudRegistries are the patterns of the credential providers that the MCO's templates configure
// on AWS, Azure and Google Cloud
// (templates/common/*/files/etc-kubernetes-credential-providers-*.yaml). As there, * stands for one
// part of a host name.
var cloudRegistries = []string{
	"*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "*.dkr.ecr-fips.*.amazonaws.com",
	"*.dkr.ecr.us-iso-east-1.c2s.ic.gov", "*.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
	"*.azurecr.io", "*.azurecr.cn", "*.azurecr.de", "*.azurecr.us",
	"gcr.io", "*.gcr.io", "*.pkg.dev", "container.cloud.google.com",
}

func cloudRegistry(scope string) bool {
	host, _, _ := strings.Cut(scope, "/")
	parts := strings.ReplaceAll(host, ".", "/") // path.Match keeps * within one part
	return slices.ContainsFunc(cloudRegistries, func(pattern string) bool {
		ok, err := path.Match(strings.ReplaceAll(pattern, ".", "/"), parts)
		return err == nil && ok
	})
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
