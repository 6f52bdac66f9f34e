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

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// targetNodes is what internal/execute does for rollout.TargetNodes: the note on the pool, and then
// one node after another. Between two of these writes the process can die and the world goes on.
func (p *process) targetNodes(a rollout.TargetNodes, then func(error)) {
	err := p.patchPool(a.Pool, "notes on pool "+a.Pool+" that it releases "+strings.Join(a.Nodes, ", "),
		func(mcp *mcfgv1.MachineConfigPool) error {
			if mcp.Spec.Configuration.Name != a.Target {
				return &actionRefused{"the pool has been rendered anew"}
			}
			return pool.RecordTargets(context.Background(), poolClient{p: p}, mcp, a.Record)
		})
	if err != nil {
		then(err)
		return
	}
	p.targetNext(a, 0, then)
}

func (p *process) targetNext(a rollout.TargetNodes, i int, then func(error)) {
	if i >= len(a.Nodes) {
		then(nil)
		return
	}
	p.later(p.sim.between(time.Millisecond, 60*time.Millisecond), func() {
		if i > 0 && p.crashAt(crashBetween) {
			return
		}
		if err := p.targetNode(a, a.Nodes[i]); err != nil {
			then(err)
			return
		}
		p.targetNext(a, i+1, then)
	})
}

func (p *process) targetNode(a rollout.TargetNodes, name string) error {
	n, ok := p.sim.apiServer.live.nodes.get(name)
	if !ok {
		return fmt.Errorf("node %s is gone", name)
	}
	if p.conflicts() {
		p.sim.apiServer.editNode(name,
			func(n *corev1.Node) { n.Annotations["sim/touched"] = p.sim.now.Format(time.TimeOnly) })
	}
	err := pool.SetDesiredConfig(context.Background(), poolClient{p: p}, n, a.Target)
	var busy *pool.NodeBusyError
	if errors.As(err, &busy) {
		return &actionRefused{busy.Error()}
	}
	if err == nil {
		p.sim.logf(p.name, "tells node %s to run %s", name, a.Target)
	}
	return err
}

// stepDown ends the process, which is started again, and lets another one lead.
func (p *process) stepDown(a rollout.StepDown) error {
	next := slices.IndexFunc(p.sim.processes, func(q *process) bool { return q != p && q.alive })
	if next < 0 {
		return &actionRefused{"no other replica can lead"}
	}
	p.sim.logf(p.name, "steps down, because its node %s comes next", a.Node)
	p.isLeader = false
	p.sim.processes[next].isLeader = true
	p.sim.after(p.sim.between(time.Second, 5*time.Second), func() {
		if p.sim.processes[next].alive {
			p.sim.processes[next].wake(minRequeue)
		}
	})
	p.crash("in good order", 10*time.Second)
	return nil
}

// host is the node that the process runs on: those of the control plane come first.
func (p *process) host() string {
	var names []string
	for _, poolName := range []string{"master", "worker"} {
		for _, n := range p.sim.apiServer.live.members(poolName) {
			names = append(names, n.Name)
		}
	}
	i := slices.Index(p.sim.processes, p)
	if i >= len(names) {
		return ""
	}
	return names[i]
}

// operatorReplicas is where the replicas run, if they know.
func (p *process) operatorReplicas() rollout.OperatorReplicas {
	if !p.sim.scenario.Hosted {
		return rollout.OperatorReplicas{}
	}
	out := rollout.OperatorReplicas{Replicas: len(p.sim.processes), LeaderNode: p.host()}
	for _, q := range p.sim.processes {
		if q != p && q.alive {
			out.StandbyNodes = append(out.StandbyNodes, q.host())
		}
	}
	return out
}
