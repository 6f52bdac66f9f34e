package probe

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Outcome is what one probe came to. It outlives the pod, and nothing but memory has to keep it: what is lost is proven again.
type Outcome struct {
	Probe
	// Pod is the UID of the pod; empty when none was admitted.
	Pod     types.UID
	Verdict Verdict
	// At is when the verdict was found.
	At time.Time
	// Attempts is how often in a row the probe has not succeeded; 0 for a proof.
	Attempts int
}

// due is when a probe that has not succeeded may be made again.
func (o Outcome) due(limits Limits) time.Time { return o.At.Add(limits.backoff(o.Attempts)) }

// proves tells whether the outcome is a proof for the probe that is not older than the bound: of the same image on the same kind of
// node or, for a probe that only stands for its scope, of any image of the scope. Where the layers can be shown, a manifest does not do, and
// where the image shall be on the node, another node does not.
func (o Outcome) proves(p Probe, notOlderThan time.Time) bool {
	return o.Verdict.State == Pulled && !o.At.Before(notOlderThan) && o.Kind == p.Kind && o.Config == p.Config && (o.Fresh || !p.Fresh) && (o.Node == p.Node || !p.OnNode) &&
		(o.Image == p.Image || !p.Critical && o.Scope == p.Scope)
}

// proof is the newest outcome that proves the probe.
func proof(p Probe, outcomes []Outcome, notOlderThan time.Time) (Outcome, bool) {
	var best Outcome
	for _, o := range outcomes {
		if o.proves(p, notOlderThan) && !o.At.Before(best.At) {
			best = o
		}
	}
	return best, !best.At.IsZero()
}

// last is the outcome of this very probe.
func last(p Probe, outcomes []Outcome) (Outcome, bool) {
	i := slices.IndexFunc(outcomes, func(o Outcome) bool { return o.Name == p.Name })
	if i < 0 {
		return Outcome{}, false
	}
	return outcomes[i], true
}

// record puts an outcome in the place of the probe's last one. A pod is recorded once, however often it is looked at.
func record(outcomes []Outcome, next Outcome) []Outcome {
	before, known := last(next.Probe, outcomes)
	switch {
	case known && next.Pod != "" && before.Pod == next.Pod:
		return outcomes
	case next.Verdict.State != Pulled:
		next.Attempts = before.Attempts + 1
	}
	outcomes = slices.DeleteFunc(slices.Clone(outcomes), func(o Outcome) bool { return o.Name == next.Name })
	return append(outcomes, next)
}

// kept drops the outcomes that say nothing any more, so that they cannot pile up while images and nodes come and go: those of probes that
// are not wanted, unless they prove one that is, or are so recent that their node may have to be shunned.
func kept(outcomes []Outcome, want []Probe, notOlderThan, now time.Time, limits Limits) []Outcome {
	return slices.DeleteFunc(slices.Clone(outcomes), func(o Outcome) bool {
		recent := o.Verdict.State != Pulled && now.Before(o.At.Add(limits.MaxRetry))
		return !recent && !slices.ContainsFunc(want, func(p Probe) bool { return p.Name == o.Name || o.proves(p, notOlderThan) })
	})
}

// Shunned names the nodes on which a probe could not be made lately, through no fault of the mirror, and why. Targets takes others first.
func Shunned(outcomes []Outcome, now time.Time, limits Limits) map[string]string {
	out := map[string]string{}
	for _, o := range outcomes {
		nodes := o.Verdict.State == Unschedulable || o.Verdict.State == Evicted
		if nodes && now.Before(o.At.Add(limits.MaxRetry)) {
			out[o.Node] = o.Verdict.Message
		}
	}
	return out
}

// standing is how far one probe is.
type standing int

const (
	open   standing = iota // nothing is known of it yet, or its proof has grown too old
	shown                  // it is proven
	failed                 // the mirror failed it, or the way to it
	unsure                 // it could not be made, or not decided
)

// standingOf says how far the probe is, and by which outcome; that is of no use while it is open.
func standingOf(p Probe, outcomes []Outcome, notOlderThan time.Time) (Outcome, standing) {
	if o, ok := proof(p, outcomes, notOlderThan); ok {
		return o, shown
	}
	o, ok := last(p, outcomes)
	switch {
	case !ok || o.Verdict.State == Pulled:
		return o, open
	case o.Verdict.State == Failed:
		return o, failed
	default:
		return o, unsure
	}
}

// Progress is how far the wanted probes are.
type Progress struct {
	Wanted int
	// Proven are those with a proof that is not older than was asked for; Failed those that the mirror or the way to it failed; Unsure
	// those that could not be made or decided. The rest are still open.
	Proven, Failed, Unsure int
	// Oldest is when the oldest of the proofs was found; zero when there is none.
	Oldest time.Time
	// Worst are the first failures, and Doubts the first that are unsure.
	Worst, Doubts []rollout.Problem
}

// Open is how many have no outcome yet.
func (p Progress) Open() int { return p.Wanted - p.Proven - p.Failed - p.Unsure }

// maxNamed bounds how many failures are named.
const maxNamed = 10

// Sum says how far the wanted probes are.
func Sum(want []Probe, outcomes []Outcome, notOlderThan time.Time) Progress {
	sum := Progress{Wanted: len(want)}
	for _, p := range want {
		switch o, far := standingOf(p, outcomes, notOlderThan); far {
		case shown:
			sum.Proven++
			if sum.Oldest.IsZero() || o.At.Before(sum.Oldest) {
				sum.Oldest = o.At
			}
		case failed:
			sum.Failed++
			sum.Worst = appendNamed(sum.Worst, problem(o))
		case unsure:
			sum.Unsure++
			sum.Doubts = appendNamed(sum.Doubts, problem(o))
		case open:
		}
	}
	return sum
}

func appendNamed(list []rollout.Problem, p rollout.Problem) []rollout.Problem {
	if len(list) == maxNamed {
		return list
	}
	return append(list, p)
}

// problem says what a probe came to, and what to do.
func problem(o Outcome) rollout.Problem {
	reason, next := v1alpha1.ReasonMirrorUnreachable, "it is tried again by itself"
	switch o.Verdict.Class {
	case mirror.Denied:
		next = "see that the cluster's global pull secret (openshift-config/pull-secret) has a login for the mirror that may read this, and that no " +
			"MachineConfigPool still has to bring it to its nodes; and that image.config.openshift.io/cluster does not block the mirror"
	case mirror.TLS:
		next = "add the mirror's CA to the ConfigMap that image.config.openshift.io/cluster spec.additionalTrustedCA names"
	case mirror.Refused, mirror.Timeout:
		next = "see that nodes of " + o.Kind.String() + " reach the mirror: DNS, routes, firewalls and the cluster's proxy; it is tried again by itself"
	case mirror.Missing, mirror.Incomplete, mirror.Corrupt:
		reason, next = v1alpha1.ReasonImagesFailed, "what the mirror gives to nodes is not what it gives to the operator; it is tried again by itself"
	default:
	}
	if o.Verdict.State != Failed {
		reason, next = "", "it is tried again by itself"
	}
	return rollout.Problem{
		Reason: reason, Kind: "Node", Name: o.Node, Passing: true,
		Message: cmp.Or(o.Verdict.Message, string(o.Verdict.State)) + " (" + o.Kind.String() + "); " + next,
	}
}
