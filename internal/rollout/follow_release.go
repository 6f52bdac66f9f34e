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

// unrecordedRelease is the release that a pool's pause record tells of and the record does not: the
// record was lost, or its node was deleted while the pool was open. It is followed to its end like
// any other.
func unrecordedRelease(o Observed, pools []Pool) (v1alpha1.ReleaseRecord, bool) {
	for _, p := range pools {
		if neverReleased(p) || ((rollingBack(o) || len(p.abandonedNodes(o)) > 0) &&
			p.PauseRecord.Release.Target != p.Rendered) {
			continue
		}
		window := p.PauseRecord.Release
		updating := func(n Node) bool { return n.DesiredConfig == window.Target && n.CurrentConfig != n.DesiredConfig }
		if unpauseWindowOpen(p) || slices.ContainsFunc(p.Nodes, updating) {
			return v1alpha1.ReleaseRecord{
				Pool: p.Name, IntendedAt: metav1.NewTime(window.IntendedAt), TargetConfig: window.Target,
				UpdatedNodes: int32(window.UpdatedBefore),
				NodeCount:    int32(window.Size), TargetNodes: slices.Clone(window.Nodes),
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
	if started := startedNodes(o, p, r); len(started) > 0 {
		return Do{Facts: []Fact{NodesStarted{Nodes: started, At: o.Now}}, Why: startedMessage(started, r.TargetConfig)}
	}
	if unpauseWindowOpen(p) {
		return Wait{
			Blockers: []Blocker{poolBlocker(p, v1alpha1.ReasonWaiting, fmt.Sprintf(
				"is open for %s, and the MCO has not picked one yet; it is paused again at %s",
				nodeCountText(int(r.NodeCount)), p.PauseRecord.Release.Deadline.UTC().Format(time.RFC3339)))},
			RecheckAt: p.PauseRecord.Release.Deadline,
		}
	}
	recorded := p.PauseRecord != nil && p.PauseRecord.Release != nil &&
		p.PauseRecord.Release.IntendedAt.Equal(r.IntendedAt.Time)
	opened := recorded && len(r.TargetNodes) == 0
	switch {
	case opened && !p.pauseObserved():
		return Wait{Blockers: []Blocker{pauseNotObserved(p)}}
	case opened:
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "pool " + p.Name +
			" was open and is closed again, and the MCO picked no node; trying again"}
	case p.Rendered != r.TargetConfig:
		return Do{Facts: []Fact{ReleaseEnded{}}, Why: "pool " + p.Name + " has been rendered anew before its release"}
	}
	return carryOutRelease(o, pools, p, r)
}

func startedMessage(nodes []string, target string) string {
	if len(nodes) == 1 {
		return "node " + nodes[0] + " has taken " + target
	}
	return joinNodeNames(nodes) + " have taken " + target
}

// followNodes watches the nodes to their end: the configuration, the nodes themselves, the pause,
// their pods. Of a node that was deleted meanwhile the pods have to be back all the same.
func followNodes(o Observed, pools []Pool, p Pool, r v1alpha1.ReleaseRecord) Step {
	if additional := additionalNodes(o, p, r); len(additional) > 0 {
		return Do{Facts: []Fact{NodesStarted{Nodes: additional, At: o.Now}},
			Why: startedMessage(additional, r.TargetConfig)}
	}
	if updating := updatingBlockers(o, pools); len(updating) > 0 {
		return awaitNodes(o, updating)
	}
	var unavailable []Blocker
	var outcomes []string
	for _, name := range r.Nodes {
		i := slices.IndexFunc(p.Nodes, func(n Node) bool { return n.Name == name })
		if i < 0 {
			outcomes = append(outcomes, "node "+name+" is gone")
			continue
		}
		n := p.Nodes[i]
		outcomes = append(outcomes, "node "+name+" runs "+n.CurrentConfig)
		if !n.Ready || n.Unschedulable {
			unavailable = append(unavailable,
				Blocker{Reason: v1alpha1.ReasonWaiting, Kind: "Node", Name: n.Name, Message: fmt.Sprintf(
					"node %s runs %s and is %s; no other node is released until it is back", n.Name, n.CurrentConfig,
					unavailableText(n))})
		}
	}
	if len(unavailable) > 0 {
		return Wait{Blockers: unavailable}
	}
	if unpaused := unpausedPools(o, []Pool{p}); len(unpaused) > 0 {
		return Wait{Blockers: unpaused}
	}
	if step := awaitPods(o, r); step != nil {
		return step
	}
	possessive := "its"
	if len(outcomes) > 1 {
		possessive = "their"
	}
	return Do{Facts: []Fact{ReleaseEnded{}}, Why: strings.Join(outcomes, ", ") + " and " + possessive +
		" pods are back"}
}

// drainTimeout is how long a node may be in progress. When the user does not say it is longer than
// any drain that makes progress.
func (s Spec) drainTimeout() time.Duration { return cmp.Or(s.DrainTimeout, time.Hour) }

// drainRecheckInterval is how often a drain is looked at of which nothing is heard: a pod that its
// finalizer keeps beyond its grace period changes no more, and only the clock tells that it is
// held.
const drainRecheckInterval = 15 * time.Second

// awaitNodes waits for the updating nodes. After the user's patience it is a matter for a person;
// nothing is forced, and the rollout goes on by itself when the node does.
func awaitNodes(o Observed, updating []Blocker) Step {
	if !drainTimedOut(o) {
		return Wait{Blockers: updating, RecheckAt: o.Now.Add(drainRecheckInterval)}
	}
	updating[0].Message = fmt.Sprintf("not done after %s (spec.release.drainTimeoutSeconds): %s",
		o.Rollout.drainTimeout(), updating[0].Message)
	return Fail{Reason: v1alpha1.ReasonDrainTimedOut, Blockers: updating}
}

// awaitPods holds the next release until the pods that left the node are ready elsewhere, and those
// that stayed are ready there: until each workload has as many ready pods as it had before. One
// that lacks pods for a reason that is older than the release and is elsewhere does not hold it.
func awaitPods(o Observed, r v1alpha1.ReleaseRecord) Step {
	workloads, ok := o.Workloads.Get()
	if !ok {
		return waitForRead("Workloads", o.Workloads.Why())
	}
	before := readyBefore(r.UnreadyWorkloads)
	var out []Blocker
	for _, w := range workloads {
		had, wasShort := before[w.Key()]
		if wasShort && w.Ready >= had || !wasShort && cutOff(r.UnreadyWorkloads, w) {
			continue
		}
		if !w.MissingPods && !w.OnNode && w.NewestUnreadyAt.Before(r.IntendedAt.Time) {
			continue
		}
		out = append(out, Blocker{Reason: v1alpha1.ReasonWaiting, Kind: w.Kind, Namespace: w.Namespace, Name: w.Name,
			Message: fmt.Sprintf(
				"%s %s/%s has %d of %d pods ready since %s released%s; the next node waits for it",
				w.Kind, w.Namespace, w.Name, w.Ready, w.Desired, nodesWereText(r.Nodes), inParentheses(w.Message))})
	}
	if len(out) == 0 {
		return nil
	}
	return Wait{Blockers: out}
}

func nodesWereText(list []string) string {
	if len(list) > 1 {
		return joinNodeNames(list) + " were"
	}
	return joinNodeNames(list) + " was"
}

func inParentheses(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// maxUnready bounds the list of workloads that were short of ready pods before a release. The list
// is sorted and is cut off at its end.
const maxUnready = 256

// cutOff reports whether the bound may have cut the workload off the list of those that were short
// of ready pods before: the list is full and the workload sorts after its last entry. Such a
// workload is not known to be short since the release.
func cutOff(notes []string, w Workload) bool {
	return len(notes) >= maxUnready && w.Key()+"=" > slices.Max(notes)
}

// unreadyNow notes the workloads that are short of ready pods, each with how many it has:
// Deployment/shop/cart=2.
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
