package sim

import (
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/sim/trace"
)

// tracer watches the simulated cluster as the recorder watches a real one.
type tracer struct {
	w    *World
	last *trace.Follower
	seen map[string]bool
}

func newTracer(w *World) *tracer {
	return &tracer{w: w, last: trace.NewFollower(), seen: map[string]bool{}}
}

func (t *tracer) pool(at time.Time, p *mcfgv1.MachineConfigPool) { t.note(trace.OfPool(at, p)) }

func (t *tracer) node(at time.Time, n *corev1.Node) { t.note(trace.OfNode(at, n)) }

func (t *tracer) gone(at time.Time, name string) { t.note(trace.Gone(at, "Node", name)) }

func (t *tracer) note(e trace.Entry) {
	if step, changed := t.last.Follow(e); changed {
		t.seen[step] = true
	}
}
