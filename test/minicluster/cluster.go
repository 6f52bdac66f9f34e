// Package minicluster is a small OpenShift cluster for controller-runtime's fake client: the
// objects that a rollout looks at, and the little of the Machine Config Operator that moves them.
// Unit tests of the rooms that read and write a cluster share it; what has to be true of a real API
// server and a real Machine Config Operator is tested in the lab.
package minicluster

import (
	"context"
	"slices"
	"sync"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// StartTime is when every test begins.
var StartTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// BaseRegistriesConf is the registries.conf that the MCO's templates ship.
const BaseRegistriesConf = "unqualified-search-registries = ['registry.access.redhat.com', 'docker.io']\n"

// FirstRendered is the name of the rendered MachineConfig that a pool begins with.
func FirstRendered(pool string) string { return "rendered-" + pool + "-0" }

// Objects are the objects of a cluster at rest: the singletons, and the worker pool with its nodes.
func Objects(workers ...string) []client.Object {
	return append(Pool("worker", workers...),
		&configv1.Infrastructure{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}},
		&configv1.Image{ObjectMeta: metav1.ObjectMeta{Name: "cluster"}},
		&configv1.ClusterVersion{ObjectMeta: metav1.ObjectMeta{Name: "version"}, Status: configv1.ClusterVersionStatus{
			Desired: configv1.Release{Version: "4.20.1", Image: "quay.io/openshift-release-dev/ocp-release:4.20.1"},
			History: []configv1.UpdateHistory{{State: configv1.CompletedUpdate, Version: "4.20.1"}},
		}},
		MachineConfig("01-worker-container-runtime", RegistriesFile(BaseRegistriesConf)),
		Secret("openshift-config", "pull-secret"),
	)
}

// Pool is a pool at rest that selects the nodes of its role, with these nodes.
func Pool(name string, nodes ...string) []client.Object {
	rendered := FirstRendered(name)
	mcp := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: name}}
	mcp.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{roleLabel(name): ""}}
	mcp.Spec.Configuration.Name = rendered
	out := []client.Object{mcp, MachineConfig(rendered, RegistriesFile(BaseRegistriesConf))}
	for _, n := range nodes {
		out = append(out, Node(n, name))
	}
	return out
}

func roleLabel(pool string) string { return "node-role.kubernetes.io/" + pool }

// Annotations of a node by which its daemon and the MCO's controllers talk to each other.
const (
	CurrentConfig = "machineconfiguration.openshift.io/currentConfig"
	DesiredConfig = "machineconfiguration.openshift.io/desiredConfig"
	DaemonState   = "machineconfiguration.openshift.io/state"
)

// Node is a healthy node of the pool, at rest on what the pool begins with.
func Node(name, pool string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{roleLabel(pool): ""},
			Annotations: map[string]string{
				CurrentConfig: FirstRendered(pool), DesiredConfig: FirstRendered(pool), DaemonState: "Done",
			}},
		Status: corev1.NodeStatus{
			NodeInfo:   corev1.NodeSystemInfo{Architecture: "amd64"},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

// Secret holds a docker configuration without any login in it.
func Secret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)}}
}

// Rollout wants tag mirrors for quay.io/acme, and digest mirrors as well.
func Rollout(name string) *v1alpha1.SafeMirrorRollout {
	items := []v1alpha1.ImageMirrors{{Source: "quay.io/acme", Mirrors: []string{"mirror.local/acme"},
		MirrorSourcePolicy: v1alpha1.NeverContactSource}}
	r := &v1alpha1.SafeMirrorRollout{ObjectMeta: metav1.ObjectMeta{
		Name: name, UID: "uid-shop", Generation: 1, CreationTimestamp: metav1.NewTime(StartTime),
	}}
	r.Spec.ImageTagMirrors, r.Spec.ImageDigestMirrors = items, items
	r.Spec.Mirroring.Verification.FromNodes = v1alpha1.Disabled // there are no kubelets here
	return r
}

// Scheme knows every kind of the operator.
var Scheme = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, configv1.AddToScheme, mcfgv1.AddToScheme, opv1.Install,
		operatorv1alpha1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
})

var everyKind = sync.OnceValue(func() meta.RESTMapper { return Mapper() })

// Mapper is the discovery of a cluster that has every kind of the scheme but these.
func Mapper(absent ...string) meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, version := range Scheme().PrioritizedVersionsAllGroups() {
		for kind := range Scheme().KnownTypes(version) {
			if !slices.Contains(absent, kind) {
				mapper.Add(version.WithKind(kind), scopeOf(version, kind))
			}
		}
	}
	return mapper
}

func scopeOf(version schema.GroupVersion, kind string) meta.RESTScope {
	if version == corev1.SchemeGroupVersion && kind != "Node" || version.Group == "apps" || version.Group == "batch" {
		return meta.RESTScopeNamespace
	}
	return meta.RESTScopeRoot
}

// Client serves the objects, from a cluster that has every kind, and tells as the API server does
// who wrote what. The funcs may watch or replace single calls.
func Client(funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	if funcs.Apply == nil {
		funcs.Apply = skipDryRunApply
	}
	return fake.NewClientBuilder().WithScheme(Scheme()).WithRESTMapper(everyKind()).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.SafeMirrorRollout{}).WithReturnManagedFields().WithInterceptorFuncs(funcs).Build()
}

// skipDryRunApply stands in for what the fake client leaves out: it takes a dry run of an apply for
// an apply.
func skipDryRunApply(ctx context.Context, c client.WithWatch, what runtime.ApplyConfiguration,
	opts ...client.ApplyOption) error {
	if DryRun(opts) {
		return nil
	}
	return c.Apply(ctx, what, opts...)
}

// DryRun tells whether the options ask for a dry run.
func DryRun(opts []client.ApplyOption) bool {
	return len(new(client.ApplyOptions).ApplyOptions(opts).DryRun) > 0
}
