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
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// workloadsRole is what spec.mirroring.workloadPullSecrets needs.
const workloadsRole = "safe-mirror-workload-secrets"

// private are the repositories whose source has refused the operator's own credentials, with the pull secrets of the workloads that
// use them. Only for these are Secrets of other namespaces read.
type private struct {
	mu           sync.Mutex
	repositories map[string][]types.NamespacedName
}

// maxPrivate bounds how many repositories are remembered.
const maxPrivate = 2000

// note remembers the repositories of references that were refused.
func (p *private) note(items []plan.Item, results map[string]mirror.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range items {
		result := results[i.Key()]
		if result.Err == nil || result.Err.Class != mirror.Denied || len(i.Reference.PullSecrets) == 0 || len(p.repositories) >= maxPrivate {
			continue
		}
		if p.repositories == nil {
			p.repositories = map[string][]types.NamespacedName{}
		}
		p.repositories[repositoryOf(i.Name)] = i.Reference.PullSecrets
	}
}

func (p *private) snapshot() map[string][]types.NamespacedName {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.repositories)
}

// repositoryOf cuts tag and digest off: quay.io/acme/shop:v1 is in quay.io/acme/shop.
func repositoryOf(reference string) string {
	named, err := registries.ParseReference(reference)
	if err != nil {
		return reference // of the plan, so it is one
	}
	return named.Name()
}

// workloadLogins is a docker configuration with one entry for each private repository: the login by which the workloads there pull. Two
// namespaces may have different logins for one registry, so the entries are as narrow as the repositories. It is nil when there is none.
func (l *Live) workloadLogins(ctx context.Context, r *v1alpha1.SafeMirrorRollout) ([]byte, *rollout.Problem) {
	wanted := l.private.snapshot()
	if r.Spec.Mirroring.WorkloadPullSecrets != v1alpha1.Enabled || len(wanted) == 0 {
		return nil, nil
	}
	type entry struct {
		Auth          string `json:"auth,omitempty"`
		IdentityToken string `json:"identitytoken,omitempty"`
	}
	auths, chains := map[string]entry{}, map[types.NamespacedName]mirror.Keychain{}
	for _, repository := range slices.Sorted(maps.Keys(wanted)) {
		host, path, _ := strings.Cut(repository, "/")
		for _, name := range wanted[repository] {
			chain, known := chains[name]
			if !known {
				var problem *rollout.Problem
				if chain, problem = l.workloadSecret(ctx, name, repository); problem != nil {
					return nil, problem
				}
				chains[name] = chain
			}
			if login, ok := chain.For(host, path); ok {
				auths[repository] = entry{base64.StdEncoding.EncodeToString([]byte(login.Username + ":" + login.Password)), login.IdentityToken}
				break
			}
		}
	}
	doc, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return nil, &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Name: "workload pull secrets", Message: err.Error()}
	}
	return doc, nil
}

// workloadSecret reads a pull secret of a workload. One that is gone, or is no docker configuration, helps its pods no more than us.
func (l *Live) workloadSecret(ctx context.Context, name types.NamespacedName, repository string) (mirror.Keychain, *rollout.Problem) {
	secret := &corev1.Secret{}
	err := l.API.Get(ctx, client.ObjectKey(name), secret)
	problem := func(passing bool, format string, args ...any) *rollout.Problem {
		return &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Namespace: name.Namespace, Name: name.Name, Passing: passing, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case apierrors.IsNotFound(err):
		return mirror.Keychain{}, nil
	case apierrors.IsForbidden(err):
		return mirror.Keychain{}, problem(false, "spec.mirroring.workloadPullSecrets is Enabled, and the operator may not read Secret %s, by which the pods that use %s pull it: "+
			"bind the ClusterRole %s to its ServiceAccount, for all namespaces or for this one, or name a Secret in spec.mirroring.sourceSecrets", name, repository, workloadsRole)
	case err != nil:
		return mirror.Keychain{}, problem(true, "reading Secret %s, by which the pods that use %s pull it: %v", name, repository, err)
	}
	chain, err := mirror.ParseKeychain(secret.Data[corev1.DockerConfigJsonKey])
	if err != nil {
		return mirror.Keychain{}, nil //nolint:nilerr // see above
	}
	return chain, nil
}
