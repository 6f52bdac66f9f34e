package evidence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Source is a cluster to read.
type Source struct {
	// Reader reads what there is much of, a cache for example; API what is large and rarely looked
	// at.
	Reader, API client.Reader
	// Predictor keeps the rendered MachineConfigs that it has read.
	Predictor *prediction.Predictor
	// LastCheck is what somebody else has found at registries; may be nil.
	LastCheck func(endpoint string) (cause rollout.PullCause, words string, ok bool)
	// DryRunEvict tries an eviction as a dry run, and tells the answer when it is a refusal; nil
	// tries none. It is asked of pods only that by the budgets could go.
	DryRunEvict func(ctx context.Context, pod *corev1.Pod) (*diagnosis.EvictionRefusal, error)
	// DryRunAfter is how long a drain has to have waited before evictions are tried.
	DryRunAfter time.Duration
	// Awaited is the release whose pods are waited for; nil when none is.
	Awaited *diagnosis.AwaitedRelease
	// Now is the time of the look. When Partial, the reader is a collection of files, and the look
	// was when their newest entry was made.
	Now     time.Time
	Partial bool
}

// Result is what a diagnosis comes to.
type Result struct {
	// At is the time of the look.
	At time.Time
	// Pools are all pools with their nodes, also those that get on.
	Pools         []rollout.Pool
	BlockedDrains []rollout.BlockedDrain
	// UnreadKinds say what could not be read, and so may be missing in a chain.
	UnreadKinds []UnreadKind
}

// UnreadKind is a part of the cluster that was not seen.
type UnreadKind struct{ Kind, Why string }

// IsUpdating tells whether the node is updating, or should be: it has been told to run what it
// does not run, or its daemon has given up.
func IsUpdating(n rollout.Node) bool {
	return n.CurrentConfig != "" && n.UpdateStage(n.DesiredConfig) != "Done"
}

// Pools reads the pools and their nodes.
func (s Source) Pools(ctx context.Context) ([]rollout.Pool, error) {
	var pools mcfgv1.MachineConfigPoolList
	if err := s.Reader.List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("listing MachineConfigPools: %w", err)
	}
	slices.SortFunc(pools.Items, func(a, b mcfgv1.MachineConfigPool) int { return strings.Compare(a.Name, b.Name) })
	var nodes corev1.NodeList
	if err := s.Reader.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	slices.SortFunc(nodes.Items, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	members := pool.NodesByPool(pools.Items, nodes.Items)
	var out []rollout.Pool
	for i := range pools.Items {
		observed, err := pool.FromMCP(&pools.Items[i], members[pools.Items[i].Name], "")
		if err != nil {
			return nil, err
		}
		out = append(out, observed)
	}
	return out, nil
}

// Diagnose looks at the drains of these pools, and at the pods that are waited for.
func (s Source) Diagnose(ctx context.Context, pools []rollout.Pool) (Result, error) {
	out := Result{At: s.Now.UTC(), Pools: pools}
	if s.Awaited == nil && !slices.ContainsFunc(pools,
		func(p rollout.Pool) bool { return slices.ContainsFunc(p.Nodes, IsUpdating) }) {
		return out, nil
	}
	r := &reader{Source: s, ctx: ctx}
	r.snapshot.Now = s.Now
	for _, p := range pools {
		r.snapshot.Pools = append(r.snapshot.Pools, drain.PoolNodes{Pool: p, Drains: true})
	}
	if err := r.readRequired(); err != nil {
		return Result{}, err
	}
	if s.Partial {
		r.snapshot.Now, r.evidence.SkipSettlePeriod = r.newestTimestamp(), true
		out.At = r.snapshot.Now.UTC()
	}
	r.readWorkloads()
	r.readMachineConfigNodes()
	r.readPullContext()
	r.readVMIs()
	r.evidence.PullEventMessage, r.evidence.Awaited = r.pullEventMessage, s.Awaited
	out.BlockedDrains = diagnosis.Diagnose(&r.snapshot, r.evidence)
	if s.DryRunEvict != nil && r.dryRunEvictions(out.BlockedDrains) {
		out.BlockedDrains = diagnosis.Diagnose(&r.snapshot, r.evidence)
	}
	out.UnreadKinds = r.unreadKinds
	return out, nil
}

// reader is one look.
type reader struct {
	Source
	ctx         context.Context
	snapshot    drain.Snapshot
	evidence    diagnosis.Evidence
	unreadKinds []UnreadKind
	events      map[string][]corev1.Event
}

func (r *reader) addUnread(kind string, err error) {
	if err == nil || meta.IsNoMatchError(err) && kind != "Pod" && kind != "PodDisruptionBudget" {
		return // a cluster without the kind has none of it
	}
	r.unreadKinds = append(r.unreadKinds, UnreadKind{Kind: kind, Why: strings.Join(strings.Fields(err.Error()), " ")})
}

// readRequired reads what no diagnosis can do without. A budget that is not seen would make a chain
// that is wrong.
func (r *reader) readRequired() error {
	var nodes corev1.NodeList
	var pods corev1.PodList
	var budgets policyv1.PodDisruptionBudgetList
	var failed []error
	for _, one := range []struct {
		kind string
		list client.ObjectList
	}{{"Nodes", &nodes}, {"Pods", &pods}, {"PodDisruptionBudgets", &budgets}} {
		if err := r.Reader.List(r.ctx, one.list, client.UnsafeDisableDeepCopy); err != nil {
			failed = append(failed, fmt.Errorf("reading %s, without which nothing can be said of a drain: %w",
				one.kind, err))
		}
	}
	for i := range nodes.Items {
		r.snapshot.Nodes = append(r.snapshot.Nodes, &nodes.Items[i])
	}
	for i := range pods.Items {
		r.snapshot.Pods = append(r.snapshot.Pods, &pods.Items[i])
	}
	for i := range budgets.Items {
		r.snapshot.Budgets = append(r.snapshot.Budgets, &budgets.Items[i])
	}
	return errors.Join(failed...)
}

// readWorkloads reads how many pods there should be, and why one cannot be created.
func (r *reader) readWorkloads() {
	var sets appsv1.ReplicaSetList
	var deployments appsv1.DeploymentList
	var stateful appsv1.StatefulSetList
	var controllers corev1.ReplicationControllerList
	for kind, list := range map[string]client.ObjectList{"ReplicaSet": &sets, "Deployment": &deployments,
		"StatefulSet": &stateful, "ReplicationController": &controllers} {
		r.addUnread(kind, r.Reader.List(r.ctx, list, client.UnsafeDisableDeepCopy))
	}
	var w drain.Workloads
	r.evidence.PodCreateErrors = map[types.UID]string{}
	for i := range sets.Items {
		rs := &sets.Items[i]
		w.ReplicaSets = append(w.ReplicaSets, rs)
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
				r.evidence.PodCreateErrors[rs.UID] = c.Message
			}
		}
	}
	for i := range deployments.Items {
		w.Deployments = append(w.Deployments, &deployments.Items[i])
	}
	for i := range stateful.Items {
		w.StatefulSets = append(w.StatefulSets, &stateful.Items[i])
	}
	for i := range controllers.Items {
		rc := &controllers.Items[i]
		w.ReplicationControllers = append(w.ReplicationControllers, rc)
		for _, c := range rc.Status.Conditions {
			if c.Type == corev1.ReplicationControllerReplicaFailure && c.Status == corev1.ConditionTrue {
				r.evidence.PodCreateErrors[rc.UID] = c.Message
			}
		}
	}
	r.snapshot.Scales = drain.NewScales(w)
}

// readMachineConfigNodes tell when nodes took up what they do. They do not name the budget that
// refuses a drain.
func (r *reader) readMachineConfigNodes() {
	var list mcfgv1.MachineConfigNodeList
	if err := r.API.List(r.ctx, &list); err != nil {
		r.addUnread("MachineConfigNode", err)
		return
	}
	r.evidence.UpdateStarted = map[string]time.Time{}
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == string(mcfgv1.MachineConfigNodeUpdated) && c.Status == "False" {
				r.evidence.UpdateStarted[list.Items[i].Name] = c.LastTransitionTime.UTC()
			}
		}
	}
}

// readPullContext reads how nodes pull: the configuration that each runs, by its current rendered
// MachineConfig, and where it comes from.
func (r *reader) readPullContext() {
	p := diagnosis.PullContext{Configs: map[string]registriesconf.Config{}, LastCheck: r.LastCheck}
	sets, err := prediction.ReadSets(r.ctx, r.Reader)
	r.addUnread("mirror sets", err)
	p.Sets = sets
	for _, pool := range r.snapshot.Pools {
		for _, n := range pool.Nodes {
			if _, seen := p.Configs[n.CurrentConfig]; seen || n.CurrentConfig == "" {
				continue
			}
			config, err := r.Predictor.RunningConfig(r.ctx, r.API, n.CurrentConfig)
			if err != nil {
				r.addUnread("MachineConfig "+n.CurrentConfig, err)
				continue
			}
			p.Configs[n.CurrentConfig] = config
		}
	}
	r.evidence.Pulls = p
}

// newestTimestamp is when the files were collected, as far as the objects in them tell: a duration
// of then must not grow by the time since.
func (r *reader) newestTimestamp() time.Time {
	var out time.Time
	consider := func(t time.Time) {
		if t.After(out) && !t.After(r.Now) {
			out = t
		}
	}
	for _, n := range r.snapshot.Nodes {
		for _, c := range n.Status.Conditions {
			consider(c.LastHeartbeatTime.Time)
			consider(c.LastTransitionTime.Time)
		}
		for _, t := range n.Spec.Taints {
			if t.TimeAdded != nil {
				consider(t.TimeAdded.Time)
			}
		}
	}
	for _, p := range r.snapshot.Pods {
		consider(p.CreationTimestamp.Time)
		for _, c := range p.Status.Conditions {
			consider(c.LastTransitionTime.Time)
		}
	}
	for _, b := range r.snapshot.Budgets {
		for _, c := range b.Status.Conditions {
			consider(c.LastTransitionTime.Time)
		}
	}
	var events corev1.EventList
	if r.API.List(r.ctx, &events) == nil {
		for i := range events.Items {
			consider(lastSeen(&events.Items[i]))
		}
	}
	if out.IsZero() {
		return r.Now
	}
	return out
}
