package execute

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe/runner"
)

// PullChecks is what this process knows of the pulls by which nodes prove the mirrors. It is kept in memory: what is lost is proven again,
// which costs little, because the nodes have the images by then.
type PullChecks struct {
	mu       sync.Mutex
	probes   probe.Checks
	canaries probe.CanaryChecks
}

// Probes are those before any mirror set exists.
func (p *PullChecks) Probes() probe.Checks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes
}

// Canaries are those on nodes that have the new configuration.
func (p *PullChecks) Canaries() probe.CanaryChecks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.canaries
}

func (p *PullChecks) setProbes(c probe.Checks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes = c
}

func (p *PullChecks) setCanaries(c probe.CanaryChecks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.canaries = c
}

// retry forgets what has failed, so that it is tried again at once.
func (p *PullChecks) retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes.Outcomes, p.canaries.Outcomes = probe.Proven(p.probes.Outcomes), probe.Proven(p.canaries.Outcomes)
}

func (e *Executor) runner(limits probe.Limits, app string) *runner.Runner {
	return &runner.Runner{Client: e.Client, API: e.API, Namespace: e.Observe.Namespace, Limits: limits, App: app}
}

func ownerOf(w *observe.World) probe.Owner {
	return probe.Owner{Name: w.Rollout.Name, UID: w.Rollout.UID}
}

// probe takes the probes of the plan one step further. Once they are not wanted any more, because the user does without or the mirror
// sets are applied, it takes away what is left of them.
func (e *Executor) probe(ctx context.Context, w *observe.World) error {
	pods := e.runner(probe.LimitsOf(w.Rollout), probe.AppName)
	if !probe.FromNodes(w.Rollout) || w.Observed.Record.AppliedPlanHash == w.Plan.Digest {
		_, err := pods.Sweep(ctx, w.Rollout.Name)
		return err
	}
	outcomes, now := e.PullChecks.Probes().Outcomes, e.Observe.Now()
	read, err := e.Observe.ProbeInput(ctx, w)
	if err != nil {
		return err
	}
	targets, gaps := probe.Targets(read.Nodes, probe.Shunned(outcomes, now, pods.Limits), pods.Limits, now)
	want, more := probe.Choose(w.Rollout.Name, read.Images, targets, pods.Limits)
	step, err := pods.Run(ctx, ownerOf(w), want, outcomes, now.Add(-probe.ProofAge), now)
	e.PullChecks.setProbes(probe.Checks{
		Plan: w.Plan.Digest, Nodes: len(targets), Want: want, Gaps: append(gaps, more...), Outcomes: step.Outcomes, Until: step.RecheckAt,
	})
	return err
}

// canary takes the canaries and preloads one step further, or takes away what is left of them.
func (e *Executor) canary(ctx context.Context, w *observe.World, sweep bool) error {
	pods := e.runner(probe.CanaryLimits(), probe.CanaryName)
	if sweep || (!probe.AfterFirstNode(w.Rollout) && !probe.PreloadsNodes(w.Rollout)) {
		_, err := pods.Sweep(ctx, w.Rollout.Name)
		return err
	}
	known, now := e.PullChecks.Canaries(), e.Observe.Now()
	loaded := maps.Clone(known.Loaded)
	if known.Plan != w.Plan.Digest {
		loaded = nil
	}
	in, err := e.Observe.CanaryInput(ctx, w)
	if err != nil {
		return err
	}
	in.Outcomes, in.Limits, in.Now = known.Outcomes, pods.Limits, now
	next := probe.CanaryChecks{Plan: w.Plan.Digest, Configs: in.Configs}
	if probe.AfterFirstNode(w.Rollout) {
		next.Sets = probe.Canaries(in)
	}
	if probe.PreloadsNodes(w.Rollout) {
		next.Preloads = probe.Preloads(in, loaded, now.Add(-probe.CanaryProofAge))
	}
	want := probe.Wanted(next.Sets, next.Preloads)
	step, err := pods.Run(ctx, ownerOf(w), want, known.Outcomes, now.Add(-probe.CanaryProofAge), now)
	next.Outcomes, next.Until, next.Loaded = step.Outcomes, step.RecheckAt, remember(loaded, step.Outcomes)
	e.PullChecks.setCanaries(next)
	return err
}

// remember adds the pulls that have succeeded.
func remember(loaded map[string]time.Time, outcomes []probe.Outcome) map[string]time.Time {
	if loaded == nil {
		loaded = map[string]time.Time{}
	}
	for _, o := range outcomes {
		if o.Verdict.State == probe.Pulled {
			loaded[o.Name] = o.At
		}
	}
	return loaded
}

// retryFailed lets what has failed be tried again at once: copies, proofs, and pull checks.
func (e *Executor) retryFailed() {
	e.Transfers.Engine.TryAgain()
	e.PullChecks.retry()
}
