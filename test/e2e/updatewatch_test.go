//go:build lab

package e2e

import (
	"context"
	"slices"
	"sync"
	"testing"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// updateWatch watches which nodes are on their way to another configuration at the same time, and
// which pools are open while a rollout holds them. A look now and then would miss what lasts for a
// moment.
type updateWatch struct {
	mu     sync.Mutex
	moving map[string]bool
	// most are the largest sets of nodes that were on their way at once, of the control plane and
	// of the others.
	masters, others []string
	// unpaused are the pools that were unpaused while they had a pause record.
	unpaused []string
}

func watchUpdates(ctx context.Context, t *testing.T, c *scenario.Cluster) *updateWatch {
	t.Helper()
	m := &updateWatch{moving: map[string]bool{}}
	nodes, err := c.Client.Watch(ctx, &corev1.NodeList{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nodes.Stop)
	pools, err := c.Client.Watch(ctx, &mcfgv1.MachineConfigPoolList{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pools.Stop)
	go m.follow(nodes.ResultChan())
	go m.follow(pools.ResultChan())
	return m
}

func (m *updateWatch) follow(events <-chan watch.Event) {
	for e := range events {
		m.mu.Lock()
		switch o := e.Object.(type) {
		case *corev1.Node:
			m.node(o, e.Type == watch.Deleted)
		case *mcfgv1.MachineConfigPool:
			if !o.Spec.Paused && o.Annotations["safemirror.io/pause-record"] != "" &&
				!slices.Contains(m.unpaused, o.Name) {
				m.unpaused = append(m.unpaused, o.Name)
			}
		}
		m.mu.Unlock()
	}
}

func (m *updateWatch) node(n *corev1.Node, gone bool) {
	const prefix = "machineconfiguration.openshift.io/"
	a := n.Annotations
	delete(m.moving, n.Name)
	if !gone && a[prefix+"desiredConfig"] != "" &&
		(a[prefix+"currentConfig"] != a[prefix+"desiredConfig"] || a[prefix+"state"] != "Done") {
		m.moving[n.Name] = true
	}
	var masters, others []string
	for name := range m.moving {
		if name[:1] == "m" {
			masters = append(masters, name)
		} else {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	if len(masters) > len(m.masters) {
		m.masters = masters
	}
	if len(others) > len(m.others) {
		m.others = others
	}
}

// check expects that so many workers and at most one master were on their way at once, and never
// both.
func (m *updateWatch) check(t *testing.T, workers int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.masters) != 1 || len(m.others) != workers {
		t.Errorf("at the same time were on their way masters %v and others %v; want one master, and %d of the others",
			m.masters, m.others, workers)
	}
}

// checkNeverUnpaused expects that no pool was unpaused as long as it was held.
func (m *updateWatch) checkNeverUnpaused(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.unpaused) > 0 {
		t.Errorf("pools %v were open while the rollout held them", m.unpaused)
	}
}
