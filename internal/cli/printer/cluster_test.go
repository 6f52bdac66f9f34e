package printer

import (
	"context"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

const (
	sha   = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	never = v1alpha1.NeverContactSource
)

// builder makes a cluster, and what is wished for it.
type builder struct {
	change  preview.ProposedChange
	objects []client.Object
	image   *configv1.Image
	// partial is true for files that lack the pods and the ClusterVersion.
	partial bool
}

func spec() *builder {
	b := &builder{image: &configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}}}
	b.change.Rollout = &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	return b
}

func item(source string, policy v1alpha1.MirrorSourcePolicy, mirrors ...string) v1alpha1.ImageMirrors {
	return v1alpha1.ImageMirrors{Source: source, Mirrors: mirrors, MirrorSourcePolicy: policy}
}

func (b *builder) tags(items ...v1alpha1.ImageMirrors) *builder {
	b.change.Rollout.Spec.ImageTagMirrors = append(b.change.Rollout.Spec.ImageTagMirrors, items...)
	return b
}

func (b *builder) digests(items ...v1alpha1.ImageMirrors) *builder {
	b.change.Rollout.Spec.ImageDigestMirrors = append(b.change.Rollout.Spec.ImageDigestMirrors, items...)
	return b
}

// withObjects puts objects into the cluster.
func (b *builder) withObjects(objects ...client.Object) *builder {
	b.objects = append(b.objects, objects...)
	return b
}

// withImages adds a Deployment of each image, with a pod of it on worker-0.
func (b *builder) withImages(images ...string) *builder {
	for i, image := range images {
		name := "app-" + string(rune('a'+i+len(b.objects)))
		spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}
		on := spec
		on.NodeName = "worker-0"
		b.withObjects(
			&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
				Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}}},
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name + "-1"}, Spec: on,
				Status: corev1.PodStatus{Phase: corev1.PodRunning}},
		)
	}
	return b
}

func tagSet(name, source string, mirrors ...configv1.ImageMirror) *configv1.ImageTagMirrorSet {
	return &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: configv1.ImageTagMirrorSetSpec{
		ImageTagMirrors: []configv1.ImageTagMirrors{{Source: source, Mirrors: mirrors}}}}
}

func digestSet(name, source string, mirrors ...configv1.ImageMirror) *configv1.ImageDigestMirrorSet {
	return &configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: configv1.ImageDigestMirrorSetSpec{
			ImageDigestMirrors: []configv1.ImageDigestMirrors{{Source: source, Mirrors: mirrors}}}}
}

// rendered is what the nodes run: the MCO has brought the mirror sets of the cluster to them.
func (b *builder) rendered(t *testing.T) client.Object {
	t.Helper()
	sets := registriesconf.Sets{Image: b.image}
	for _, o := range b.objects {
		switch o := o.(type) {
		case *configv1.ImageTagMirrorSet:
			sets.ITMSs = append(sets.ITMSs, *o)
		case *configv1.ImageDigestMirrorSet:
			sets.IDMSs = append(sets.IDMSs, *o)
		}
	}
	text, err := registriesconf.Render([]byte(minicluster.BaseRegistriesConf), sets)
	if err != nil {
		t.Fatal(err)
	}
	return minicluster.MachineConfig(minicluster.FirstRendered("worker"), minicluster.RegistriesFile(string(text)))
}

// preview looks at the cluster.
func (b *builder) preview(t *testing.T) *preview.Preview {
	t.Helper()
	objects := []client.Object{b.image, b.rendered(t)}
	for _, o := range minicluster.Objects("worker-0", "worker-1") {
		if _, image := o.(*configv1.Image); !image && o.GetName() != minicluster.FirstRendered("worker") {
			objects = append(objects, o)
		}
	}
	c := minicluster.Client(interceptor.Funcs{}, append(objects, b.objects...)...)
	source := preview.Source{
		Reader: c, Scheme: minicluster.Scheme(), Discovery: prediction.DiscoveryFrom(minicluster.Mapper()),
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	if b.partial {
		source.Reader, source.Partial = partial{c}, true
		source.Discovery = prediction.DiscoveryFrom(minicluster.Mapper("MachineConfiguration", "ClusterVersion", "Pod"))
	}
	f, err := preview.Compute(context.Background(), source, b.change)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// partial is a directory without ClusterVersion and pods.
type partial struct{ client.Reader }

func (p partial) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, ok := o.(*configv1.ClusterVersion); ok {
		return &meta.NoKindMatchError{GroupKind: configv1.GroupVersion.WithKind("ClusterVersion").GroupKind()}
	}
	return p.Reader.Get(ctx, key, o, opts...)
}

func (p partial) List(ctx context.Context, o client.ObjectList, opts ...client.ListOption) error {
	if _, ok := o.(*corev1.PodList); ok {
		return &meta.NoKindMatchError{GroupKind: corev1.SchemeGroupVersion.WithKind("Pod").GroupKind()}
	}
	return p.Reader.List(ctx, o, opts...)
}
