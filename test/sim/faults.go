package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// faults lets the scenario's faults happen.
type faults struct {
	sim             *Simulation
	scheduled       int
	waitingForPhase []Fault // for their phase
	happened        map[string]int

	upgrading string
	// unpaused counts how often somebody has unpaused each pool, and edits are the fields of pools
	// that others have set for good.
	unpaused      map[string]int
	editedByUser  map[string]bool
	gitopsReverts bool
}

// pending is how many are still to come. One whose phase has not come up is not waited for.
func (f *faults) pending() int { return f.scheduled }

func (f *faults) schedule(fault Fault, from time.Time) {
	f.scheduled++
	f.sim.at(from.Add(time.Duration(fault.At)*time.Second), func() {
		f.scheduled--
		f.inject(fault)
	})
}

// inject starts the fault, and ends it when its time is over.
func (f *faults) inject(fault Fault) {
	k, known := faultKinds[fault.Kind]
	if !known {
		f.sim.checker.violate("model", "no such fault: %s", fault.Kind)
		return
	}
	f.happened[fault.Kind]++
	f.sim.logf("fault", "%s %s", fault.Kind, fault.Target)
	f.sim.lastChange = f.sim.now
	k.begin(f.sim, fault)
	if fault.For == 0 || k.end == nil {
		return
	}
	f.scheduled++
	f.sim.after(time.Duration(fault.For)*time.Second, func() {
		f.scheduled--
		f.sim.logf("fault", "%s %s is over", fault.Kind, fault.Target)
		f.sim.lastChange = f.sim.now
		k.end(f.sim, fault)
	})
}

// faultKind is what a fault does. One without an end happens once.
type faultKind struct {
	// target draws what the fault is about; nil when there is nothing to draw.
	target func(sim Scenario, draw func(n int) int) string
	begin  func(sim *Simulation, f Fault)
	end    func(sim *Simulation, f Fault)
}

// FaultKinds are the names of all faults, sorted.
func FaultKinds() []string {
	out := make([]string, 0, len(faultKinds))
	for name := range faultKinds {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// faultKinds are the faults. Those of the operator come first, then those of the cluster, then
// people and their pipelines.
var faultKinds map[string]faultKind

func init() {
	faultKinds = map[string]faultKind{}
	for _, some := range []map[string]faultKind{operatorFaults, registryFaults, clusterFaults, peopleFaults} {
		for name, k := range some {
			faultKinds[name] = k
		}
	}
}

func processFault(begin, end func(*processFaults)) faultKind {
	return faultKind{
		begin: func(sim *Simulation, _ Fault) { begin(&sim.leadingProcess().faults) },
		end: func(sim *Simulation, _ Fault) {
			for _, p := range sim.processes { // another one may lead by now
				end(&p.faults)
			}
		},
	}
}

// leadingProcess is the process that leads, dead or alive.
func (sim *Simulation) leadingProcess() *process {
	for _, p := range sim.processes {
		if p.isLeader {
			return p
		}
	}
	return sim.processes[0]
}

var operatorFaults = map[string]faultKind{
	"crash-decided": {begin: func(sim *Simulation,
		_ Fault) {
		sim.leadingProcess().faults.crashPoint = crashDecided
	}},
	"crash-acted": {begin: func(sim *Simulation,
		_ Fault) {
		sim.leadingProcess().faults.crashPoint = crashActed
	}},
	"crash-between-nodes": {begin: func(sim *Simulation,
		_ Fault) {
		sim.leadingProcess().faults.crashPoint = crashBetween
	}},
	"crash-before-report": {begin: func(sim *Simulation,
		_ Fault) {
		sim.leadingProcess().faults.crashPoint = crashReported
	}},
	"crash": {begin: func(sim *Simulation, f Fault) {
		sim.leadingProcess().crash("", time.Duration(max(5, f.For))*time.Second)
	}},
	"dies-for-good": {begin: func(sim *Simulation, _ Fault) {
		sim.leadingProcess().crash("for good", 0)
		sim.checker.recordLeaderDeath(sim.leadingProcess())
	}},
	"crash-writing": {
		target: func(_ Scenario, draw func(int) int) string { return []string{"1", "2", "3"}[draw(3)] },
		begin: func(sim *Simulation, f Fault) {
			n, err := strconv.Atoi(f.Target)
			if err != nil {
				n = 2
			}
			sim.leadingProcess().faults.crashAfterWrites = n
		},
	},
	"failover": {begin: func(sim *Simulation, _ Fault) {
		old := sim.leadingProcess()
		next := sim.standby()
		old.crash("and another replica takes over", 2*time.Minute)
		old.isLeader = false
		sim.after(leaseDuration, func() {
			next.isLeader = true
			next.wake(minRequeue)
		})
	}},
	"freezes": {
		begin: func(sim *Simulation, f Fault) {
			sim.freeze(sim.leadingProcess(), time.Duration(max(20, f.For))*time.Second)
		},
		end: func(*Simulation, Fault) {},
	},
	"two-leaders": {
		begin: func(sim *Simulation, _ Fault) {
			next := sim.standby()
			next.isLeader = true
			next.wake(minRequeue)
		},
		end: func(sim *Simulation, _ Fault) {
			for i, p := range sim.processes {
				p.isLeader = i == len(sim.processes)-1
				p.wake(minRequeue)
			}
		},
	},
	"stale-reads": processFault(func(i *processFaults) { i.cacheLag = 20 * time.Second },
		func(i *processFaults) { i.cacheLag = 0 }),
	"write-conflicts": {begin: func(sim *Simulation, _ Fault) { sim.leadingProcess().faults.conflict = 4 }},
	"partial-reads": {
		target: func(_ Scenario, draw func(int) int) string { return readableParts[draw(len(readableParts))] },
		begin:  func(sim *Simulation, f Fault) { sim.leadingProcess().faults.unreadable[f.Target] = true },
		end: func(sim *Simulation, f Fault) {
			for _, p := range sim.processes {
				delete(p.faults.unreadable, f.Target)
			}
		},
	},
	"api-errors": processFault(func(i *processFaults) { i.rejectWrites = true },
		func(i *processFaults) { i.rejectWrites = false }),
	"lost-answers": processFault(func(i *processFaults) { i.loseResponses = true },
		func(i *processFaults) { i.loseResponses = false }),
	"acts-twice": processFault(func(i *processFaults) { i.repeatActions = true },
		func(i *processFaults) { i.repeatActions = false }),
	"clock-ahead": processFault(func(i *processFaults) { i.skew = 10 * time.Minute },
		func(i *processFaults) { i.skew = 0 }),
	"clock-behind": processFault(func(i *processFaults) { i.skew = -10 * time.Minute },
		func(i *processFaults) { i.skew = 0 }),
	"status-lost": {begin: func(sim *Simulation, _ Fault) {
		sim.checker.recordLostStatus("shop")
		sim.apiServer.editRollout("shop", func(c *rolloutObject) { c.status = v1alpha1.SafeMirrorRolloutStatus{} })
	}},
}

// freeze stops a leader in the middle of whatever it does, as a paused virtual machine is stopped.
// Its lease runs out meanwhile and another replica takes over; when it goes on it believes for a
// moment that it leads.
func (sim *Simulation) freeze(old *process, how time.Duration) {
	if !old.alive {
		return
	}
	old.faults.frozenUntil = sim.now.Add(how)
	if how < leaseDuration {
		return
	}
	next := sim.standby()
	sim.after(leaseDuration, func() {
		next.isLeader = true
		next.wake(minRequeue)
	})
	sim.after(how+time.Second, func() {
		if old.alive && old.isLeader && next.isLeader {
			old.crash("because it leads no more", 5*time.Second)
			old.isLeader = false
		}
	})
}

// leaseDuration is how long after a leader's last word another one takes over.
const leaseDuration = 35 * time.Second

// standby is a replica that does not lead; one is started if there is none.
func (sim *Simulation) standby() *process {
	for _, p := range sim.processes {
		if !p.isLeader {
			if !p.alive {
				p.start()
			}
			return p
		}
	}
	return newProcess(sim, fmt.Sprintf("operator-%d", len(sim.processes)+1), false)
}

func oneOfHosts(hosts ...string) func(Scenario, func(int) int) string {
	return func(_ Scenario, draw func(int) int) string { return hosts[draw(len(hosts))] }
}

var registryFaults = map[string]faultKind{
	"registry-down": {
		target: oneOfHosts("m1", shopSource, "m1"),
		begin:  func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].down = true },
		end:    func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].down = false },
	},
	"registry-slow": {
		target: oneOfHosts("m1", shopSource),
		begin:  func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].slow = true },
		end:    func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].slow = false },
	},
	"registry-flaky": {
		target: oneOfHosts("m1", shopSource),
		begin:  func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].flaky = true },
		end:    func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].flaky = false },
	},
	"mirror-wiped": {begin: func(sim *Simulation, _ Fault) { clear(sim.registries.hosts["m1"].images) }},
	"nodes-refused": { // nothing that comes before a node with the new configuration can tell
		target: oneOfHosts("m1", "m1"),
		begin:  func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].refusesNodes = true },
		end:    func(sim *Simulation, f Fault) { sim.registries.hosts[f.Target].refusesNodes = false },
	},
	"image-vanishes": {begin: func(sim *Simulation, _ Fault) {
		delete(sim.registries.hosts["m1"].images, "shop/cart:v1")
	}},
	"tag-moved": {begin: func(sim *Simulation, _ Fault) { sim.registries.hosts[shopSource].images["shop/cart:v1"]++ }},
}

func drawNode(s Scenario, draw func(int) int) string {
	if s.Masters > 0 && draw(3) == 0 {
		return fmt.Sprintf("master-%d", draw(s.Masters))
	}
	return fmt.Sprintf("worker-%d", draw(s.Workers))
}

func drawPool(s Scenario, draw func(int) int) string {
	if s.Masters > 0 && draw(2) == 0 {
		return "master"
	}
	return "worker"
}

func drawWorkload(_ Scenario, draw func(int) int) string {
	return []string{"cart", "router"}[draw(2)]
}

func setBudget(n int) func(sim *Simulation, f Fault) {
	return func(sim *Simulation, f Fault) { sim.workloads.find(f.Target).budget = n }
}

var clusterFaults = map[string]faultKind{
	"pdb-zero": {target: drawWorkload, begin: setBudget(0), end: setBudget(1)},
	"pods-sick": {
		target: drawWorkload,
		begin:  func(sim *Simulation, f Fault) { sim.workloads.setUnhealthy(f.Target, true) },
		end:    func(sim *Simulation, f Fault) { sim.workloads.setUnhealthy(f.Target, false) },
	},
	"pdb-overlap": {
		target: drawWorkload,
		begin:  func(sim *Simulation, f Fault) { sim.workloads.find(f.Target).overlapping = true },
		end:    func(sim *Simulation, f Fault) { sim.workloads.find(f.Target).overlapping = false },
	},
	"node-down": {
		target: drawNode,
		begin:  func(sim *Simulation, f Fault) { sim.setDown(f.Target, true) },
		end:    func(sim *Simulation, f Fault) { sim.setDown(f.Target, false) },
	},
	"images-collected": {target: drawNode, begin: func(sim *Simulation, f Fault) {
		if d := sim.nodes[f.Target]; d != nil {
			d.images = map[string]bool{}
		}
	}},
	"node-deleted": {target: drawNode, begin: func(sim *Simulation, f Fault) { sim.removeNode(f.Target) }},
	"node-added":   {begin: func(sim *Simulation, _ Fault) { sim.addMachine("worker") }},
	"node-cordoned": {
		target: drawNode,
		begin:  func(sim *Simulation, f Fault) { sim.cordon(f.Target, true) },
		end:    func(sim *Simulation, f Fault) { sim.cordon(f.Target, false) },
	},
	"upgrade": {
		begin: func(sim *Simulation, _ Fault) {
			sim.faults.upgrading = "4.21.0"
			sim.setOtherConfig("", "os-4.21")
		},
		end: func(sim *Simulation, _ Fault) { sim.faults.upgrading = "" },
	},
	"rider": {
		target: drawPool,
		begin:  func(sim *Simulation, f Fault) { sim.setOtherConfig(f.Target, "a MachineConfig of the user") },
		end:    func(sim *Simulation, f Fault) { sim.setOtherConfig(f.Target, "") },
	},
	"pool-added": {begin: func(sim *Simulation, _ Fault) {
		sim.makePool("gpu", 0)
		sim.checker.recordNewPool("gpu")
	}},
	"workload-added": {begin: func(sim *Simulation, _ Fault) {
		sim.registries.hosts[shopSource].images["shop/extra:v1"] = 1
		sim.workloads.list = append(sim.workloads.list, &workload{
			name: sim.workloads.uniqueName("extra"), ref: shopSource + "/shop/extra:v1", replicas: 2, pool: "worker",
			budget: 1, created: sim.now,
		})
		sim.workloads.syncSoon()
	}},
}

// setOtherConfig changes what stands for every other MachineConfig, in one pool or in all of them.
func (sim *Simulation) setOtherConfig(poolName, value string) {
	for _, name := range sim.apiServer.live.pools.names {
		if poolName == "" || poolName == name {
			sim.mco.otherConfig[name] = value
		}
	}
	sim.mco.renderSoon()
}

func (sim *Simulation) removeNode(name string) {
	d := sim.nodes[name]
	if d == nil || d.gone {
		return
	}
	d.gone = true
	if n, ok := sim.apiServer.live.nodes.get(name); ok {
		sim.checker.recordDeletion(n)
	}
	sim.apiServer.deleteNode(name)
	sim.workloads.nodeGone(name)
}

// addMachine adds a machine as the machine config server does: with the pool's new configuration as
// soon as one node runs it.
func (sim *Simulation) addMachine(poolName string) {
	p, ok := sim.apiServer.live.pools.get(poolName)
	if !ok {
		return
	}
	config := p.Status.Configuration.Name
	if p.Status.UpdatedMachineCount > 0 {
		config = p.Spec.Configuration.Name
	}
	name := fmt.Sprintf("%s-%d", poolName, len(sim.nodes))
	sim.makeNode(name, poolName, "")
	sim.nodes[name].applied = config
	sim.after(30*time.Second, func() { sim.joinCluster(name, config) })
}

// joinCluster lets a machine become a node, once it has pulled what it needs for that.
func (sim *Simulation) joinCluster(name, config string) {
	d := sim.nodes[name]
	if d.gone {
		return
	}
	if why := sim.registries.pullError(nodeStartRef, d.activeConf()); why != "" {
		sim.checker.checkNodeStartFailure(d, why)
		sim.after(30*time.Second, func() { sim.joinCluster(name, config) })
		return
	}
	uncordon := "uncordon-" + config
	sim.apiServer.editNode(name, func(n *corev1.Node) {
		n.Annotations = map[string]string{currentConfig: config, desiredConfig: config, state: stateDone,
			desiredDrain: uncordon, lastAppliedDrain: uncordon}
		setReady(n, true)
	})
}

// cordon is an administrator's: not on a node that the MCO has cordoned, whose uncordon would be
// taken for the end of it.
func (sim *Simulation) cordon(name string, on bool) {
	n, ok := sim.apiServer.live.nodes.get(name)
	if !ok || !done(n) || n.Spec.Unschedulable == on {
		return
	}
	sim.checker.recordCordon(name, on)
	sim.apiServer.editNode(name, func(n *corev1.Node) {
		n.Spec.Unschedulable = on
		n.Annotations[cordonedBy] = userName
	})
}

var peopleFaults = map[string]faultKind{
	"user-unpauses": {target: drawPool, begin: func(sim *Simulation, f Fault) { sim.setPaused(f.Target, false) }},
	"user-pauses": {
		target: drawPool,
		begin:  func(sim *Simulation, f Fault) { sim.setPaused(f.Target, true) },
		end:    func(sim *Simulation, f Fault) { sim.setPaused(f.Target, false) },
	},
	"max-edited": {target: drawPool, begin: func(sim *Simulation, f Fault) {
		sim.faults.markEdited(f.Target)
		sim.apiServer.editPool(userName, f.Target, func(p *mcfgv1.MachineConfigPool) {
			m := intstr.FromInt32(2)
			p.Spec.MaxUnavailable = &m
		})
	}},
	"ledger-removed": {target: drawPool, begin: func(sim *Simulation, f Fault) {
		sim.apiServer.editPool(userName, f.Target,
			func(p *mcfgv1.MachineConfigPool) { delete(p.Annotations, pool.PauseRecordAnnotation) })
	}},
	"policy-edited": {
		begin: func(sim *Simulation, _ Fault) {
			sim.apiServer.writePolicy(userName, "drain", sim.apiServer.policy.record)
		},
		end: func(sim *Simulation, _ Fault) {
			if sim.apiServer.policy.record != nil {
				sim.apiServer.writePolicy(userName, policyReload, sim.apiServer.policy.record)
			}
		},
	},
	"set-deleted": {begin: func(sim *Simulation, _ Fault) {
		if _, ok := sim.apiServer.live.sets.get("shop"); ok {
			sim.apiServer.deleteMirrorSet("shop")
		}
	}},
	"set-edited": {begin: func(sim *Simulation, _ Fault) {
		if s, ok := sim.apiServer.live.sets.get("shop"); ok {
			edited := *s
			edited.mirrors = "m2!"
			sim.apiServer.writeMirrorSet(edited)
		}
	}},
	"gitops-reverts": {
		begin: func(sim *Simulation, _ Fault) {
			sim.faults.gitopsReverts = true
			sim.revertMirrorSets()
		},
		end: func(sim *Simulation, _ Fault) { sim.faults.gitopsReverts = false },
	},
	"hold": {
		begin: func(sim *Simulation, _ Fault) { sim.apiServer.editSpec(func(c *rolloutObject) { c.spec.Held = true }) },
		end:   func(sim *Simulation, _ Fault) { sim.apiServer.editSpec(func(c *rolloutObject) { c.spec.Held = false }) },
	},
	"abort":    {begin: addRequest(v1alpha1.RequestAbort)},
	"rollback": {begin: addRequest(v1alpha1.RequestRollback)},
	"retry":    {begin: addRequest(v1alpha1.RequestRetry)},
	"approve": {begin: func(sim *Simulation, _ Fault) {
		sim.apiServer.editSpec(func(c *rolloutObject) {
			gate := rollout.GateApply
			if c.status.Pass == v1alpha1.PassEnforce {
				gate = rollout.GateEnforce
			}
			c.spec.Requests = append(c.spec.Requests, rollout.Request{
				ID: fmt.Sprintf("approve-%d", len(c.spec.Requests)), Verb: v1alpha1.RequestApprove, Gate: gate,
				PlanDigest: c.status.PlanHash,
			})
		})
	}},
	"delete": {begin: func(sim *Simulation, _ Fault) {
		sim.apiServer.editRollout("shop", func(c *rolloutObject) {
			if !c.spec.Deleting {
				c.spec.Deleting = true
				c.spec.Generation++
			}
		})
	}},
	"finalizer-forced": {begin: func(sim *Simulation, _ Fault) {
		sim.checker.recordForcedFinalizer("shop")
		sim.apiServer.editRollout("shop", func(c *rolloutObject) { c.spec.Deleting, c.spec.Finalizer = true, false })
	}},
	"spec-edited": {begin: func(sim *Simulation, _ Fault) {
		sim.apiServer.editSpec(func(c *rolloutObject) {
			c.mirrors = "m2!"
			c.spec.SpecHash = "spec-" + string(c.mirrors)
		})
	}},
	"second-rollout": {begin: func(sim *Simulation, _ Fault) {
		if _, there := sim.apiServer.rollouts.get("books"); !there {
			sim.createRollout("books", booksSource, Spec{Mirrors: "m2!"})
			for _, p := range sim.processes {
				if p.alive {
					p.wake(minRequeue)
				}
			}
		}
	}},
}

func addRequest(verb v1alpha1.RequestAction) func(sim *Simulation, f Fault) {
	return func(sim *Simulation, _ Fault) {
		sim.apiServer.editSpec(func(c *rolloutObject) {
			c.spec.Requests = append(c.spec.Requests,
				rollout.Request{ID: fmt.Sprintf("%s-%d", verb, len(c.spec.Requests)), Verb: verb})
		})
	}
}

func (f *faults) markEdited(poolName string) {
	if f.editedByUser == nil {
		f.editedByUser = map[string]bool{}
	}
	f.editedByUser[poolName] = true
}

func (sim *Simulation) setPaused(poolName string, paused bool) {
	p, ok := sim.apiServer.live.pools.get(poolName)
	if !ok || p.Spec.Paused == paused {
		return
	}
	sim.faults.markEdited(poolName)
	if !paused {
		if sim.faults.unpaused == nil {
			sim.faults.unpaused = map[string]int{}
		}
		sim.faults.unpaused[poolName]++
	}
	sim.apiServer.editPool(userName, poolName, func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = paused })
}

// revertMirrorSets is a pipeline that takes the mirror set away, every two minutes.
func (sim *Simulation) revertMirrorSets() {
	if !sim.faults.gitopsReverts {
		return
	}
	if _, ok := sim.apiServer.live.sets.get("shop"); ok {
		sim.logf("gitops", "takes ImageTagMirrorSet shop away")
		sim.apiServer.deleteMirrorSet("shop")
	}
	sim.after(2*time.Minute, sim.revertMirrorSets)
}
