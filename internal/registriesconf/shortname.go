package registriesconf

import (
	"errors"
	"fmt"

	"github.com/containers/image/v5/docker/reference"
)

// ShortNameError says that a reference names no registry, e.g. nginx:1.27 or library/nginx.
// Where it is pulled from depends on a search list, so it has no single Resolution.
type ShortNameError struct{ Name string }

func (e *ShortNameError) Error() string {
	return fmt.Sprintf("image reference %q names no registry: each of its candidates has to be resolved", e.Name)
}

// Candidates lists the full references that ref stands for on this node, in the order in
// which they are tried; each is a pull of its own, with its own mirrors. A full reference
// stands for itself. Nothing is returned for what no node can make a reference of.
//
// With unqualified-search-registries [registry.access.redhat.com, docker.io], nginx:1 gives
// registry.access.redhat.com/nginx:1 and docker.io/library/nginx:1.
//
// An alias for the name replaces the search. Only aliases in the given files are known: a
// node may have more of them in its operating system image, in registries.conf.d as well.
// Source: c/image pkg/shortnames Resolve, in short-name mode "disabled", which CRI-O sets.
func (c Config) Candidates(ref string) []string {
	named, err := ParseReference(ref)
	if err == nil {
		return []string{named.String()}
	}
	var short *ShortNameError
	if !errors.As(err, &short) {
		return nil
	}
	parsed, err := reference.Parse(ref)
	if err != nil {
		return nil
	}
	name, ok := parsed.(reference.Named)
	if !ok {
		return nil
	}
	suffix := ref[len(name.Name()):] // tag and digest, as written
	if target := c.aliases[name.Name()]; target != "" {
		return c.Candidates(target + suffix)
	}
	var out []string
	for _, registry := range c.search {
		full, err := reference.ParseDockerRef(registry + "/" + ref)
		if err != nil {
			return nil // one impossible candidate fails them all
		}
		out = append(out, full.String())
	}
	return out
}
