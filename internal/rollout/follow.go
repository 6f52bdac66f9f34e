package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// lostRelease is the release that a pool's ledger tells of and the record does not: the record was lost, or its node was deleted
// while the pool was open. It is followed to its end like any other.
func lostRelease(o Observed, pools []Pool) (v1alpha1.ReleaseRecord, bool) {
	for _, p := range pools {
		if untouched(p) || ((back(o) || len(p.givenUp(o)) > 0) && p.Ledger.Release.Target != p.Rendered) {
			continue
		}
		pulse := p.Ledger.Release
		onItsWay := func(n Node) bool { return n.Desired == pulse.Target && n.Current != n.Desired }
		if pulsing(p) || slices.ContainsFunc(p.Nodes, onItsWay) {
			return v1alpha1.ReleaseRecord{
				Pool: p.Name, IntendedAt: metav1.NewTime(pulse.IntendedAt), TargetConfig: pulse.Target, UpdatedNodes: int32(pulse.Updated),
				NodeCount: int32(pulse.Size), TargetNodes: slices.Clone(pulse.Nodes),
			}, true
		}
	}
	return v1alpha1.ReleaseRecord{}, false
}

// followRelease carries the release on record to its end.
func followRelease(o Observed, pools []Pool, r v1alpha1.ReleaseRecord) Step {
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == r.Pool })
	if i < 0 {
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "pool " + r.Pool + " is gone"}
	}
	p := pools[i]
	if len(r.Nodes) > 0 {
		return followNodes(o, pools, p, r)
	}
	if taken := takenNodes(o, p, r); len(taken) > 0 {
		return Do{Facts: []Fact{NodesTaken{Nodes: taken, At: o.Now}}, Why: haveTaken(taken, r.TargetConfig)}
	}
	if pulsing(p) {
		return Wait{
			Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"is open for %s, and the MCO has not picked one yet; it is paused again at %s", howMany(int(r.NodeCount)), p.Ledger.Release.Deadline.UTC().Format(time.RFC3339)))},
			Until: p.Ledger.Release.Deadline,
		}
	}
	announced := p.Ledger != nil && p.Ledger.Release != nil && p.Ledger.Release.IntendedAt.Equal(r.IntendedAt.Time)
	pulsed := announced && len(r.TargetNodes) == 0
	switch {
	case pulsed && !p.fenced():
		return Wait{Blockers: []Blocker{unfenced(p)}}
	case pulsed:
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "pool " + p.Name + " was open and is closed again, and the MCO picked no node; trying again"}
	case p.Rendered != r.TargetConfig:
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "pool " + p.Name + " has been rendered anew before its release"}
	}
	return open(o, pools, p, r)
}

func haveTaken(nodes []string, target string) string {
	if len(nodes) == 1 {
		return "node " + nodes[0] + " has taken " + target
	}
	return nodeNames(nodes) + " have taken " + target
}

// followNodes watches the nodes to their end: the configuration, the nodes themselves, the pause, their pods. Of a node that was deleted
// meanwhile the pods have to be back all the same.
func followNodes(o Observed, pools []Pool, p Pool, r v1alpha1.ReleaseRecord) Step {
	if late := latecomers(o, p, r); len(late) > 0 {
		return Do{Facts: []Fact{NodesTaken{Nodes: late, At: o.Now}}, Why: haveTaken(late, r.TargetConfig)}
	}
	if moving := underWay(o, pools); len(moving) > 0 {
		return stillMoving(o, moving)
	}
	var away []Blocker
	var ends []string
	for _, name := range r.Nodes {
		i := slices.IndexFunc(p.Nodes, func(n Node) bool { return n.Name == name })
		if i < 0 {
			ends = append(ends, "node "+name+" is gone")
			continue
		}
		n := p.Nodes[i]
		ends = append(ends, "node "+name+" runs "+n.Current)
		if !n.Ready || n.Unschedulable {
			away = append(away, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name, Message: fmt.Sprintf(
				"node %s runs %s and is %s; no other node is released until it is back", n.Name, n.Current, unavailability(n))})
		}
	}
	if len(away) > 0 {
		return Wait{Blockers: away}
	}
	if open := notHeld(o, []Pool{p}); len(open) > 0 {
		return Wait{Blockers: open}
	}
	if back := missingPods(o, r); back != nil {
		return back
	}
	whose := "its"
	if len(ends) > 1 {
		whose = "their"
	}
	return Do{Facts: []Fact{ReleaseEnded{}}, Why: strings.Join(ends, ", ") + " and " + whose + " pods are back"}
}

// drainLimit is how long a node may be under way. When the user does not say it is longer than any drain that makes progress.
func (v View) drainLimit() time.Duration { return cmp.Or(v.DrainTimeout, time.Hour) }

// drainLook is how often a drain is looked at of which nothing is heard: a pod that its finalizer keeps beyond its grace period changes no
// more, and only the clock tells that it is held.
const drainLook = 15 * time.Second

// stillMoving waits for the nodes under way. After the user's patience it is a matter for a person; nothing is forced, and the
// rollout goes on by itself when the node does.
func stillMoving(o Observed, moving []Blocker) Step {
	if !timedOut(o) {
		return Wait{Blockers: moving, Until: o.Now.Add(drainLook)}
	}
	moving[0].Message = fmt.Sprintf("not done after %s (spec.release.drainTimeoutSeconds): %s", o.Rollout.drainLimit(), moving[0].Message)
	return Fail{Reason: v1alpha1.ReasonDrainTimedOut, Blockers: moving}
}

// missingPods holds the next release until the pods that left the node are ready elsewhere, and those that stayed are ready there:
// until each workload has as many ready pods as it had before. One that lacks pods for a reason that is older than the release
// and is elsewhere does not hold it.
func missingPods(o Observed, r v1alpha1.ReleaseRecord) Step {
	workloads, ok := o.Workloads.Get()
	if !ok {
		return unreadable("Workloads", o.Workloads.Why())
	}
	before := readyBefore(r.UnreadyWorkloads)
	var out []Blocker
	for _, w := range workloads {
		had, wasShort := before[w.Key()]
		if wasShort && w.Ready >= had {
			continue
		}
		if !w.Missing && !w.OnNode && w.Newest.Before(r.IntendedAt.Time) {
			continue
		}
		out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, Message: fmt.Sprintf(
			"%s %s/%s has %d of %d pods ready since %s released%s; the next node waits for it",
			w.Kind, w.Namespace, w.Name, w.Ready, w.Desired, nodesWere(r.Nodes), detail(w.Message))})
	}
	if len(out) == 0 {
		return nil
	}
	return Wait{Blockers: out}
}

func nodesWere(list []string) string {
	if len(list) > 1 {
		return nodeNames(list) + " were"
	}
	return nodeNames(list) + " was"
}

func detail(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// maxUnready bounds the list of workloads that were short of ready pods before a release.
const maxUnready = 256

// unreadyNow notes the workloads that are short of ready pods, each with how many it has: Deployment/shop/cart=2.
func unreadyNow(workloads []Workload) []string {
	out := make([]string, 0, len(workloads))
	for _, w := range workloads {
		out = append(out, w.Key()+"="+strconv.Itoa(int(w.Ready)))
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxUnready {
		out = out[:maxUnready]
	}
	return out
}

// readyBefore is the inverse of unreadyNow.
func readyBefore(notes []string) map[string]int32 {
	out := make(map[string]int32, len(notes))
	for _, note := range notes {
		key, number, _ := strings.Cut(note, "=")
		ready, err := strconv.ParseInt(number, 10, 32)
		if err == nil {
			out[key] = int32(ready)
		}
	}
	return out
}
