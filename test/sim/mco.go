package sim

import (
	"slices"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mco is the Machine Config Controller: the render controller and the node controller. Delays and
// rules follow pkg/controller/render and pkg/controller/node of openshift/machine-config-operator.
type mco struct {
	sim         *Simulation
	cache       *cache
	renderDue   bool // a render is due
	otherConfig map[string]string
	conf        registriesConf // of the mirror sets that were valid last
	syncs       map[string]*poolSync
}

// poolSync is the work queue's entry of a pool: one sync at a time, and one more if something has
// changed meanwhile.
type poolSync struct {
	due     time.Time
	running bool
}

const (
	renderDelay = 5 * time.Second // render_controller: renderDelay
	nodeDelay   = 5 * time.Second // node_controller: updateDelay
	// taintTime is what one taint costs: a GET and a PATCH by a client that is limited to five
	// requests a second.
	taintTime = 400 * time.Millisecond
	retryTime = 100 * time.Millisecond
)

const (
	controllerName = "machine-config-controller"
	userName       = "kubectl-patch"
)

func newMCO(sim *Simulation) *mco {
	m := &mco{sim: sim, otherConfig: map[string]string{}, syncs: map[string]*poolSync{}}
	m.cache = sim.apiServer.newCache(func() time.Duration {
		return sim.between(5*time.Millisecond,
			50*time.Millisecond)
	}, m.changed)
	return m
}

// changed is the informers' handler.
func (m *mco) changed(k kind, name string) {
	switch k {
	case kindMirrorSet:
		m.renderSoon()
	case kindPool:
		if p, ok := m.cache.objects.pools.get(name); ok && p.Spec.Configuration.Name == "" {
			m.renderSoon()
		}
		m.enqueue(name, nodeDelay)
	case kindNode:
		if n, ok := m.cache.objects.nodes.get(name); ok {
			m.enqueue(poolNameOf(n), nodeDelay)
			return
		}
		for _, p := range m.cache.objects.pools.names {
			m.enqueue(p, nodeDelay)
		}
	case kindPod, kindRollout:
	}
}

func (m *mco) renderSoon() {
	if m.renderDue {
		return
	}
	m.renderDue = true
	m.sim.after(renderDelay, m.renderAll)
}

// renderAll writes the rendered configuration of every pool, paused or not.
func (m *mco) renderAll() {
	m.renderDue = false
	if source := conflictingSource(m.cache.objects.sets.list()); source != "" {
		m.sim.logf("mco", "takes no mirror set: %s has two policies", source)
	} else {
		m.conf = mergedConf(m.cache.objects.sets.list())
	}
	content := rendering{conf: m.conf}
	for _, name := range m.sim.apiServer.live.pools.names {
		content.otherConfig = m.otherConfig[name]
		rendered := m.sim.rendered.name(name, content)
		if p, ok := m.sim.apiServer.live.pools.get(name); ok && p.Spec.Configuration.Name != rendered {
			m.sim.logf("mco", "pool %s is rendered as %s: %s", name, rendered, describe(content))
			m.sim.apiServer.editPool(controllerName, name, func(p *mcfgv1.MachineConfigPool) {
				p.Spec.Configuration.Name = rendered
			})
		}
	}
}

func describe(r rendering) string {
	text := "no mirrors"
	if r.conf != "" {
		text = string(r.conf)
	}
	if r.otherConfig != "" {
		text += " with " + r.otherConfig
	}
	return text
}

// enqueue is AddAfter of a delaying work queue: the earliest of several times counts.
func (m *mco) enqueue(name string, delay time.Duration) {
	if name == "" {
		return
	}
	s := m.syncs[name]
	if s == nil {
		s = &poolSync{}
		m.syncs[name] = s
	}
	at := m.sim.now.Add(delay)
	if !s.due.IsZero() && !at.Before(s.due) {
		return
	}
	s.due = at
	m.sim.at(at, func() { m.syncPool(name, s, at) })
}

// syncPool starts a sync on what the cache holds now: the pool and its nodes are read once.
func (m *mco) syncPool(name string, s *poolSync, at time.Time) {
	if !s.due.Equal(at) {
		return
	}
	if s.running {
		s.due = m.sim.now.Add(retryTime)
		again := s.due
		m.sim.at(again, func() { m.syncPool(name, s, again) })
		return
	}
	s.due = time.Time{}
	p, ok := m.cache.objects.pools.get(name)
	if !ok {
		return
	}
	if p.Spec.Configuration.Name == "" {
		return
	}
	if p.Spec.Paused {
		m.writeStatus(p)
		return
	}
	s.running = true
	nodes := m.cache.objects.members(name)
	read := m.sim.now
	m.taint(p, nodes, func() {
		m.updateCandidates(p, nodes, read)
		m.sim.after(retryTime/10, func() {
			s.running = false
			m.writeStatus(p)
		})
	})
}

// taint brings the UpdateInProgress taint of every node in line, one after another, and then goes
// on. paused is not looked at again.
func (m *mco) taint(p *mcfgv1.MachineConfigPool, nodes []*corev1.Node, then func()) {
	for i, n := range nodes {
		want := n.Annotations[desiredConfig] != p.Spec.Configuration.Name
		if want == tainted(n) {
			continue
		}
		rest := nodes[i+1:]
		m.sim.after(taintTime, func() {
			m.sim.apiServer.editNode(n.Name, func(n *corev1.Node) { setTaint(n, want) })
			m.taint(p, rest, then)
		})
		return
	}
	then()
}

const updateInProgress = "UpdateInProgress"

func tainted(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == updateInProgress })
}

func setTaint(n *corev1.Node, want bool) {
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == updateInProgress })
	if want {
		n.Spec.Taints = append(n.Spec.Taints,
			corev1.Taint{Key: updateInProgress, Effect: corev1.TaintEffectPreferNoSchedule})
	}
}

// updateCandidates gives the pool's configuration to as many nodes as there is room for, judged on
// what was read at the start of the sync.
func (m *mco) updateCandidates(p *mcfgv1.MachineConfigPool, nodes []*corev1.Node, read time.Time) {
	capacity := maxUnavailable(p, len(nodes))
	var candidates []*corev1.Node
	for _, n := range nodes {
		if unavailable(n) {
			capacity--
		}
	}
	if capacity <= 0 {
		return
	}
	for _, n := range nodes {
		switch {
		case n.Annotations[desiredConfig] == p.Spec.Configuration.Name:
			if failing(n) {
				capacity--
			}
		case ready(n) && !n.Spec.Unschedulable:
			candidates = append(candidates, n)
		}
	}
	if capacity <= 0 {
		return
	}
	if capacity < len(candidates) {
		m.sortCandidates(candidates)
		candidates = candidates[:capacity]
	}
	for _, n := range candidates {
		m.setDesiredConfig(p, n.Name, read)
	}
}

// sortCandidates is by zone, then the oldest first; nodes of one second come in any order.
func (m *mco) sortCandidates(nodes []*corev1.Node) {
	if !m.sim.deterministic {
		m.sim.rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	}
	slices.SortStableFunc(nodes, func(a, b *corev1.Node) int {
		x, y := a.Labels[corev1.LabelTopologyZone], b.Labels[corev1.LabelTopologyZone]
		switch {
		case x != y && x == "":
			return 1
		case x != y && y == "":
			return -1
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
}

// setDesiredConfig writes desiredConfig on the node as it is now; there is no version on that
// patch.
func (m *mco) setDesiredConfig(p *mcfgv1.MachineConfigPool, node string, read time.Time) {
	n, ok := m.sim.apiServer.live.nodes.get(node)
	if !ok || n.Annotations[desiredConfig] == p.Spec.Configuration.Name {
		return
	}
	m.sim.logf("mco", "node %s is given %s", node, p.Spec.Configuration.Name)
	m.sim.checker.checkTarget(p, n, read)
	m.sim.apiServer.editNode(node, func(n *corev1.Node) { n.Annotations[desiredConfig] = p.Spec.Configuration.Name })
}

// writeStatus computes the pool's status from what the cache holds. The write carries the version
// of the pool that the sync began with.
func (m *mco) writeStatus(p *mcfgv1.MachineConfigPool) {
	live, ok := m.sim.apiServer.live.pools.get(p.Name)
	if !ok {
		return
	}
	status := poolStatus(p, m.cache.objects.members(p.Name))
	if sameStatusCounts(status, p.Status) {
		return
	}
	if live.ResourceVersion != p.ResourceVersion {
		m.enqueue(p.Name, retryTime)
		return
	}
	edited := live.DeepCopy()
	edited.Status = status
	m.sim.apiServer.writePool(controllerName, edited)
}

func sameStatusCounts(a, b mcfgv1.MachineConfigPoolStatus) bool {
	return a.ObservedGeneration == b.ObservedGeneration && a.Configuration.Name == b.Configuration.Name &&
		a.MachineCount == b.MachineCount &&
		a.UpdatedMachineCount == b.UpdatedMachineCount && a.UnavailableMachineCount == b.UnavailableMachineCount &&
		a.DegradedMachineCount == b.DegradedMachineCount
}

func poolStatus(p *mcfgv1.MachineConfigPool, nodes []*corev1.Node) mcfgv1.MachineConfigPoolStatus {
	s := mcfgv1.MachineConfigPoolStatus{ObservedGeneration: p.Generation, Configuration: p.Status.Configuration,
		MachineCount: int32(len(nodes))}
	for _, n := range nodes {
		if done(n) && n.Annotations[desiredConfig] == p.Spec.Configuration.Name {
			s.UpdatedMachineCount++
		}
		if unavailable(n) {
			s.UnavailableMachineCount++
		}
		if n.Annotations[state] == stateDegraded {
			s.DegradedMachineCount++
		}
	}
	if s.UpdatedMachineCount == s.MachineCount && s.UnavailableMachineCount == 0 {
		s.Configuration = p.Spec.Configuration
	}
	if s.DegradedMachineCount > 0 {
		s.Conditions = []mcfgv1.MachineConfigPoolCondition{
			{Type: mcfgv1.MachineConfigPoolNodeDegraded, Status: corev1.ConditionTrue,
				Message: "a node reports that it is degraded"},
			{Type: mcfgv1.MachineConfigPoolDegraded, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{}},
		}
	}
	return s
}

// maxUnavailable is the MCO's: one when it is not set, percentages round down, and never less than
// one.
func maxUnavailable(p *mcfgv1.MachineConfigPool, nodes int) int {
	m := p.Spec.MaxUnavailable
	n := 1
	switch {
	case m == nil:
	case m.Type == 0:
		n = m.IntValue()
	default:
		n = percent(m.StrVal) * nodes / 100
	}
	return max(1, n)
}

func percent(s string) int {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}
