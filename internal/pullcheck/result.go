package pullcheck

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// CheckResult is what one probe came to. It outlives the pod, and nothing but memory has to keep
// it: what is lost is proven again.
type CheckResult struct {
	Check
	// Pod is the UID of the pod; empty when none was admitted.
	Pod  types.UID
	Pull PullResult
	// At is when the verdict was found.
	At time.Time
	// Attempts is how often in a row the probe has not succeeded; 0 for a proof.
	Attempts int
}

// retryAt is when a probe that has not succeeded may be made again.
func (o CheckResult) retryAt(limits Limits) time.Time { return o.At.Add(limits.backoff(o.Attempts)) }

// proves tells whether the outcome is a proof for the probe that is not older than the bound: of
// the same image on the same kind of node or, for a probe that only stands for its scope, of any
// image of the scope. Where the layers can be shown, a manifest does not do, and where the image
// is to be on the node, another node does not.
func (o CheckResult) proves(p Check, notOlderThan time.Time) bool {
	return o.Pull.State == Pulled && !o.At.Before(notOlderThan) && o.Group == p.Group && o.Config == p.Config &&
		(o.ImageAbsent || !p.ImageAbsent) && (o.Node == p.Node || !p.NodeSpecific) &&
		(o.Image == p.Image || !p.Critical && o.Scope == p.Scope)
}

// newestProof is the newest outcome that proves the probe.
func newestProof(p Check, results []CheckResult, notOlderThan time.Time) (CheckResult, bool) {
	var best CheckResult
	for _, o := range results {
		if o.proves(p, notOlderThan) && !o.At.Before(best.At) {
			best = o
		}
	}
	return best, !best.At.IsZero()
}

// lastResult is the outcome of this very probe.
func lastResult(p Check, results []CheckResult) (CheckResult, bool) {
	i := slices.IndexFunc(results, func(o CheckResult) bool { return o.Name == p.Name })
	if i < 0 {
		return CheckResult{}, false
	}
	return results[i], true
}

// record puts an outcome in the place of the probe's last one. A pod is recorded once, however
// often it is looked at.
func record(results []CheckResult, next CheckResult) []CheckResult {
	before, known := lastResult(next.Check, results)
	switch {
	case known && next.Pod != "" && before.Pod == next.Pod:
		return results
	case next.Pull.State != Pulled:
		next.Attempts = before.Attempts + 1
	}
	results = slices.DeleteFunc(slices.Clone(results), func(o CheckResult) bool { return o.Name == next.Name })
	return append(results, next)
}

// prune drops the outcomes that say nothing any more, so that they cannot pile up while images and
// nodes come and go: those of probes that are not wanted, unless they prove one that is, or are so
// recent that their node may have to be shunned.
func prune(results []CheckResult, want []Check, notOlderThan, now time.Time, limits Limits) []CheckResult {
	return slices.DeleteFunc(slices.Clone(results), func(o CheckResult) bool {
		recent := o.Pull.State != Pulled && now.Before(o.At.Add(limits.MaxRetryDelay))
		return !recent && !slices.ContainsFunc(want,
			func(p Check) bool { return p.Name == o.Name || o.proves(p, notOlderThan) })
	})
}

// ExcludedNodes names the nodes on which a probe could not be made lately, through no fault of the
// mirror, and why. Targets takes others first.
func ExcludedNodes(results []CheckResult, now time.Time, limits Limits) map[string]string {
	out := map[string]string{}
	for _, o := range results {
		nodes := o.Pull.State == Unschedulable || o.Pull.State == Evicted
		if nodes && now.Before(o.At.Add(limits.MaxRetryDelay)) {
			out[o.Node] = o.Pull.Message
		}
	}
	return out
}

// checkState is how far one probe is.
type checkState int

const (
	checkOpen         checkState = iota // nothing is known of it yet, or its proof has grown too old
	checkProven                         // it is proven
	checkFailed                         // the mirror failed it, or the way to it
	checkInconclusive                   // it could not be made, or not decided
)

// checkStateOf says how far the probe is, and by which outcome; that is of no use while it is open.
func checkStateOf(p Check, results []CheckResult, notOlderThan time.Time) (CheckResult, checkState) {
	if o, ok := newestProof(p, results, notOlderThan); ok {
		return o, checkProven
	}
	o, ok := lastResult(p, results)
	switch {
	case !ok || o.Pull.State == Pulled:
		return o, checkOpen
	case o.Pull.State == Failed:
		return o, checkFailed
	default:
		return o, checkInconclusive
	}
}

// Progress is how far the wanted probes are.
type Progress struct {
	Wanted int
	// Proven are those with a proof that is not older than was asked for; Failed those that the
	// mirror or the way to it failed; Unsure those that could not be made or decided. The rest are
	// still open.
	Proven, Failed, Inconclusive int
	// Oldest is when the oldest of the proofs was found; zero when there is none.
	Oldest time.Time
	// Problems are the first failures, and Doubts the first that are unsure.
	Problems, InconclusiveProblems []rollout.Problem
}

// Open is how many have no outcome yet.
func (p Progress) Open() int { return p.Wanted - p.Proven - p.Failed - p.Inconclusive }

// maxListed bounds how many failures are named.
const maxListed = 10

// Summarize says how far the wanted probes are.
func Summarize(want []Check, results []CheckResult, notOlderThan time.Time) Progress {
	sum := Progress{Wanted: len(want)}
	for _, p := range want {
		switch o, state := checkStateOf(p, results, notOlderThan); state {
		case checkProven:
			sum.Proven++
			if sum.Oldest.IsZero() || o.At.Before(sum.Oldest) {
				sum.Oldest = o.At
			}
		case checkFailed:
			sum.Failed++
			sum.Problems = appendProblem(sum.Problems, problem(o))
		case checkInconclusive:
			sum.Inconclusive++
			sum.InconclusiveProblems = appendProblem(sum.InconclusiveProblems, problem(o))
		case checkOpen:
		}
	}
	return sum
}

func appendProblem(list []rollout.Problem, p rollout.Problem) []rollout.Problem {
	if len(list) == maxListed {
		return list
	}
	return append(list, p)
}

// problem says what a probe came to, and what to do.
func problem(o CheckResult) rollout.Problem {
	reason, next := v1alpha1.ReasonMirrorUnreachable, "it is tried again by itself"
	switch o.Pull.Class {
	case mirror.Denied:
		next = "see that the cluster's global pull secret (openshift-config/pull-secret) has a login for the mirror that may read this, and that no " +
			"MachineConfigPool still has to bring it to its nodes; and that image.config.openshift.io/cluster does not block the mirror"
	case mirror.TLS:
		next = "add the mirror's CA to the ConfigMap that image.config.openshift.io/cluster spec.additionalTrustedCA names"
	case mirror.Refused, mirror.Timeout:
		next = "see that nodes of " + o.Group.String() +
			" reach the mirror: DNS, routes, firewalls and the cluster's proxy; it is tried again by itself"
	case mirror.Missing, mirror.Incomplete, mirror.Corrupt:
		reason, next = v1alpha1.ReasonImagesFailed,
			"what the mirror gives to nodes is not what it gives to the operator; it is tried again by itself"
	default:
	}
	if o.Pull.State != Failed {
		reason, next = "", "it is tried again by itself"
	}
	return rollout.Problem{
		Reason: reason, Kind: "Node", Name: o.Node, Transient: true,
		Message: cmp.Or(o.Pull.Message, string(o.Pull.State)) + " (" + o.Group.String() + "); " + next,
	}
}
