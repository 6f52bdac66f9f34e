package lab

import "io"

// Options say what kind of cluster Start brings up. The zero value is the usual one.
type Options struct {
	// Workers and Masters are the numbers of simulated nodes: 4 and 3 when zero, none when
	// negative.
	Workers, Masters int

	// Topology is that of the installation. SingleNode and Compact have no workers, whatever
	// Workers says: their control plane takes the pods of users too, and a node of it has both
	// roles.
	Topology Topology

	// Stock runs the unmodified machine-config-controller instead of the quick one, which runs the
	// same controllers with shorter delays.
	Stock bool

	// APIOnly stops after etcd, the API server and the CRDs: enough for API tests, up in seconds.
	APIOnly bool

	// Scale multiplies every delay of a simulated node; 0.05 when zero. With 0.05 a pod that would
	// be ready after 10 s is ready after half a second.
	Scale float64

	// Dir holds everything the lab writes. Empty: a new temporary directory, removed by Stop.
	Dir string

	// BinDir holds the parts. Empty: $SAFE_MIRROR_LAB_BIN, else bin/lab of this repository.
	BinDir string

	// OpenMirror makes the mirror registries anonymous. By default they ask for the password that
	// the cluster's pull secret holds.
	OpenMirror bool

	// Log receives one line per step; nil is silent.
	Log io.Writer
}

// Topology is how an installation spreads over machines.
type Topology string

// The topologies.
const (
	HighlyAvailable Topology = ""           // a control plane of its own, and workers
	Compact         Topology = "Compact"    // three machines that are everything
	SingleNode      Topology = "SingleNode" // one machine that is everything: it is updated without a drain
)

// schedulable tells whether the control plane takes the pods of users.
func (t Topology) schedulable() bool { return t != HighlyAvailable }

// mode is the word of Infrastructure's status.
func (t Topology) mode() string {
	if t == SingleNode {
		return "SingleReplica"
	}
	return "HighlyAvailable"
}

func (o Options) withDefaults() Options {
	switch o.Topology {
	case SingleNode:
		o.Workers, o.Masters = -1, 1
	case Compact:
		o.Workers, o.Masters = -1, 3
	case HighlyAvailable:
	}
	o.Workers = countOr(o.Workers, 4)
	o.Masters = countOr(o.Masters, 3)
	if o.Scale == 0 {
		o.Scale = 0.05
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o
}

func countOr(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return max(n, 0)
}
