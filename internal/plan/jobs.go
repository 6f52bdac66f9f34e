package plan

import (
	"slices"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
)

// fate is what becomes of an item, as far as it is known.
type fate int

const (
	unknownFate fate = iota // a registry has not been asked, or has not answered yet
	good                    // proven pullable under the planned configuration
	failing                 // ours to fill or to be filled, and not proven
	lost                    // pullable before, and not after
	noWorse                 // not pullable before either
	ignored                 // accepted by the user, or nobody can pull it now
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

// dead tells whether no endpoint is left to ask: every one is blocked, or the rewrite fails.
func dead(r registries.Resolution) bool { return r.Err != "" || len(r.Usable()) == 0 }

func references(endpoints []registries.Endpoint) []string {
	out := make([]string, 0, len(endpoints))
	for _, e := range endpoints {
		out = append(out, e.Reference)
	}
	return out
}

// job proves that the item can be pulled under the planned configuration, filling our mirror first when copy is set.
func (p Plan) job(i Item, copying bool) mirror.Job {
	j := mirror.Job{
		Reference: i.Key(), Walk: references(i.After.Usable()), Others: i.Others, Platforms: p.platformsOf(i), Only: p.Mirroring.Platforms,
		Download: p.download(), Cache: p.cached(i), Referrers: p.Mirroring.Attachments == v1alpha1.AttachAll, Digest: p.locked(i),
	}
	if !copying || p.VerifyOnly || i.Fill == "" {
		return j
	}
	j.Fill = append([]string{i.Fill}, i.AlsoFill...)
	j.ChildSignatures = true // a node checks the signature of the child that it runs
	j.From = references(i.Before.Usable())
	for _, e := range i.After.Usable() {
		if !e.Mirror {
			j.From = append(j.From, e.Reference) // the source itself, when it may be contacted afterwards only
		}
	}
	return j
}

// platformsOf are those that an index must have: those of the nodes to which the pods of the reference are bound, or of all nodes.
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

// cached tells whether a mirror of the item is a pull-through cache.
func (p Plan) cached(i Item) bool {
	return slices.ContainsFunc(i.After.Usable(), func(e registries.Endpoint) bool {
		return e.Mirror && slices.ContainsFunc(p.Mirroring.Verification.Caches, func(c string) bool { return under(e.Reference, c) })
	})
}

// before asks whether the item can be pulled today.
func (p Plan) before(i Item) mirror.Job {
	return mirror.Job{Reference: i.beforeKey(), Walk: references(i.Before.Usable()), Platforms: p.Platforms}
}

// ours tells whether the item is served by a mirror of our spec, so that missing content is work and not a loss.
func (i Item) ours() bool { return i.Fill != "" }

// Jobs are what the mirror engine has to work on. Without copying only what needs no copy is looked at. Whether an item can
// be pulled today is asked only where it matters: when it cannot be pulled afterwards.
func (p Plan) Jobs(copying bool, results map[string]mirror.Result) []mirror.Job {
	var out []mirror.Job
	for _, i := range p.Items {
		if !dead(i.After) && (copying || !i.ours()) {
			out = append(out, p.job(i, copying))
		}
		needsBefore := dead(i.After) || look(results[i.Key()]) == refuted
		if needsBefore && !dead(i.Before) {
			out = append(out, p.before(i))
		}
	}
	return out
}

// finding is what the last finished run of a job has found out. While the image is looked at again, which is most of the time,
// the finding before stands: it goes stale by its age, not by being checked.
type finding int

const (
	open    finding = iota // never looked at
	proven                 // it can be pulled
	refuted                // it cannot
)

func look(r mirror.Result) finding {
	switch {
	case failure(r) != nil:
		return refuted
	case !r.Proof.At.IsZero():
		return proven
	default:
		return open
	}
}

// failure is why the image cannot be relied upon: the job failed, or another mirror of the list holds it in part, or another image under
// its name. A node that comes to that mirror gets no further.
func failure(r mirror.Result) *mirror.Error {
	if r.Err != nil {
		return r.Err
	}
	for _, o := range r.Others {
		if o.Err != nil && (o.Err.Class == mirror.Incomplete || o.Err.Class == mirror.Corrupt) {
			return o.Err
		}
	}
	return nil
}

// persistent is how many runs have to fail before an endpoint that cannot be reached counts as gone for good. In an air gap it is;
// in a short outage everything would look as if it had never been pullable.
const persistent = 3

// today tells whether the image can be pulled before anything changes, and doubts a failure: what is held for no reason is accepted
// in the spec, and what is let through for no reason is an outage.
func today(r mirror.Result) finding {
	found := look(r)
	if found != refuted {
		return found
	}
	switch r.Err.Class {
	case mirror.Denied:
		return proven // to us; its pods may have credentials of their own
	case mirror.RateLimited:
		return open // it is there, and we asked too often
	case mirror.Timeout, mirror.Refused, mirror.Unknown:
		if r.Attempts < persistent {
			return open
		}
		return refuted
	default:
		return refuted // the registry has answered
	}
}

// fate judges one item by what the registries said.
func (p Plan) fate(i Item, results map[string]mirror.Result) fate {
	if i.Accepted != "" || !i.Reference.Blocking() {
		return ignored
	}
	if !dead(i.After) {
		switch look(results[i.Key()]) {
		case proven:
			return good
		case open:
			return unknownFate
		case refuted:
		}
	}
	if dead(i.Before) {
		return noWorse
	}
	switch today(results[i.beforeKey()]) {
	case proven:
		if i.ours() {
			return failing
		}
		return lost
	case refuted:
		return noWorse
	default:
		return unknownFate // whether it matters is still being asked
	}
}
