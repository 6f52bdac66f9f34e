package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// target is what internal/execute does for rollout.TargetNodes: the note on the pool, and then one node after another. Between two of
// these writes the process can die and the world goes on.
func (p *process) target(a rollout.TargetNodes, then func(error)) {
	err := p.onPool(a.Pool, "notes on pool "+a.Pool+" that it releases "+strings.Join(a.Nodes, ", "), func(mcp *mcfgv1.MachineConfigPool) error {
		if mcp.Spec.Configuration.Name != a.Target {
			return &refused{"the pool has been rendered anew"}
		}
		return pool.Announce(context.Background(), poolClient{p: p}, mcp, a.Ledger)
	})
	if err != nil {
		then(err)
		return
	}
	p.tell(a, 0, then)
}

func (p *process) tell(a rollout.TargetNodes, i int, then func(error)) {
	if i >= len(a.Nodes) {
		then(nil)
		return
	}
	p.later(p.w.between(time.Millisecond, 60*time.Millisecond), func() {
		if i > 0 && p.crashes(crashBetween) {
			return
		}
		if err := p.tellNode(a, a.Nodes[i]); err != nil {
			then(err)
			return
		}
		p.tell(a, i+1, then)
	})
}

func (p *process) tellNode(a rollout.TargetNodes, name string) error {
	n, ok := p.w.api.live.nodes.get(name)
	if !ok {
		return fmt.Errorf("node %s is gone", name)
	}
	if p.quicker() {
		p.w.api.editNode(name, func(n *corev1.Node) { n.Annotations["sim/touched"] = p.w.now.Format(time.TimeOnly) })
	}
	err := pool.Target(context.Background(), poolClient{p: p}, n, a.Target)
	var busy *pool.NotAtRest
	if errors.As(err, &busy) {
		return &refused{busy.Error()}
	}
	if err == nil {
		p.w.tell(p.name, "tells node %s to run %s", name, a.Target)
	}
	return err
}

// stepDown ends the process, which is started again, and lets another one lead.
func (p *process) stepDown(a rollout.StepDown) error {
	next := slices.IndexFunc(p.w.procs, func(q *process) bool { return q != p && q.alive })
	if next < 0 {
		return &refused{"nobody else can lead"}
	}
	p.w.tell(p.name, "steps down, because its node %s comes next", a.Node)
	p.leads = false
	p.w.procs[next].leads = true
	p.w.after(p.w.between(time.Second, 5*time.Second), func() {
		if p.w.procs[next].alive {
			p.w.procs[next].wake(soon)
		}
	})
	p.crash("in good order", 10*time.Second)
	return nil
}

// host is the node that the process runs on: those of the control plane come first.
func (p *process) host() string {
	var names []string
	for _, poolName := range []string{"master", "worker"} {
		for _, n := range p.w.api.live.members(poolName) {
			names = append(names, n.Name)
		}
	}
	i := slices.Index(p.w.procs, p)
	if i >= len(names) {
		return ""
	}
	return names[i]
}

// self is where the replicas run, if they know.
func (p *process) self() rollout.Self {
	if !p.w.scenario.Hosted {
		return rollout.Self{}
	}
	out := rollout.Self{Replicas: len(p.w.procs), Node: p.host()}
	for _, q := range p.w.procs {
		if q != p && q.alive {
			out.Standby = append(out.Standby, q.host())
		}
	}
	return out
}
