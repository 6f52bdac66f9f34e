package observe

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

const (
	configNamespace = "openshift-config"
	pullSecret      = "pull-secret"
)

// cachedClient keeps the registry client, and with it connections and tokens, for as long as
// nothing that it was made from changes.
type cachedClient struct {
	fingerprint string
	client      *mirror.Client
}

// registryClient makes the client that reads the sources, writes the mirrors and looks at both as a
// node would: with the global pull secret alone, because a node sends the credentials of a pod to
// the pod's own registry only, and with the CAs of image.config additionalTrustedCA. Secrets are
// read each time, so a rotated one is used at the next look.
func (observer *Observer) registryClient(ctx context.Context, r *v1alpha1.SafeMirrorRollout,
	all registriesconf.Sets) (*mirror.Client, []rollout.Problem) {
	var problems []rollout.Problem
	global, problem := observer.dockerConfig(ctx, "the cluster's global pull secret", configNamespace, pullSecret)
	problems = appendProblem(problems, problem)
	push := global
	if name := r.Spec.Mirroring.PushSecret.Name; name != "" {
		push, problem = observer.dockerConfig(ctx, "spec.mirroring.pushSecret", observer.Namespace, name)
		problems = appendProblem(problems, problem)
	}
	var source [][]byte
	for i, s := range r.Spec.Mirroring.SourceSecrets {
		doc, problem := observer.dockerConfig(ctx, fmt.Sprintf("spec.mirroring.sourceSecrets[%d]", i),
			observer.Namespace, s.Name)
		problems = appendProblem(problems, problem)
		source = append(source, doc)
	}
	workloads, problem := observer.workloadDockerConfig(ctx, r)
	problems = appendProblem(problems, problem)
	if workloads != nil {
		source = append(source, workloads)
	}
	cas, problem := observer.trustedCAs(ctx, all)
	problems = appendProblem(problems, problem)
	bundle, problem := observer.readCABundle(ctx, r)
	problems = appendProblem(problems, problem)
	if len(problems) > 0 {
		return nil, problems
	}
	h := sha256.New()
	fmt.Fprintf(h, "%+v\n", r.Spec.Mirroring.Limits)
	for _, part := range slices.Concat([][]byte{global, push, bundle}, source) {
		fmt.Fprintf(h, "%d\n%s", len(part), part)
	}
	for _, host := range sortedKeys(cas) {
		fmt.Fprintf(h, "%s\n%s", host, cas[host])
	}
	return observer.cachedRegistryClient(hex.EncodeToString(h.Sum(nil)),
		func(previous *mirror.Client) (*mirror.Client, error) {
			return observer.newClient(previous, credentials{global, push, source}, cas, bundle, r.Spec.Mirroring.Limits)
		})
}

// cachedRegistryClient returns the cached client when nothing has changed.
func (observer *Observer) cachedRegistryClient(fingerprint string,
	build func(previous *mirror.Client) (*mirror.Client, error)) (*mirror.Client, []rollout.Problem) {
	observer.mu.Lock()
	defer observer.mu.Unlock()
	if observer.clientCache.client != nil && observer.clientCache.fingerprint == fingerprint {
		return observer.clientCache.client, nil
	}
	c, err := build(observer.clientCache.client)
	if err != nil {
		return nil, []rollout.Problem{{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Name: "credentials",
			Message: err.Error()}}
	}
	observer.clientCache = cachedClient{fingerprint: fingerprint, client: c}
	return c, nil
}

// credentials are docker configurations: the node's own, the one to push with, and those to read
// the sources with, first come first.
type credentials struct {
	global, push []byte
	source       [][]byte
}

func (observer *Observer) newClient(previous *mirror.Client, s credentials, cas map[string][]byte, bundle []byte,
	limits v1alpha1.RegistryLimits) (*mirror.Client, error) {
	var keychains [3]mirror.Keychain
	for i, docs := range [][][]byte{append(slices.Clone(s.source), s.global), {s.push}, {s.global}} {
		var err error
		if keychains[i], err = mirror.ParseKeychain(docs...); err != nil {
			return nil, err
		}
	}
	access := func(k mirror.Keychain, extra []byte) mirror.Access {
		return mirror.Access{Keychain: k, CAs: cas, ExtraCAs: extra, Insecure: observer.insecure}
	}
	each := mirror.Limits{
		Requests: float64(limits.RequestsPerSecond), Concurrent: int(limits.ConcurrentRequests),
		Bytes: int64(limits.MebibytesPerSecond) << 20,
	}
	all := mirror.Accesses{
		Source: access(keychains[0], bundle), Push: access(keychains[1], bundle), Node: access(keychains[2], nil),
		Limits: func(string) mirror.Limits { return each },
	}
	if previous != nil {
		// what was learnt of the registries is not forgotten for another password
		return previous.WithAccesses(all), nil
	}
	return mirror.NewClient(all), nil
}

// insecure asks the nodes' own configuration, as it is to be. The client outlives the look for
// which it was made, so this is the configuration that was predicted last.
func (observer *Observer) insecure(repository string) bool {
	observer.mu.Lock()
	pools := observer.predictedConfigs
	observer.mu.Unlock()
	return allInsecure(pools, repository)
}

func allInsecure(pools []plan.PoolConfig, repository string) bool {
	for _, p := range pools {
		r, err := p.After.Resolve(repository + ":latest")
		if err != nil || len(r.Endpoints) == 0 || !r.Endpoints[len(r.Endpoints)-1].Insecure {
			return false
		}
	}
	return len(pools) > 0
}

// caBundleKey is the key of a ConfigMap with CA certificates, as the cluster network operator and
// everybody else has it.
const caBundleKey = "ca-bundle.crt"

// readCABundle are the CAs that the operator trusts beside those of the nodes.
func (observer *Observer) readCABundle(ctx context.Context, r *v1alpha1.SafeMirrorRollout) ([]byte, *rollout.Problem) {
	name := r.Spec.Mirroring.CABundle.Name
	if name == "" {
		return nil, nil
	}
	problem := func(transient bool, format string, args ...any) *rollout.Problem {
		return &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "ConfigMap", Namespace: observer.Namespace,
			Name: name, Transient: transient,
			Message: fmt.Sprintf("spec.mirroring.caBundle: ConfigMap %s/%s ", observer.Namespace, name) +
				fmt.Sprintf(format, args...)}
	}
	config := &corev1.ConfigMap{}
	switch err := observer.API.Get(ctx, client.ObjectKey{Namespace: observer.Namespace, Name: name}, config); {
	case apierrors.IsNotFound(err):
		return nil, problem(false, "does not exist; create it with the certificates in the key %s", caBundleKey)
	case err != nil:
		return nil, problem(true, "could not be read: %v", err)
	}
	pem := []byte(config.Data[caBundleKey])
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, problem(false, "has no PEM certificate in its key %s", caBundleKey)
	}
	return pem, nil
}

// dockerConfig reads a docker configuration out of a Secret. field is what the message calls it.
func (observer *Observer) dockerConfig(ctx context.Context, field, namespace, name string) ([]byte, *rollout.Problem) {
	problem := func(format string, args ...any) *rollout.Problem {
		return &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Namespace: namespace, Name: name,
			Message: fmt.Sprintf("%s: Secret %s/%s ", field, namespace, name) + fmt.Sprintf(format, args...)}
	}
	secret := &corev1.Secret{}
	err := observer.API.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, problem("does not exist; create it with type kubernetes.io/dockerconfigjson")
	case err != nil:
		p := problem("could not be read: %v", err)
		p.Transient = true
		return nil, p
	}
	doc, ok := secret.Data[corev1.DockerConfigJsonKey]
	if !ok {
		return nil, problem("has no key %s; its type has to be kubernetes.io/dockerconfigjson",
			corev1.DockerConfigJsonKey)
	}
	if _, err := mirror.ParseKeychain(doc); err != nil {
		return nil, problem("is not a docker configuration: %v", err)
	}
	return doc, nil
}

// trustedCAs are those of image.config additionalTrustedCA: the MCO writes them to every node by
// itself, pause or not. The key registry.example.com..5000 stands for registry.example.com:5000.
func (observer *Observer) trustedCAs(ctx context.Context, all registriesconf.Sets) (map[string][]byte,
	*rollout.Problem) {
	out := map[string][]byte{}
	if all.Image == nil || all.Image.Spec.AdditionalTrustedCA.Name == "" {
		return out, nil
	}
	name := all.Image.Spec.AdditionalTrustedCA.Name
	config := &corev1.ConfigMap{}
	if err := observer.API.Get(ctx, client.ObjectKey{Namespace: configNamespace, Name: name}, config); err != nil {
		return nil, &rollout.Problem{Reason: v1alpha1.ReasonSecretInvalid, Kind: "ConfigMap",
			Namespace: configNamespace, Name: name, Transient: !apierrors.IsNotFound(err),
			Message: fmt.Sprintf("image.config.openshift.io/cluster spec.additionalTrustedCA names ConfigMap %s/%s, which could not be read: %v; "+
				"while it is missing the nodes trust no registry CA of yours", configNamespace, name, err)}
	}
	for host, pem := range config.Data {
		out[strings.ReplaceAll(host, "..", ":")] = []byte(pem)
	}
	return out, nil
}

func appendProblem(list []rollout.Problem, p *rollout.Problem) []rollout.Problem {
	if p == nil {
		return list
	}
	return append(list, *p)
}

func sortedKeys(m map[string][]byte) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// HostStats are the counts of what went to and from each registry.
func (observer *Observer) HostStats() map[string]mirror.HostStats {
	observer.mu.Lock()
	c := observer.clientCache.client
	observer.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.HostStats()
}
