package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/disruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/release"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Cluster is a client that can read and cannot write.
type Cluster interface {
	client.Reader
	Scheme() *runtime.Scheme
	RESTMapper() meta.RESTMapper
}

// Live observes a running cluster.
type Live struct {
	// Client reads from the manager's caches; API reads past the caches.
	Client Cluster
	API    client.Reader
	// DryRun asks the API server what it would say to a write.
	DryRun *dryrun.API
	// Transfers and PullChecks are what execute has started, and what has come of it.
	Transfers  Transfers
	PullChecks PullChecks
	// Namespace is the operator's own, where the Secrets that a spec names are. PodName is the pod of this process when it is one of several
	// that elect a leader; empty when it has nobody to hand over to.
	Namespace string
	PodName   string
	// Payload reads the component images of a release payload; nil leaves them out. See ReadPayload.
	Payload func(ctx context.Context, c *mirror.Client, places []string, image string) ([]release.Component, error)
	// Kinds tells which kinds the caches serve.
	Kinds *Kinds
	Now   func() time.Time

	predictor predict.Predictor
	payloads  payloads
	private   private
	// forecasting is what was foretold last.
	forecasting forecasting

	mu        sync.Mutex
	warned    time.Time
	warnings  []string
	predicted []plan.Pool
	dryRuns   map[string]dryRun

	registryClient cachedClient
}

// World is one look: what the core decides on, and what the executor needs to act on the decision.
type World struct {
	// Wanted is what is to be in the cluster: what the spec says, or, on the way back, what was there before.
	predict.Wanted
	Rollout  *v1alpha1.SafeMirrorRollout
	Observed rollout.Observed
	Plan     plan.Plan
	// Inventory is what the plan was made from, Results what the registries have said to it.
	Inventory inventory.Inventory
	Results   map[string]mirror.Result
	Registry  *mirror.Client
	// HaveDigest and HaveTag are the mirror sets of the rollout's name that the cluster has; nil stands for none.
	HaveDigest *configv1.ImageDigestMirrorSet
	HaveTag    *configv1.ImageTagMirrorSet
}

// Observe looks at everything that concerns the rollout. It fails only when the rollout itself cannot be read; the rollout is
// read past the cache, because its record must never be older than what was done on the strength of it.
func (l *Live) Observe(ctx context.Context, name string) (*World, error) {
	r := &v1alpha1.SafeMirrorRollout{}
	if err := l.API.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		return nil, err
	}
	w := &World{Wanted: predict.Want(r), Rollout: r}
	o := &w.Observed
	o.Now, o.Rollout, o.Record = l.Now(), rollout.Effective(r), r.Status.Record
	o.Others = l.others(ctx, r)
	o.Cluster = predict.Cluster(ctx, l.API, predict.Mapped(l.Client.RESTMapper()))
	if c, ok := o.Cluster.Get(); ok && c.Unsupported != "" {
		return w, nil // none of the other objects exists here
	}
	l.look(ctx, w, l.cached(), false)
	return w, nil
}

// Refresh repeats what a disruptive action depends on with reads past the caches.
func (l *Live) Refresh(ctx context.Context, w *World) (*World, error) {
	fresh := &World{}
	r := &v1alpha1.SafeMirrorRollout{}
	if err := l.API.Get(ctx, client.ObjectKeyFromObject(w.Rollout), r); err != nil {
		return nil, err
	}
	if r.UID != w.Rollout.UID || r.Generation != w.Rollout.Generation {
		return nil, fmt.Errorf("SafeMirrorRollout %s has changed since it was looked at", r.Name)
	}
	fresh.Rollout, fresh.Wanted = r, predict.Want(r)
	fresh.Observed = w.Observed
	fresh.Observed.Now, fresh.Observed.Rollout, fresh.Observed.Record = l.Now(), rollout.Effective(r), r.Status.Record
	fresh.Observed.Cluster = predict.Cluster(ctx, l.API, predict.Mapped(l.Client.RESTMapper()))
	l.look(ctx, fresh, l.API, true)
	return fresh, nil
}

// look reads the pools, the mirror sets, the plan and the workloads through the reader.
func (l *Live) look(ctx context.Context, w *World, reader client.Reader, fresh bool) {
	o := &w.Observed
	o.Policy = disruption.Read(ctx, l.API, w.Rollout.Name)
	all, err := predict.ReadSets(ctx, reader)
	if err != nil {
		why := err.Error()
		o.Sets, o.Plan = rollout.Unseen[rollout.MirrorSets](why), rollout.Unseen[rollout.Plan](why)
		o.Spec, o.Transfers = rollout.Unseen[[]rollout.Problem](why), rollout.Unseen[rollout.Transfers](why)
		o.Pools, o.Forecast = rollout.Unseen[[]rollout.Pool](why), rollout.Unseen[rollout.Forecast](why)
		return
	}
	w.HaveDigest, w.HaveTag = w.Have(all)
	state, problem := l.aim(ctx, w, all)
	o.Sets = rollout.Seen(state)
	if p, _ := o.Policy.Get(); rollout.Ended(o.Record, o.Rollout) && p.Ledger == nil {
		o.Remedies = l.remedies(ctx, reader, w)
		return // nothing else is decided any more, and a cluster at rest shall not be read for it
	}
	prediction, err := l.predictor.Pools(ctx, reader, l.API, w.Wanted, all)
	if err != nil {
		o.Pools = rollout.Unseen[[]rollout.Pool](err.Error())
		o.Plan, o.Transfers = rollout.Unseen[rollout.Plan](err.Error()), rollout.Unseen[rollout.Transfers](err.Error())
	} else {
		o.Pools = rollout.Seen(prediction.Pools)
		l.mu.Lock()
		l.predicted = prediction.Configs
		l.mu.Unlock()
	}
	registry, problems := l.registry(ctx, w.Rollout, all)
	problems = appendProblem(problems, problem)
	if o.Record.Rollback != nil {
		prediction.Strays = nil // going back makes no node worse that is in no pool
	}
	l.warn(ctx, o)
	w.Registry = registry
	o.Spec = l.specProblems(ctx, w, all, prediction, problems)
	l.hosts(ctx, reader, o) // before the forecast: it is about the nodes whose turn it is
	if err == nil {
		l.plan(ctx, w, all, prediction)
		o.Forecast = l.forecast(ctx, w, prediction, fresh)
	} else {
		o.Forecast = rollout.Unseen[rollout.Forecast](err.Error())
	}
	o.Probes = l.probes(ctx, reader, w)
	o.Canary = l.canary(ctx, reader, w)
	o.Obstacles = l.obstacles(ctx, w)
	var released []string
	if release := o.Record.Release; release != nil {
		released = release.Nodes
	}
	o.Workloads = unreadyWorkloads(ctx, reader, released)
	o.ControlPlane = controlPlane(ctx, reader)
	o.Obstacles = proofs(o.Obstacles, w.proof)
	o.Remedies = l.remedies(ctx, reader, w)
}

func (l *Live) others(ctx context.Context, r *v1alpha1.SafeMirrorRollout) rollout.Known[[]rollout.Other] {
	var list v1alpha1.SafeMirrorRolloutList
	if err := l.cached().List(ctx, &list); err != nil {
		return rollout.Unseen[[]rollout.Other](err.Error())
	}
	out := []rollout.Other{}
	for i := range list.Items {
		o := &list.Items[i]
		if o.Name == r.Name {
			continue
		}
		rec := o.Status.Record
		out = append(out, rollout.Other{
			Name: o.Name, Created: o.CreationTimestamp.Time,
			Since:   rollout.UnderWay(rec),
			Waiting: rec.CompletedGeneration == 0 || rec.CompletedSpecHash != rollout.Identity(o.Spec),
		})
	}
	return rollout.Seen(out)
}

// inventory is read from the caches even by Refresh: a pod that was created this instant was not proven a moment ago either, and it
// holds the next release.
func (l *Live) inventory(ctx context.Context, w *World) (inventory.Inventory, error) {
	reader := l.Kinds.reader(l.cached(), l.API, l.Client.Scheme(), l.Now())
	return inventory.Read(ctx, reader, inventory.Options{Additional: w.Rollout.Spec.Inventory.AdditionalImages, API: l.API, Rendered: l.predictor.Rendered(l.API), Skip: probe.IsProbe, Release: l.release(w)})
}
