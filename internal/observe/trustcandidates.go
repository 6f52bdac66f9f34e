package observe

import (
	"context"
	"fmt"
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// trustCandidates offers the ConfigMap that the cluster trusts already, when the mirror is not in
// it.
func (observer *Observer) trustCandidates(ctx context.Context, reader client.Reader, obs *Observation,
	blocked rollout.BlockedDrain, _ feasibleNodes) ([]rollout.RemedyCandidate, error) {
	host := untrustedHost(blocked)
	if host == "" {
		return nil, nil
	}
	var out rollout.RemedyCandidate
	out.Node, out.Action, out.Kind, out.Namespace = blocked.Node, v1alpha1.TrustMirrorCA, "ConfigMap", configNamespace
	out.Key = strings.ReplaceAll(host, ":", "..")
	image, err := trustedCAConfigMap(ctx, reader)
	switch {
	case apierrors.IsNotFound(err) || (err == nil && image == ""):
		out.Name, out.Refusal = "cluster",
			"image.config.openshift.io/cluster spec.additionalTrustedCA names no ConfigMap that a key could be added to"
		return []rollout.RemedyCandidate{out}, nil
	case err != nil:
		return nil, err
	}
	out.Name = image
	config := &corev1.ConfigMap{}
	err = observer.API.Get(ctx, client.ObjectKey{Namespace: configNamespace, Name: image}, config)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	_, there := config.Data[out.Key]
	out.UID = string(config.UID)
	switch _, missing := observer.TrustBundle(ctx, obs.Rollout); {
	case err != nil:
		out.Refusal = fmt.Sprintf("ConfigMap %s/%s does not exist", configNamespace, image)
	case there:
		out.Refusal = fmt.Sprintf("ConfigMap %s/%s has certificates for %s already, and is not ours to change",
			configNamespace, image, host)
	case missing != nil:
		out.Refusal = missing.Error()
	default:
		out.Refusal = observer.checkAccess(ctx,
			authorizationv1.ResourceAttributes{Verb: "patch", Resource: "configmaps", Namespace: configNamespace,
				Name: image})
	}
	return []rollout.RemedyCandidate{out}, nil
}

// untrustedHost is the host, with its port, of the first mirror whose certificate a node does not
// trust.
func untrustedHost(blocked rollout.BlockedDrain) string {
	for _, p := range blocked.Pods {
		for _, pull := range p.Pulls {
			if pull.Cause == rollout.PullUntrusted && pull.Endpoint != "" {
				host, _, _ := strings.Cut(pull.Endpoint, "/")
				return host
			}
		}
	}
	return ""
}

// trustedCAConfigMap is the ConfigMap that image.config names for the authorities of registries.
func trustedCAConfigMap(ctx context.Context, reader client.Reader) (string, error) {
	image := &configv1.Image{}
	err := reader.Get(ctx, client.ObjectKey{Name: "cluster"}, image)
	return image.Spec.AdditionalTrustedCA.Name, err
}
