package observe

import (
	"context"
	"fmt"
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// pullChecks says how far the probes of the plan are.
func (observer *Observer) pullChecks(ctx context.Context, r client.Reader,
	obs *Observation) rollout.Value[rollout.PullChecks] {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(observer.Namespace),
		client.MatchingLabels{pullcheck.LabelName: pullcheck.AppName,
			mirrorset.LabelRollout: obs.Rollout.Name}); err != nil {
		return rollout.Unknown[rollout.PullChecks]("listing the probe pods: " + err.Error())
	}
	out := rollout.PullChecks{Disabled: !pullcheck.FromNodes(obs.Rollout), PodsLeft: len(pods.Items)}
	p := observer.PullChecks.Probes()
	sum := pullcheck.Summarize(p.Want, p.Outcomes, observer.Now().Add(-pullcheck.ProofAge))
	out.PlanDigest, out.Nodes, out.RecheckAt = p.Plan, p.Nodes, p.Until
	out.Wanted, out.Proven, out.Failed, out.Problems = sum.Wanted-sum.Inconclusive, sum.Proven, sum.Failed, sum.Problems
	for i := range out.Problems {
		out.Problems[i].Reason = v1alpha1.ReasonNodesCannotPull
	}
	for _, d := range sum.InconclusiveProblems {
		out.Skipped = append(out.Skipped, d.Message)
	}
	for _, g := range p.Gaps {
		if len(out.Skipped) < maxSkipped {
			out.Skipped = append(out.Skipped, g.String())
		}
	}
	return rollout.Known(out)
}

// maxSkipped bounds how many gaps are told.
const maxSkipped = 10

// ProbeInput is what the choice of probes is made from.
type ProbeInput struct {
	Nodes  []pullcheck.Node
	Images []pullcheck.Image
}

// ProbeInput reads the nodes that could prove a mirror, and the images that are proven at the
// mirrors by other means.
func (observer *Observer) ProbeInput(ctx context.Context, obs *Observation) (ProbeInput, error) {
	nodes, err := observer.pullCheckNodes(ctx, obs)
	if err != nil {
		return ProbeInput{}, err
	}
	critical, err := observer.criticalImageNames(ctx)
	if err != nil {
		return ProbeInput{}, err
	}
	return ProbeInput{Nodes: nodes, Images: observer.pullCheckImages(obs, critical)}, nil
}

// pullCheckNodes are the nodes of all pools, as the API has them and as the MCO sees them.
func (observer *Observer) pullCheckNodes(ctx context.Context, obs *Observation) ([]pullcheck.Node, error) {
	var pools mcfgv1.MachineConfigPoolList
	if err := observer.cached().List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("listing MachineConfigPools: %w", err)
	}
	var nodes corev1.NodeList
	if err := observer.cached().List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	objects := map[string]*corev1.Node{}
	for i := range nodes.Items {
		objects[nodes.Items[i].Name] = &nodes.Items[i]
	}
	members := pool.NodesByPool(pools.Items, nodes.Items)
	var out []pullcheck.Node
	for i := range pools.Items {
		observedPool, err := pool.FromMCP(&pools.Items[i], members[pools.Items[i].Name], obs.Rollout.Name)
		if err != nil {
			return nil, err
		}
		for _, n := range observedPool.Nodes {
			out = append(out, pullcheck.Node{Pool: observedPool.Name, State: n, Object: objects[n.Name]})
		}
	}
	return out, nil
}

// pullCheckImages are the images that were proven at our mirrors, by their name there. Where the
// nodes' present configuration redirects the mirror itself, a pod that names it would prove another
// place.
func (observer *Observer) pullCheckImages(obs *Observation, critical map[string]bool) []pullcheck.Image {
	observer.mu.Lock()
	pools := observer.predictedConfigs
	observer.mu.Unlock()
	results := observer.Transfers.Snapshot()
	seen := map[string]bool{}
	var out []pullcheck.Image
	for _, i := range obs.Plan.Items {
		result := results[i.Key()]
		reference, ok := byDigest(i.Target, result)
		isCritical := slices.ContainsFunc(i.Spellings, func(s string) bool { return critical[s] })
		if !ok || (seen[reference] && !isCritical) || redirected(pools, reference) {
			continue
		}
		seen[reference] = true
		out = append(out, pullcheck.Image{Reference: reference, Bytes: result.Proof.Bytes,
			Platforms: result.Proof.Platforms, Critical: isCritical})
	}
	return out
}

// byDigest names a proven image by its digest: mirror/acme/shop:v1 becomes
// mirror/acme/shop@sha256:….
func byDigest(target string, result mirror.Result) (string, bool) {
	if target == "" || result.Proof.Digest == "" || result.Proof.Endpoint != target {
		return "", false
	}
	return repositoryOf(target) + "@" + result.Proof.Digest, true
}

func redirected(pools []plan.PoolConfig, reference string) bool {
	for _, p := range pools {
		resolved, err := p.Before.Resolve(reference)
		if err != nil || len(resolved.Usable()) == 0 || resolved.Usable()[0].Mirror {
			return true
		}
	}
	return false
}
