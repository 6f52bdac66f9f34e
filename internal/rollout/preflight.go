package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// preflight refuses before anything is touched. Once the rollout has started the same findings hold
// it instead: what is half done is not improved by giving up.
func preflight(o Observed) Step {
	cluster, ok := o.Cluster.Get()
	if !ok {
		return waitForRead("ClusterVersion", o.Cluster.Why())
	}
	if cluster.Unsupported != "" {
		return Fail{Reason: v1alpha1.ReasonUnsupportedTopology, Blockers: []Blocker{{
			Reason: v1alpha1.ReasonUnsupportedTopology, Kind: "Cluster", Name: "cluster", Message: cluster.Unsupported,
		}}}
	}
	// What is wrong with the spec is reported at once, not when the rollout's turn comes. The upgrade
	// comes before the pools: it is what updates them.
	checks := []func(Observed) Step{checkSpec, awaitOtherRollouts, awaitUpgrade, checkPools, checkReload}
	for _, check := range checks {
		if step := check(o); step != nil {
			return step
		}
	}
	return Done{Message: strings.Join(append([]string{"nothing forbids the rollout"}, cluster.Warnings...),
		"; mind that ")}
}

func awaitUpgrade(o Observed) Step {
	cluster, _ := o.Cluster.Get()
	if cluster.Upgrading == "" {
		return nil
	}
	return Wait{Blockers: []Blocker{{
		Reason: v1alpha1.ReasonUpgrading, Kind: "ClusterVersion", Name: "version",
		Message: "the cluster is being upgraded to " + cluster.Upgrading +
			"; the rollout goes on when the upgrade has ended",
	}}}
}

// awaitOtherRollouts lets one rollout at a time through (I11): the one that has begun, else the
// oldest that could begin now, then by name. One that has begun checks the others as well: it may
// be complete, and be asked to roll back while another one is in progress.
//
//	shop is complete, books releases its nodes, shop is deleted with spec.deletion Rollback: books first, then shop rolls back
//	shop is held and has not begun, books is younger: books begins, and shop waits for it even when it is Active again
//
// One that has lost its record and still has its pause record on pools is let through: all others
// would wait for these pools.
func awaitOtherRollouts(o Observed) Step {
	if pools, ok := o.Pools.Get(); ok && o.Record.StartedAt == nil && anyPauseRecord(pools) {
		return nil
	}
	others, ok := o.OtherRollouts.Get()
	if !ok {
		return waitForRead("SafeMirrorRollout", o.OtherRollouts.Why())
	}
	self := OtherRollout{Name: o.Rollout.Name, Created: o.Rollout.Created, ActiveSince: ActiveSince(o.Record),
		Waiting: true}
	first := slices.MinFunc(append(slices.Clone(others), self), func(a, b OtherRollout) int {
		return cmp.Or(-compareBool(a.active(), b.active()), a.ActiveSince.Compare(b.ActiveSince),
			-compareBool(a.Waiting, b.Waiting),
			a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	if first.Name == o.Rollout.Name {
		return nil
	}
	message := fmt.Sprintf("SafeMirrorRollout %s comes first, in progress since %s; this one continues when that one has "+
		"completed or is deleted", first.Name, first.ActiveSince.UTC().Format(time.RFC3339))
	if !first.active() {
		message = fmt.Sprintf("SafeMirrorRollout %s comes first, created %s and not begun; this one continues when that one "+
			"has completed or is deleted, or cannot begin: to let this one begin before it, set its spec.state to Held",
			first.Name, first.Created.UTC().Format(time.RFC3339))
	}
	return Wait{Blockers: []Blocker{{Reason: v1alpha1.ReasonOtherRollout, Kind: "SafeMirrorRollout", Name: first.Name,
		Message: message}}}
}

// WaitsToBegin reports whether a rollout that has not begun stands before younger ones: it has work
// to do, and nothing is known to keep it from beginning now. One that is held, stalled, or waits
// for an approval or for its maintenance window could stand there for weeks. What the status says
// of another generation does not count: the user has changed the spec since.
func WaitsToBegin(spec Spec, status v1alpha1.SafeMirrorRolloutStatus) bool {
	if spec.Held || (status.Record.CompletedGeneration != 0 && status.Record.CompletedSpecHash == spec.SpecHash) {
		return false
	}
	for _, c := range status.Conditions {
		if c.ObservedGeneration != spec.Generation {
			continue
		}
		switch {
		case c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue:
			return false
		case c.Type == v1alpha1.ConditionReady && (c.Reason == string(v1alpha1.ReasonApprovalRequired) ||
			c.Reason == string(v1alpha1.ReasonOutsideWindow)):
			return false
		}
	}
	return true
}

// ActiveSince is since when the rollout of the record is in progress: from its first pause until it
// has completed, and from the moment at which it is asked to roll back all the same. Zero when it
// is not.
func ActiveSince(r v1alpha1.Record) time.Time {
	if r.StartedAt == nil || r.CompletedGeneration != 0 {
		return time.Time{}
	}
	return r.StartedAt.Time
}

func (o OtherRollout) active() bool { return !o.ActiveSince.IsZero() }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

func checkSpec(o Observed) Step {
	problems, ok := o.SpecProblems.Get()
	if !ok {
		return waitForRead("SafeMirrorRollout", o.SpecProblems.Why())
	}
	if len(problems) == 0 {
		return nil
	}
	if o.Record.StartedAt != nil || problems[0].Transient {
		return Wait{Blockers: toBlockers(problems)}
	}
	return Fail{Reason: problems[0].Reason, Blockers: toBlockers(problems)}
}

// maxPools is how many pools the record has room for.
const maxPools = 32

// checkPools looks at the pools as they are before the rollout has touched them, and at what would
// make any release unsafe afterwards.
func checkPools(o Observed) Step {
	pools, ok := o.Pools.Get()
	if !ok {
		return waitForRead("MachineConfigPool", o.Pools.Why())
	}
	if missing := missingStagePools(o, pools); len(missing) > 0 {
		if o.Record.StartedAt != nil {
			return Wait{Blockers: missing}
		}
		return Fail{Reason: v1alpha1.ReasonPoolNotFound, Blockers: missing}
	}
	if len(pools) > maxPools {
		return Fail{Reason: v1alpha1.ReasonUnsupportedTopology, Blockers: []Blocker{{
			Reason: v1alpha1.ReasonUnsupportedTopology, Kind: "MachineConfigPool", Name: pools[maxPools].Name,
			Message: fmt.Sprintf("there are %d MachineConfigPools, and at most %d can be held and restored by one rollout", len(pools), maxPools),
		}}}
	}
	var unfit []Blocker
	for _, p := range pools {
		if why := unfitReason(p); why != "" && !fixedByRollback(o, p) {
			unfit = append(unfit, poolBlocker(p, v1alpha1.ReasonPoolNotReady, why))
		}
	}
	if len(unfit) > 0 && o.Record.StartedAt != nil {
		return Wait{Blockers: unfit}
	}
	if len(unfit) > 0 {
		return Fail{Reason: v1alpha1.ReasonPoolNotReady, Blockers: unfit}
	}
	if o.Record.StartedAt != nil || anyPauseRecord(pools) {
		return nil
	}
	return awaitPoolsUpdated(pools)
}

func missingStagePools(o Observed, pools []Pool) []Blocker {
	var out []Blocker
	for i, s := range o.Rollout.Stages {
		if !slices.ContainsFunc(pools, func(p Pool) bool { return p.Name == s.Pool }) {
			out = append(out, Blocker{
				Reason: v1alpha1.ReasonPoolNotFound, Kind: "MachineConfigPool", Name: s.Pool,
				Message: fmt.Sprintf("spec.release.stages[%d].pool: there is no MachineConfigPool %q; the pools are %s",
					i, s.Pool, poolNames(pools)),
			})
		}
	}
	return out
}

// fixedByRollback tells whether it is the way back that fixes what makes the pool unfit: one that
// is Degraded because a node did not get through.
func fixedByRollback(o Observed, p Pool) bool {
	return rollingBack(o) && p.Degraded != "" && p.ForeignOwner == "" && !p.Layered
}

// unfitReason says why no node of the pool may be released, now or later.
func unfitReason(p Pool) string {
	switch {
	case p.ForeignOwner != "":
		return "is still held for another SafeMirrorRollout (" + p.ForeignOwner + "); should that one be gone, " +
			"the pool's annotation safemirror.io/pause-record says how to give the pool back"
	case p.Layered:
		return "uses on-cluster layering, where each new configuration may build an image and reboot; " +
			"remove its MachineOSConfig before the rollout"
	case len(p.MaxUnavailable) > maxMaxUnavailable:
		return fmt.Sprintf("has a spec.maxUnavailable of %d characters, which is neither a number nor a percentage; correct it", len(p.MaxUnavailable))
	case p.Degraded != "":
		return "is Degraded: " + p.Degraded + "; fix that first, the rollout goes on by itself then"
	default:
		return ""
	}
}

// awaitPoolsUpdated refuses pools that somebody else holds, and waits for those that are still
// updating.
func awaitPoolsUpdated(pools []Pool) Step {
	var paused, overridden, updating []Blocker
	for _, p := range pools {
		switch {
		case p.Paused:
			paused = append(paused, poolBlocker(p, v1alpha1.ReasonPoolNotReady, fmt.Sprintf(
				"is paused by %q; the rollout never unpauses what it did not pause: set spec.paused to false, or wait until its owner does", p.PausedBy)))
		case p.Registries == MatchesOther:
			overridden = append(overridden, poolBlocker(p, v1alpha1.ReasonPoolNotReady, fmt.Sprintf(
				"has a registries.conf in %s that does not follow from the mirror sets: %s; a MachineConfig that sorts after "+
					"99-%s-generated-registries overrides it: remove that file from it", p.Rendered,
				firstLine(p.Difference), p.Name)))
		case !p.fullyUpdated():
			updating = append(updating, poolBlocker(p, v1alpha1.ReasonPoolNotReady, fmt.Sprintf(
				"is still being updated: %d of %d nodes run %s; the rollout goes on when all do", p.Updated(),
				len(p.Nodes), p.Rendered)))
		}
	}
	switch {
	case len(paused) > 0:
		return Fail{Reason: v1alpha1.ReasonPoolNotReady, Blockers: paused}
	case len(overridden) > 0:
		return Fail{Reason: v1alpha1.ReasonPoolNotReady, Blockers: overridden}
	case len(updating) > 0:
		return Wait{Blockers: updating}
	default:
		return nil
	}
}

func poolBlocker(p Pool, reason v1alpha1.ConditionReason, what string) Blocker {
	return Blocker{Reason: reason, Kind: "MachineConfigPool", Name: p.Name, Message: "MachineConfigPool " + p.Name +
		" " + what}
}

func poolNames(pools []Pool) string {
	out := ""
	for i, p := range pools {
		if i > 0 {
			out += ", "
		}
		out += p.Name
	}
	return out
}

func firstLine(lines []string) string {
	if len(lines) == 0 {
		return "no detail"
	}
	return lines[0]
}
