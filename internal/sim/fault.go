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
	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// faults lets the scenario's faults happen.
type faults struct {
	w         *World
	scheduled int
	waiting   []Fault // for their phase
	hit       map[string]int

	upgrading string
	// unpaused counts how often somebody has unpaused each pool, and edits are the fields of pools that others have set for good.
	unpaused map[string]int
	meddled  map[string]bool
	gitops   bool
}

// pending is how many are still to come. One whose phase has not come up is not waited for.
func (f *faults) pending() int { return f.scheduled }

func (f *faults) schedule(fault Fault, from time.Time) {
	f.scheduled++
	f.w.at(from.Add(time.Duration(fault.At)*time.Second), func() {
		f.scheduled--
		f.happen(fault)
	})
}

// happen starts the fault, and ends it when its time is over.
func (f *faults) happen(fault Fault) {
	k, known := kinds[fault.Kind]
	if !known {
		f.w.check.violate("model", "no such fault: %s", fault.Kind)
		return
	}
	f.hit[fault.Kind]++
	f.w.tell("fault", "%s %s", fault.Kind, fault.Target)
	f.w.wrote = f.w.now
	k.begin(f.w, fault)
	if fault.For == 0 || k.end == nil {
		return
	}
	f.scheduled++
	f.w.after(time.Duration(fault.For)*time.Second, func() {
		f.scheduled--
		f.w.tell("fault", "%s %s is over", fault.Kind, fault.Target)
		f.w.wrote = f.w.now
		k.end(f.w, fault)
	})
}

// faultKind is what a fault does. One without an end happens once.
type faultKind struct {
	// target draws what the fault is about; nil when there is nothing to draw.
	target func(w Scenario, draw func(n int) int) string
	begin  func(w *World, f Fault)
	end    func(w *World, f Fault)
}

// Kinds are the names of all faults, sorted.
func Kinds() []string {
	out := make([]string, 0, len(kinds))
	for name := range kinds {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// kinds are the faults. Those of the operator come first, then those of the cluster, then people and their pipelines.
var kinds map[string]faultKind

func init() {
	kinds = map[string]faultKind{}
	for _, some := range []map[string]faultKind{operatorFaults, registryFaults, clusterFaults, peopleFaults} {
		for name, k := range some {
			kinds[name] = k
		}
	}
}

func ill(begin, end func(*ills)) faultKind {
	return faultKind{
		begin: func(w *World, _ Fault) { begin(&w.leader().ills) },
		end: func(w *World, _ Fault) {
			for _, p := range w.procs { // another one may lead by now
				end(&p.ills)
			}
		},
	}
}

// leader is the process that leads, dead or alive.
func (w *World) leader() *process {
	for _, p := range w.procs {
		if p.leads {
			return p
		}
	}
	return w.procs[0]
}

var operatorFaults = map[string]faultKind{
	"crash-decided":       {begin: func(w *World, _ Fault) { w.leader().ills.crash = crashDecided }},
	"crash-acted":         {begin: func(w *World, _ Fault) { w.leader().ills.crash = crashActed }},
	"crash-between-nodes": {begin: func(w *World, _ Fault) { w.leader().ills.crash = crashBetween }},
	"crash-before-report": {begin: func(w *World, _ Fault) { w.leader().ills.crash = crashReported }},
	"crash": {begin: func(w *World, f Fault) {
		w.leader().crash("", time.Duration(max(5, f.For))*time.Second)
	}},
	"dies-for-good": {begin: func(w *World, _ Fault) {
		w.leader().crash("for good", 0)
		w.check.alone(w.leader())
	}},
	"crash-writing": {
		target: func(_ Scenario, draw func(int) int) string { return []string{"1", "2", "3"}[draw(3)] },
		begin: func(w *World, f Fault) {
			n, err := strconv.Atoi(f.Target)
			if err != nil {
				n = 2
			}
			w.leader().ills.writes = n
		},
	},
	"failover": {begin: func(w *World, _ Fault) {
		old := w.leader()
		next := w.standby()
		old.crash("and another replica takes over", 2*time.Minute)
		old.leads = false
		w.after(leaseTime, func() {
			next.leads = true
			next.wake(soon)
		})
	}},
	"freezes": {
		begin: func(w *World, f Fault) { w.freeze(w.leader(), time.Duration(max(20, f.For))*time.Second) },
		end:   func(*World, Fault) {},
	},
	"two-leaders": {
		begin: func(w *World, _ Fault) {
			next := w.standby()
			next.leads = true
			next.wake(soon)
		},
		end: func(w *World, _ Fault) {
			for i, p := range w.procs {
				p.leads = i == len(w.procs)-1
				p.wake(soon)
			}
		},
	},
	"stale-reads":     ill(func(i *ills) { i.lag = 20 * time.Second }, func(i *ills) { i.lag = 0 }),
	"write-conflicts": {begin: func(w *World, _ Fault) { w.leader().ills.conflict = 4 }},
	"partial-reads": {
		target: func(_ Scenario, draw func(int) int) string { return parts[draw(len(parts))] },
		begin:  func(w *World, f Fault) { w.leader().ills.unseen[f.Target] = true },
		end: func(w *World, f Fault) {
			for _, p := range w.procs {
				delete(p.ills.unseen, f.Target)
			}
		},
	},
	"api-errors":   ill(func(i *ills) { i.refused = true }, func(i *ills) { i.refused = false }),
	"lost-answers": ill(func(i *ills) { i.lost = true }, func(i *ills) { i.lost = false }),
	"acts-twice":   ill(func(i *ills) { i.twice = true }, func(i *ills) { i.twice = false }),
	"clock-ahead":  ill(func(i *ills) { i.skew = 10 * time.Minute }, func(i *ills) { i.skew = 0 }),
	"clock-behind": ill(func(i *ills) { i.skew = -10 * time.Minute }, func(i *ills) { i.skew = 0 }),
	"status-lost": {begin: func(w *World, _ Fault) {
		w.check.forget("shop")
		w.api.editCustom("shop", func(c *custom) { c.status = v1alpha1.SafeMirrorRolloutStatus{} })
	}},
}

// freeze stops a leader in the middle of whatever it does, as a paused virtual machine is stopped. Its lease runs out meanwhile and another
// replica takes over; when it goes on it believes for a moment that it leads.
func (w *World) freeze(old *process, how time.Duration) {
	if !old.alive {
		return
	}
	old.ills.frozen = w.now.Add(how)
	if how < leaseTime {
		return
	}
	next := w.standby()
	w.after(leaseTime, func() {
		next.leads = true
		next.wake(soon)
	})
	w.after(how+time.Second, func() {
		if old.alive && old.leads && next.leads {
			old.crash("because it leads no more", 5*time.Second)
			old.leads = false
		}
	})
}

// leaseTime is how long after a leader's last word another one takes over.
const leaseTime = 35 * time.Second

// standby is a replica that does not lead; one is started if there is none.
func (w *World) standby() *process {
	for _, p := range w.procs {
		if !p.leads {
			if !p.alive {
				p.start()
			}
			return p
		}
	}
	return newProcess(w, fmt.Sprintf("operator-%d", len(w.procs)+1), false)
}

func host(hosts ...string) func(Scenario, func(int) int) string {
	return func(_ Scenario, draw func(int) int) string { return hosts[draw(len(hosts))] }
}

var registryFaults = map[string]faultKind{
	"registry-down": {
		target: host("m1", shopSource, "m1"),
		begin:  func(w *World, f Fault) { w.registries.hosts[f.Target].down = true },
		end:    func(w *World, f Fault) { w.registries.hosts[f.Target].down = false },
	},
	"registry-slow": {
		target: host("m1", shopSource),
		begin:  func(w *World, f Fault) { w.registries.hosts[f.Target].slow = true },
		end:    func(w *World, f Fault) { w.registries.hosts[f.Target].slow = false },
	},
	"registry-flaky": {
		target: host("m1", shopSource),
		begin:  func(w *World, f Fault) { w.registries.hosts[f.Target].flaky = true },
		end:    func(w *World, f Fault) { w.registries.hosts[f.Target].flaky = false },
	},
	"mirror-wiped": {begin: func(w *World, _ Fault) { clear(w.registries.hosts["m1"].images) }},
	"nodes-refused": { // nothing that comes before a node with the new configuration can tell
		target: host("m1", "m1"),
		begin:  func(w *World, f Fault) { w.registries.hosts[f.Target].refuses = true },
		end:    func(w *World, f Fault) { w.registries.hosts[f.Target].refuses = false },
	},
	"image-vanishes": {begin: func(w *World, _ Fault) {
		delete(w.registries.hosts["m1"].images, "shop/cart:v1")
	}},
	"tag-moved": {begin: func(w *World, _ Fault) { w.registries.hosts[shopSource].images["shop/cart:v1"]++ }},
}

func nodeName(s Scenario, draw func(int) int) string {
	if s.Masters > 0 && draw(3) == 0 {
		return fmt.Sprintf("master-%d", draw(s.Masters))
	}
	return fmt.Sprintf("worker-%d", draw(s.Workers))
}

func poolName(s Scenario, draw func(int) int) string {
	if s.Masters > 0 && draw(2) == 0 {
		return "master"
	}
	return "worker"
}

func workloadName(_ Scenario, draw func(int) int) string {
	return []string{"cart", "router"}[draw(2)]
}

func budget(n int) func(w *World, f Fault) {
	return func(w *World, f Fault) { w.workloads.find(f.Target).budget = n }
}

var clusterFaults = map[string]faultKind{
	"pdb-zero": {target: workloadName, begin: budget(0), end: budget(1)},
	"pods-sick": {
		target: workloadName,
		begin:  func(w *World, f Fault) { w.workloads.sicken(f.Target, true) },
		end:    func(w *World, f Fault) { w.workloads.sicken(f.Target, false) },
	},
	"pdb-overlap": {
		target: workloadName,
		begin:  func(w *World, f Fault) { w.workloads.find(f.Target).overlapping = true },
		end:    func(w *World, f Fault) { w.workloads.find(f.Target).overlapping = false },
	},
	"node-down": {
		target: nodeName,
		begin:  func(w *World, f Fault) { w.setDown(f.Target, true) },
		end:    func(w *World, f Fault) { w.setDown(f.Target, false) },
	},
	"images-collected": {target: nodeName, begin: func(w *World, f Fault) {
		if d := w.nodes[f.Target]; d != nil {
			d.images = map[string]bool{}
		}
	}},
	"node-deleted": {target: nodeName, begin: func(w *World, f Fault) { w.removeNode(f.Target) }},
	"node-added":   {begin: func(w *World, _ Fault) { w.bear("worker") }},
	"node-cordoned": {
		target: nodeName,
		begin:  func(w *World, f Fault) { w.cordon(f.Target, true) },
		end:    func(w *World, f Fault) { w.cordon(f.Target, false) },
	},
	"upgrade": {
		begin: func(w *World, _ Fault) {
			w.faults.upgrading = "4.21.0"
			w.setOther("", "os-4.21")
		},
		end: func(w *World, _ Fault) { w.faults.upgrading = "" },
	},
	"rider": {
		target: poolName,
		begin:  func(w *World, f Fault) { w.setOther(f.Target, "a MachineConfig of the user") },
		end:    func(w *World, f Fault) { w.setOther(f.Target, "") },
	},
	"pool-added": {begin: func(w *World, _ Fault) {
		w.makePool("gpu", 0)
		w.check.newPool("gpu")
	}},
	"workload-added": {begin: func(w *World, _ Fault) {
		w.registries.hosts[shopSource].images["shop/extra:v1"] = 1
		w.workloads.list = append(w.workloads.list, &workload{
			name: w.workloads.unused("extra"), ref: shopSource + "/shop/extra:v1", replicas: 2, pool: "worker", budget: 1, created: w.now,
		})
		w.workloads.soon()
	}},
}

// setOther changes what stands for every other MachineConfig, in one pool or in all of them.
func (w *World) setOther(poolName, value string) {
	for _, name := range w.api.live.pools.names {
		if poolName == "" || poolName == name {
			w.mco.other[name] = value
		}
	}
	w.mco.renderSoon()
}

func (w *World) removeNode(name string) {
	d := w.nodes[name]
	if d == nil || d.gone {
		return
	}
	d.gone = true
	if n, ok := w.api.live.nodes.get(name); ok {
		w.check.deleted(n)
	}
	w.api.deleteNode(name)
	w.workloads.nodeGone(name)
}

// bear adds a machine as the machine config server does: with the pool's new configuration as soon as one node runs it.
func (w *World) bear(poolName string) {
	p, ok := w.api.live.pools.get(poolName)
	if !ok {
		return
	}
	config := p.Status.Configuration.Name
	if p.Status.UpdatedMachineCount > 0 {
		config = p.Spec.Configuration.Name
	}
	name := fmt.Sprintf("%s-%d", poolName, len(w.nodes))
	w.makeNode(name, poolName, "")
	w.nodes[name].applied = config
	w.after(30*time.Second, func() { w.join(name, config) })
}

// join lets a machine become a node, once it has pulled what it needs for that.
func (w *World) join(name, config string) {
	d := w.nodes[name]
	if d.gone {
		return
	}
	if why := w.registries.pull(birthRef, d.conf()); why != "" {
		w.check.bornDead(d, why)
		w.after(30*time.Second, func() { w.join(name, config) })
		return
	}
	uncordon := "uncordon-" + config
	w.api.editNode(name, func(n *corev1.Node) {
		n.Annotations = map[string]string{currentConfig: config, desiredConfig: config, state: stateDone, desiredDrain: uncordon, lastAppliedDrain: uncordon}
		setReady(n, true)
	})
}

// cordon is an administrator's: not on a node that the MCO has cordoned, whose uncordon would be taken for the end of it.
func (w *World) cordon(name string, on bool) {
	n, ok := w.api.live.nodes.get(name)
	if !ok || !done(n) || n.Spec.Unschedulable == on {
		return
	}
	w.check.cordoned(name, on)
	w.api.editNode(name, func(n *corev1.Node) {
		n.Spec.Unschedulable = on
		n.Annotations[cordonedBy] = userName
	})
}

var peopleFaults = map[string]faultKind{
	"user-unpauses": {target: poolName, begin: func(w *World, f Fault) { w.setPaused(f.Target, false) }},
	"user-pauses": {
		target: poolName,
		begin:  func(w *World, f Fault) { w.setPaused(f.Target, true) },
		end:    func(w *World, f Fault) { w.setPaused(f.Target, false) },
	},
	"max-edited": {target: poolName, begin: func(w *World, f Fault) {
		w.faults.meddle(f.Target)
		w.api.editPool(userName, f.Target, func(p *mcfgv1.MachineConfigPool) {
			m := intstr.FromInt32(2)
			p.Spec.MaxUnavailable = &m
		})
	}},
	"ledger-removed": {target: poolName, begin: func(w *World, f Fault) {
		w.api.editPool(userName, f.Target, func(p *mcfgv1.MachineConfigPool) { delete(p.Annotations, pool.LedgerAnnotation) })
	}},
	"policy-edited": {
		begin: func(w *World, _ Fault) { w.api.writePolicy(userName, "drain", w.api.policy.ledger) },
		end: func(w *World, _ Fault) {
			if w.api.policy.ledger != nil {
				w.api.writePolicy(userName, reloads, w.api.policy.ledger)
			}
		},
	},
	"set-deleted": {begin: func(w *World, _ Fault) {
		if _, ok := w.api.live.sets.get("shop"); ok {
			w.api.deleteSet("shop")
		}
	}},
	"set-edited": {begin: func(w *World, _ Fault) {
		if s, ok := w.api.live.sets.get("shop"); ok {
			edited := *s
			edited.lists = "m2!"
			w.api.writeSet(edited)
		}
	}},
	"gitops-reverts": {
		begin: func(w *World, _ Fault) {
			w.faults.gitops = true
			w.revert()
		},
		end: func(w *World, _ Fault) { w.faults.gitops = false },
	},
	"hold": {
		begin: func(w *World, _ Fault) { w.api.editSpec(func(c *custom) { c.view.Held = true }) },
		end:   func(w *World, _ Fault) { w.api.editSpec(func(c *custom) { c.view.Held = false }) },
	},
	"abort":    {begin: request(v1alpha1.RequestAbort)},
	"rollback": {begin: request(v1alpha1.RequestRollback)},
	"retry":    {begin: request(v1alpha1.RequestRetry)},
	"approve": {begin: func(w *World, _ Fault) {
		w.api.editSpec(func(c *custom) {
			gate := rollout.GateApply
			if c.status.Pass == v1alpha1.PassEnforce {
				gate = rollout.GateEnforce
			}
			c.view.Requests = append(c.view.Requests, rollout.Request{
				ID: fmt.Sprintf("approve-%d", len(c.view.Requests)), Verb: v1alpha1.RequestApprove, Gate: gate, Plan: c.status.PlanHash,
			})
		})
	}},
	"delete": {begin: func(w *World, _ Fault) {
		w.api.editCustom("shop", func(c *custom) {
			if !c.view.Deleting {
				c.view.Deleting = true
				c.view.Generation++
			}
		})
	}},
	"finalizer-forced": {begin: func(w *World, _ Fault) {
		w.check.forced("shop")
		w.api.editCustom("shop", func(c *custom) { c.view.Deleting, c.view.Finalizer = true, false })
	}},
	"spec-edited": {begin: func(w *World, _ Fault) {
		w.api.editSpec(func(c *custom) {
			c.lists = "m2!"
			c.view.Spec = "spec-" + string(c.lists)
		})
	}},
	"second-rollout": {begin: func(w *World, _ Fault) {
		if _, there := w.api.customs.get("books"); !there {
			w.createRollout("books", booksSource, Spec{Lists: "m2!"})
			for _, p := range w.procs {
				if p.alive {
					p.wake(soon)
				}
			}
		}
	}},
}

func request(verb v1alpha1.RequestAction) func(w *World, f Fault) {
	return func(w *World, _ Fault) {
		w.api.editSpec(func(c *custom) {
			c.view.Requests = append(c.view.Requests, rollout.Request{ID: fmt.Sprintf("%s-%d", verb, len(c.view.Requests)), Verb: verb})
		})
	}
}

func (f *faults) meddle(poolName string) {
	if f.meddled == nil {
		f.meddled = map[string]bool{}
	}
	f.meddled[poolName] = true
}

func (w *World) setPaused(poolName string, paused bool) {
	p, ok := w.api.live.pools.get(poolName)
	if !ok || p.Spec.Paused == paused {
		return
	}
	w.faults.meddle(poolName)
	if !paused {
		if w.faults.unpaused == nil {
			w.faults.unpaused = map[string]int{}
		}
		w.faults.unpaused[poolName]++
	}
	w.api.editPool(userName, poolName, func(p *mcfgv1.MachineConfigPool) { p.Spec.Paused = paused })
}

// revert is a pipeline that takes the mirror set away, every two minutes.
func (w *World) revert() {
	if !w.faults.gitops {
		return
	}
	if _, ok := w.api.live.sets.get("shop"); ok {
		w.tell("gitops", "takes ImageTagMirrorSet shop away")
		w.api.deleteSet("shop")
	}
	w.after(2*time.Minute, w.revert)
}
