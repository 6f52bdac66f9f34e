package plan

import (
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// outcome is what becomes of an item, as far as it is known.
type outcome int

const (
	outcomeUnknown     outcome = iota // a registry has not been asked, or has not answered yet
	outcomePullable                   // proven pullable under the planned configuration
	outcomeNotMirrored                // ours to fill or to be filled, and not proven
	outcomeLost                       // pullable before, and not after
	outcomeNoWorse                    // not pullable before either
	outcomeNotBlocking                // accepted by the user, or nobody can pull it now
)

// beforeKey names the job that finds out whether the item can be pulled today.
func (i Item) beforeKey() string { return "before " + i.Key() }

// Key names the item's job.
func (i Item) Key() string {
	if len(i.Pools) > 0 && i.After.Reference != "" {
		return i.Name + " in " + i.Pools[0]
	}
	return i.Name
}

// unpullable tells whether no endpoint is left to ask: every one is blocked, or the rewrite fails.
func unpullable(r registriesconf.Resolution) bool { return r.Err != "" || len(r.Usable()) == 0 }

func endpointReferences(endpoints []registriesconf.Endpoint) []string {
	out := make([]string, 0, len(endpoints))
	for _, e := range endpoints {
		out = append(out, e.Reference)
	}
	return out
}

// job proves that the item can be pulled under the planned configuration, filling our mirror first
// when copy is set.
func (p Plan) job(i Item, copying bool) mirror.Job {
	j := mirror.Job{
		Reference: i.Key(), PullEndpoints: endpointReferences(i.After.Usable()), OtherMirrors: i.OtherMirrors,
		RequiredPlatforms: p.platformsOf(i), Platforms: p.Mirroring.Platforms,
		Download: p.download(), PullThroughCache: p.usesCache(i),
		Referrers: p.Mirroring.Attachments == v1alpha1.AttachAll, Digest: p.pinnedDigest(i),
	}
	if !copying || p.VerifyOnly || i.Target == "" {
		return j
	}
	j.Targets = append([]string{i.Target}, i.MoreTargets...)
	j.ChildSignatures = true // a node checks the signature of the child that it runs
	j.Sources = endpointReferences(i.Before.Usable())
	for _, e := range i.After.Usable() {
		if !e.Mirror {
			j.Sources = append(j.Sources, e.Reference) // the source itself, when it may be contacted afterwards only
		}
	}
	return j
}

// platformsOf are those that an index must have: those of the nodes to which the pods of the
// reference are bound, or of all nodes.
func (p Plan) platformsOf(i Item) []string {
	if len(i.Reference.Platforms) > 0 {
		return i.Reference.Platforms
	}
	return p.Platforms
}

func (p Plan) download() mirror.Download {
	switch p.Mirroring.Verification.Download {
	case v1alpha1.DownloadSample:
		return mirror.DownloadSample
	case v1alpha1.DownloadAll:
		return mirror.DownloadFull
	default:
		return mirror.DownloadNone
	}
}

// usesCache tells whether a mirror of the item is a pull-through cache.
func (p Plan) usesCache(i Item) bool {
	return slices.ContainsFunc(i.After.Usable(), func(e registriesconf.Endpoint) bool {
		return e.Mirror && slices.ContainsFunc(p.Mirroring.Verification.Caches,
			func(c string) bool { return isWithin(e.Reference, c) })
	})
}

// beforeJob asks whether the item can be pulled today.
func (p Plan) beforeJob(i Item) mirror.Job {
	return mirror.Job{Reference: i.beforeKey(), PullEndpoints: endpointReferences(i.Before.Usable()),
		RequiredPlatforms: p.Platforms}
}

// hasTarget tells whether the item is served by a mirror of our spec, so that missing content is
// work and not a loss.
func (i Item) hasTarget() bool { return i.Target != "" }

// Jobs are what the mirror engine has to work on. Without copying only what needs no copy is looked
// at. Whether an item can be pulled today is asked only where it matters: when it cannot be pulled
// afterwards.
func (p Plan) Jobs(copying bool, results map[string]mirror.Result) []mirror.Job {
	var out []mirror.Job
	for _, i := range p.Items {
		if !unpullable(i.After) && (copying || !i.hasTarget()) {
			out = append(out, p.job(i, copying))
		}
		needsBefore := unpullable(i.After) || checkStateOf(results[i.Key()]) == checkFailed
		if needsBefore && !unpullable(i.Before) {
			out = append(out, p.beforeJob(i))
		}
	}
	return out
}

// checkState is what the last finished run of a job has found out. While the image is looked at
// again, which is most of the time, the finding before stands: it goes stale by its age, not by
// being checked.
type checkState int

const (
	checkPending checkState = iota // never looked at
	checkPassed                    // it can be pulled
	checkFailed                    // it cannot
)

func checkStateOf(r mirror.Result) checkState {
	switch {
	case resultError(r) != nil:
		return checkFailed
	case !r.Proof.At.IsZero():
		return checkPassed
	default:
		return checkPending
	}
}

// resultError is why the image cannot be relied upon: the job failed, or another mirror of the list
// holds it in part, or another image under its name. A node that comes to that mirror gets no
// further.
func resultError(r mirror.Result) *mirror.Error {
	if r.Err != nil {
		return r.Err
	}
	for _, o := range r.OtherMirrors {
		if o.Err != nil && (o.Err.Class == mirror.Incomplete || o.Err.Class == mirror.Corrupt) {
			return o.Err
		}
	}
	return nil
}

// minFailedAttempts is how many runs have to fail before an endpoint that cannot be reached counts
// as gone for good. In an air gap it is; in a short outage everything would look as if it had never
// been pullable.
const minFailedAttempts = 3

// checkStateToday tells whether the image can be pulled before anything changes, and doubts a
// failure: what is held for no reason is accepted in the spec, and what is let through for no
// reason is an outage.
func checkStateToday(r mirror.Result) checkState {
	found := checkStateOf(r)
	if found != checkFailed {
		return found
	}
	switch resultError(r).Class {
	case mirror.Denied:
		return checkPassed // to us; its pods may have credentials of their own
	case mirror.RateLimited:
		return checkPending // it is there, and we asked too often
	case mirror.Timeout, mirror.Refused, mirror.Unknown:
		if r.Attempts < minFailedAttempts {
			return checkPending
		}
		return checkFailed
	default:
		return checkFailed // the registry has answered
	}
}

// outcome judges one item by what the registries said.
func (p Plan) outcome(i Item, results map[string]mirror.Result) outcome {
	if i.Accepted != "" || !i.Reference.Blocking() {
		return outcomeNotBlocking
	}
	if !unpullable(i.After) {
		switch checkStateOf(results[i.Key()]) {
		case checkPassed:
			return outcomePullable
		case checkPending:
			return outcomeUnknown
		case checkFailed:
		}
	}
	if unpullable(i.Before) {
		return outcomeNoWorse
	}
	switch checkStateToday(results[i.beforeKey()]) {
	case checkPassed:
		if i.hasTarget() {
			return outcomeNotMirrored
		}
		return outcomeLost
	case checkFailed:
		return outcomeNoWorse
	default:
		return outcomeUnknown // whether it matters is still being asked
	}
}
