package whatif

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
	"github.com/safe-mirror/safe-mirror-operator/internal/disruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/lookout"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/probe"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/release"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Source is a cluster to read: a live one, a cache, or files.
type Source struct {
	Reader client.Reader
	Scheme *runtime.Scheme
	// Has tells which kinds there are.
	Has predict.Discovery
	// Partial says that the reader is a collection of files, in which a kind can be absent that the cluster has.
	Partial bool
	// Release reads the component images of a release payload; nil leaves it out, as a gap.
	Release func(ctx context.Context, image string) ([]release.Component, error)
	// Now is the time of the look.
	Now time.Time
}

// Foresight is what would become of a cluster, as far as it can be seen from its objects.
type Foresight struct {
	Wish    Wish
	Cluster rollout.Known[rollout.Cluster]
	// Release is the version of the cluster, such as 4.20.1; empty when not known.
	Release string
	// Now and After are all mirror sets of the cluster as they are, and as they would be.
	Now, After registries.Sets
	// Done is true when the cluster has the mirror sets as wished for, and every node runs what follows from them.
	Done bool
	// Problems are what would be refused; Held are all the reasons for which a rollout would not begin now, those among them.
	Problems []rollout.Problem
	Held     []rollout.Blocker
	// Traps are surprises that the mirror sets bring; Standing are those that the cluster has already, and Broken is what makes the
	// Machine Config Operator refuse even the mirror sets of now.
	Traps, Standing, Broken []registries.Problem
	Entangled               []Entangled
	// Restless names what adds or removes nodes by itself.
	Restless []string

	Prediction predict.Prediction
	Inventory  inventory.Inventory
	Plan       plan.Plan
	Pools      []Pool
	// Immediate are those who pull other than through a node, and would switch as soon as the mirror sets exist.
	Immediate []Switch
	Gaps      []Gap

	// Spec is what the spec of the wish comes to; reloads tells whether its nodes reload for it.
	Spec    rollout.View
	reloads bool

	// seen and change are what Drains is made from.
	seen   drain.Snapshot
	change lookout.Change
}

// Foresee reads the cluster. What cannot be read is in the result as a gap; it fails only when the cluster cannot be asked at all, or has
// nothing by which anything could be said.
func Foresee(ctx context.Context, s Source, w Wish) (*Foresight, error) {
	if w.Rollout == nil {
		w.Rollout = &v1alpha1.SafeMirrorRollout{}
	}
	f := &Foresight{Wish: w, Spec: effective(w.Rollout, s.Now), Cluster: predict.Cluster(ctx, s.Reader, s.discovery())}
	if c, ok := f.Cluster.Get(); !ok {
		f.gap(Gap{Source: "ClusterVersion", Essential: true, Why: f.Cluster.Why()})
	} else if c.Unsupported != "" {
		f.Held = f.held(ctx, s)
		return f, nil // none of the other objects exists here
	}
	strict := s.excused()
	s.Reader = strict
	all, err := s.readSets(ctx)
	if err != nil {
		return nil, err
	}
	f.judgeSets(all)
	f.Release = version(ctx, s.Reader)

	r := &tolerant{Reader: s.Reader, scheme: s.Scheme, excuses: refusals}
	p := &predict.Predictor{}
	if f.Prediction, err = p.Between(ctx, s.Reader, &halfTolerant{s.Reader, r}, w.Rollout.Name, w.unions(all)); err != nil {
		return nil, unreadable(err)
	}
	f.Problems = w.problems(all, f.Prediction)
	f.reloads = lookout.Reloads(f.Spec, disruption.Read(ctx, s.Reader, w.Rollout.Name))
	f.Restless = predict.Restless(ctx, s.Reader)
	for _, failed := range f.Prediction.Unpredicted {
		if !isInvalid(failed) { // that is among the problems
			f.gap(Gap{Source: "MachineConfigPool " + failed.Pool.Name, Essential: true, Why: failed.Err.Error()})
		}
	}
	pods := f.placing(ctx, r)
	if err := f.readInventory(ctx, s, pods, p); err != nil {
		return nil, unreadable(err)
	}
	f.Plan = plan.Build(plan.Input{
		References: f.Inventory.References, Pools: f.Prediction.Configs, Spec: w.Rollout.Spec, Sets: f.After,
		Platforms: f.Prediction.Platforms, Predicted: f.Prediction.Texts,
	})
	f.readPools(ctx, s, pods, p)
	f.switches()
	f.Held = f.held(ctx, s)
	f.Done = w.there(all) && f.everywhere()
	f.noteAssumptions(s)
	f.Note(append(r.gaps(refused), strict.gaps(blank)...)...)
	return f, nil
}

// Note adds what its reader has not seen: files that could not be read, for example.
func (f *Foresight) Note(gaps ...Gap) {
	for _, g := range gaps {
		f.gap(g)
	}
	sortGaps(f.Gaps)
}

// Essential tells whether objects of the kind hold pods or start them, so that a change is not called safe without them.
func Essential(kind string) bool { return slices.Contains(essentialKinds, kind) }

// gap notes the first that is said of a source, unless what is said later decides more.
func (f *Foresight) gap(g Gap) {
	i := slices.IndexFunc(f.Gaps, func(have Gap) bool { return have.Source == g.Source })
	switch {
	case i < 0:
		f.Gaps = append(f.Gaps, g)
	case g.Essential && !f.Gaps[i].Essential:
		f.Gaps[i] = g
	}
}

// discovery of files cannot tell what the cluster does not have: what OpenShift cannot be without is taken to be there.
func (s Source) discovery() predict.Discovery {
	if !s.Partial {
		return s.Has
	}
	return func(schema.GroupVersionKind) (bool, error) { return true, nil }
}

// excused reads what decides the nodes' configuration. Of files it is excused that they hold nothing of what a cluster may have none of.
func (s Source) excused() *tolerant {
	return &tolerant{Reader: s.Reader, scheme: s.Scheme, excuses: func(kind schema.GroupKind, err error) bool { return s.Partial && blanks(kind, err) }}
}

// Sets are all mirror sets of the cluster as they are.
func (s Source) Sets(ctx context.Context) (registries.Sets, error) {
	s.Reader = s.excused()
	return s.readSets(ctx)
}

func (s Source) readSets(ctx context.Context) (registries.Sets, error) {
	all, err := predict.ReadSets(ctx, s.Reader)
	if err != nil {
		return all, unreadable(err)
	}
	if s.Partial && all.Image == nil {
		all.Image = &configv1.Image{} // every cluster has one
	}
	return all, nil
}

// judgeSets compares the mirror sets as they are with what they would be.
func (f *Foresight) judgeSets(all registries.Sets) {
	f.Now, f.After = all, f.Wish.unions(all).After
	f.Broken = registries.Validate(all)
	before := registries.Traps(all)
	for _, t := range registries.Traps(f.After) {
		if slices.Contains(before, t) {
			f.Standing = append(f.Standing, t)
		} else {
			f.Traps = append(f.Traps, t)
		}
	}
}

// readInventory reads who pulls what.
func (f *Foresight) readInventory(ctx context.Context, s Source, r client.Reader, p *predict.Predictor) error {
	var err error
	f.Inventory, err = inventory.Read(ctx, r, inventory.Options{
		Additional: f.Wish.Rollout.Spec.Inventory.AdditionalImages, API: r, Rendered: p.Rendered(r), Skip: probe.IsProbe, Release: s.Release, Partial: s.Partial,
	})
	if err != nil {
		return err
	}
	for _, g := range f.Inventory.Gaps {
		essential := !g.Absent && slices.Contains(alwaysThere, g.Kind)
		f.gap(Gap{Source: source(g), Why: g.Why, Absent: g.Absent, Essential: essential})
	}
	return nil
}

// alwaysThere are the kinds of which every cluster has some, so that files without them are not all of it. Of the others there may be none,
// and then there is no file.
var alwaysThere = []string{"Pod", "Deployment", "DaemonSet", "ReplicaSet"}

// essentialKinds hold pods, or start most of them.
var essentialKinds = []string{"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob"}

func source(g inventory.Gap) string {
	if g.Source == g.Kind || g.Kind == "" {
		return g.Source
	}
	return g.Source + " (" + g.Kind + ")"
}

// everywhere tells whether every node runs the planned configuration and is at rest.
func (f *Foresight) everywhere() bool {
	if len(f.Prediction.Unpredicted) > 0 {
		return false
	}
	return !slices.ContainsFunc(f.Prediction.Pools, func(p rollout.Pool) bool {
		return p.Meaning == rollout.MeansOther || p.Updated() < len(p.Nodes)
	}) && len(f.Plan.Items) == 0
}

// noteAssumptions says where a default of the platform stands in for what was not seen.
func (f *Foresight) noteAssumptions(s Source) {
	has, err := s.Has(schema.GroupVersionKind{Group: "operator.openshift.io", Version: "v1", Kind: "MachineConfiguration"})
	if err != nil || has {
		return
	}
	f.gap(Gap{Source: "MachineConfiguration", Absent: !s.Partial, Why: "without it the default node disruption policy is assumed: " +
		"a change of registries.conf that may take images away drains, any other reloads"})
}

// held asks the operator's own preflight what would keep a rollout from beginning now.
func (f *Foresight) held(ctx context.Context, s Source) []rollout.Blocker {
	o := rollout.Observed{
		Now: s.Now, Cluster: f.Cluster, Spec: rollout.Seen(f.Problems),
		Rollout: f.Spec, Pools: rollout.Seen(f.Prediction.All()),
	}
	o.Others = rollout.Seen(others(ctx, s, f.Wish.Rollout.Name))
	if _, known := f.Cluster.Get(); !known {
		o.Cluster = rollout.Seen(rollout.Cluster{}) // which is a gap, and not a reason to hold
	}
	if d := rollout.Decide(o); d.Phase == rollout.PhasePreflight {
		return d.Blockers
	}
	return nil
}

// effective is the spec as a rollout that is created now, and goes on, would have it.
func effective(r *v1alpha1.SafeMirrorRollout, now time.Time) rollout.View {
	v := rollout.Effective(r)
	v.UID, v.Generation, v.Created, v.Finalizer, v.Deleting, v.Held, v.Requests = "plan", 1, now, true, false, false, nil
	return v
}

// others are the other rollouts that are under way. On a cluster without the operator there are none.
func others(ctx context.Context, s Source, name string) []rollout.Other {
	var list v1alpha1.SafeMirrorRolloutList
	if err := s.Reader.List(ctx, &list); err != nil {
		return nil
	}
	out := []rollout.Other{}
	for i := range list.Items {
		o := &list.Items[i]
		if since := rollout.UnderWay(o.Status.Record); o.Name != name && !since.IsZero() {
			out = append(out, rollout.Other{Name: o.Name, Created: o.CreationTimestamp.Time, Since: since})
		}
	}
	return out
}

func version(ctx context.Context, r client.Reader) string {
	v := &configv1.ClusterVersion{}
	if err := r.Get(ctx, client.ObjectKey{Name: "version"}, v); err != nil {
		return ""
	}
	return v.Status.Desired.Version
}

func isInvalid(err error) bool {
	var invalid *registries.InvalidError
	return errors.As(err, &invalid)
}

// unreadable adds what to do about an error without which nothing can be said.
func unreadable(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; ask for the ClusterRole %s", err, Role)
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%w; without that kind nothing can be said about the nodes' registries", err)
	}
	return err
}
