package registriesconf

import (
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// pullSource is one endpoint of an entry with the reference rewritten for it.
type pullSource struct {
	ref, name string // name is ref without tag and digest
	insecure  bool
}

// pullSources rewrites a reference for every endpoint of its entry that serves it: mirrors in
// order, then the source.
//
// The answer is that of c/image PullSourcesFromReference, which parses each result anew with
// regular expressions. Where the outcome of that is certain beforehand it is put together here
// instead, and a cluster's thousands of references take a third of the time.
func (c Config) pullSources(entry *sysregistriesv2.Registry, named reference.Named, byDigest bool) ([]pullSource,
	error) {
	if rest, certain := cutEntryPrefix(entry.Prefix, named); certain {
		if out, ok := c.fastPullSources(entry, rest, byDigest); ok {
			return out, nil
		}
	}
	sources, err := entry.PullSourcesFromReference(named)
	if err != nil {
		return nil, err
	}
	out := make([]pullSource, len(sources))
	for i, s := range sources {
		out[i] = pullSource{ref: s.Reference.String(), name: s.Reference.Name(), insecure: s.Endpoint.Insecure}
	}
	return out, nil
}

// suffix is what follows the prefix in a reference. Of prefix quay.io/acme and quay.io/acme/app:v1
// it is the path /app and the version :v1.
type suffix struct{ path, version string }

// cutEntryPrefix cuts the prefix off; certain is false where it ends within the host, as the prefix
// h does in h:5000/app, and for wildcards.
func cutEntryPrefix(prefix string, named reference.Named) (suffix, bool) {
	name := named.Name()
	path, ok := strings.CutPrefix(name, prefix)
	if !ok || path != "" && path[0] != '/' {
		return suffix{}, false
	}
	return suffix{path: path, version: named.String()[len(name):]}, true
}

// maxName is the longest name without tag and digest that c/image takes.
const maxName = reference.NameTotalLengthMax

// fastPullSources answers only when every endpoint does.
func (c Config) fastPullSources(entry *sysregistriesv2.Registry, r suffix, byDigest bool) ([]pullSource, bool) {
	out := make([]pullSource, 0, len(entry.Mirrors)+1)
	add := func(e *sysregistriesv2.Endpoint) bool {
		kind := c.locationKinds[e.Location]
		if kind == unknownLocation || kind == hostOnly && r.path == "" || len(e.Location)+len(r.path) > maxName {
			return false
		}
		ref := e.Location + r.path + r.version
		out = append(out, pullSource{ref: ref, name: ref[:len(e.Location)+len(r.path)], insecure: e.Insecure})
		return true
	}
	for i := range entry.Mirrors {
		if m := &entry.Mirrors[i]; serves(entry, m, byDigest) && !add(m) {
			return nil, false
		}
	}
	return out, add(&entry.Endpoint)
}

// serves says whether a mirror is tried for references of that kind.
func serves(entry *sysregistriesv2.Registry, mirror *sysregistriesv2.Endpoint, byDigest bool) bool {
	switch mirror.PullFromMirror {
	case sysregistriesv2.MirrorByDigestOnly:
		return byDigest
	case sysregistriesv2.MirrorByTagOnly:
		return !byDigest
	}
	return byDigest || !entry.MirrorByDigestOnly
}

// locationKind says what may follow a location for the result to be a valid reference in its
// canonical form.
type locationKind int

const (
	unknownLocation locationKind = iota // c/image has to be asked
	hostOnly                            // a registry: a path has to follow
	hostAndPath                         // a repository or namespace: anything may follow
)

// classifyLocation judges a location once, when the configuration is made. docker.io is left to
// c/image: docker.io/app is completed to docker.io/library/app, so it is not canonical, and the
// pull fails.
func classifyLocation(location string) locationKind {
	canonical := func(name string) bool {
		named, err := reference.ParseNamed(name)
		return err == nil && reference.IsNameOnly(named) && named.Name() == name
	}
	switch host, _, more := strings.Cut(location, "/"); {
	case host == "docker.io" && !more:
		return unknownLocation
	case more && canonical(location):
		return hostAndPath
	case !more && startsWithHost(location+"/a") && canonical(location+"/a/b"):
		return hostOnly
	}
	return unknownLocation
}
