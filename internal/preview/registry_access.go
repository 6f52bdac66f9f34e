package preview

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// configNamespace holds what configures the cluster.
const configNamespace = "openshift-config"

// PullSecret is the cluster's global pull secret, the only credentials that a node sends to a
// mirror.
func PullSecret(ctx context.Context, r client.Reader) ([]byte, error) {
	s := &corev1.Secret{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: configNamespace, Name: "pull-secret"}, s); err != nil {
		return nil, fmt.Errorf("reading the cluster's pull secret %s/pull-secret: %w", configNamespace, err)
	}
	doc, ok := s.Data[corev1.DockerConfigJsonKey]
	if !ok {
		return nil, fmt.Errorf("the cluster's pull secret %s/pull-secret has no key %s", configNamespace,
			corev1.DockerConfigJsonKey)
	}
	return doc, nil
}

// TrustedCAs are those of image.config additionalTrustedCA, by registry. The key
// registry.example.com..5000 stands for registry.example.com:5000.
func TrustedCAs(ctx context.Context, r client.Reader, sets registriesconf.Sets) (map[string][]byte, error) {
	out := map[string][]byte{}
	if sets.Image == nil || sets.Image.Spec.AdditionalTrustedCA.Name == "" {
		return out, nil
	}
	name := sets.Image.Spec.AdditionalTrustedCA.Name
	config := &corev1.ConfigMap{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: configNamespace, Name: name}, config); err != nil {
		return nil, fmt.Errorf("reading the trusted CAs in ConfigMap %s/%s: %w", configNamespace, name, err)
	}
	for host, pem := range config.Data {
		out[strings.ReplaceAll(host, "..", ":")] = []byte(pem)
	}
	return out, nil
}

// Insecure tells whether all nodes would use plain HTTP, or a certificate that nobody vouches for,
// with the repository.
func Insecure(sets registriesconf.Sets) func(repository string) bool {
	text, err := registriesconf.Render(nil, sets)
	if err != nil {
		return nil
	}
	config, err := registriesconf.Parse(text, nil)
	if err != nil {
		return nil
	}
	return func(repository string) bool {
		r, err := config.Resolve(repository + ":latest")
		return err == nil && len(r.Endpoints) > 0 && r.Endpoints[len(r.Endpoints)-1].Insecure
	}
}
