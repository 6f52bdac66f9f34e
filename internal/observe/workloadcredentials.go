package observe

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// workloadSecretsRole is what spec.mirroring.workloadPullSecrets needs.
const workloadSecretsRole = "safe-mirror-workload-secrets"

// workloadCredentials are the repositories whose source has refused the operator's own credentials,
// with the pull secrets of the workloads that use them. Only for these are Secrets of other
// namespaces read.
type workloadCredentials struct {
	mu           sync.Mutex
	repositories map[string][]types.NamespacedName
}

// maxWorkloadRepositories bounds how many repositories are remembered.
const maxWorkloadRepositories = 2000

// recordDenied remembers the repositories of references that were refused.
func (p *workloadCredentials) recordDenied(items []plan.Item, results map[string]mirror.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range items {
		result := results[i.Key()]
		if result.Err == nil || result.Err.Class != mirror.Denied || len(i.Reference.PullSecrets) == 0 ||
			len(p.repositories) >= maxWorkloadRepositories {
			continue
		}
		if p.repositories == nil {
			p.repositories = map[string][]types.NamespacedName{}
		}
		p.repositories[repositoryOf(i.Name)] = i.Reference.PullSecrets
	}
}

func (p *workloadCredentials) snapshot() map[string][]types.NamespacedName {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.repositories)
}

// repositoryOf cuts tag and digest off: quay.io/acme/shop:v1 is in quay.io/acme/shop.
func repositoryOf(reference string) string {
	named, err := registriesconf.ParseReference(reference)
	if err != nil {
		return reference // of the plan, so it is one
	}
	return named.Name()
}

// workloadDockerConfig is a docker configuration with one entry for each private repository: the
// login by which the workloads there pull. Two namespaces may have different logins for one
// registry, so the entries are as narrow as the repositories. It is nil when there is none.
func (observer *Observer) workloadDockerConfig(ctx context.Context, r *v1alpha1.SafeMirrorRollout) ([]byte,
	*rollout.Problem) {
	wanted := observer.workloadCredentials.snapshot()
	if r.Spec.Mirroring.WorkloadPullSecrets != v1alpha1.Enabled || len(wanted) == 0 {
		return nil, nil
	}
	type entry struct {
		Auth          string `json:"auth,omitempty"`
		IdentityToken string `json:"identitytoken,omitempty"`
	}
	auths, keychains := map[string]entry{}, map[types.NamespacedName]mirror.Keychain{}
	for _, repository := range slices.Sorted(maps.Keys(wanted)) {
		host, path, _ := strings.Cut(repository, "/")
		for _, name := range wanted[repository] {
			keychain, known := keychains[name]
			if !known {
				var problem *rollout.Problem
				if keychain, problem = observer.workloadSecret(ctx, name, repository); problem != nil {
					return nil, problem
				}
				keychains[name] = keychain
			}
			if login, ok := keychain.Lookup(host, path); ok {
				auths[repository] = entry{base64.StdEncoding.EncodeToString([]byte(login.Username + ":" +
					login.Password)), login.IdentityToken}
				break
			}
		}
	}
	doc, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return nil, &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret",
			Name: "workload pull secrets", Message: err.Error()}
	}
	return doc, nil
}

// workloadSecret reads a pull secret of a workload. One that is gone, or is no docker
// configuration, helps its pods no more than us.
func (observer *Observer) workloadSecret(ctx context.Context, name types.NamespacedName,
	repository string) (mirror.Keychain, *rollout.Problem) {
	secret := &corev1.Secret{}
	err := observer.API.Get(ctx, client.ObjectKey(name), secret)
	problem := func(transient bool, format string, args ...any) *rollout.Problem {
		return &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Namespace: name.Namespace,
			Name: name.Name, Transient: transient, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case apierrors.IsNotFound(err):
		return mirror.Keychain{}, nil
	case apierrors.IsForbidden(err):
		return mirror.Keychain{}, problem(false,
			"spec.mirroring.workloadPullSecrets is Enabled, and the operator may not read Secret %s, by which the pods that use %s pull it: "+
				"bind the ClusterRole %s to its ServiceAccount, for all namespaces or for this one, or name a Secret in spec.mirroring.sourceSecrets", name, repository, workloadSecretsRole)
	case err != nil:
		return mirror.Keychain{}, problem(true, "reading Secret %s, by which the pods that use %s pull it: %v", name,
			repository, err)
	}
	keychain, err := mirror.ParseKeychain(secret.Data[corev1.DockerConfigJsonKey])
	if err != nil {
		return mirror.Keychain{}, nil //nolint:nilerr // see above
	}
	return keychain, nil
}
