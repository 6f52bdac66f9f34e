package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// A release is for one node, or for a few of one pool: as many as the user and the pool both allow.
// They are one proven batch (I3): all of them are proven before the first is taken, and all of them
// are done, with their pods back, before the next batch.

// maxReleaseNodes bounds the nodes on the record of a release. It is more than a release is ever
// for.
const maxReleaseNodes = 64

// maxConcurrent is how many nodes of the pool one release may take: what the user asks for, and
// never more than the pool itself allowed before the rollout. With maxUnavailable "30%" and 5 nodes
// that is one node, whatever the user asks for. The control plane goes one by one, because every
// one of its nodes carries a member of etcd.
func maxConcurrent(o Observed, p Pool) int {
	rec := poolRecord(o.Record, p.Name)
	if rec == nil {
		return 1
	}
	return p.MaxConcurrent(rec.MaxUnavailable, o.Rollout.MaxConcurrent)
}

// MaxConcurrent is how many of its nodes a release may take, when its maxUnavailable was own before
// and the user wants so many.
func (p Pool) MaxConcurrent(maxUnavailable string, wanted int) int {
	if p.ControlPlane {
		return 1
	}
	return min(max(1, wanted), scaledMaxUnavailable(maxUnavailable, len(p.Nodes)))
}

// scaledMaxUnavailable is the MCO's own arithmetic: one when nothing is set, percentages round
// down, and never less than one. A percentage is of the nodes that the pool has now: one that has
// shrunk since the start has less to spare.
func scaledMaxUnavailable(maxUnavailable string, nodes int) int {
	text, percent := strings.CutSuffix(maxUnavailable, "%")
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	if percent {
		n = n * nodes / 100
	}
	return max(1, n)
}

// batchSize is how many nodes the next release of the stage is for: a canary stage of one node
// stays one, whatever the limit. It is no more than those of which the forecast has looked at every
// one that may be taken, and no more than can be drained at the same time.
func batchSize(o Observed, s Stage, p Pool) int {
	size := max(1, min(maxConcurrent(o, p), s.requiredNodes(p)-p.Updated(), len(candidates(o, p))))
	size = min(size, maxConcurrentDrains(o, p, size))
	for size > 1 && len(notInForecast(o, p, namesOf(nextNodes(o, p, size)))) > 0 {
		size--
	}
	return size
}

// NextReleases are the nodes of the pool that the next release can take, as far as that can be told
// before it is decided on: those that the forecast has to look at. The first are those that a
// release of one node can take, the second those of a release of two, and so on to as many as are
// allowed. Empty when none is to come.
func NextReleases(o Observed, p Pool) [][]string {
	var out [][]string
	for size := range min(maxConcurrent(o, p), len(candidates(o, p))) {
		out = append(out, namesOf(nextNodes(o, p, size+1)))
	}
	return out
}

// candidates are the nodes of the pool that can be released now, in the order of their turn. With a
// unpause window the MCO chooses among them, by nearly the same order; with targets the first of
// them are taken.
func candidates(o Observed, p Pool) []Node {
	var out []Node
	for _, n := range p.Nodes {
		// The MCO takes a node that fails on its way to something else, if it is schedulable. We
		// never name a node that is not at rest.
		if n.DesiredConfig != p.Rendered && n.Ready && !n.Unschedulable && (n.done() || !o.Rollout.Targeted) {
			out = append(out, n)
		}
	}
	self := ""
	if o.Rollout.Targeted {
		self = o.Operator.LeaderNode
	}
	slices.SortStableFunc(out, func(a, b Node) int { return compareUpdateOrder(p, self, a, b) })
	return out
}

// compareUpdateOrder is the MCO's order. Where we choose, our own node comes last of all (R9), and
// names decide between equals.
func compareUpdateOrder(p Pool, self string, a, b Node) int {
	maxUnavailable := func(n Node) bool { return self != "" && n.Name == self }
	return cmp.Or(compareBool(maxUnavailable(a), maxUnavailable(b)), p.CompareCandidates(a, b),
		cmp.Compare(a.Name, b.Name))
}

// CompareCandidates is the order in which the MCO takes the nodes of the pool: by zone, nodes of no
// zone last, then the oldest first (sortNodeList), and of the control plane the node of the
// machine-config-operator at the end (filterControlPlaneCandidateNodes). 0 means that either can be
// first: the choice among such nodes is made anew, at random, each time. Creation times have
// seconds.
//
// Zones are finished one after another, not taken in turn. With nodes a1, a2 (zone a) and b1 (zone
// b, the oldest of all), a1 and a2 come before b1.
func (p Pool) CompareCandidates(a, b Node) int {
	return cmp.Or(
		compareBool(p.late(a), p.late(b)),
		compareBool(a.Zone == "", b.Zone == ""),
		cmp.Compare(a.Zone, b.Zone),
		a.Created.Truncate(time.Second).Compare(b.Created.Truncate(time.Second)),
	)
}

func (p Pool) late(n Node) bool { return p.ControlPlane && n.RunsMCO }

// nextNodes are the nodes that a release of so many can take. With targets it is those that come
// first. With an unpause window it is a set: nodes of one zone that were created in one second are
// taken in an order that nobody knows.
func nextNodes(o Observed, p Pool, size int) []Node {
	list := candidates(o, p)
	if size >= len(list) || o.Rollout.Targeted {
		return list[:min(size, len(list))]
	}
	last := list[size-1]
	end := size
	for end < len(list) && p.CompareCandidates(list[end], last) == 0 {
		end++
	}
	return list[:end]
}

// stepDown hands the lead to a replica elsewhere before a release may drain the leader's own node
// (R9). Where there is none, the release goes on all the same: everything is on record, and whoever
// is started next carries it on.
func stepDown(o Observed, p Pool, size int) Step {
	next := nextNodes(o, p, size)
	in := func(name string) bool {
		return slices.ContainsFunc(next, func(n Node) bool { return n.Name == name })
	}
	if o.Operator.LeaderNode == "" || !in(o.Operator.LeaderNode) {
		return nil
	}
	for _, standby := range o.Operator.StandbyNodes {
		if !in(standby) {
			return Do{
				Actions: []Action{StepDown{Node: o.Operator.LeaderNode}},
				Why:     fmt.Sprintf("node %s of pool %s comes next and runs this leader; the replica on node %s takes over first", o.Operator.LeaderNode, p.Name, standby),
			}
		}
	}
	return nil
}

// startedNodes are the nodes that took the release: those in progress, because none was when it
// began. Should they be done already, because nobody looked meanwhile, any nodes with the target
// serve: what is checked from here on holds for all of them.
func startedNodes(o Observed, p Pool, r v1alpha1.ReleaseRecord) []string {
	recorded := p.PauseRecord != nil && p.PauseRecord.Release != nil &&
		p.PauseRecord.Release.IntendedAt.Equal(r.IntendedAt.Time)
	isNew := func(n Node) bool { return n.CurrentConfig == "" } // on its way, and not by the release
	if updating := slices.DeleteFunc(p.progressingNodes(o), isNew); len(updating) > 0 && recorded {
		return namesOf(updating)
	}
	var have []Node
	for _, n := range p.Nodes {
		if n.DesiredConfig == r.TargetConfig && (len(r.TargetNodes) == 0 || slices.Contains(r.TargetNodes, n.Name)) {
			have = append(have, n)
		}
	}
	if len(r.TargetNodes) > 0 {
		return namesOf(have) // none of them had it when they were chosen
	}
	return namesOf(have[min(int(r.UpdatedNodes), len(have)):])
}

// additionalNodes are nodes that have taken the release since the first of it was seen.
func additionalNodes(o Observed, p Pool, r v1alpha1.ReleaseRecord) []string {
	var out []string
	for _, n := range p.progressingNodes(o) {
		if n.DesiredConfig == r.TargetConfig && n.CurrentConfig != "" && !slices.Contains(r.Nodes, n.Name) &&
			len(r.Nodes)+len(out) < maxReleaseNodes {
			out = append(out, n.Name)
		}
	}
	return out
}

func namesOf(nodes []Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// joinNodeNames names nodes in a sentence: node worker-1, or nodes worker-1 and worker-2.
func joinNodeNames(list []string) string {
	switch len(list) {
	case 0:
		return "a node"
	case 1:
		return "node " + list[0]
	default:
		return "nodes " + strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
	}
}

// nodeCountText is for sentences: one node, two nodes, 5 nodes.
func nodeCountText(n int) string {
	switch {
	case n <= 1:
		return "one node"
	case n == 2:
		return "two nodes"
	default:
		return strconv.Itoa(n) + " nodes"
	}
}
