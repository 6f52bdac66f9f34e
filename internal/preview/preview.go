package preview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/snapshot"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory/payload"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Source is a cluster to read: a live one, a cache, or files.
type Source struct {
	Reader client.Reader
	Scheme *runtime.Scheme
	// Discovery tells which kinds there are.
	Discovery prediction.Discovery
	// Partial says that the reader is a collection of files, in which a kind can be absent that the
	// cluster has.
	Partial bool
	// ReleaseComponents reads the component images of a release payload; nil leaves it out, as a
	// gap.
	ReleaseComponents func(ctx context.Context, image string) ([]payload.Component, error)
	// Now is the time of the look.
	Now time.Time
}

// Preview is what would become of a cluster, as far as it can be seen from its objects.
type Preview struct {
	Change  ProposedChange
	Cluster rollout.Value[rollout.Cluster]
	// ClusterVersion is the version of the cluster, such as 4.20.1; empty when not known.
	ClusterVersion string
	// CurrentSets and After are all mirror sets of the cluster as they are, and as they would be.
	CurrentSets, ProposedSets registriesconf.Sets
	// AlreadyApplied is true when the cluster has the mirror sets as wished for, and every node
	// runs what follows from them.
	AlreadyApplied bool
	// Problems are what would be refused; Held are all the reasons for which a rollout would not
	// begin now, those among them.
	Problems          []rollout.Problem
	PreflightBlockers []rollout.Blocker
	// Traps are surprises that the mirror sets bring; Standing are those that the cluster has
	// already, and Broken is what makes the Machine Config Operator refuse even the mirror sets of
	// now.
	Traps, ExistingTraps, ExistingProblems []registriesconf.Problem
	CrossPoolDeadlocks                     []CrossPoolDeadlock
	// NodeLifecycleControllers names what adds or removes nodes by itself.
	NodeLifecycleControllers []string

	Prediction prediction.Prediction
	Inventory  inventory.Inventory
	Plan       plan.Plan
	Pools      []PoolForecast
	// Immediate are those who pull other than through a node, and would switch as soon as the
	// mirror sets exist.
	Immediate []ImmediateConsumer
	Gaps      []CoverageGap

	// Spec is what the spec of the wish comes to; reloads tells whether its nodes reload for it.
	Spec    rollout.Spec
	reloads bool

	// seen and change are what Drains is made from.
	seen   drain.Snapshot
	change snapshot.Change
}

// Compute reads the cluster. What cannot be read is in the result as a gap; it fails only when the
// cluster cannot be asked at all, or has nothing by which anything could be said.
func Compute(ctx context.Context, s Source, change ProposedChange) (*Preview, error) {
	if change.Rollout == nil {
		change.Rollout = &v1alpha1.SafeMirrorRollout{}
	}
	f := &Preview{Change: change, Spec: effective(change.Rollout, s.Now),
		Cluster: prediction.ReadCluster(ctx, s.Reader, s.discovery())}
	if c, ok := f.Cluster.Get(); !ok {
		f.addGap(CoverageGap{Source: "ClusterVersion", Essential: true, Why: f.Cluster.Why()})
	} else if c.Unsupported != "" {
		f.PreflightBlockers = f.preflightBlockers(ctx, s)
		return f, nil // none of the other objects exists here
	}
	strict := s.lenientReader()
	s.Reader = strict
	all, err := s.readSets(ctx)
	if err != nil {
		return nil, err
	}
	f.compareSets(all)
	f.ClusterVersion = readVersion(ctx, s.Reader)

	r := &lenientReader{Reader: s.Reader, scheme: s.Scheme, tolerates: isForbidden}
	p := &prediction.Predictor{}
	if f.Prediction, err = p.PoolsBetween(ctx, s.Reader, &strictConfigReader{s.Reader, r}, change.Rollout.Name,
		change.unions(all)); err != nil {
		return nil, withHint(err)
	}
	f.Problems = change.problems(all, f.Prediction)
	f.reloads = snapshot.Reloads(f.Spec, nodedisruption.Read(ctx, s.Reader, change.Rollout.Name))
	f.NodeLifecycleControllers = prediction.NodeLifecycleControllers(ctx, s.Reader)
	for _, failed := range f.Prediction.Unpredicted {
		if !isInvalid(failed) { // that is among the problems
			f.addGap(CoverageGap{Source: "MachineConfigPool " + failed.Pool.Name, Essential: true,
				Why: failed.Err.Error()})
		}
	}
	pods := f.collectPods(ctx, r)
	if err := f.readInventory(ctx, s, pods, p); err != nil {
		return nil, withHint(err)
	}
	f.Plan = plan.Build(plan.Input{
		References: f.Inventory.References, Pools: f.Prediction.Configs, Spec: change.Rollout.Spec,
		Sets:      f.ProposedSets,
		Platforms: f.Prediction.Platforms, RegistriesConfs: f.Prediction.RegistriesConfs,
	})
	f.readPools(ctx, s, pods, p)
	f.findImmediateConsumers()
	f.PreflightBlockers = f.preflightBlockers(ctx, s)
	f.AlreadyApplied = change.isApplied(all) && f.allNodesUpdated()
	f.addAssumptions(s)
	f.AddGaps(append(r.gaps(forbiddenGap), strict.gaps(absentFileGap)...)...)
	return f, nil
}

// AddGaps adds what its reader has not seen: files that could not be read, for example.
func (f *Preview) AddGaps(gaps ...CoverageGap) {
	for _, g := range gaps {
		f.addGap(g)
	}
	sortGaps(f.Gaps)
}

// Essential tells whether objects of the kind hold pods or start them, so that a change is not
// called safe without them.
func Essential(kind string) bool { return slices.Contains(essentialKinds, kind) }

// addGap notes the first that is said of a source, unless what is said later decides more.
func (f *Preview) addGap(g CoverageGap) {
	i := slices.IndexFunc(f.Gaps, func(have CoverageGap) bool { return have.Source == g.Source })
	switch {
	case i < 0:
		f.Gaps = append(f.Gaps, g)
	case g.Essential && !f.Gaps[i].Essential:
		f.Gaps[i] = g
	}
}

// discovery of files cannot tell what the cluster does not have: what OpenShift cannot be without
// is taken to be there.
func (s Source) discovery() prediction.Discovery {
	if !s.Partial {
		return s.Discovery
	}
	return func(schema.GroupVersionKind) (bool, error) { return true, nil }
}

// lenientReader reads what decides the nodes' configuration. Of files it is excused that they hold
// nothing of what a cluster may have none of.
func (s Source) lenientReader() *lenientReader {
	return &lenientReader{Reader: s.Reader, scheme: s.Scheme,
		tolerates: func(kind schema.GroupKind, err error) bool { return s.Partial && isAbsentFile(kind, err) }}
}

// Sets are all mirror sets of the cluster as they are.
func (s Source) Sets(ctx context.Context) (registriesconf.Sets, error) {
	s.Reader = s.lenientReader()
	return s.readSets(ctx)
}

func (s Source) readSets(ctx context.Context) (registriesconf.Sets, error) {
	all, err := prediction.ReadSets(ctx, s.Reader)
	if err != nil {
		return all, withHint(err)
	}
	if s.Partial && all.Image == nil {
		all.Image = &configv1.Image{} // every cluster has one
	}
	return all, nil
}

// compareSets compares the mirror sets as they are with what they would be.
func (f *Preview) compareSets(all registriesconf.Sets) {
	f.CurrentSets, f.ProposedSets = all, f.Change.unions(all).After
	f.ExistingProblems = registriesconf.Validate(all)
	before := registriesconf.Warnings(all)
	for _, t := range registriesconf.Warnings(f.ProposedSets) {
		if slices.Contains(before, t) {
			f.ExistingTraps = append(f.ExistingTraps, t)
		} else {
			f.Traps = append(f.Traps, t)
		}
	}
}

// readInventory reads who pulls what.
func (f *Preview) readInventory(ctx context.Context, s Source, r client.Reader, p *prediction.Predictor) error {
	var err error
	f.Inventory, err = inventory.Read(ctx, r, inventory.Options{
		Additional: f.Change.Rollout.Spec.Inventory.AdditionalImages, API: r, Rendered: p.RenderedReader(r),
		Skip: pullcheck.IsCheckPod, ReadPayload: s.ReleaseComponents, Partial: s.Partial,
	})
	if err != nil {
		return err
	}
	for _, g := range f.Inventory.UnreadSources {
		essential := !g.Absent && slices.Contains(alwaysPresentKinds, g.Kind)
		f.addGap(CoverageGap{Source: gapSource(g), Why: g.Why, Absent: g.Absent, Essential: essential})
	}
	return nil
}

// alwaysPresentKinds are the kinds of which every cluster has some, so that files without them are
// not all of it. Of the others there may be none, and then there is no file.
var alwaysPresentKinds = []string{"Pod", "Deployment", "DaemonSet", "ReplicaSet"}

// essentialKinds hold pods, or start most of them.
var essentialKinds = []string{"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController",
	"Job", "CronJob"}

func gapSource(g inventory.UnreadSource) string {
	if g.Source == g.Kind || g.Kind == "" {
		return g.Source
	}
	return g.Source + " (" + g.Kind + ")"
}

// allNodesUpdated tells whether every node runs the planned configuration and is at rest.
func (f *Preview) allNodesUpdated() bool {
	if len(f.Prediction.Unpredicted) > 0 {
		return false
	}
	return !slices.ContainsFunc(f.Prediction.Pools, func(p rollout.Pool) bool {
		return p.Registries == rollout.MatchesOther || p.Updated() < len(p.Nodes)
	}) && len(f.Plan.Items) == 0
}

// addAssumptions says where a default of the platform stands in for what was not seen.
func (f *Preview) addAssumptions(s Source) {
	has, err := s.Discovery(schema.GroupVersionKind{Group: "operator.openshift.io", Version: "v1",
		Kind: "MachineConfiguration"})
	if err != nil || has {
		return
	}
	f.addGap(CoverageGap{Source: "MachineConfiguration", Absent: !s.Partial,
		Why: "without it the default node disruption policy is assumed: " +
			"a change of registries.conf that may take images away drains, any other reloads"})
}

// preflightBlockers asks the operator's own preflight what would keep a rollout from beginning now.
func (f *Preview) preflightBlockers(ctx context.Context, s Source) []rollout.Blocker {
	o := rollout.Observed{
		Now: s.Now, Cluster: f.Cluster, SpecProblems: rollout.Known(f.Problems),
		Rollout: f.Spec, Pools: rollout.Known(f.Prediction.All()),
	}
	o.OtherRollouts = rollout.Known(otherRollouts(ctx, s, f.Change.Rollout.Name))
	if _, known := f.Cluster.Get(); !known {
		o.Cluster = rollout.Known(rollout.Cluster{}) // which is a gap, and not a reason to hold
	}
	if d := rollout.Decide(o); d.Phase == rollout.PhasePreflight {
		return d.Blockers
	}
	return nil
}

// effective is the spec as a rollout that is created now, and goes on, would have it.
func effective(r *v1alpha1.SafeMirrorRollout, now time.Time) rollout.Spec {
	v := rollout.Effective(r)
	v.UID, v.Generation, v.Created, v.Finalizer, v.Deleting, v.Held, v.Requests = "plan", 1, now, true, false,
		false, nil
	return v
}

// otherRollouts are the other rollouts that are in progress. On a cluster without the operator
// there are none.
func otherRollouts(ctx context.Context, s Source, name string) []rollout.OtherRollout {
	var list v1alpha1.SafeMirrorRolloutList
	if err := s.Reader.List(ctx, &list); err != nil {
		return nil
	}
	out := []rollout.OtherRollout{}
	for i := range list.Items {
		o := &list.Items[i]
		if since := rollout.ActiveSince(o.Status.Record); o.Name != name && !since.IsZero() {
			out = append(out, rollout.OtherRollout{Name: o.Name, Created: o.CreationTimestamp.Time, ActiveSince: since})
		}
	}
	return out
}

func readVersion(ctx context.Context, r client.Reader) string {
	v := &configv1.ClusterVersion{}
	if err := r.Get(ctx, client.ObjectKey{Name: "version"}, v); err != nil {
		return ""
	}
	return v.Status.Desired.Version
}

func isInvalid(err error) bool {
	var invalid *registriesconf.InvalidError
	return errors.As(err, &invalid)
}

// withHint adds what to do about an error without which nothing can be said.
func withHint(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; ask for the ClusterRole %s", err, ViewerRole)
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%w; without that kind nothing can be said about the nodes' registries", err)
	}
	return err
}
