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

// Fixed is the seed of a run in which nothing is left to chance: every delay is its mean, and every
// tie is broken by name.
const Fixed = int64(-1)

// Result is what came of a run.
type Result struct {
	// Ended says why the run ended: settled, at rest, violated.
	Ended string
	// Finished is true when every rollout is complete, rolled back or gone; Excuse says what keeps
	// those that are not.
	Finished   bool
	BlockedBy  string
	Violations []Violation
	Log        []string
	Steps      int
	// VirtualTime is the virtual time.
	VirtualTime time.Duration
	// Faults counts which faults have happened.
	Faults map[string]int
	// Transitions are the transitions of nodes and pools that the run has shown; see
	// test/sim/trace.
	Transitions map[string]bool
}

// Run lets the scenario happen.
func Run(s Scenario, seed int64) Result {
	sim := build(s, seed)
	ended := sim.run()
	sim.checker.checkEnd(ended)
	return Result{
		Ended: ended, Finished: sim.rolloutsFinished(), BlockedBy: sim.blockedBy(), Violations: sim.checker.violations,
		Log: sim.log, Steps: sim.steps,
		VirtualTime: sim.now.Sub(startTime), Faults: sim.faults.happened, Transitions: sim.trace.seen,
	}
}

func build(s Scenario, seed int64) *Simulation {
	sim := &Simulation{
		scenario: s, rng: rand.New(rand.NewSource(seed)), deterministic: seed == Fixed, now: startTime,
		lastChange: startTime,
		rendered:   &renderedConfigs{}, registries: newRegistries(), nodes: map[string]*daemon{},
		phaseStarts: map[string]time.Time{},
	}
	sim.trace = newTracer(sim)
	sim.apiServer = &apiServer{sim: sim, policy: policyObject{entry: s.Policy, effective: s.Policy}}
	sim.checker = newChecker(sim)
	sim.workloads = &workloads{sim: sim}
	sim.faults = &faults{sim: sim, happened: map[string]int{}}
	sim.buildCluster()
	sim.mco = newMCO(sim)
	sim.apiServer.newCache(func() time.Duration { return sim.between(20*time.Millisecond, 300*time.Millisecond) },
		sim.notifyNodes)
	sim.workloads.syncSoon()
	sim.after(time.Minute, sim.startRollout)
	for _, f := range s.Faults {
		if f.Phase == "" {
			sim.faults.schedule(f, startTime.Add(time.Minute))
		} else {
			sim.faults.waitingForPhase = append(sim.faults.waitingForPhase, f)
		}
	}
	return sim
}

// startRollout is a minute later, when everything is up: the operator starts, and the user creates
// the rollout.
func (sim *Simulation) startRollout() {
	for i := range max(1, sim.scenario.Replicas) {
		newProcess(sim, "operator-"+strconv.Itoa(i+1), i == 0)
	}
	sim.checker.recordCluster()
	sim.createRollout("shop", shopSource, sim.scenario.Spec)
}

func (sim *Simulation) createRollout(name, source string, s Spec) {
	lists := s.Mirrors
	if lists == "" {
		lists = "m1!"
	}
	sim.logf("user", "creates SafeMirrorRollout %s: %s from %s", name, source, lists)
	sim.apiServer.writeRollout(&rolloutObject{source: source, mirrors: lists, digests: s.Digests, staged: s.Staged,
		noCanaryPulls: s.NoCanaryPulls, spec: rollout.Spec{
			Name: name, UID: "uid-" + name, Generation: 1, Created: sim.now, SpecHash: "spec-" + string(lists),
			Soak:         time.Duration(s.SoakSeconds) * time.Second,
			DrainTimeout: time.Duration(s.DrainTimeoutSeconds) * time.Second,
			Remedies:     s.remedies(), RollbackOnDelete: s.RollbackOnDelete, RollbackOnFailure: s.RollbackOnFailure,
			ApplyApproval: s.ApplyApproval,
			Targeted:      s.Targeted, MaxConcurrent: s.MaxConcurrent,
			Reload: s.Reload, EnforceAfter: time.Duration(s.EnforceAfterSeconds) * time.Second,
		}})
}

// notifyNodes wakes the daemons, the drain controller, the scheduler and the workload controllers.
func (sim *Simulation) notifyNodes(k kind, name string) {
	switch k {
	case kindNode:
		if d := sim.nodes[name]; d != nil && !d.gone {
			d.sync()
			if n, ok := d.node(); ok && n.Annotations[desiredDrain] != n.Annotations[lastAppliedDrain] {
				d.enqueueDrain(drainDelay)
			}
		}
		sim.workloads.syncSoon()
	case kindPod:
		sim.workloads.syncSoon()
	case kindPool, kindMirrorSet, kindRollout:
	}
}

// phaseSeen notes when a phase was first seen, and lets the faults happen that wait for it.
func (sim *Simulation) phaseSeen(p rollout.Phase) {
	if _, known := sim.phaseStarts[string(p)]; known {
		return
	}
	sim.phaseStarts[string(p)] = sim.now
	var rest []Fault
	for _, f := range sim.faults.waitingForPhase {
		if f.Phase == string(p) {
			sim.faults.schedule(f, sim.now)
		} else {
			rest = append(rest, f)
		}
	}
	sim.faults.waitingForPhase = rest
}

// buildCluster makes pools, nodes, images and workloads, all of them at rest.
func (sim *Simulation) buildCluster() {
	s := sim.scenario
	for _, p := range []struct {
		name  string
		nodes int
	}{{"infra", s.Infra}, {"master", s.Masters}, {"worker", s.Workers}} {
		if p.nodes == 0 && (p.name != "worker" || s.Masters == 0) {
			continue
		}
		sim.makePool(p.name, p.nodes)
		for i := range p.nodes {
			sim.makeNode(fmt.Sprintf("%s-%d", p.name, i), p.name, sim.rendered.name(p.name, rendering{}))
		}
	}
	for _, ref := range []string{"shop/cart:v1", "shop/till:v1", "infra/router:v1", "platform/daemon:v1"} {
		sim.registries.hosts[shopSource].images[ref] = 1
	}
	sim.registries.hosts[booksSource].images["books/shelf:v1"] = 1
	pool, nodeCount := "worker", s.Workers
	if sim.compact() {
		pool, nodeCount = "master", s.Masters
	}
	router := 2
	if s.Saturated {
		router = nodeCount
	}
	sim.workloads.list = []*workload{
		{name: "cart", ref: shopSource + "/shop/cart:v1", replicas: 3, pool: pool, budget: 1},
		{name: "router", ref: shopSource + "/infra/router:v1", replicas: min(router, nodeCount), pool: pool,
			spread: true, budget: 1},
		{name: "shelf", ref: booksSource + "/books/shelf:v1", replicas: 1, pool: pool, budget: -1},
	}
	if s.Masters > 1 {
		sim.workloads.list = append(sim.workloads.list,
			&workload{name: "guard", ref: shopSource + "/shop/till:v1", replicas: s.Masters, pool: "master",
				spread: true, budget: 1})
	}
	for _, name := range s.Down {
		sim.setDown(name, true)
	}
}

// compact tells whether the control plane runs the workloads, too, and the worker pool has no
// nodes.
func (sim *Simulation) compact() bool { return sim.scenario.Workers == 0 && sim.scenario.Masters > 0 }

func (sim *Simulation) makePool(name string, nodes int) {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: name}}
	p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"node-role.kubernetes.io/" + name: ""}}
	if nodes > 0 || sim.compact() {
		p.Spec.Configuration.Name = sim.rendered.name(name, rendering{})
	}
	if name == "worker" && sim.scenario.MaxUnavailable != "" {
		p.Spec.MaxUnavailable = parseMaxUnavailable(sim.scenario.MaxUnavailable)
	}
	p.Status = mcfgv1.MachineConfigPoolStatus{
		ObservedGeneration: 1, Configuration: p.Spec.Configuration,
		MachineCount: int32(nodes), UpdatedMachineCount: int32(nodes),
	}
	sim.apiServer.writePool(userName, p)
}

// parseMaxUnavailable is the text as the API has it; empty is not set.
func parseMaxUnavailable(text string) *intstr.IntOrString {
	if text == "" {
		return nil
	}
	m := intstr.Parse(text)
	return &m
}

// makeNode adds a node that runs the configuration. Nodes are made a minute apart, as far as their
// age tells.
func (sim *Simulation) makeNode(name, poolName, config string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: metav1.NewTime(startTime.Add(time.Duration(len(sim.nodes)-600) * time.Minute)),
		Labels:      map[string]string{poolLabel: poolName, "node-role.kubernetes.io/" + poolName: ""},
		Annotations: map[string]string{},
	}}
	if !sim.deterministic {
		n.CreationTimestamp = metav1.NewTime(startTime.Add(-time.Duration(1+sim.rng.Intn(3)) * time.Hour)) // ties
	}
	sim.nodes[name] = &daemon{sim: sim, name: name, applied: config, images: map[string]bool{}}
	if config != "" {
		uncordon := "uncordon-" + config
		n.Annotations = map[string]string{currentConfig: config, desiredConfig: config, state: stateDone,
			desiredDrain: uncordon, lastAppliedDrain: uncordon}
		if sim.compact() && sim.scenario.Masters == 1 {
			n.Annotations[controlPlaneTopology] = singleReplica
		}
	}
	setReady(n, config != "")
	sim.apiServer.writeNode(n)
}

// setDown takes a node's kubelet and daemon away, or brings them back.
func (sim *Simulation) setDown(name string, down bool) {
	d := sim.nodes[name]
	if d == nil || d.gone || d.down == down {
		return
	}
	d.down = down
	sim.apiServer.editNode(name, func(n *corev1.Node) { setReady(n, !down) })
	if down {
		sim.workloads.nodeDown(name)
	} else {
		sim.workloads.nodeUp(name)
	}
}
