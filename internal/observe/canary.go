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
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// canaryPulls says what the nodes with the new configuration have pulled.
func (observer *Observer) canaryPulls(ctx context.Context, r client.Reader,
	obs *Observation) rollout.Value[rollout.CanaryPulls] {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(observer.Namespace),
		client.MatchingLabels{pullcheck.LabelName: pullcheck.CanaryName,
			mirrorset.LabelRollout: obs.Rollout.Name}); err != nil {
		return rollout.Unknown[rollout.CanaryPulls]("listing the canary pods: " + err.Error())
	}
	out := rollout.CanaryPulls{Disabled: !pullcheck.AfterFirstNode(obs.Rollout),
		Preload: rollout.Preload{Enabled: pullcheck.PreloadsNodes(obs.Rollout)}}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp == nil {
			out.PodsLeft++
		}
	}
	if c := observer.PullChecks.Canaries(); c.Plan == obs.Plan.Digest {
		tellCanaries(&out, c, canaryConfigs(obs), observer.Now().Add(-pullcheck.CanaryProofAge))
	}
	return rollout.Known(out)
}

// tellCanaries says what was chosen and what has become of it, as far as it is about the
// configurations of now.
func tellCanaries(out *rollout.CanaryPulls, c pullcheck.CanaryChecks, now map[string]string, notOlderThan time.Time) {
	current := func(pool string) bool { return now[pool] != "" && now[pool] == c.Configs[pool] }
	if !out.Disabled || out.Preload.Enabled {
		out.RecheckAt = c.Until
	}
	for _, s := range c.Sets {
		if out.Disabled || !current(s.Group.Pool) || len(out.Groups) == maxNodeGroups {
			continue
		}
		group := s.Summarize(c.Outcomes, notOlderThan)
		markNodesCannotPull(group.Problems)
		out.Groups = append(out.Groups, group)
	}
	for _, s := range c.Preloads {
		if !out.Preload.Enabled || !current(s.Pool) || len(out.Preload.Pools) == maxNodeGroups {
			continue
		}
		pool := s.Summarize(c.Outcomes, notOlderThan)
		markNodesCannotPull(pool.Problems)
		out.Preload.Pools = append(out.Preload.Pools, pool)
	}
}

// markNodesCannotPull gives failures the reason that they have once a node runs the new
// configuration.
func markNodesCannotPull(problems []rollout.Problem) {
	for i := range problems {
		problems[i].Reason = v1alpha1.ReasonNodesCannotPull
	}
}

// maxNodeGroups bounds how many kinds of nodes are told of: pools times architectures.
const maxNodeGroups = 128

// canaryConfigs are the configurations under which something is to be found out: those of pools
// that have a node with the planned one.
func canaryConfigs(obs *Observation) map[string]string {
	pools, ok := obs.Observed.Pools.Get()
	if !ok || obs.Observed.Record.Rollback != nil || obs.Observed.Record.AppliedPlanHash != obs.Plan.Digest {
		return nil
	}
	out := map[string]string{}
	for _, p := range pools {
		if p.Registries == rollout.MatchesPlanned && p.Updated() > 0 {
			out[p.Name] = p.Rendered
		}
	}
	return out
}

// CanaryInput reads which nodes have the new configuration, and which images each of them may have
// to pull.
func (observer *Observer) CanaryInput(ctx context.Context, obs *Observation) (pullcheck.CanaryInput, error) {
	nodes, err := observer.pullCheckNodes(ctx, obs)
	if err != nil {
		return pullcheck.CanaryInput{}, err
	}
	pods, err := criticalPods(ctx, observer.cached(), observer.API)
	if err != nil {
		return pullcheck.CanaryInput{}, err
	}
	changes := changedPulls(obs)
	return pullcheck.CanaryInput{
		Rollout: obs.Rollout.Name, Nodes: nodes, Configs: canaryConfigs(obs),
		Critical: func(n pullcheck.Node) []pullcheck.CriticalImage { return criticalImagesFor(n, pods, changes) },
	}, nil
}

// changedPull is a reference of the plan with what a canary needs of it.
type changedPull struct {
	image     pullcheck.CriticalImage
	pools     []string
	nodeStart bool
}

// changedPulls are the references whose pull sources change, by the spelling of pods and templates.
func changedPulls(obs *Observation) map[string]changedPull {
	references := map[string]inventory.Reference{}
	for _, r := range obs.Inventory.References {
		references[r.Image] = r
	}
	out := map[string]changedPull{}
	for _, i := range obs.Plan.Items {
		if i.Accepted != "" {
			continue // the user takes it into account that it cannot be pulled
		}
		for _, spelling := range i.Spellings {
			if r := references[spelling]; r.Blocking() {
				c := out[spelling]
				c.image, c.nodeStart = criticalImage(spelling, i, obs.Results[i.Key()]), r.NodeStart
				c.pools = append(c.pools, i.Pools...)
				out[spelling] = c
			}
		}
	}
	return out
}

func criticalImage(spelling string, i plan.Item, result mirror.Result) pullcheck.CriticalImage {
	out := pullcheck.CriticalImage{Reference: spelling, Endpoint: i.Target, Digest: result.Proof.Digest,
		Bytes: result.Proof.Bytes, Platforms: result.Proof.Platforms}
	if usable := i.After.Usable(); out.Endpoint == "" && len(usable) > 0 {
		out.Endpoint = usable[0].Reference
	}
	return out
}

// affects tells whether the pull changes for the pool. Items may be about nodes of a pool that run
// an older configuration: "worker after rendered-worker-1".
func (c changedPull) affects(pool string) bool {
	return slices.ContainsFunc(c.pools,
		func(p string) bool { return p == pool || strings.HasPrefix(p, pool+" after ") })
}

// criticalImagesFor are the images that matter to a node of this sort, the most critical first:
// those of guarded pods that may come to it, small ones first, so that many are shown before the
// bounds are reached; then those without which a node of the kind is not born.
func criticalImagesFor(n pullcheck.Node, pods []criticalPod, changes map[string]changedPull) []pullcheck.CriticalImage {
	rank, evicted := map[string]int{}, map[string]bool{}
	for _, p := range pods {
		if !slices.ContainsFunc(p.images, func(i string) bool { return changes[i].affects(n.Pool) }) ||
			!p.mayRunOn(n.Object) {
			continue
		}
		for _, i := range p.images {
			rank[i] = criticalPodRank
			evicted[i] = evicted[i] || !p.notEvicted
		}
	}
	for image, c := range changes {
		if _, known := rank[image]; !known && c.nodeStart {
			rank[image] = nodeStartRank
		}
	}
	var out []pullcheck.CriticalImage
	for _, image := range slices.Sorted(maps.Keys(rank)) {
		if c := changes[image]; c.affects(n.Pool) {
			c.image.EvictedPods = evicted[image]
			out = append(out, c.image)
		}
	}
	slices.SortStableFunc(out, func(a, b pullcheck.CriticalImage) int {
		return cmp.Or(cmp.Compare(rank[a.Reference], rank[b.Reference]), cmp.Compare(a.Bytes, b.Bytes))
	})
	return out
}

// The ranks of critical images.
const (
	criticalPodRank = iota
	nodeStartRank
)
