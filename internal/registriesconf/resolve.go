package registriesconf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// Resolution is where a node pulls one reference from.
type Resolution struct {
	// Reference is the normalised form: docker.io/nginx becomes
	// docker.io/library/nginx:latest, and of a tag with a digest only the digest is left, as
	// CRI-O drops the tag.
	Reference string
	// ByDigest says whether digest mirrors (true) or tag mirrors (false) apply.
	ByDigest bool
	// Scope is the prefix of the entry that applies, "" when none does.
	Scope string
	// Endpoints are the places a node tries, in order, until one has the manifest. The
	// source comes last. Empty if and only if Err is set.
	Endpoints []Endpoint
	// Err tells why the pull fails outright: one of the rewritten references is not a valid
	// one, and the node gives up before it has contacted anybody.
	Err string
}

// Endpoint is one place that is tried.
type Endpoint struct {
	// Reference is the reference at that place.
	Reference string
	// Mirror is false for the last endpoint, the source. A source that is listed among its
	// own mirrors comes earlier as well, and is a mirror there.
	Mirror bool
	// Blocked endpoints are refused by the node without contacting them. A mirror can be
	// blocked, too: by an entry that covers its own name.
	Blocked bool
	// BlockedBy is the prefix of the entry that blocks it.
	BlockedBy string
	// Insecure endpoints may use plain HTTP or a certificate nobody vouches for.
	Insecure bool
}

// Resolve tells where a node with this configuration pulls ref from. The error is a
// *ShortNameError when ref names no registry: such a reference stands for several others,
// see Candidates. Any other error means that ref is not a reference at all.
//
// Example, with a tag mirror m.local/acme for quay.io/acme and NeverContactSource:
//
//	quay.io/acme/app:v1        m.local/acme/app:v1, quay.io/acme/app:v1 (blocked)
//	quay.io/acme/app@sha256:…  quay.io/acme/app@sha256:… (blocked): it can never be pulled
//
// Source: c/image docker/docker_image_src.go newImageSource (order), docker_client.go
// newDockerClient (the block is looked up per endpoint, for the rewritten name).
func (c Config) Resolve(ref string) (Resolution, error) {
	named, err := ParseReference(ref)
	if err != nil {
		return Resolution{}, err
	}
	return c.ResolveNamed(named), nil
}

// ResolveNamed is Resolve for a reference that ParseReference has parsed. Parsing is half of
// the work, and a reference is usually resolved under several configurations.
func (c Config) ResolveNamed(named reference.Named) Resolution {
	out := Resolution{Reference: named.String()}
	_, out.ByDigest = named.(reference.Canonical)
	entry := c.find(named.Name())
	if entry == nil {
		out.Endpoints = []Endpoint{{Reference: out.Reference}}
		return out
	}
	out.Scope = entry.Prefix
	if keepsReference(entry, out.ByDigest) {
		out.Endpoints = []Endpoint{c.endpoint(pullSource{out.Reference, named.Name(), entry.Insecure})}
		return out
	}
	sources, err := c.pullSources(entry, named, out.ByDigest)
	if err != nil {
		out.Err = fmt.Sprintf("rewriting %s by the rules of %s: %v", out.Reference, entry.Prefix, err)
		return out
	}
	out.Endpoints = make([]Endpoint, len(sources))
	for i, source := range sources {
		out.Endpoints[i] = c.endpoint(source)
		out.Endpoints[i].Mirror = i < len(sources)-1
	}
	return out
}

// endpoint describes the source or a mirror. Whether it is blocked is a matter of the entry for
// its own name, whichever entry led there.
func (c Config) endpoint(source pullSource) Endpoint {
	out := Endpoint{Reference: source.ref, Insecure: source.insecure}
	if own := c.find(source.name); own != nil && own.Blocked {
		out.Blocked, out.BlockedBy = true, own.Prefix
	}
	return out
}

// keepsReference says whether an entry leaves a reference as it is: no mirror applies, and
// the source is not moved. It spares most references of a cluster the rewriting, which
// parses each result anew and takes longer than everything else together.
func keepsReference(entry *sysregistriesv2.Registry, byDigest bool) bool {
	moved := entry.Location != entry.Prefix
	if strings.HasPrefix(entry.Prefix, "*.") {
		moved = entry.Location != "" // as a location, *.domain is nothing but an invalid name
	}
	if moved {
		return false
	}
	for i := range entry.Mirrors {
		if serves(entry, &entry.Mirrors[i], byDigest) {
			return false
		}
	}
	return true
}

// Usable returns the endpoints that are not blocked, in order.
func (r Resolution) Usable() []Endpoint {
	return slices.DeleteFunc(slices.Clone(r.Endpoints), func(e Endpoint) bool { return e.Blocked })
}

// Equal says whether two resolutions of the same reference try the same endpoints in the
// same order under the same terms. By which entry that comes about is not compared.
func (r Resolution) Equal(o Resolution) bool {
	return r.Err == o.Err && slices.EqualFunc(r.Endpoints, o.Endpoints, func(a, b Endpoint) bool {
		return a.Reference == b.Reference && a.Blocked == b.Blocked && a.Insecure == b.Insecure
	})
}

// ParseReference parses and completes ref the way kubelet and CRI-O together do. Its errors
// are those of Resolve.
func ParseReference(ref string) (reference.Named, error) {
	if named, certain := fastParse(ref); certain {
		return named, nil
	}
	if !startsWithHost(ref) {
		if _, err := reference.Parse(ref); err != nil {
			return nil, fmt.Errorf("image reference %q: %w", ref, err)
		}
		return nil, &ShortNameError{Name: ref}
	}
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %w", ref, err)
	}
	return named, nil
}

// startsWithHost says whether the first component of ref is a registry: that is so when it
// has a dot or a port, or is localhost. library/nginx names no registry, and neither does
// localhost:5000, which is the image localhost with the tag 5000.
func startsWithHost(ref string) bool {
	first, _, more := strings.Cut(ref, "/")
	return more && (strings.ContainsAny(first, ".:") || first == "localhost")
}

func hasHost(named reference.Named) bool {
	domain := reference.Domain(named)
	return strings.ContainsAny(domain, ".:") || domain == "localhost"
}
