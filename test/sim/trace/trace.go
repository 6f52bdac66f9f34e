// Package trace records what a Machine Config Operator does to MachineConfigPools and Nodes, so
// that the simulated one can be held against the real one: each step that was ever recorded has to
// be one that the simulated one takes, too.
package trace

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Entry is one version of one object, a line of a trace.
type Entry struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Name    string    `json:"name"`
	Deleted bool      `json:"gone,omitempty"`
	Pool    *Pool     `json:"pool,omitempty"`
	Node    *Node     `json:"node,omitempty"`
}

// Pool is what of a MachineConfigPool tells of the MCO.
type Pool struct {
	Paused             bool   `json:"paused,omitempty"`
	MaxUnavailable     string `json:"maxUnavailable,omitempty"`
	Rendered           string `json:"rendered"`
	Generation         int64  `json:"generation"`
	ObservedGeneration int64  `json:"observed"`
	// Reported is status.configuration, and Machines, Updated, Unavailable and Degraded are the
	// counts beside it.
	Reported    string `json:"reported"`
	Machines    int32  `json:"machines"`
	Updated     int32  `json:"updated"`
	Unavailable int32  `json:"unavailable,omitempty"`
	Degraded    int32  `json:"degraded,omitempty"`
}

// Node is what of a Node tells of the MCO.
type Node struct {
	// Pools are the roles that the node has, which are the names of pools.
	Pools            []string `json:"pools,omitempty"`
	CurrentConfig    string   `json:"current,omitempty"`
	DesiredConfig    string   `json:"desired,omitempty"`
	State            string   `json:"state,omitempty"`
	DesiredDrain     string   `json:"drainWanted,omitempty"`
	LastAppliedDrain string   `json:"drainApplied,omitempty"`
	Ready            bool     `json:"ready"`
	Unschedulable    bool     `json:"unschedulable,omitempty"`
	Tainted          bool     `json:"tainted,omitempty"`
}

const (
	kindPool   = "MachineConfigPool"
	kindNode   = "Node"
	annotation = "machineconfiguration.openshift.io/"
	rolePrefix = "node-role.kubernetes.io/"
)

// PoolEntry is the entry for the pool.
func PoolEntry(at time.Time, p *mcfgv1.MachineConfigPool) Entry {
	e := Entry{At: at, Kind: kindPool, Name: p.Name, Pool: &Pool{
		Paused: p.Spec.Paused, Rendered: p.Spec.Configuration.Name, Generation: p.Generation,
		ObservedGeneration: p.Status.ObservedGeneration,
		Reported:           p.Status.Configuration.Name, Machines: p.Status.MachineCount,
		Updated:     p.Status.UpdatedMachineCount,
		Unavailable: p.Status.UnavailableMachineCount, Degraded: p.Status.DegradedMachineCount,
	}}
	if m := p.Spec.MaxUnavailable; m != nil {
		e.Pool.MaxUnavailable = m.String()
	}
	return e
}

// NodeEntry is the entry for the node.
func NodeEntry(at time.Time, n *corev1.Node) Entry {
	a := n.Annotations
	node := &Node{
		CurrentConfig: a[annotation+"currentConfig"], DesiredConfig: a[annotation+"desiredConfig"],
		State:        a[annotation+"state"],
		DesiredDrain: a[annotation+"desiredDrain"], LastAppliedDrain: a[annotation+"lastAppliedDrain"],
		Ready: true, Unschedulable: n.Spec.Unschedulable,
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			node.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, t := range n.Spec.Taints {
		node.Tainted = node.Tainted || t.Key == "UpdateInProgress"
	}
	for label := range n.Labels {
		if role, is := strings.CutPrefix(label, rolePrefix); is {
			node.Pools = append(node.Pools, role)
		}
	}
	slices.Sort(node.Pools)
	return Entry{At: at, Kind: kindNode, Name: n.Name, Node: node}
}

// DeletedEntry is the entry for an object that was deleted.
func DeletedEntry(at time.Time, kind, name string) Entry {
	return Entry{At: at, Kind: kind, Name: name, Deleted: true}
}

// Record watches every MachineConfigPool and Node through c and writes a line of JSON for each
// version that differs from the one before in what an Entry holds, until ctx ends. now is the clock
// that is noted. It returns the first error other than the end of ctx.
func Record(ctx context.Context, c client.WithWatch, w io.Writer, now func() time.Time) error {
	pools, err := c.Watch(ctx, &mcfgv1.MachineConfigPoolList{})
	if err != nil {
		return fmt.Errorf("watching MachineConfigPools: %w", err)
	}
	defer pools.Stop()
	nodes, err := c.Watch(ctx, &corev1.NodeList{})
	if err != nil {
		return fmt.Errorf("watching Nodes: %w", err)
	}
	defer nodes.Stop()
	last := map[string]string{}
	for {
		var entry Entry
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-pools.ResultChan():
			p, is := e.Object.(*mcfgv1.MachineConfigPool)
			if !ok || !is {
				return watchEnded(ctx, "MachineConfigPools")
			}
			entry = PoolEntry(now(), p)
			entry.Deleted = e.Type == "DELETED"
		case e, ok := <-nodes.ResultChan():
			n, is := e.Object.(*corev1.Node)
			if !ok || !is {
				return watchEnded(ctx, "Nodes")
			}
			entry = NodeEntry(now(), n)
			entry.Deleted = e.Type == "DELETED"
		}
		if err := write(w, last, entry); err != nil {
			return err
		}
	}
}

func watchEnded(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the watch of %s has ended; the trace is not complete: record it again", what)
}

// write leaves out what does not differ from the line before but in its time.
func write(w io.Writer, last map[string]string, e Entry) error {
	timeless := e
	timeless.At = time.Time{}
	text, err := json.Marshal(timeless)
	if err != nil {
		return err
	}
	key := e.Kind + "/" + e.Name
	if last[key] == string(text) {
		return nil
	}
	last[key] = string(text)
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Read reads a trace.
func Read(r io.Reader) ([]Entry, error) {
	var out []Entry
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for line := 1; scanner.Scan(); line++ {
		var e Entry
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("line %d is no entry of a trace: %w", line, err)
		}
		out = append(out, e)
	}
	return out, scanner.Err()
}
