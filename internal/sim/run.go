package sim

import (
	"fmt"
	"math/rand"
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Fixed is the seed of a run in which nothing is left to chance: every delay is its mean, and every tie is broken by name.
const Fixed = int64(-1)

// Result is what came of a run.
type Result struct {
	// Ended says why the run ended: settled, at rest, violated.
	Ended string
	// Settled is true when every rollout is complete, rolled back or gone; Excuse says what keeps those that are not.
	Settled    bool
	Excuse     string
	Violations []Violation
	Story      []string
	Steps      int
	// Took is the virtual time.
	Took time.Duration
	// Hit counts which faults have happened.
	Hit map[string]int
	// Transitions are the transitions of nodes and pools that the run has shown; see internal/sim/trace.
	Transitions map[string]bool
}

// Run lets the scenario happen.
func Run(s Scenario, seed int64) Result {
	w := build(s, seed)
	ended := w.run()
	w.check.end(ended)
	return Result{
		Ended: ended, Settled: w.settled(), Excuse: w.excuse(), Violations: w.check.violations, Story: w.story, Steps: w.steps,
		Took: w.now.Sub(start), Hit: w.faults.hit, Transitions: w.trace.seen,
	}
}

func build(s Scenario, seed int64) *World {
	w := &World{
		scenario: s, rng: rand.New(rand.NewSource(seed)), fixed: seed == Fixed, now: start, wrote: start,
		renderings: &renderings{}, registries: newRegistries(), nodes: map[string]*daemon{}, phases: map[string]time.Time{},
	}
	w.trace = newTracer(w)
	w.api = &api{w: w, policy: policyObject{entry: s.Policy, effective: s.Policy}}
	w.check = newChecker(w)
	w.workloads = &workloads{w: w}
	w.faults = &faults{w: w, hit: map[string]int{}}
	w.cluster()
	w.mco = newMCO(w)
	w.api.watch(func() time.Duration { return w.between(20*time.Millisecond, 300*time.Millisecond) }, w.nodesSee)
	w.workloads.soon()
	w.after(time.Minute, w.begin)
	for _, f := range s.Faults {
		if f.Phase == "" {
			w.faults.schedule(f, start.Add(time.Minute))
		} else {
			w.faults.waiting = append(w.faults.waiting, f)
		}
	}
	return w
}

// begin is a minute later, when everything is up: the operator starts, and the user creates the rollout.
func (w *World) begin() {
	for i := range max(1, w.scenario.Replicas) {
		newProcess(w, "operator-"+strconv.Itoa(i+1), i == 0)
	}
	w.check.begin()
	w.createRollout("shop", shopSource, w.scenario.Spec)
}

func (w *World) createRollout(name, source string, s Spec) {
	lists := s.Lists
	if lists == "" {
		lists = "m1!"
	}
	w.tell("user", "creates SafeMirrorRollout %s: %s from %s", name, source, lists)
	w.api.writeCustom(&custom{source: source, lists: lists, digests: s.Digests, staged: s.Staged, noCanary: s.NoCanary, view: rollout.View{
		Name: name, UID: "uid-" + name, Generation: 1, Created: w.now, Spec: "spec-" + string(lists),
		Soak: time.Duration(s.SoakSeconds) * time.Second, DrainTimeout: time.Duration(s.DrainTimeoutSeconds) * time.Second,
		Remedies: s.remedies(), RollbackOnDelete: s.RollbackOnDelete, RollbackOnFailure: s.RollbackOnFailure, ApplyApproval: s.ApplyApproval,
		Targeted: s.Targeted, AtOnce: s.AtOnce,
		Reload: s.Reload, EnforceAfter: time.Duration(s.EnforceAfterSeconds) * time.Second,
	}})
}

// nodesSee wakes the daemons, the drain controller, the scheduler and the workload controllers.
func (w *World) nodesSee(k kind, name string) {
	switch k {
	case kindNode:
		if d := w.nodes[name]; d != nil && !d.gone {
			d.poke()
			if n, ok := d.node(); ok && n.Annotations[desiredDrain] != n.Annotations[lastAppliedDrain] {
				d.drainSoon(drainDelay)
			}
		}
		w.workloads.soon()
	case kindPod:
		w.workloads.soon()
	case kindPool, kindSet, kindCustom:
	}
}

// phase notes when a phase was first seen, and lets the faults happen that wait for it.
func (w *World) phase(p rollout.Phase) {
	if _, known := w.phases[string(p)]; known {
		return
	}
	w.phases[string(p)] = w.now
	var rest []Fault
	for _, f := range w.faults.waiting {
		if f.Phase == string(p) {
			w.faults.schedule(f, w.now)
		} else {
			rest = append(rest, f)
		}
	}
	w.faults.waiting = rest
}

// cluster makes pools, nodes, images and workloads, all of them at rest.
func (w *World) cluster() {
	s := w.scenario
	for _, p := range []struct {
		name  string
		nodes int
	}{{"infra", s.Infra}, {"master", s.Masters}, {"worker", s.Workers}} {
		if p.nodes == 0 && (p.name != "worker" || s.Masters == 0) {
			continue
		}
		w.makePool(p.name, p.nodes)
		for i := range p.nodes {
			w.makeNode(fmt.Sprintf("%s-%d", p.name, i), p.name, w.renderings.name(p.name, rendering{}))
		}
	}
	for _, ref := range []string{"shop/cart:v1", "shop/till:v1", "infra/router:v1", "platform/daemon:v1"} {
		w.registries.hosts[shopSource].images[ref] = 1
	}
	w.registries.hosts[booksSource].images["books/shelf:v1"] = 1
	home, homes := "worker", s.Workers
	if w.compact() {
		home, homes = "master", s.Masters
	}
	router := 2
	if s.Saturated {
		router = homes
	}
	w.workloads.list = []*workload{
		{name: "cart", ref: shopSource + "/shop/cart:v1", replicas: 3, pool: home, budget: 1},
		{name: "router", ref: shopSource + "/infra/router:v1", replicas: min(router, homes), pool: home, spread: true, budget: 1},
		{name: "shelf", ref: booksSource + "/books/shelf:v1", replicas: 1, pool: home, budget: -1},
	}
	if s.Masters > 1 {
		w.workloads.list = append(w.workloads.list, &workload{name: "guard", ref: shopSource + "/shop/till:v1", replicas: s.Masters, pool: "master", spread: true, budget: 1})
	}
	for _, name := range s.Down {
		w.setDown(name, true)
	}
}

// compact tells whether the control plane runs the workloads, too, and the worker pool has no nodes.
func (w *World) compact() bool { return w.scenario.Workers == 0 && w.scenario.Masters > 0 }

func (w *World) makePool(name string, nodes int) {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/" + name: ""}}
	if nodes > 0 || w.compact() {
		p.Spec.Configuration.Name = w.renderings.name(name, rendering{})
	}
	if name == "worker" && w.scenario.MaxUnavailable != "" {
		p.Spec.MaxUnavailable = parsed(w.scenario.MaxUnavailable)
	}
	p.Status = mcfgv1.MachineConfigPoolStatus{
		ObservedGeneration: 1, Configuration: p.Spec.Configuration,
		MachineCount: int32(nodes), UpdatedMachineCount: int32(nodes),
	}
	w.api.writePool(userName, p)
}

// parsed is the text as the API has it; empty is not set.
func parsed(text string) *intstr.IntOrString {
	if text == "" {
		return nil
	}
	m := intstr.Parse(text)
	return &m
}

// makeNode adds a node that runs the configuration. Nodes are made a minute apart, as far as their age tells.
func (w *World) makeNode(name, poolName, config string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: metav1.NewTime(start.Add(time.Duration(len(w.nodes)-600) * time.Minute)),
		Labels:      map[string]string{poolLabel: poolName, "node-role.kubernetes.io/" + poolName: ""},
		Annotations: map[string]string{},
	}}
	if !w.fixed {
		n.CreationTimestamp = metav1.NewTime(start.Add(-time.Duration(1+w.rng.Intn(3)) * time.Hour)) // ties
	}
	w.nodes[name] = &daemon{w: w, name: name, applied: config, images: map[string]bool{}}
	if config != "" {
		uncordon := "uncordon-" + config
		n.Annotations = map[string]string{currentConfig: config, desiredConfig: config, state: stateDone, desiredDrain: uncordon, lastAppliedDrain: uncordon}
		if w.compact() && w.scenario.Masters == 1 {
			n.Annotations[controlPlaneTopology] = singleReplica
		}
	}
	setReady(n, config != "")
	w.api.writeNode(n)
}

// setDown takes a node's kubelet and daemon away, or brings them back.
func (w *World) setDown(name string, down bool) {
	d := w.nodes[name]
	if d == nil || d.gone || d.down == down {
		return
	}
	d.down = down
	w.api.editNode(name, func(n *corev1.Node) { setReady(n, !down) })
	if down {
		w.workloads.nodeDown(name)
	} else {
		w.workloads.nodeUp(name)
	}
}
