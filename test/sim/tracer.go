package sim

import (
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/test/sim/trace"
)

// tracer watches the simulated cluster as the recorder watches a real one.
type tracer struct {
	sim   *Simulation
	steps *trace.StepReader
	seen  map[string]bool
}

func newTracer(sim *Simulation) *tracer {
	return &tracer{sim: sim, steps: trace.NewStepReader(), seen: map[string]bool{}}
}

func (t *tracer) pool(at time.Time, p *mcfgv1.MachineConfigPool) { t.note(trace.PoolEntry(at, p)) }

func (t *tracer) node(at time.Time, n *corev1.Node) { t.note(trace.NodeEntry(at, n)) }

func (t *tracer) gone(at time.Time, name string) { t.note(trace.DeletedEntry(at, "Node", name)) }

func (t *tracer) note(e trace.Entry) {
	if step, changed := t.steps.Next(e); changed {
		t.seen[step] = true
	}
}
