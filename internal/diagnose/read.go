package diagnose

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
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Source is a cluster to read.
type Source struct {
	// Reader reads what there is much of, a cache for example; API what is large and rarely looked at.
	Reader, API client.Reader
	// Predictor keeps the rendered MachineConfigs that it has read.
	Predictor *predict.Predictor
	// Asked is what somebody else has found at registries; may be nil.
	Asked func(endpoint string) (cause rollout.PullCause, words string, ok bool)
	// Evict tries an eviction as a dry run, and tells the answer when it is a refusal; nil tries none. It is asked of pods only that by
	// the budgets could go.
	Evict func(ctx context.Context, pod *corev1.Pod) (*drain.Refusal, error)
	// EvictAfter is how long a drain has to have waited before evictions are tried.
	EvictAfter time.Duration
	// Awaited is the release whose pods are waited for; nil when none is.
	Awaited *drain.Awaited
	// Now is the time of the look. When Partial, the reader is a collection of files, and the look was when their newest entry was made.
	Now     time.Time
	Partial bool
}

// Result is what a diagnosis comes to.
type Result struct {
	// At is the time of the look.
	At time.Time
	// Pools are all pools with their nodes, also those that get on.
	Pools     []rollout.Pool
	Obstacles []rollout.Obstacle
	// Gaps say what could not be read, and so may be missing in a chain.
	Gaps []Gap
}

// Gap is a part of the cluster that was not seen.
type Gap struct{ Kind, Why string }

// Under tells whether the node is under way, or should be: it has been told to run what it does not run, or its daemon has given up.
func Under(n rollout.Node) bool { return n.Current != "" && n.Stage(n.Desired) != "Done" }

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
	members := pool.Assign(pools.Items, nodes.Items)
	var out []rollout.Pool
	for i := range pools.Items {
		view, err := pool.View(&pools.Items[i], members[pools.Items[i].Name], "")
		if err != nil {
			return nil, err
		}
		out = append(out, view)
	}
	return out, nil
}

// Diagnose looks at the drains of these pools, and at the pods that are waited for.
func (s Source) Diagnose(ctx context.Context, pools []rollout.Pool) (Result, error) {
	out := Result{At: s.Now.UTC(), Pools: pools}
	if s.Awaited == nil && !slices.ContainsFunc(pools, func(p rollout.Pool) bool { return slices.ContainsFunc(p.Nodes, Under) }) {
		return out, nil
	}
	r := &reading{Source: s, ctx: ctx}
	r.snapshot.Now = s.Now
	for _, p := range pools {
		r.snapshot.Pools = append(r.snapshot.Pools, drain.Pool{Pool: p, Drains: true})
	}
	if err := r.objects(); err != nil {
		return Result{}, err
	}
	if s.Partial {
		r.snapshot.Now, r.evidence.Impatient = r.newest(), true
		out.At = r.snapshot.Now.UTC()
	}
	r.controllers()
	r.machineConfigNodes()
	r.pulling()
	r.virtualMachines()
	r.evidence.Words, r.evidence.Awaited = r.words, s.Awaited
	out.Obstacles = drain.Diagnose(&r.snapshot, r.evidence)
	if s.Evict != nil && r.evict(out.Obstacles) {
		out.Obstacles = drain.Diagnose(&r.snapshot, r.evidence)
	}
	out.Gaps = r.gaps
	return out, nil
}

// reading is one look.
type reading struct {
	Source
	ctx      context.Context
	snapshot drain.Snapshot
	evidence drain.Evidence
	gaps     []Gap
	events   map[string][]corev1.Event
}

func (r *reading) gap(kind string, err error) {
	if err == nil || meta.IsNoMatchError(err) && kind != "Pod" && kind != "PodDisruptionBudget" {
		return // a cluster without the kind has none of it
	}
	r.gaps = append(r.gaps, Gap{Kind: kind, Why: strings.Join(strings.Fields(err.Error()), " ")})
}

// objects reads what no diagnosis can do without. A budget that is not seen would make a chain that is wrong.
func (r *reading) objects() error {
	var nodes corev1.NodeList
	var pods corev1.PodList
	var budgets policyv1.PodDisruptionBudgetList
	var failed []error
	for _, one := range []struct {
		kind string
		list client.ObjectList
	}{{"Nodes", &nodes}, {"Pods", &pods}, {"PodDisruptionBudgets", &budgets}} {
		if err := r.Reader.List(r.ctx, one.list, client.UnsafeDisableDeepCopy); err != nil {
			failed = append(failed, fmt.Errorf("reading %s, without which nothing can be said of a drain: %w", one.kind, err))
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

// controllers reads how many pods there should be, and why one cannot be created.
func (r *reading) controllers() {
	var sets appsv1.ReplicaSetList
	var deployments appsv1.DeploymentList
	var stateful appsv1.StatefulSetList
	var controllers corev1.ReplicationControllerList
	for kind, list := range map[string]client.ObjectList{"ReplicaSet": &sets, "Deployment": &deployments, "StatefulSet": &stateful, "ReplicationController": &controllers} {
		r.gap(kind, r.Reader.List(r.ctx, list, client.UnsafeDisableDeepCopy))
	}
	var w drain.Workloads
	r.evidence.Creations = map[types.UID]string{}
	for i := range sets.Items {
		rs := &sets.Items[i]
		w.ReplicaSets = append(w.ReplicaSets, rs)
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
				r.evidence.Creations[rs.UID] = c.Message
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
				r.evidence.Creations[rc.UID] = c.Message
			}
		}
	}
	r.snapshot.Scales = drain.NewScales(w)
}

// machineConfigNodes tell when nodes took up what they do. They do not name the budget that refuses a drain.
func (r *reading) machineConfigNodes() {
	var list mcfgv1.MachineConfigNodeList
	if err := r.API.List(r.ctx, &list); err != nil {
		r.gap("MachineConfigNode", err)
		return
	}
	r.evidence.Updates = map[string]time.Time{}
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == string(mcfgv1.MachineConfigNodeUpdated) && c.Status == "False" {
				r.evidence.Updates[list.Items[i].Name] = c.LastTransitionTime.UTC()
			}
		}
	}
}

// pulling reads how nodes pull: the configuration that each runs, by its current rendered MachineConfig, and where it comes from.
func (r *reading) pulling() {
	p := drain.Pulling{Configs: map[string]registries.Config{}, Asked: r.Asked}
	sets, err := predict.ReadSets(r.ctx, r.Reader)
	r.gap("mirror sets", err)
	p.Sets = sets
	for _, pool := range r.snapshot.Pools {
		for _, n := range pool.Nodes {
			if _, seen := p.Configs[n.Current]; seen || n.Current == "" {
				continue
			}
			config, err := r.Predictor.Running(r.ctx, r.API, n.Current)
			if err != nil {
				r.gap("MachineConfig "+n.Current, err)
				continue
			}
			p.Configs[n.Current] = config
		}
	}
	r.evidence.Pulling = p
}

// newest is when the files were collected, as far as the objects in them tell: a duration of then must not grow by the time since.
func (r *reading) newest() time.Time {
	var out time.Time
	see := func(t time.Time) {
		if t.After(out) && !t.After(r.Now) {
			out = t
		}
	}
	for _, n := range r.snapshot.Nodes {
		for _, c := range n.Status.Conditions {
			see(c.LastHeartbeatTime.Time)
			see(c.LastTransitionTime.Time)
		}
		for _, t := range n.Spec.Taints {
			if t.TimeAdded != nil {
				see(t.TimeAdded.Time)
			}
		}
	}
	for _, p := range r.snapshot.Pods {
		see(p.CreationTimestamp.Time)
		for _, c := range p.Status.Conditions {
			see(c.LastTransitionTime.Time)
		}
	}
	for _, b := range r.snapshot.Budgets {
		for _, c := range b.Status.Conditions {
			see(c.LastTransitionTime.Time)
		}
	}
	var events corev1.EventList
	if r.API.List(r.ctx, &events) == nil {
		for i := range events.Items {
			see(lastSeen(&events.Items[i]))
		}
	}
	if out.IsZero() {
		return r.Now
	}
	return out
}
