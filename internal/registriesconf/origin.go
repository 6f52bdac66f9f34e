package registriesconf

import (
	"slices"
	"strings"
)

// Origins names the objects that make an entry of registries.conf for a scope, such as
// ImageTagMirrorSet/acme or Image/cluster. None means that no mirror set does: the entry, if there
// is one, comes from a MachineConfig's own file.
func (s Sets) Origins(scope string) []string {
	var out []string
	for _, r := range s.mirrorItems() {
		if r.source == scope && r.effective() && !slices.Contains(out, r.id()) {
			out = append(out, r.id())
		}
	}
	for _, entry := range s.scopes().entries() {
		if entry.scope == scope && !slices.Contains(out, KindImage+"/cluster") {
			out = append(out, KindImage+"/cluster")
		}
	}
	return out
}

// MirrorOrigins names the objects that send a reference to one of its mirrors. A mirror may come
// from the object of a broader scope: an entry that has no mirrors of its own inherits those of the
// entry around it.
//
// Example: ImageTagMirrorSet/acme has quay.io -> m.local, and quay.io/acme is listed as insecure.
// The scope of quay.io/acme/app:v1 is then quay.io/acme, and its mirror m.local/acme/app:v1 comes
// from ImageTagMirrorSet/acme.
func (s Sets) MirrorOrigins(r Resolution, mirror Endpoint) []string {
	var out []string
	for _, item := range s.mirrorItems() {
		if item.byTag() == r.ByDigest || slices.Contains(out, item.id()) {
			continue
		}
		rest, ok := cutSource(r.Reference, item.source)
		if ok && slices.ContainsFunc(item.mirrors, func(m string) bool { return m+rest == mirror.Reference }) {
			out = append(out, item.id())
		}
	}
	return out
}

// cutSource cuts a source off a reference; of a wildcard it takes the whole host.
func cutSource(ref, source string) (string, bool) {
	if domain, ok := strings.CutPrefix(source, "*"); ok {
		host, path, _ := strings.Cut(ref, "/")
		return "/" + path, strings.HasSuffix(host, domain)
	}
	rest, ok := strings.CutPrefix(ref, source)
	return rest, ok && (rest == "" || strings.ContainsAny(rest[:1], "/:@"))
}
