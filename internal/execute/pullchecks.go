package execute

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck/runner"
)

// PullChecks is what this process knows of the pulls by which nodes prove the mirrors. It is kept
// in memory: what is lost is proven again, which costs little, because the nodes have the images by
// then.
type PullChecks struct {
	mu       sync.Mutex
	probes   pullcheck.Checks
	canaries pullcheck.CanaryChecks
}

// Probes are those before any mirror set exists.
func (p *PullChecks) Probes() pullcheck.Checks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes
}

// Canaries are those on nodes that have the new configuration.
func (p *PullChecks) Canaries() pullcheck.CanaryChecks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.canaries
}

func (p *PullChecks) setProbes(c pullcheck.Checks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes = c
}

func (p *PullChecks) setCanaries(c pullcheck.CanaryChecks) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.canaries = c
}

// retry forgets what has failed, so that it is tried again at once.
func (p *PullChecks) retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes.Outcomes, p.canaries.Outcomes = pullcheck.Proven(p.probes.Outcomes), pullcheck.Proven(p.canaries.Outcomes)
}

func (e *Executor) runner(limits pullcheck.Limits, app string) *runner.Runner {
	return &runner.Runner{Client: e.Client, API: e.API, Namespace: e.Observer.Namespace, Limits: limits, App: app}
}

func ownerOf(obs *observe.Observation) pullcheck.Owner {
	return pullcheck.Owner{Name: obs.Rollout.Name, UID: obs.Rollout.UID}
}

// probe takes the probes of the plan one step further. Once they are not wanted any more, because
// the user does without or the mirror sets are applied, it takes away what is left of them.
func (e *Executor) probe(ctx context.Context, obs *observe.Observation) error {
	pods := e.runner(pullcheck.LimitsOf(obs.Rollout), pullcheck.AppName)
	if !pullcheck.FromNodes(obs.Rollout) || obs.Observed.Record.AppliedPlanHash == obs.Plan.Digest {
		_, err := pods.Sweep(ctx, obs.Rollout.Name)
		return err
	}
	outcomes, now := e.PullChecks.Probes().Outcomes, e.Observer.Now()
	read, err := e.Observer.ProbeInput(ctx, obs)
	if err != nil {
		return err
	}
	targets, gaps := pullcheck.SelectNodes(read.Nodes, pullcheck.ExcludedNodes(outcomes, now, pods.Limits),
		pods.Limits, now)
	want, more := pullcheck.SelectChecks(obs.Rollout.Name, read.Images, targets, pods.Limits)
	step, err := pods.Run(ctx, ownerOf(obs), want, outcomes, now.Add(-pullcheck.ProofAge), now)
	e.PullChecks.setProbes(pullcheck.Checks{
		Plan: obs.Plan.Digest, Nodes: len(targets), Want: want, Gaps: append(gaps, more...), Outcomes: step.Results,
		Until: step.RecheckAt,
	})
	return err
}

// canary takes the canaries and preloads one step further, or takes away what is left of them.
func (e *Executor) canary(ctx context.Context, obs *observe.Observation, sweep bool) error {
	pods := e.runner(pullcheck.CanaryLimits(), pullcheck.CanaryName)
	if sweep || (!pullcheck.AfterFirstNode(obs.Rollout) && !pullcheck.PreloadsNodes(obs.Rollout)) {
		_, err := pods.Sweep(ctx, obs.Rollout.Name)
		return err
	}
	known, now := e.PullChecks.Canaries(), e.Observer.Now()
	loaded := maps.Clone(known.Loaded)
	if known.Plan != obs.Plan.Digest {
		loaded = nil
	}
	in, err := e.Observer.CanaryInput(ctx, obs)
	if err != nil {
		return err
	}
	in.Results, in.Limits, in.Now = known.Outcomes, pods.Limits, now
	next := pullcheck.CanaryChecks{Plan: obs.Plan.Digest, Configs: in.Configs}
	if pullcheck.AfterFirstNode(obs.Rollout) {
		next.Sets = pullcheck.Canaries(in)
	}
	if pullcheck.PreloadsNodes(obs.Rollout) {
		next.Preloads = pullcheck.Preloads(in, loaded, now.Add(-pullcheck.CanaryProofAge))
	}
	want := pullcheck.MergeChecks(next.Sets, next.Preloads)
	step, err := pods.Run(ctx, ownerOf(obs), want, known.Outcomes, now.Add(-pullcheck.CanaryProofAge), now)
	next.Outcomes, next.Until, next.Loaded = step.Results, step.RecheckAt, remember(loaded, step.Results)
	e.PullChecks.setCanaries(next)
	return err
}

// remember adds the pulls that have succeeded.
func remember(loaded map[string]time.Time, outcomes []pullcheck.CheckResult) map[string]time.Time {
	if loaded == nil {
		loaded = map[string]time.Time{}
	}
	for _, o := range outcomes {
		if o.Pull.State == pullcheck.Pulled {
			loaded[o.Name] = o.At
		}
	}
	return loaded
}

// retryFailed lets what has failed be tried again at once: copies, proofs, and pull checks.
func (e *Executor) retryFailed() {
	e.Transfers.Engine.RetryFailed()
	e.PullChecks.retry()
}
