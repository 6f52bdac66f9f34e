package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// workload is a Deployment with a PodDisruptionBudget.
type workload struct {
	name     string
	ref      string
	replicas int
	pool     string
	// spread: no two of its pods on one node.
	spread bool
	// budget is how many of its pods may be missing, -1 when it has no PodDisruptionBudget.
	budget int
	// overlapping budgets make the eviction API answer with an error, and nothing is ever evicted.
	overlapping bool
	// sick: its pods run and are not ready.
	unhealthy   bool
	created     time.Time
	podsCreated int // how many were ever made
}

// workloads are the Deployment controller, the scheduler and the eviction API.
type workloads struct {
	sim  *Simulation
	list []*workload
	due  bool
}

func (l *workloads) find(name string) *workload {
	for _, k := range l.list {
		if k.name == name {
			return k
		}
	}
	return nil
}

// syncSoon lets controller and scheduler look at everything, shortly after the last change.
func (l *workloads) syncSoon() {
	if l.due {
		return
	}
	l.due = true
	l.sim.after(300*time.Millisecond, func() {
		l.due = false
		l.createMissing()
		l.schedule()
	})
}

// createMissing makes pods for those that are missing. One that is terminating does not count.
func (l *workloads) createMissing() {
	for _, k := range l.list {
		running := 0
		for _, p := range l.sim.apiServer.live.pods.list() {
			if p.workload == k.name && !p.terminating {
				running++
			}
		}
		for ; running < k.replicas; running++ {
			k.podsCreated++
			l.sim.apiServer.writePod(pod{name: k.name + "-" + strconv.Itoa(k.podsCreated), workload: k.name,
				created: l.sim.now, message: "not scheduled"})
		}
	}
}

// schedule binds pods that have no node. Nodes without a taint are preferred, then those with few
// pods.
func (l *workloads) schedule() {
	for _, p := range l.sim.apiServer.live.pods.list() {
		if p.node != "" || p.terminating {
			continue
		}
		if node := l.findNode(l.find(p.workload)); node != "" {
			bound := *p
			bound.node, bound.message = node, "pulling"
			l.sim.apiServer.writePod(bound)
			l.sim.after(l.sim.between(100*time.Millisecond, 500*time.Millisecond), func() { l.start(bound.name, 0) })
		}
	}
}

func (l *workloads) findNode(k *workload) string {
	best, bestScore := "", 0
	for _, n := range l.sim.apiServer.live.members(k.pool) {
		if !ready(n) || n.Spec.Unschedulable || n.Annotations[currentConfig] == "" {
			continue
		}
		score := 1
		if tainted(n) {
			score += 1000
		}
		occupied := false
		for _, p := range l.sim.apiServer.live.pods.list() {
			if p.node == n.Name {
				score++
				occupied = occupied || (k.spread && p.workload == k.name)
			}
		}
		if occupied {
			continue
		}
		if best == "" || score < bestScore || (score == bestScore && l.sim.oneIn(2)) {
			best, bestScore = n.Name, score
		}
	}
	return best
}

// The kubelet's back-off for pulls.
const (
	initialBackoff = 10 * time.Second
	maxBackoff     = 5 * time.Minute
)

// start is the kubelet: it pulls unless the image is there, and runs the container.
func (l *workloads) start(name string, attempt int) {
	p, ok := l.sim.apiServer.live.pods.get(name)
	if !ok || p.terminating {
		return
	}
	d := l.sim.nodes[p.node]
	if d == nil || d.gone {
		return
	}
	if d.down {
		l.sim.after(pollInterval, func() { l.start(name, attempt) })
		return
	}
	k := l.find(p.workload)
	if d.images[k.ref] {
		l.started(*p)
		return
	}
	host, _ := splitReference(k.ref)
	l.sim.after(l.sim.registries.latency(host), func() {
		p, ok := l.sim.apiServer.live.pods.get(name)
		if !ok || p.terminating || d.gone {
			return
		}
		why := l.sim.registries.pullErrorOnNode(k.ref, d.activeConf())
		if why == "" {
			d.images[k.ref] = true
			l.started(*p)
			return
		}
		if p.message != why {
			l.sim.logf("kubelet", "pod %s on %s: ImagePullBackOff: %s", name, p.node, why)
			failed := *p
			failed.message = why
			l.sim.apiServer.writePod(failed)
			l.sim.checker.checkPullFailure(k, d, why)
		}
		backoff := min(maxBackoff, initialBackoff<<min(attempt, 10))
		l.sim.after(backoff, func() { l.start(name, attempt+1) })
	})
}

func (l *workloads) started(p pod) {
	p.running, p.message = true, "not ready yet"
	l.sim.apiServer.writePod(p)
	l.sim.after(l.sim.between(2*time.Second, 6*time.Second), func() { l.becomeReady(p.name) })
}

func (l *workloads) becomeReady(name string) {
	p, ok := l.sim.apiServer.live.pods.get(name)
	if !ok || p.terminating || !p.running {
		return
	}
	if d := l.sim.nodes[p.node]; (d != nil && d.down) || l.find(p.workload).unhealthy {
		l.sim.after(pollInterval, func() { l.becomeReady(name) })
		return
	}
	updated := *p
	updated.ready, updated.message = true, ""
	l.sim.apiServer.writePod(updated)
}

// setUnhealthy makes the workload fail in a way that has nothing to do with nodes or images, or
// lets it recover.
func (l *workloads) setUnhealthy(name string, sick bool) {
	k := l.find(name)
	k.unhealthy = sick
	for _, p := range l.sim.apiServer.live.pods.list() {
		if sick && p.workload == name && p.ready {
			failed := *p
			failed.ready, failed.message = false, "CrashLoopBackOff"
			l.sim.apiServer.writePod(failed)
			l.becomeReady(p.name)
		}
	}
}

// evictAll asks for the eviction of every pod of the node, and returns how many are still there.
func (l *workloads) evictAll(node string) int {
	left := 0
	for _, p := range l.sim.apiServer.live.pods.list() {
		if p.node != node {
			continue
		}
		left++
		if !p.terminating && l.evictionAllowed(p) {
			l.terminate(*p)
		}
	}
	return left
}

// evictionAllowed is the eviction API: a pod that does not run yet may go, a healthy one only
// within the budget, and one that runs and is not ready only while the others suffice.
func (l *workloads) evictionAllowed(p *pod) bool {
	k := l.find(p.workload)
	switch {
	case !p.running, k.budget < 0 && !k.overlapping:
		return true
	case k.overlapping:
		return false
	}
	healthy, desired := l.healthy(k), k.replicas-k.budget
	if !p.ready {
		return desired > 0 && healthy >= desired
	}
	return healthy > desired
}

func (l *workloads) healthy(k *workload) int {
	n := 0
	for _, p := range l.sim.apiServer.live.pods.list() {
		if p.workload == k.name && p.ready && !p.terminating {
			n++
		}
	}
	return n
}

// terminate deletes the pod with its grace period. On a node that is down no kubelet confirms the
// end.
func (l *workloads) terminate(p pod) {
	p.terminating, p.ready = true, false
	l.sim.apiServer.writePod(p)
	l.finishTermination(p, l.sim.between(2*time.Second, 12*time.Second))
}

func (l *workloads) finishTermination(p pod, grace time.Duration) {
	l.sim.after(grace, func() {
		if d := l.sim.nodes[p.node]; d != nil && d.down && !d.gone {
			l.finishTermination(p, pollInterval)
			return
		}
		l.sim.apiServer.deletePod(p.name)
	})
}

// nodeDown: the pods of a dead node are not ready, and after five minutes they are deleted.
func (l *workloads) nodeDown(node string) {
	for _, p := range l.sim.apiServer.live.pods.list() {
		if p.node == node && p.ready {
			lost := *p
			lost.ready, lost.message = false, "node "+node+" is not ready"
			l.sim.apiServer.writePod(lost)
		}
	}
	l.sim.after(5*time.Minute, func() {
		if d := l.sim.nodes[node]; d == nil || !d.down {
			return
		}
		for _, p := range l.sim.apiServer.live.pods.list() {
			if p.node == node && !p.terminating {
				l.terminate(*p)
			}
		}
	})
}

// nodeUp: the containers are still there.
func (l *workloads) nodeUp(node string) {
	for _, p := range l.sim.apiServer.live.pods.list() {
		if p.node == node && p.running && !p.ready && !p.terminating {
			l.becomeReady(p.name)
		}
	}
}

// nodeGone: the pods of a deleted node are deleted with it.
func (l *workloads) nodeGone(node string) {
	for _, p := range l.sim.apiServer.live.pods.list() {
		if p.node == node {
			l.sim.apiServer.deletePod(p.name)
		}
	}
}

// unready describes the workload as the operator does: nil while it has all its pods.
func (k *workload) readiness(pods []*pod, released []string) (desired, ready int32, newest time.Time, missing,
	onNode bool, message string) {
	present := int32(0)
	for _, p := range pods {
		if p.workload != k.name || p.terminating {
			continue
		}
		present++
		if p.ready {
			ready++
			continue
		}
		onNode = onNode || slices.Contains(released, p.node)
		if message == "" || p.created.After(newest) {
			newest = p.created
			message = fmt.Sprintf("pod %s on node %s: %s", p.name, p.node, p.message)
		}
	}
	desired = int32(k.replicas)
	return desired, ready, newest, present < desired, onNode, message
}

// references are the images that the workloads need, each once, in order.
func (l *workloads) references() []string {
	var out []string
	for _, k := range l.list {
		if !slices.Contains(out, k.ref) {
			out = append(out, k.ref)
		}
	}
	slices.Sort(out)
	return out
}

// uniqueName is the name, or the name with a number when there is one of that name: extra, extra-2,
// extra-3.
func (l *workloads) uniqueName(name string) string {
	out := name
	for i := 2; l.find(out) != nil; i++ {
		out = fmt.Sprintf("%s-%d", name, i)
	}
	return out
}
