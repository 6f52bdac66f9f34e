package observe

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// canaryAge is how long what a node has shown under the new configuration is good for: longer than a rollout takes that goes on, shorter
// than one is held.
const canaryAge = 24 * time.Hour

// canarying is what this process knows of the canaries. It is kept in memory: what is lost is asked again, which costs little, because the
// node has the images by then.
type canarying struct {
	mu       sync.Mutex
	plan     string
	configs  map[string]string
	sets     []probe.CanarySet
	preloads []probe.PreloadSet
	outcomes []probe.Outcome
	// loaded are the pods, by name, that have brought an image to their node, and when. It is what is left of their outcomes: with hundreds
	// of nodes those would be too many to go through.
	loaded map[string]time.Time
	until  time.Time
}

// canary says what the nodes with the new configuration have pulled.
func (l *Live) canary(ctx context.Context, r client.Reader, w *World) rollout.Known[rollout.Canary] {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(l.Namespace), client.MatchingLabels{probe.LabelName: probe.CanaryName, mirrorset.LabelRollout: w.Rollout.Name}); err != nil {
		return rollout.Unseen[rollout.Canary]("listing the canary pods: " + err.Error())
	}
	out := rollout.Canary{Disabled: !afterFirstNode(w.Rollout), Preload: rollout.Preload{Wanted: preloads(w.Rollout)}}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp == nil {
			out.Left++
		}
	}
	l.canaries.mu.Lock()
	defer l.canaries.mu.Unlock()
	if c := &l.canaries; c.plan == w.Plan.Digest {
		c.tell(&out, canaryConfigs(w), l.Now().Add(-canaryAge))
	}
	return rollout.Seen(out)
}

// tell says what was chosen and what has become of it, as far as it is about the configurations of now.
func (c *canarying) tell(out *rollout.Canary, now map[string]string, notOlderThan time.Time) {
	current := func(pool string) bool { return now[pool] != "" && now[pool] == c.configs[pool] }
	if !out.Disabled || out.Preload.Wanted {
		out.Until = c.until
	}
	for _, s := range c.sets {
		if out.Disabled || !current(s.Kind.Pool) || len(out.Kinds) == maxKinds {
			continue
		}
		kind := s.Sum(c.outcomes, notOlderThan)
		underTheNew(kind.Worst)
		out.Kinds = append(out.Kinds, kind)
	}
	for _, s := range c.preloads {
		if !out.Preload.Wanted || !current(s.Pool) || len(out.Preload.Pools) == maxKinds {
			continue
		}
		pool := s.Sum(c.outcomes, notOlderThan)
		underTheNew(pool.Worst)
		out.Preload.Pools = append(out.Preload.Pools, pool)
	}
}

// underTheNew gives failures the reason that they have once a node runs the new configuration.
func underTheNew(worst []rollout.Problem) {
	for i := range worst {
		worst[i].Reason = v1alpha1.ReasonNodesCannotPull
	}
}

// maxKinds bounds how many kinds of nodes are told of: pools times architectures.
const maxKinds = 128

func afterFirstNode(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Mirroring.Verification.AfterFirstNode != v1alpha1.Disabled
}

func preloads(r *v1alpha1.SafeMirrorRollout) bool {
	return r.Spec.Release.Preload == v1alpha1.PreloadUpdatedNodes
}

// canaryConfigs are the configurations under which something is to be found out: those of pools that have a node with the planned one.
func canaryConfigs(w *World) map[string]string {
	pools, ok := w.Observed.Pools.Get()
	if !ok || w.Observed.Record.Rollback != nil || w.Observed.Record.AppliedPlanHash != w.Plan.Digest {
		return nil
	}
	out := map[string]string{}
	for _, p := range pools {
		if p.Meaning == rollout.MeansPlanned && p.Updated() > 0 {
			out[p.Name] = p.Rendered
		}
	}
	return out
}

// Canary takes the canaries one step further, or takes away what is left of them.
func (l *Live) Canary(ctx context.Context, c client.Client, w *World, sweep bool) error {
	runner := &probe.Runner{Client: c, API: l.API, Namespace: l.Namespace, Limits: probe.CanaryLimits(), App: probe.CanaryName}
	configs := canaryConfigs(w)
	if sweep || (!afterFirstNode(w.Rollout) && !preloads(w.Rollout)) {
		_, err := runner.Sweep(ctx, w.Rollout.Name)
		return err
	}
	l.canaries.mu.Lock()
	outcomes, loaded := l.canaries.outcomes, maps.Clone(l.canaries.loaded)
	if l.canaries.plan != w.Plan.Digest {
		loaded = nil
	}
	l.canaries.mu.Unlock()
	now := l.Now()
	nodes, err := l.probeNodes(ctx, w)
	if err != nil {
		return err
	}
	pods, err := guardedPods(ctx, l.cached(), l.API)
	if err != nil {
		return err
	}
	changes := canaryImages(w)
	in := probe.CanaryInput{
		Rollout: w.Rollout.Name, Nodes: nodes, Configs: configs, Outcomes: outcomes, Limits: runner.Limits, Now: now,
		Critical: func(n probe.Node) []probe.CriticalImage { return criticalFor(n, pods, changes) },
	}
	var sets []probe.CanarySet
	if afterFirstNode(w.Rollout) {
		sets = probe.Canaries(in)
	}
	var loads []probe.PreloadSet
	if preloads(w.Rollout) {
		loads = probe.Preloads(in, loaded, now.Add(-canaryAge))
	}
	step, err := runner.Run(ctx, probe.Owner{Name: w.Rollout.Name, UID: w.Rollout.UID}, probe.Wanted(sets, loads), outcomes, now.Add(-canaryAge), now)
	l.canaries.mu.Lock()
	defer l.canaries.mu.Unlock()
	known := &l.canaries
	known.plan, known.configs, known.sets, known.preloads = w.Plan.Digest, configs, sets, loads
	known.outcomes, known.until, known.loaded = step.Outcomes, step.RecheckAt, remember(loaded, step.Outcomes)
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

// change is a reference of the plan with what a canary needs of it.
type change struct {
	image probe.CriticalImage
	pools []string
	birth bool
}

// canaryImages are the references whose pull sources change, by the spelling of pods and templates.
func canaryImages(w *World) map[string]change {
	references := map[string]inventory.Reference{}
	for _, r := range w.Inventory.References {
		references[r.Image] = r
	}
	out := map[string]change{}
	for _, i := range w.Plan.Items {
		if i.Accepted != "" {
			continue // the user takes it into account that it cannot be pulled
		}
		for _, spelling := range i.Spellings {
			if r := references[spelling]; r.Blocking() {
				c := out[spelling]
				c.image, c.birth = criticalImage(spelling, i, w.Results[i.Key()]), r.Birth
				c.pools = append(c.pools, i.Pools...)
				out[spelling] = c
			}
		}
	}
	return out
}

func criticalImage(spelling string, i plan.Item, result mirror.Result) probe.CriticalImage {
	out := probe.CriticalImage{Reference: spelling, Endpoint: i.Fill, Digest: result.Proof.Digest, Bytes: result.Proof.Bytes, Platforms: result.Proof.Platforms}
	if usable := i.After.Usable(); out.Endpoint == "" && len(usable) > 0 {
		out.Endpoint = usable[0].Reference
	}
	return out
}

// in tells whether the pull changes for the pool. Items may be about nodes of a pool that run an older configuration: "worker after
// rendered-worker-1".
func (c change) in(pool string) bool {
	return slices.ContainsFunc(c.pools, func(p string) bool { return p == pool || strings.HasPrefix(p, pool+" after ") })
}

// criticalFor are the images that matter to a node of this sort, the most critical first: those of guarded pods that may come to it, small
// ones first, so that many are shown before the bounds are reached; then those without which a node of the kind is not born.
func criticalFor(n probe.Node, pods []guarded, changes map[string]change) []probe.CriticalImage {
	rank, moves := map[string]int{}, map[string]bool{}
	for _, p := range pods {
		if !slices.ContainsFunc(p.images, func(i string) bool { return changes[i].in(n.Pool) }) || !p.mayRunOn(n.Object) {
			continue
		}
		for _, i := range p.images {
			rank[i] = guardedRank
			moves[i] = moves[i] || !p.stays
		}
	}
	for image, c := range changes {
		if _, known := rank[image]; !known && c.birth {
			rank[image] = birthRank
		}
	}
	var out []probe.CriticalImage
	for _, image := range slices.Sorted(maps.Keys(rank)) {
		if c := changes[image]; c.in(n.Pool) {
			c.image.Moves = moves[image]
			out = append(out, c.image)
		}
	}
	slices.SortStableFunc(out, func(a, b probe.CriticalImage) int {
		return cmp.Or(cmp.Compare(rank[a.Reference], rank[b.Reference]), cmp.Compare(a.Bytes, b.Bytes))
	})
	return out
}

// The ranks of critical images.
const (
	guardedRank = iota
	birthRank
)
