package observe

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
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

// canary says what the nodes with the new configuration have pulled.
func (l *Live) canary(ctx context.Context, r client.Reader, w *World) rollout.Known[rollout.Canary] {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(l.Namespace), client.MatchingLabels{probe.LabelName: probe.CanaryName, mirrorset.LabelRollout: w.Rollout.Name}); err != nil {
		return rollout.Unseen[rollout.Canary]("listing the canary pods: " + err.Error())
	}
	out := rollout.Canary{Disabled: !probe.AfterFirstNode(w.Rollout), Preload: rollout.Preload{Wanted: probe.PreloadsNodes(w.Rollout)}}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp == nil {
			out.Left++
		}
	}
	if c := l.PullChecks.Canaries(); c.Plan == w.Plan.Digest {
		tellCanaries(&out, c, canaryConfigs(w), l.Now().Add(-probe.CanaryProofAge))
	}
	return rollout.Seen(out)
}

// tellCanaries says what was chosen and what has become of it, as far as it is about the configurations of now.
func tellCanaries(out *rollout.Canary, c probe.CanaryChecks, now map[string]string, notOlderThan time.Time) {
	current := func(pool string) bool { return now[pool] != "" && now[pool] == c.Configs[pool] }
	if !out.Disabled || out.Preload.Wanted {
		out.Until = c.Until
	}
	for _, s := range c.Sets {
		if out.Disabled || !current(s.Kind.Pool) || len(out.Kinds) == maxKinds {
			continue
		}
		kind := s.Sum(c.Outcomes, notOlderThan)
		underTheNew(kind.Worst)
		out.Kinds = append(out.Kinds, kind)
	}
	for _, s := range c.Preloads {
		if !out.Preload.Wanted || !current(s.Pool) || len(out.Preload.Pools) == maxKinds {
			continue
		}
		pool := s.Sum(c.Outcomes, notOlderThan)
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

// CanaryInput reads which nodes have the new configuration, and which images each of them may have to pull.
func (l *Live) CanaryInput(ctx context.Context, w *World) (probe.CanaryInput, error) {
	nodes, err := l.probeNodes(ctx, w)
	if err != nil {
		return probe.CanaryInput{}, err
	}
	pods, err := guardedPods(ctx, l.cached(), l.API)
	if err != nil {
		return probe.CanaryInput{}, err
	}
	changes := canaryImages(w)
	return probe.CanaryInput{
		Rollout: w.Rollout.Name, Nodes: nodes, Configs: canaryConfigs(w),
		Critical: func(n probe.Node) []probe.CriticalImage { return criticalFor(n, pods, changes) },
	}, nil
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
