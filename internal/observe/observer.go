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
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory/payload"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Cluster is a client that can read and cannot write.
type Cluster interface {
	client.Reader
	Scheme() *runtime.Scheme
	RESTMapper() meta.RESTMapper
}

// Observer observes a running cluster.
type Observer struct {
	// Client reads from the manager's caches; API reads past the caches.
	Client Cluster
	API    client.Reader
	// DryRun asks the API server what it would say to a write.
	DryRun *dryrun.API
	// Transfers and PullChecks are what execute has started, and what has come of it.
	Transfers  Transfers
	PullChecks PullChecks
	// Namespace is the operator's own, where the Secrets that a spec names are. PodName is the pod
	// of this process when it is one of several that elect a leader; empty when it has nobody to
	// hand over to.
	Namespace string
	PodName   string
	// Payload reads the component images of a release payload; nil leaves them out. See
	// ReadPayload.
	Payload func(ctx context.Context, c *mirror.Client, endpoints []string, image string) ([]payload.Component, error)
	// Kinds tells which kinds the caches serve.
	Kinds *CachedKinds
	Now   func() time.Time

	predictor           prediction.Predictor
	payloads            payloadCache
	workloadCredentials workloadCredentials
	// forecastCache is what was forecast last.
	forecastCache forecastCache

	mu               sync.Mutex
	warningsReadAt   time.Time
	warnings         []string
	predictedConfigs []plan.PoolConfig
	dryRuns          map[string]dryRun

	clientCache cachedClient
}

// Observation is one look: what the core decides on, and what the executor needs to act on the
// decision.
type Observation struct {
	// Wanted is what is to be in the cluster: what the spec says, or, on the way back, what was
	// there before.
	prediction.DesiredSets
	Rollout  *v1alpha1.SafeMirrorRollout
	Observed rollout.Observed
	Plan     plan.Plan
	// Inventory is what the plan was made from, Results what the registries have said to it.
	Inventory inventory.Inventory
	Results   map[string]mirror.Result
	Registry  *mirror.Client
	// PresentIDMS and PresentITMS are the mirror sets of the rollout's name that the cluster has;
	// nil stands for none.
	PresentIDMS *configv1.ImageDigestMirrorSet
	PresentITMS *configv1.ImageTagMirrorSet
}

// Observe looks at everything that concerns the rollout. It fails only when the rollout itself
// cannot be read; the rollout is read past the cache, because its record must never be older than
// what was done on the strength of it.
func (observer *Observer) Observe(ctx context.Context, name string) (*Observation, error) {
	r := &v1alpha1.SafeMirrorRollout{}
	if err := observer.API.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		return nil, err
	}
	obs := &Observation{DesiredSets: prediction.DesiredSetsOf(r), Rollout: r}
	o := &obs.Observed
	o.Now, o.Rollout, o.Record = observer.Now(), rollout.Effective(r), r.Status.Record
	o.OtherRollouts = observer.otherRollouts(ctx, r)
	o.Cluster = prediction.ReadCluster(ctx, observer.API, prediction.DiscoveryFrom(observer.Client.RESTMapper()))
	if c, ok := o.Cluster.Get(); ok && c.Unsupported != "" {
		return obs, nil // none of the other objects exists here
	}
	observer.readCluster(ctx, obs, observer.cached(), false)
	return obs, nil
}

// Refresh repeats what a disruptive action depends on with reads past the caches.
func (observer *Observer) Refresh(ctx context.Context, obs *Observation) (*Observation, error) {
	fresh := &Observation{}
	r := &v1alpha1.SafeMirrorRollout{}
	if err := observer.API.Get(ctx, client.ObjectKeyFromObject(obs.Rollout), r); err != nil {
		return nil, err
	}
	if r.UID != obs.Rollout.UID || r.Generation != obs.Rollout.Generation {
		return nil, fmt.Errorf("SafeMirrorRollout %s has changed since it was looked at", r.Name)
	}
	fresh.Rollout, fresh.DesiredSets = r, prediction.DesiredSetsOf(r)
	fresh.Observed = obs.Observed
	fresh.Observed.Now, fresh.Observed.Rollout, fresh.Observed.Record = observer.Now(), rollout.Effective(r),
		r.Status.Record
	fresh.Observed.Cluster = prediction.ReadCluster(ctx, observer.API,
		prediction.DiscoveryFrom(observer.Client.RESTMapper()))
	observer.readCluster(ctx, fresh, observer.API, true)
	return fresh, nil
}

// readCluster reads the pools, the mirror sets, the plan and the workloads through the reader.
func (observer *Observer) readCluster(ctx context.Context, obs *Observation, reader client.Reader, fresh bool) {
	o := &obs.Observed
	o.NodeDisruptionPolicy = nodedisruption.Read(ctx, observer.API, obs.Rollout.Name)
	all, err := prediction.ReadSets(ctx, reader)
	if err != nil {
		why := err.Error()
		o.Sets, o.Plan = rollout.Unknown[rollout.MirrorSets](why), rollout.Unknown[rollout.PlanSummary](why)
		o.SpecProblems, o.Transfers = rollout.Unknown[[]rollout.Problem](why), rollout.Unknown[rollout.Transfers](why)
		o.Pools, o.Forecast = rollout.Unknown[[]rollout.Pool](why), rollout.Unknown[rollout.Forecast](why)
		return
	}
	obs.PresentIDMS, obs.PresentITMS = obs.Present(all)
	state, problem := observer.desiredMirrorSets(ctx, obs, all)
	o.Sets = rollout.Known(state)
	if p, _ := o.NodeDisruptionPolicy.Get(); rollout.Ended(o.Record, o.Rollout) && p.Record == nil {
		o.Remedies = observer.remedies(ctx, reader, obs)
		return // nothing else is decided any more, and a cluster at rest must not be read for it
	}
	predicted, err := observer.predictor.Pools(ctx, reader, observer.API, obs.DesiredSets, all)
	if err != nil {
		o.Pools = rollout.Unknown[[]rollout.Pool](err.Error())
		o.Plan, o.Transfers = rollout.Unknown[rollout.PlanSummary](err.Error()),
			rollout.Unknown[rollout.Transfers](err.Error())
	} else {
		o.Pools = rollout.Known(predicted.Pools)
		observer.mu.Lock()
		observer.predictedConfigs = predicted.Configs
		observer.mu.Unlock()
	}
	registryClient, problems := observer.registryClient(ctx, obs.Rollout, all)
	problems = appendProblem(problems, problem)
	if o.Record.Rollback != nil {
		predicted.UnmanagedNodes = nil // rolling back makes no node worse that is in no pool
	}
	observer.addLifecycleWarnings(ctx, o)
	obs.Registry = registryClient
	o.SpecProblems = observer.specProblems(ctx, obs, all, predicted, problems)
	observer.locateOperators(ctx, reader, o) // before the forecast: it is about the nodes whose turn it is
	if err == nil {
		observer.buildPlan(ctx, obs, all, predicted)
		o.Forecast = observer.forecast(ctx, obs, predicted, fresh)
	} else {
		o.Forecast = rollout.Unknown[rollout.Forecast](err.Error())
	}
	o.PullChecks = observer.pullChecks(ctx, reader, obs)
	o.CanaryPulls = observer.canaryPulls(ctx, reader, obs)
	o.BlockedDrains = observer.blockedDrains(ctx, obs)
	var released []string
	if release := o.Record.Release; release != nil {
		released = release.Nodes
	}
	o.Workloads = unreadyWorkloads(ctx, reader, released)
	o.ControlPlane = controlPlane(ctx, reader)
	o.BlockedDrains = addProofs(o.BlockedDrains, obs.worstResult)
	o.Remedies = observer.remedies(ctx, reader, obs)
}

func (observer *Observer) otherRollouts(ctx context.Context,
	r *v1alpha1.SafeMirrorRollout) rollout.Value[[]rollout.OtherRollout] {
	var list v1alpha1.SafeMirrorRolloutList
	if err := observer.cached().List(ctx, &list); err != nil {
		return rollout.Unknown[[]rollout.OtherRollout](err.Error())
	}
	out := []rollout.OtherRollout{}
	for i := range list.Items {
		o := &list.Items[i]
		if o.Name == r.Name {
			continue
		}
		out = append(out, rollout.OtherRollout{
			Name: o.Name, Created: o.CreationTimestamp.Time,
			ActiveSince: rollout.ActiveSince(o.Status.Record),
			Waiting:     rollout.WaitsToBegin(rollout.Effective(o), o.Status),
		})
	}
	return rollout.Known(out)
}

// inventory is read from the caches even by Refresh: a pod that was created this instant was not
// proven a moment ago either, and it holds the next release.
func (observer *Observer) inventory(ctx context.Context, obs *Observation) (inventory.Inventory, error) {
	reader := observer.Kinds.reader(observer.cached(), observer.API, observer.Client.Scheme(), observer.Now())
	return inventory.Read(ctx, reader, inventory.Options{Additional: obs.Rollout.Spec.Inventory.AdditionalImages,
		API: observer.API, Rendered: observer.predictor.RenderedReader(observer.API), Skip: pullcheck.IsCheckPod,
		ReadPayload: observer.payloadComponents(obs)})
}
