package observe

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// withSecrets lets the rollout name a push secret and two source secrets.
func withSecrets(r *v1alpha1.SafeMirrorRollout) {
	r.Spec.Mirroring.PushSecret.Name = "push"
	r.Spec.Mirroring.SourceSecrets = []v1alpha1.SecretName{{Name: "first"}, {Name: "second"}}
}

// secrets are all that such a rollout needs.
func secrets() []client.Object {
	var out []client.Object
	for _, name := range []string{"push", "first", "second"} {
		out = append(out, minicluster.Secret(operatorNamespace, name))
	}
	return append(out, minicluster.Secret(configNamespace, pullSecret))
}

func invalidSecret(namespace, name, message string) rollout.Problem {
	return rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Namespace: namespace, Name: name,
		Message: message}
}

// What is wrong with a Secret is told with the field that names it.
func TestSecretProblems(t *testing.T) {
	const ours = "Secret safe-mirror-operator/"
	unreadable := interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey,
		o client.Object, opts ...client.GetOption) error {
		if key.Name == "second" {
			return errDown
		}
		return c.Get(ctx, key, o, opts...)
	}}
	transient := invalidSecret(operatorNamespace, "second", "spec.mirroring.sourceSecrets[1]: "+ours+
		"second could not be read: connection refused")
	transient.Transient = true
	data := func(key, value string) func(*corev1.Secret) {
		return func(s *corev1.Secret) { s.Data = map[string][]byte{key: []byte(value)} }
	}
	cases := map[string]struct {
		funcs   interceptor.Funcs
		objects []client.Object
		want    []rollout.Problem
	}{
		"none": {objects: secrets()},
		"no global pull secret": {objects: drop[*corev1.Secret](secrets(), pullSecret), want: []rollout.Problem{
			invalidSecret(configNamespace, pullSecret,
				"the cluster's global pull secret: Secret openshift-config/pull-secret does not exist; create it with type kubernetes.io/dockerconfigjson"),
		}},
		"no push secret": {objects: drop[*corev1.Secret](secrets(), "push"), want: []rollout.Problem{
			invalidSecret(operatorNamespace, "push", "spec.mirroring.pushSecret: "+ours+
				"push does not exist; create it with type kubernetes.io/dockerconfigjson"),
		}},
		"several": {objects: drop[*corev1.Secret](drop[*corev1.Secret](secrets(), "first"), "second"),
			want: []rollout.Problem{
				invalidSecret(operatorNamespace, "first", "spec.mirroring.sourceSecrets[0]: "+ours+
					"first does not exist; create it with type kubernetes.io/dockerconfigjson"),
				invalidSecret(operatorNamespace, "second", "spec.mirroring.sourceSecrets[1]: "+ours+
					"second does not exist; create it with type kubernetes.io/dockerconfigjson"),
			}},
		"one of another type": {objects: minicluster.Edit(secrets(), "first", data("password", "x")),
			want: []rollout.Problem{
				invalidSecret(operatorNamespace, "first", "spec.mirroring.sourceSecrets[0]: "+ours+
					"first has no key .dockerconfigjson; its type has to be kubernetes.io/dockerconfigjson"),
			}},
		"one that holds something else": {objects: minicluster.Edit(secrets(), "push",
			data(corev1.DockerConfigJsonKey, "hunter2")), want: []rollout.Problem{
			invalidSecret(operatorNamespace, "push", "spec.mirroring.pushSecret: "+ours+
				"push is not a docker configuration: credentials document 1: content is not docker config JSON"),
		}},
		"one that cannot be read now": {funcs: unreadable, objects: secrets(), want: []rollout.Problem{transient}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := minicluster.Rollout("shop")
			withSecrets(r)
			got, problems := newObserverWith(c.funcs, c.objects...).registryClient(context.Background(), r,
				registriesconf.Sets{})
			if diff := cmp.Diff(c.want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if (got != nil) != (len(c.want) == 0) {
				t.Errorf("client %v: want one if nothing is wrong, and else none", got)
			}
		})
	}
}

func imageWithCA(name string) *configv1.Image {
	return &configv1.Image{Spec: configv1.ImageSpec{AdditionalTrustedCA: configv1.ConfigMapNameReference{Name: name}}}
}

func configMap(data map[string]string) *corev1.ConfigMap {
	m := &corev1.ConfigMap{Data: data}
	m.Namespace, m.Name = configNamespace, "registry-cas"
	return m
}

func TestTrustedCAs(t *testing.T) {
	data := map[string]string{"mirror.local..5000": "PEM 1", "quay.io": "PEM 2"}
	cases := map[string]struct {
		image   *configv1.Image
		objects []client.Object
		want    map[string][]byte
	}{
		"no image configuration": {nil, nil, map[string][]byte{}},
		"none named":             {imageWithCA(""), nil, map[string][]byte{}},
		"two dots are a colon": {imageWithCA("registry-cas"), []client.Object{configMap(data)},
			map[string][]byte{"mirror.local:5000": []byte("PEM 1"), "quay.io": []byte("PEM 2")}},
		"one that is still empty": {imageWithCA("registry-cas"), []client.Object{configMap(nil)}, map[string][]byte{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, problem := newObserver(c.objects...).trustedCAs(context.Background(),
				registriesconf.Sets{Image: c.image})
			if diff := cmp.Diff(c.want, got); diff != "" || problem != nil {
				t.Errorf("CAs (-want +got), %v:\n%s", problem, diff)
			}
		})
	}
	for name, c := range map[string]struct {
		funcs     interceptor.Funcs
		transient bool
	}{"absent": {interceptor.Funcs{}, false},
		"unreadable": {minicluster.FailingReads[*corev1.ConfigMap](errDown), true}} {
		t.Run(name, func(t *testing.T) {
			r := minicluster.Rollout("shop")
			_, problems := newObserverWith(c.funcs, secrets()...).registryClient(context.Background(), r,
				registriesconf.Sets{Image: imageWithCA("registry-cas")})
			if len(problems) != 1 || problems[0].Kind != "ConfigMap" || problems[0].Name != "registry-cas" ||
				problems[0].Transient != c.transient {
				t.Errorf("problems %+v, want one of the ConfigMap, passing %t", problems, c.transient)
			}
		})
	}
}

// The client keeps its connections and tokens until something that it was made from changes.
func TestRegistryClientIsCached(t *testing.T) {
	ctx, r, sets := context.Background(), minicluster.Rollout("shop"),
		registriesconf.Sets{Image: imageWithCA("registry-cas")}
	withSecrets(r)
	objects := append(secrets(), configMap(map[string]string{"quay.io": "PEM"}))
	c := minicluster.Client(interceptor.Funcs{}, objects...)
	observer := observerOn(c)
	get := func() *mirror.Client {
		out, problems := observer.registryClient(ctx, r, sets)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return out
	}
	first := get()
	if get() != first {
		t.Error("made anew, and nothing has changed")
	}
	rotated := minicluster.Secret(configNamespace, pullSecret)
	rotated.Data[corev1.DockerConfigJsonKey] = []byte(`{"auths":{"quay.io":{"auth":"YTpi"}}}`)
	if err := c.Update(ctx, rotated); err != nil {
		t.Fatal(err)
	}
	second := get()
	if second == first {
		t.Error("kept, and the pull secret was rotated")
	}
	if err := c.Update(ctx, configMap(map[string]string{"quay.io": "another PEM"})); err != nil {
		t.Fatal(err)
	}
	if get() == second {
		t.Error("kept, and a CA was replaced")
	}
}

// Whether a registry may be insecure is what the nodes' own configuration says of it now, and not
// when the client was made: that may have been before there was a configuration.
func TestInsecureRegistries(t *testing.T) {
	objects := minicluster.Edit(cluster(), "cluster",
		func(i *configv1.Image) { i.Spec.RegistrySources.InsecureRegistries = []string{"mirror.local"} })
	observer := newObserver(objects...)
	if observer.insecure("mirror.local/acme/shop") {
		t.Error("insecure, and no configuration is known")
	}
	mustObserve(t, observer)
	for repository, want := range map[string]bool{"mirror.local/acme/shop": true, "mirror.example.com/acme/shop": false,
		"no repository": false} {
		if got := observer.insecure(repository); got != want {
			t.Errorf("%s is insecure: %t, want %t", repository, got, want)
		}
	}
}
