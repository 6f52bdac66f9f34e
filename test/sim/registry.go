package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The hosts of the model. Images of a source are pulled from its host, or from the mirror that a
// mirror set names for it.
const (
	shopSource  = "quay.io"
	booksSource = "ghcr.io"
)

// registry is a host that holds images. A tag points at a digest, of which the number stands for.
type registry struct {
	down  bool
	slow  bool
	flaky bool // every other pull fails
	pulls int
	// refusesNodes is true while it serves the operator and no node that is sent there for a
	// source: their logins are not those of the operator.
	refusesNodes bool
	images       map[string]int // by reference without the host
}

// registries are all hosts, by name.
type registries struct{ hosts map[string]*registry }

func newRegistries() *registries {
	r := &registries{hosts: map[string]*registry{}}
	for _, host := range []string{shopSource, booksSource, "m1", "m2"} {
		r.hosts[host] = &registry{images: map[string]int{}}
	}
	return r
}

// splitReference takes a reference apart: quay.io/acme/cart:v1 is quay.io and acme/cart:v1.
func splitReference(ref string) (host, rest string) {
	host, rest, _ = strings.Cut(ref, "/")
	return host, rest
}

// serveError tells why the host does not serve the image; empty when it does.
func (r *registries) serveError(host, rest string) string {
	h, known := r.hosts[host]
	switch {
	case !known:
		return host + ": no such host"
	case h.down:
		return host + ": connection refused"
	case h.images[rest] == 0:
		return host + "/" + rest + ": manifest unknown"
	}
	return ""
}

// pullError tells why the reference cannot be pulled by a node that has the configuration; empty
// when it can. It follows the container runtime: the mirror first, then the source unless it is
// blocked.
func (r *registries) pullError(ref string, c registriesConf) string {
	host, rest := splitReference(ref)
	lists, mirrored := c.mirrorsOf(host)
	if !mirrored {
		return r.pullFrom(host, rest)
	}
	why := r.pullFrom(lists.mirror(), rest)
	if why == "" || lists.sourceBlocked() {
		return why
	}
	if again := r.pullFrom(host, rest); again != "" {
		return why + ", " + again
	}
	return ""
}

// pullFrom is a pull from one host.
func (r *registries) pullFrom(host, rest string) string {
	if h := r.hosts[host]; h != nil && h.flaky {
		h.pulls++
		if h.pulls%2 == 1 {
			return host + "/" + rest + ": 503 Service Unavailable"
		}
	}
	return r.serveError(host, rest)
}

// pullErrorOnNode is pull on a node.
func (r *registries) pullErrorOnNode(ref string, c registriesConf) string {
	host, _ := splitReference(ref)
	if l, mirrored := c.mirrorsOf(host); mirrored && r.hosts[l.mirror()] != nil && r.hosts[l.mirror()].refusesNodes {
		return l.mirror() + ": unauthorized"
	}
	return r.pullError(ref, c)
}

// copyable tells whether the image can be copied to the mirror now.
func (r *registries) copyable(ref string, mirror string) bool {
	host, rest := splitReference(ref)
	m, known := r.hosts[mirror]
	return known && !m.down && r.serveError(host, rest) == ""
}

// copy brings what the source has to the mirror.
func (r *registries) copy(ref string, mirror string) {
	host, rest := splitReference(ref)
	r.hosts[mirror].images[rest] = r.hosts[host].images[rest]
}

// upToDate tells whether the mirror has what the source has. A source that cannot be asked is
// believed to have not changed.
func (r *registries) upToDate(ref, mirror string) bool {
	host, rest := splitReference(ref)
	return r.serveError(host, rest) != "" || r.hosts[mirror] == nil ||
		r.hosts[mirror].images[rest] == r.hosts[host].images[rest]
}

// latency is how long a pull or a look takes at the host.
func (r *registries) latency(host string) time.Duration {
	if h := r.hosts[host]; h != nil && h.slow {
		return 40 * time.Second
	}
	return time.Second
}

// registriesConf is the meaning of a registries.conf: "ghcr.io=m2;quay.io=m1!", sorted by source;
// empty when nothing is mirrored.
type registriesConf string

// mirrorsOf says where the images of the host are mirrored.
func (c registriesConf) mirrorsOf(host string) (MirrorSpec, bool) {
	for _, entry := range strings.Split(string(c), ";") {
		if source, l, ok := strings.Cut(entry, "="); ok && source == host {
			return MirrorSpec(l), true
		}
	}
	return "", false
}

// with is the configuration in which the source has these lists instead.
func (c registriesConf) with(source string, l MirrorSpec) registriesConf {
	var entries []string
	for _, entry := range strings.Split(string(c), ";") {
		if entry != "" && !strings.HasPrefix(entry, source+"=") {
			entries = append(entries, entry)
		}
	}
	if l != "" {
		entries = append(entries, source+"="+string(l))
	}
	slices.Sort(entries)
	return registriesConf(strings.Join(entries, ";"))
}

// rendering is what a rendered MachineConfig holds, as far as the rollout is concerned:
// registries.conf, and one value that stands for everything else, such as another MachineConfig of
// the user or the operating system.
type rendering struct {
	conf        registriesConf
	otherConfig string
}

// renderedConfigs names rendered configurations. The same content has the same name, as with the
// content hash of the real ones.
type renderedConfigs struct{ known []rendering }

func (r *renderedConfigs) name(poolName string, content rendering) string {
	i := slices.Index(r.known, content)
	if i < 0 {
		i = len(r.known)
		r.known = append(r.known, content)
	}
	return fmt.Sprintf("rendered-%s-%d", poolName, i)
}

// content is what the rendered configuration holds.
func (r *renderedConfigs) content(name string) rendering {
	var i int
	if _, err := fmt.Sscanf(name[strings.LastIndexByte(name, '-')+1:], "%d", &i); err != nil || i >= len(r.known) {
		return rendering{conf: "unknown=" + registriesConf(name)}
	}
	return r.known[i]
}
