package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

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

// probeAge is how long the proof of a node is good for: credentials, CAs and routes change slowly, content is proven by other means.
const probeAge = time.Hour

// probing is what this process knows of the probes. It is kept in memory: what is lost is proven again.
type probing struct {
	mu       sync.Mutex
	plan     string
	nodes    int
	want     []probe.Probe
	gaps     []probe.Gap
	outcomes []probe.Outcome
	until    time.Time
}

// probes says how far the probes of the plan are.
func (l *Live) probes(ctx context.Context, r client.Reader, w *World) rollout.Known[rollout.Probes] {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(l.Namespace), client.MatchingLabels{probe.LabelName: probe.AppName, mirrorset.LabelRollout: w.Rollout.Name}); err != nil {
		return rollout.Unseen[rollout.Probes]("listing the probe pods: " + err.Error())
	}
	out := rollout.Probes{Disabled: !fromNodes(w.Rollout), Left: len(pods.Items)}
	l.probing.mu.Lock()
	defer l.probing.mu.Unlock()
	p := &l.probing
	sum := probe.Sum(p.want, p.outcomes, l.Now().Add(-probeAge))
	out.Plan, out.Nodes, out.Until = p.plan, p.nodes, p.until
	out.Wanted, out.Proven, out.Failed, out.Worst = sum.Wanted-sum.Unsure, sum.Proven, sum.Failed, sum.Worst
	for i := range out.Worst {
		out.Worst[i].Reason = v1alpha1.ReasonNodesCannotPull
	}
	for _, d := range sum.Doubts {
		out.Skipped = append(out.Skipped, d.Message)
	}
	for _, g := range p.gaps {
		if len(out.Skipped) < maxSkipped {
			out.Skipped = append(out.Skipped, g.String())
		}
	}
	return rollout.Seen(out)
}

// maxSkipped bounds how many gaps are told.
const maxSkipped = 10

func fromNodes(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Mirroring.Verification.FromNodes != v1alpha1.Disabled
}

// Probe takes the probes of the plan one step further. Once they are not wanted any more, because the user does without or the mirror
// sets are applied, it takes away what is left of them.
func (l *Live) Probe(ctx context.Context, c client.Client, w *World) error {
	runner := &probe.Runner{Client: c, API: l.API, Namespace: l.Namespace, Limits: probeLimits(w.Rollout)}
	if !fromNodes(w.Rollout) || w.Observed.Record.AppliedPlanHash == w.Plan.Digest {
		_, err := runner.Sweep(ctx, w.Rollout.Name)
		return err
	}
	l.probing.mu.Lock()
	outcomes := l.probing.outcomes
	l.probing.mu.Unlock()
	now := l.Now()
	nodes, err := l.probeNodes(ctx, w)
	if err != nil {
		return err
	}
	targets, gaps := probe.Targets(nodes, probe.Shunned(outcomes, now, runner.Limits), runner.Limits, now)
	critical, err := l.criticalNames(ctx)
	if err != nil {
		return err
	}
	want, more := probe.Choose(w.Rollout.Name, l.probeImages(w, critical), targets, runner.Limits)
	owner := probe.Owner{Name: w.Rollout.Name, UID: w.Rollout.UID}
	step, err := runner.Run(ctx, owner, want, outcomes, now.Add(-probeAge), now)
	l.probing.mu.Lock()
	defer l.probing.mu.Unlock()
	l.probing.plan, l.probing.nodes, l.probing.want, l.probing.gaps = w.Plan.Digest, len(targets), want, append(gaps, more...)
	l.probing.outcomes, l.probing.until = step.Outcomes, step.RecheckAt
	return err
}

func probeLimits(r *v1alpha1.SafeMirrorRollout) probe.Limits {
	limits := probe.DefaultLimits()
	if n := r.Spec.Mirroring.Verification.MebibytesPerNode; n > 0 {
		limits.BytesPerNode = int64(n) << 20
	}
	return limits
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
	results := l.Engine.Snapshot()
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

// TryAgain lets what has failed be tried again at once: copies, proofs, and probes.
func (l *Live) TryAgain() {
	l.Engine.TryAgain()
	l.probing.mu.Lock()
	defer l.probing.mu.Unlock()
	unproven := func(o probe.Outcome) bool { return o.Verdict.State != probe.Pulled }
	l.probing.outcomes = slices.DeleteFunc(l.probing.outcomes, unproven)
	l.canaries.mu.Lock()
	defer l.canaries.mu.Unlock()
	l.canaries.outcomes = slices.DeleteFunc(l.canaries.outcomes, unproven)
}
