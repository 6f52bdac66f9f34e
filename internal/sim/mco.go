package sim

import (
	"slices"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mco is the Machine Config Controller: the render controller and the node controller. Delays and rules follow
// pkg/controller/render and pkg/controller/node of openshift/machine-config-operator.
type mco struct {
	w      *World
	cache  *cache
	render bool // a render is due
	other  map[string]string
	conf   conf // of the mirror sets that were valid last
	syncs  map[string]*poolSync
}

// poolSync is the work queue's entry of a pool: one sync at a time, and one more if something has changed meanwhile.
type poolSync struct {
	due     time.Time
	running bool
}

const (
	renderDelay = 5 * time.Second // render_controller: renderDelay
	nodeDelay   = 5 * time.Second // node_controller: updateDelay
	// taintTime is what one taint costs: a GET and a PATCH by a client that is limited to five requests a second.
	taintTime = 400 * time.Millisecond
	retryTime = 100 * time.Millisecond
)

const (
	controllerName = "machine-config-controller"
	userName       = "kubectl-patch"
)

func newMCO(w *World) *mco {
	m := &mco{w: w, other: map[string]string{}, syncs: map[string]*poolSync{}}
	m.cache = w.api.watch(func() time.Duration { return w.between(5*time.Millisecond, 50*time.Millisecond) }, m.changed)
	return m
}

// changed is the informers' handler.
func (m *mco) changed(k kind, name string) {
	switch k {
	case kindSet:
		m.renderSoon()
	case kindPool:
		if p, ok := m.cache.seen.pools.get(name); ok && p.Spec.Configuration.Name == "" {
			m.renderSoon()
		}
		m.enqueue(name, nodeDelay)
	case kindNode:
		if n, ok := m.cache.seen.nodes.get(name); ok {
			m.enqueue(poolOf(n), nodeDelay)
			return
		}
		for _, p := range m.cache.seen.pools.names {
			m.enqueue(p, nodeDelay)
		}
	case kindPod, kindCustom:
	}
}

func (m *mco) renderSoon() {
	if m.render {
		return
	}
	m.render = true
	m.w.after(renderDelay, m.renderAll)
}

// renderAll writes the rendered configuration of every pool, paused or not.
func (m *mco) renderAll() {
	m.render = false
	if source := clashing(m.cache.seen.sets.list()); source != "" {
		m.w.tell("mco", "takes no mirror set: %s has two policies", source)
	} else {
		m.conf = union(m.cache.seen.sets.list())
	}
	content := rendering{conf: m.conf}
	for _, name := range m.w.api.live.pools.names {
		content.other = m.other[name]
		rendered := m.w.renderings.name(name, content)
		if p, ok := m.w.api.live.pools.get(name); ok && p.Spec.Configuration.Name != rendered {
			m.w.tell("mco", "pool %s is rendered as %s: %s", name, rendered, describe(content))
			m.w.api.editPool(controllerName, name, func(p *mcfgv1.MachineConfigPool) {
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
	if r.other != "" {
		text += " with " + r.other
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
	at := m.w.now.Add(delay)
	if !s.due.IsZero() && !at.Before(s.due) {
		return
	}
	s.due = at
	m.w.at(at, func() { m.begin(name, s, at) })
}

// begin starts a sync on what the cache holds now: the pool and its nodes are read once.
func (m *mco) begin(name string, s *poolSync, at time.Time) {
	if !s.due.Equal(at) {
		return
	}
	if s.running {
		s.due = m.w.now.Add(retryTime)
		again := s.due
		m.w.at(again, func() { m.begin(name, s, again) })
		return
	}
	s.due = time.Time{}
	p, ok := m.cache.seen.pools.get(name)
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
	nodes := m.cache.seen.members(name)
	read := m.w.now
	m.taint(p, nodes, func() {
		m.pick(p, nodes, read)
		m.w.after(retryTime/10, func() {
			s.running = false
			m.writeStatus(p)
		})
	})
}

// taint brings the UpdateInProgress taint of every node in line, one after another, and then goes on. paused is not looked at again.
func (m *mco) taint(p *mcfgv1.MachineConfigPool, nodes []*corev1.Node, then func()) {
	for i, n := range nodes {
		want := n.Annotations[desiredConfig] != p.Spec.Configuration.Name
		if want == tainted(n) {
			continue
		}
		rest := nodes[i+1:]
		m.w.after(taintTime, func() {
			m.w.api.editNode(n.Name, func(n *corev1.Node) { setTaint(n, want) })
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
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: updateInProgress, Effect: corev1.TaintEffectPreferNoSchedule})
	}
}

// pick gives the pool's configuration to as many nodes as there is room for, judged on what was read at the start of the sync.
func (m *mco) pick(p *mcfgv1.MachineConfigPool, nodes []*corev1.Node, read time.Time) {
	room := maxUnavailable(p, len(nodes))
	var candidates []*corev1.Node
	for _, n := range nodes {
		if unavailable(n) {
			room--
		}
	}
	if room <= 0 {
		return
	}
	for _, n := range nodes {
		switch {
		case n.Annotations[desiredConfig] == p.Spec.Configuration.Name:
			if failing(n) {
				room--
			}
		case ready(n) && !n.Spec.Unschedulable:
			candidates = append(candidates, n)
		}
	}
	if room <= 0 {
		return
	}
	if room < len(candidates) {
		m.order(candidates)
		candidates = candidates[:room]
	}
	for _, n := range candidates {
		m.target(p, n.Name, read)
	}
}

// order is by zone, then the oldest first; nodes of one second come in any order.
func (m *mco) order(nodes []*corev1.Node) {
	if !m.w.fixed {
		m.w.rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
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

// target writes desiredConfig on the node as it is now; there is no version on that patch.
func (m *mco) target(p *mcfgv1.MachineConfigPool, node string, read time.Time) {
	n, ok := m.w.api.live.nodes.get(node)
	if !ok || n.Annotations[desiredConfig] == p.Spec.Configuration.Name {
		return
	}
	m.w.tell("mco", "node %s is given %s", node, p.Spec.Configuration.Name)
	m.w.check.targeted(p, n, read)
	m.w.api.editNode(node, func(n *corev1.Node) { n.Annotations[desiredConfig] = p.Spec.Configuration.Name })
}

// writeStatus computes the pool's status from what the cache holds. The write carries the version of the pool that the sync began with.
func (m *mco) writeStatus(p *mcfgv1.MachineConfigPool) {
	live, ok := m.w.api.live.pools.get(p.Name)
	if !ok {
		return
	}
	status := poolStatus(p, m.cache.seen.members(p.Name))
	if same(status, p.Status) {
		return
	}
	if live.ResourceVersion != p.ResourceVersion {
		m.enqueue(p.Name, retryTime)
		return
	}
	edited := live.DeepCopy()
	edited.Status = status
	m.w.api.writePool(controllerName, edited)
}

func same(a, b mcfgv1.MachineConfigPoolStatus) bool {
	return a.ObservedGeneration == b.ObservedGeneration && a.Configuration.Name == b.Configuration.Name && a.MachineCount == b.MachineCount &&
		a.UpdatedMachineCount == b.UpdatedMachineCount && a.UnavailableMachineCount == b.UnavailableMachineCount &&
		a.DegradedMachineCount == b.DegradedMachineCount
}

func poolStatus(p *mcfgv1.MachineConfigPool, nodes []*corev1.Node) mcfgv1.MachineConfigPoolStatus {
	s := mcfgv1.MachineConfigPoolStatus{ObservedGeneration: p.Generation, Configuration: p.Status.Configuration, MachineCount: int32(len(nodes))}
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
			{Type: mcfgv1.MachineConfigPoolNodeDegraded, Status: corev1.ConditionTrue, Message: "a node reports that it is degraded"},
			{Type: mcfgv1.MachineConfigPoolDegraded, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{}},
		}
	}
	return s
}

// maxUnavailable is the MCO's: one when it is not set, percentages round down, and never less than one.
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
