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
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// probes says how far the probes of the plan are.
func (l *Live) probes(ctx context.Context, r client.Reader, w *World) rollout.Known[rollout.Probes] {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(l.Namespace), client.MatchingLabels{probe.LabelName: probe.AppName, mirrorset.LabelRollout: w.Rollout.Name}); err != nil {
		return rollout.Unseen[rollout.Probes]("listing the probe pods: " + err.Error())
	}
	out := rollout.Probes{Disabled: !probe.FromNodes(w.Rollout), Left: len(pods.Items)}
	p := l.PullChecks.Probes()
	sum := probe.Sum(p.Want, p.Outcomes, l.Now().Add(-probe.ProofAge))
	out.Plan, out.Nodes, out.Until = p.Plan, p.Nodes, p.Until
	out.Wanted, out.Proven, out.Failed, out.Worst = sum.Wanted-sum.Unsure, sum.Proven, sum.Failed, sum.Worst
	for i := range out.Worst {
		out.Worst[i].Reason = v1alpha1.ReasonNodesCannotPull
	}
	for _, d := range sum.Doubts {
		out.Skipped = append(out.Skipped, d.Message)
	}
	for _, g := range p.Gaps {
		if len(out.Skipped) < maxSkipped {
			out.Skipped = append(out.Skipped, g.String())
		}
	}
	return rollout.Seen(out)
}

// maxSkipped bounds how many gaps are told.
const maxSkipped = 10

// ProbeInput is what the choice of probes is made from.
type ProbeInput struct {
	Nodes  []probe.Node
	Images []probe.Image
}

// ProbeInput reads the nodes that could prove a mirror, and the images that are proven at the mirrors by other means.
func (l *Live) ProbeInput(ctx context.Context, w *World) (ProbeInput, error) {
	nodes, err := l.probeNodes(ctx, w)
	if err != nil {
		return ProbeInput{}, err
	}
	critical, err := l.criticalNames(ctx)
	if err != nil {
		return ProbeInput{}, err
	}
	return ProbeInput{Nodes: nodes, Images: l.probeImages(w, critical)}, nil
}

// probeNodes are the nodes of all pools, as the API has them and as the MCO sees them.
func (l *Live) probeNodes(ctx context.Context, w *World) ([]probe.Node, error) {
	var pools mcfgv1.MachineConfigPoolList
	if err := l.cached().List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("listing MachineConfigPools: %w", err)
	}
	var nodes corev1.NodeList
	if err := l.cached().List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	objects := map[string]*corev1.Node{}
	for i := range nodes.Items {
		objects[nodes.Items[i].Name] = &nodes.Items[i]
	}
	members := pool.Assign(pools.Items, nodes.Items)
	var out []probe.Node
	for i := range pools.Items {
		view, err := pool.View(&pools.Items[i], members[pools.Items[i].Name], w.Rollout.Name)
		if err != nil {
			return nil, err
		}
		for _, n := range view.Nodes {
			out = append(out, probe.Node{Pool: view.Name, State: n, Object: objects[n.Name]})
		}
	}
	return out, nil
}

// probeImages are the images that were proven at our mirrors, by their name there. Where the nodes' present configuration redirects the
// mirror itself, a pod that names it would prove another place.
func (l *Live) probeImages(w *World, critical map[string]bool) []probe.Image {
	l.mu.Lock()
	pools := l.predicted
	l.mu.Unlock()
	results := l.Transfers.Snapshot()
	seen := map[string]bool{}
	var out []probe.Image
	for _, i := range w.Plan.Items {
		result := results[i.Key()]
		reference, ok := byDigest(i.Fill, result)
		matters := slices.ContainsFunc(i.Spellings, func(s string) bool { return critical[s] })
		if !ok || (seen[reference] && !matters) || redirected(pools, reference) {
			continue
		}
		seen[reference] = true
		out = append(out, probe.Image{Reference: reference, Bytes: result.Proof.Bytes, Platforms: result.Proof.Platforms, Critical: matters})
	}
	return out
}

// byDigest names a proven image by its digest: mirror/acme/shop:v1 becomes mirror/acme/shop@sha256:….
func byDigest(fill string, result mirror.Result) (string, bool) {
	if fill == "" || result.Proof.Digest == "" || result.Proof.Endpoint != fill {
		return "", false
	}
	return repositoryOf(fill) + "@" + result.Proof.Digest, true
}

func redirected(pools []plan.Pool, reference string) bool {
	for _, p := range pools {
		resolved, err := p.Before.Resolve(reference)
		if err != nil || len(resolved.Usable()) == 0 || resolved.Usable()[0].Mirror {
			return true
		}
	}
	return false
}
