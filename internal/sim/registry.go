package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The hosts of the model. Images of a source are pulled from its host, or from the mirror that a mirror set names for it.
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
	// refuses is true while it serves the operator and no node that is sent there for a source: their logins are not those of the operator.
	refuses bool
	images  map[string]int // by reference without the host
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

// split takes a reference apart: quay.io/acme/cart:v1 is quay.io and acme/cart:v1.
func split(ref string) (host, rest string) {
	host, rest, _ = strings.Cut(ref, "/")
	return host, rest
}

// serves tells why the host does not serve the image; empty when it does.
func (r *registries) serves(host, rest string) string {
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

// pull tells why the reference cannot be pulled by a node that has the configuration; empty when it can. It follows the container
// runtime: the mirror first, then the source unless it is blocked.
func (r *registries) pull(ref string, c conf) string {
	host, rest := split(ref)
	lists, mirrored := c.lists(host)
	if !mirrored {
		return r.from(host, rest)
	}
	why := r.from(lists.mirror(), rest)
	if why == "" || lists.never() {
		return why
	}
	if again := r.from(host, rest); again != "" {
		return why + ", " + again
	}
	return ""
}

// from is a pull from one host.
func (r *registries) from(host, rest string) string {
	if h := r.hosts[host]; h != nil && h.flaky {
		h.pulls++
		if h.pulls%2 == 1 {
			return host + "/" + rest + ": 503 Service Unavailable"
		}
	}
	return r.serves(host, rest)
}

// pullByNode is pull on a node.
func (r *registries) pullByNode(ref string, c conf) string {
	host, _ := split(ref)
	if l, mirrored := c.lists(host); mirrored && r.hosts[l.mirror()] != nil && r.hosts[l.mirror()].refuses {
		return l.mirror() + ": unauthorized"
	}
	return r.pull(ref, c)
}

// copyable tells whether the image can be copied to the mirror now.
func (r *registries) copyable(ref string, mirror string) bool {
	host, rest := split(ref)
	m, known := r.hosts[mirror]
	return known && !m.down && r.serves(host, rest) == ""
}

// copy brings what the source has to the mirror.
func (r *registries) copy(ref string, mirror string) {
	host, rest := split(ref)
	r.hosts[mirror].images[rest] = r.hosts[host].images[rest]
}

// current tells whether the mirror has what the source has. A source that cannot be asked is believed to have not changed.
func (r *registries) current(ref, mirror string) bool {
	host, rest := split(ref)
	return r.serves(host, rest) != "" || r.hosts[mirror] == nil || r.hosts[mirror].images[rest] == r.hosts[host].images[rest]
}

// patience is how long a pull or a look takes at the host.
func (r *registries) patience(host string) time.Duration {
	if h := r.hosts[host]; h != nil && h.slow {
		return 40 * time.Second
	}
	return time.Second
}

// conf is the meaning of a registries.conf: "ghcr.io=m2;quay.io=m1!", sorted by source; empty when nothing is mirrored.
type conf string

// lists says where the images of the host are mirrored.
func (c conf) lists(host string) (Lists, bool) {
	for _, entry := range strings.Split(string(c), ";") {
		if source, l, ok := strings.Cut(entry, "="); ok && source == host {
			return Lists(l), true
		}
	}
	return "", false
}

// with is the configuration in which the source has these lists instead.
func (c conf) with(source string, l Lists) conf {
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
	return conf(strings.Join(entries, ";"))
}

// rendering is what a rendered MachineConfig holds, as far as the rollout is concerned: registries.conf, and one value that stands for
// everything else, such as another MachineConfig of the user or the operating system.
type rendering struct {
	conf  conf
	other string
}

// renderings names rendered configurations. The same content has the same name, as with the content hash of the real ones.
type renderings struct{ known []rendering }

func (r *renderings) name(poolName string, content rendering) string {
	i := slices.Index(r.known, content)
	if i < 0 {
		i = len(r.known)
		r.known = append(r.known, content)
	}
	return fmt.Sprintf("rendered-%s-%d", poolName, i)
}

// content is what the rendered configuration holds.
func (r *renderings) content(name string) rendering {
	var i int
	if _, err := fmt.Sscanf(name[strings.LastIndexByte(name, '-')+1:], "%d", &i); err != nil || i >= len(r.known) {
		return rendering{conf: "unknown=" + conf(name)}
	}
	return r.known[i]
}
