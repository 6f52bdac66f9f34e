package scenario

import (
	"context"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// firstWorker is the node that the MCO takes first in the worker pool: it is the oldest.
const firstWorker = "worker-1"

// Variant is how a scenario is staged.
type Variant int

// The variants.
const (
	Raw  Variant = iota // as a user does it today: deadlocks
	Twin                // looks alike, and is healthy: must not deadlock
	Safe                // carried by a SafeMirrorRollout
)

// Scenario is one way into the deadlock.
type Scenario struct {
	ID    string
	Title string
	// Stage prepares the cluster.
	Stage func(ctx context.Context, c *Cluster, v Variant) error
	// Tags and Digests are the mirror sets that the user wants.
	Tags, Digests []v1alpha1.ImageMirrors
	// During runs beside the plain apply, for interleavings that need a script.
	During func(ctx context.Context, c *Cluster) error
	// Protected is the Deployment, and the PodDisruptionBudget of the same name, that gets stuck.
	ProtectedNamespace, Protected string
	// Waiting is what its stuck pod waits for: an image (ImagePullBackOff) or a node
	// (Unschedulable).
	Waiting string
	// Refused is set when the spec itself cannot work: part of the message that says so, and what
	// the user then adds.
	Refused string
	Amend   func(spec *v1alpha1.SafeMirrorRolloutSpec)
	// Proof is checked after the safe rollout.
	Proof func(ctx context.Context, c *Cluster) error
}

// mirrored redirects a path of the source's host to the same path of the mirror's.
func mirrored(path string, policy v1alpha1.MirrorSourcePolicy) v1alpha1.ImageMirrors {
	return v1alpha1.ImageMirrors{Source: SourceHost + path, Mirrors: []string{MirrorHost + path},
		MirrorSourcePolicy: policy}
}

// Waiting reasons.
const (
	ImagePullBackOff = "ImagePullBackOff"
	Unschedulable    = "Unschedulable"
)

const routerTag = SourceHost + "/acme/router:v1"

// All are the scenarios, in order.
func All() []Scenario {
	return []Scenario{emptyMirror(), digestBlocked(), damagedMirror(), shadowed(), twoPools()}
}

func router() (namespace, name string) { return ingressNamespace, "router-default" }

// emptyMirror: (a) the router is referenced by tag, the source is never contacted, and the mirror
// lacks the image.
func emptyMirror() Scenario {
	s := Scenario{
		ID: "a", Title: "tag-referenced router, NeverContactSource, empty mirror",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
	}
	s.ProtectedNamespace, s.Protected = router()
	s.Stage = func(ctx context.Context, c *Cluster, v Variant) error {
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/router:v1", lab.Image{Seed: sourceSeed}); err != nil {
			return err
		}
		if v == Twin { // the same image is on the mirror
			if _, err := c.Lab.Registry(MirrorHost).Push(ctx, "acme/router:v1",
				lab.Image{Seed: sourceSeed}); err != nil {
				return err
			}
		}
		if v == Safe {
			if err := c.pushBaseImage(ctx, firstWorker); err != nil {
				return err
			}
		}
		return c.Router(ctx, routerTag, 3, firstWorker)
	}
	return s
}

// digestBlocked: (b) the router is referenced by digest, and NeverContactSource blocks the source
// for digests too.
func digestBlocked() Scenario {
	s := Scenario{
		ID: "b", Title: "digest-referenced router, NeverContactSource without digest mirrors",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
		Refused: "imageDigestMirrors",
		Amend: func(spec *v1alpha1.SafeMirrorRolloutSpec) {
			spec.ImageDigestMirrors = []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}
		},
	}
	s.ProtectedNamespace, s.Protected = router()
	s.Stage = func(ctx context.Context, c *Cluster, v Variant) error {
		digest, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/router:v1", lab.Image{})
		if err != nil {
			return err
		}
		image := SourceHost + "/acme/router@" + digest
		if err := c.Router(ctx, image, 3, firstWorker); err != nil {
			return err
		}
		if v == Twin { // the node where the replacement lands has it
			return c.Cache(ctx, firstWorker, image)
		}
		return nil
	}
	return s
}

// damagedMirror: (c) the source may be contacted, and the mirror has the index but lacks a layer:
// no node falls back after the manifest.
func damagedMirror() Scenario {
	s := Scenario{
		ID: "c", Title: "AllowContactingSource, the mirror has the index and lacks a layer",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.AllowContactingSource)}, Waiting: ImagePullBackOff,
	}
	s.ProtectedNamespace, s.Protected = router()
	s.Stage = func(ctx context.Context, c *Cluster, v Variant) error {
		for _, host := range []string{SourceHost, MirrorHost} {
			if _, err := c.Lab.Registry(host).Push(ctx, "acme/router:v1", lab.Image{Seed: sourceSeed}); err != nil {
				return err
			}
		}
		if v != Twin {
			if err := removeLastLayer(ctx, c.Lab.Registry(MirrorHost), "acme/router", "v1"); err != nil {
				return err
			}
		}
		return c.Router(ctx, routerTag, 3, firstWorker)
	}
	s.Proof = func(ctx context.Context, c *Cluster) error {
		return checkComplete(ctx, c.Lab.Registry(MirrorHost), "acme/router", "v1")
	}
	return s
}

// sourceSeed makes the source's and the mirror's image the same.
const sourceSeed = "router"

// platform is that of the lab's nodes.
const platform = "linux/amd64"

// blobs are those of the image that the nodes need.
func blobs(ctx context.Context, r *lab.Registry, repository, tag string) ([]string, error) {
	children, err := r.Children(ctx, repository+":"+tag)
	if err != nil {
		return nil, err
	}
	return r.Blobs(ctx, repository+"@"+children[platform])
}

// removeLastLayer takes the last layer out of the image.
func removeLastLayer(ctx context.Context, r *lab.Registry, repository, tag string) error {
	all, err := blobs(ctx, r, repository, tag)
	if err != nil {
		return err
	}
	return r.DeleteBlob(repository, all[len(all)-1])
}

// checkComplete tells whether the registry serves every blob of the image.
func checkComplete(ctx context.Context, r *lab.Registry, repository, tag string) error {
	all, err := blobs(ctx, r, repository, tag)
	if err != nil {
		return err
	}
	for _, blob := range all {
		ok, err := r.HasBlob(ctx, repository, blob)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s:%s still lacks blob %s", repository, tag, blob)
		}
	}
	return nil
}

// shadowed: (d) the source is unreachable and digest mirrors serve it. A tag mirror for a narrower
// scope takes that scope away from them.
func shadowed() Scenario {
	const scope = SourceHost + "/acme/edge"
	s := Scenario{
		ID: "d", Title: "a tag mirror set shadows a digest mirror set, source unreachable",
		Tags:    []v1alpha1.ImageMirrors{mirrored("/acme/edge", v1alpha1.AllowContactingSource)},
		Waiting: ImagePullBackOff,
		Refused: "imageDigestMirrors",
		Amend: func(spec *v1alpha1.SafeMirrorRolloutSpec) {
			spec.ImageDigestMirrors = []v1alpha1.ImageMirrors{mirrored("/acme/edge", v1alpha1.AllowContactingSource)}
		},
	}
	s.ProtectedNamespace, s.Protected = router()
	s.Stage = func(ctx context.Context, c *Cluster, v Variant) error {
		digest, err := c.Lab.Registry(MirrorHost).Push(ctx, "acme/edge/router:v1", lab.Image{})
		if err != nil {
			return err
		}
		c.Lab.Wire().Cut(SourceHost)
		since, err := c.Rendered(ctx)
		if err != nil {
			return err
		}
		existing := &configv1.ImageDigestMirrorSet{
			ObjectMeta: metav1.ObjectMeta{Name: "existing"},
			Spec: configv1.ImageDigestMirrorSetSpec{ImageDigestMirrors: []configv1.ImageDigestMirrors{
				{Source: SourceHost + "/acme", Mirrors: []configv1.ImageMirror{MirrorHost + "/acme"}},
			}},
		}
		if err := c.create(ctx, existing); err != nil {
			return err
		}
		if err := c.WaitUpdated(ctx, since, stageTimeout); err != nil {
			return err
		}
		image := scope + "/router@" + digest
		if err := c.Router(ctx, image, 3, firstWorker); err != nil {
			return err
		}
		if v == Twin {
			return c.Cache(ctx, firstWorker, image)
		}
		return nil
	}
	return s
}

// twoPools: (e) two nodes in two pools, and two applications that need both nodes. The pools drain
// at the same time, each node keeps the pod that the other's drain is not allowed to evict, and
// both wait for ever.
func twoPools() Scenario {
	s := Scenario{
		ID: "e", Title: "two pools, two workers, two protected applications",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: Unschedulable,
		ProtectedNamespace: appNamespace, Protected: "cart",
	}
	s.Stage = stageTwoPools
	s.During = restoreReadiness
	return s
}

// Apply creates the mirror sets plainly, as a user does today: digest mirrors first.
func (s Scenario) Apply(ctx context.Context, c *Cluster) error {
	if len(s.Digests) > 0 {
		set := &configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "plain"}}
		for _, m := range s.Digests {
			set.Spec.ImageDigestMirrors = append(set.Spec.ImageDigestMirrors, configv1.ImageDigestMirrors{
				Source: m.Source, Mirrors: mirrors(m),
				MirrorSourcePolicy: configv1.MirrorSourcePolicy(m.MirrorSourcePolicy)})
		}
		if err := c.Client.Create(ctx, set); err != nil {
			return err
		}
	}
	set := &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "plain"}}
	for _, m := range s.Tags {
		set.Spec.ImageTagMirrors = append(set.Spec.ImageTagMirrors, configv1.ImageTagMirrors{
			Source: m.Source, Mirrors: mirrors(m),
			MirrorSourcePolicy: configv1.MirrorSourcePolicy(m.MirrorSourcePolicy)})
	}
	return c.Client.Create(ctx, set)
}

func mirrors(m v1alpha1.ImageMirrors) []configv1.ImageMirror {
	var out []configv1.ImageMirror
	for _, s := range m.Mirrors {
		out = append(out, configv1.ImageMirror(s))
	}
	return out
}

// Rollout is the same wish as a SafeMirrorRollout.
func (s Scenario) Rollout() *v1alpha1.SafeMirrorRollout {
	return &v1alpha1.SafeMirrorRollout{
		ObjectMeta: metav1.ObjectMeta{Name: "scenario-" + s.ID},
		Spec:       v1alpha1.SafeMirrorRolloutSpec{ImageTagMirrors: s.Tags, ImageDigestMirrors: s.Digests},
	}
}

// podsOf lists the pods of the protected Deployment.
func (s Scenario) podsOf(ctx context.Context, c *Cluster) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := c.Client.List(ctx, &list, client.InNamespace(s.ProtectedNamespace)); err != nil {
		return nil, err
	}
	var out []corev1.Pod
	for _, p := range list.Items {
		if len(p.Name) > len(s.Protected) && p.Name[:len(s.Protected)+1] == s.Protected+"-" {
			out = append(out, p)
		}
	}
	return out, nil
}
