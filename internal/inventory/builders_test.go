package inventory

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"
)

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }

// owned is the metadata of an object that a controller of that kind owns.
func owned(name, kind string) metav1.ObjectMeta {
	yes := true
	m := named(name)
	m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "app", Controller: &yes}}
	return m
}

func specOf(images ...string) corev1.PodSpec {
	var s corev1.PodSpec
	for _, i := range images {
		s.Containers = append(s.Containers, corev1.Container{Image: i})
	}
	return s
}

func template(images ...string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: specOf(images...)}
}

func replicas(n int32) *int32 { return &n }

func pod(name string, phase corev1.PodPhase, images ...string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: named(name), Spec: specOf(images...), Status: corev1.PodStatus{Phase: phase}}
}

func deployment(name string, n *int32, images ...string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: named(name),
		Spec: appsv1.DeploymentSpec{Replicas: n, Template: template(images...)}}
}

func statefulSet(name string, n *int32, images ...string) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: named(name),
		Spec: appsv1.StatefulSetSpec{Replicas: n, Template: template(images...)}}
}

func daemonSet(name string, images ...string) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: named(name), Spec: appsv1.DaemonSetSpec{Template: template(images...)}}
}

func replicaSet(m metav1.ObjectMeta, n *int32, images ...string) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Replicas: n, Template: template(images...)}}
}

func replicationController(m metav1.ObjectMeta, n *int32, images ...string) *corev1.ReplicationController {
	t := template(images...)
	return &corev1.ReplicationController{ObjectMeta: m,
		Spec: corev1.ReplicationControllerSpec{Replicas: n, Template: &t}}
}

func job(name string, change func(*batchv1.Job), images ...string) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: named(name), Spec: batchv1.JobSpec{Template: template(images...)}}
	change(j)
	return j
}

func cronJob(name string, suspended *bool, images ...string) *batchv1.CronJob {
	return &batchv1.CronJob{ObjectMeta: named(name), Spec: batchv1.CronJobSpec{
		Suspend: suspended, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template(images...)}},
	}}
}

// manifest is an object as YAML, of any kind.
func manifest(kind schema.GroupVersionKind, name, text string) client.Object {
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		panic(err)
	}
	if o.Object == nil {
		o.Object = map[string]any{}
	}
	o.SetGroupVersionKind(kind)
	o.SetName(name)
	if !slices.Contains([]string{"ClusterCatalog"}, kind.Kind) {
		o.SetNamespace("shop")
	}
	return o
}

// testCluster is a cluster: objects, the kinds that it does not have, and those that it refuses to
// list.
type testCluster struct {
	objects []client.Object
	absent  []string
	refused map[string]error
	// shuffle is the seed by which lists are put into another order; 0 leaves them sorted.
	shuffle int64
}

var testScheme = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme,
		configv1.AddToScheme, mcfgv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
})

func (w testCluster) reader() client.Reader {
	scheme := testScheme()
	random := rand.New(rand.NewSource(w.shuffle))
	refuse := func(o runtime.Object) error {
		kind, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			return err
		}
		kind.Kind = strings.TrimSuffix(kind.Kind, "List")
		if slices.Contains(w.absent, kind.Kind) {
			return &meta.NoKindMatchError{GroupKind: kind.GroupKind(), SearchedVersions: []string{kind.Version}}
		}
		return w.refused[kind.Kind]
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(w.objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object,
			opts ...client.GetOption) error {
			if err := refuse(o); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := refuse(list); err != nil {
				return err
			}
			if err := c.List(ctx, list, opts...); err != nil || w.shuffle == 0 {
				return err
			}
			items, err := meta.ExtractList(list)
			if err != nil {
				return err
			}
			random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
			return meta.SetList(list, items)
		},
	}).Build()
}

func (w testCluster) read(t *testing.T, o Options) Inventory {
	t.Helper()
	out, err := Read(context.Background(), w.reader(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lines gives each reference on one line: the image, its class, who uses it, and whatever else is
// known of it.
func lines(refs []Reference) []string {
	var out []string
	for _, r := range refs {
		line := fmt.Sprintf("%s %s: %s", r.Image, r.Class, r.UsedBy())
		for _, extra := range []struct {
			name string
			is   bool
		}{{"always", r.AlwaysPull}, {"birth", r.NodeStart}} {
			if extra.is {
				line += ", " + extra.name
			}
		}
		for _, extra := range []struct {
			name   string
			values any
			n      int
		}{{"on", r.Platforms, len(r.Platforms)}, {"runs", r.Running, len(r.Running)},
			{"with", r.PullSecrets, len(r.PullSecrets)}} {
			if extra.n > 0 {
				line += fmt.Sprintf(", %s %v", extra.name, extra.values)
			}
		}
		out = append(out, line)
	}
	return out
}

// singleObject is a list of one object, without the copies that a client makes.
type singleObject struct{ object *unstructured.Unstructured }

// Get implements client.Reader.
func (singleObject) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("not asked for in this test")
}

// List implements client.Reader.
func (o singleObject) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	l, ok := list.(*unstructured.UnstructuredList)
	if !ok {
		return fmt.Errorf("a %T is asked for", list)
	}
	l.Items = []unstructured.Unstructured{*o.object}
	return nil
}
