package preview

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// Explanation is where one reference is pulled from, and by which nodes.
type Explanation struct {
	// Reference is as it was asked for, and Normal what it stands for: several references when it
	// names no registry.
	Reference string
	UsedBy    *inventory.Reference
	// Current is one view for each configuration that nodes really run and that treats the
	// reference differently; After is the same for the predicted ones, and empty when nothing was
	// wished for.
	Current, Proposed []PullPath
	// UnreadNodes says of which nodes nothing is known, and why.
	UnreadNodes []string
}

// PullPath is how some nodes pull the reference.
type PullPath struct {
	Nodes []NodeGroup
	// Candidates are the references that are tried one after another: one, or the candidates of a
	// short name.
	Candidates []Candidate
}

// NodeGroup are nodes of one pool with one configuration.
type NodeGroup struct {
	Pool string
	// Rendered is the MachineConfig that the nodes run; empty for a prediction.
	Rendered string
	Nodes    []string
}

// Candidate is one full reference and the endpoints at which a node looks for it, in order.
type Candidate struct {
	registriesconf.Resolution
	// Origins are the objects that make the entry which applies.
	Origins []string
	// EndpointOrigins are the objects that each endpoint comes from; nil for the source.
	EndpointOrigins [][]string
}

// Explain tells where a reference is pulled from. The error says that it is not a reference.
func (f *Preview) Explain(ref string) (Explanation, error) {
	out := Explanation{Reference: ref}
	for _, p := range f.Pools {
		for _, g := range p.Running {
			if g.Why != "" {
				out.UnreadNodes = append(out.UnreadNodes,
					fmt.Sprintf("%d nodes of pool %s: %s", len(g.Nodes), p.Name, g.Why))
				continue
			}
			candidates, err := resolveCandidates(g.Config, f.CurrentSets, ref)
			if err != nil {
				return Explanation{}, err
			}
			out.Current = addPullPath(out.Current, NodeGroup{Pool: p.Name, Rendered: g.Rendered, Nodes: g.Nodes},
				candidates)
		}
	}
	for _, c := range f.Prediction.Configs {
		i := slices.IndexFunc(f.Pools, func(p PoolForecast) bool { return p.Name == c.Name })
		if i < 0 || !f.hasChange() {
			continue // what single nodes run on top has the same future as their pool
		}
		candidates, err := resolveCandidates(c.After, f.ProposedSets, ref)
		if err != nil {
			return Explanation{}, err
		}
		out.Proposed = addPullPath(out.Proposed, NodeGroup{Pool: c.Name, Nodes: nodeNames(f.Pools[i])}, candidates)
	}
	out.UsedBy = f.usedBy(ref)
	return out, nil
}

func (f *Preview) hasChange() bool { return f.Change.Rollout.Name != "" || f.Change.IsPlain() }

func nodeNames(p PoolForecast) []string {
	out := make([]string, 0, len(p.Nodes))
	for _, n := range p.Nodes {
		out = append(out, n.Name)
	}
	return out
}

// resolveCandidates resolves the reference, or each candidate of a short name.
func resolveCandidates(c registriesconf.Config, sets registriesconf.Sets, ref string) ([]Candidate, error) {
	candidates := c.Candidates(ref)
	if len(candidates) == 0 {
		if _, err := registriesconf.ParseReference(ref); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("image reference %q names no registry, and unqualified-search-registries is empty on these nodes", ref)
	}
	var out []Candidate
	for _, name := range candidates {
		r, err := c.Resolve(name)
		if err != nil {
			return nil, err
		}
		t := Candidate{Resolution: r, Origins: sets.Origins(r.Scope)}
		for _, e := range r.Endpoints {
			var from []string
			if e.Mirror {
				from = sets.MirrorOrigins(r, e)
			}
			t.EndpointOrigins = append(t.EndpointOrigins, from)
		}
		out = append(out, t)
	}
	return out, nil
}

// addPullPath puts nodes that treat the reference alike together.
func addPullPath(paths []PullPath, group NodeGroup, candidates []Candidate) []PullPath {
	for i := range paths {
		if slices.EqualFunc(paths[i].Candidates, candidates, func(a, b Candidate) bool {
			return a.Reference == b.Reference && a.Scope == b.Scope && a.Equal(b.Resolution)
		}) {
			paths[i].Nodes = append(paths[i].Nodes, group)
			return paths
		}
	}
	return append(paths, PullPath{Nodes: []NodeGroup{group}, Candidates: candidates})
}

// usedBy finds the reference in the inventory, in whatever spelling.
func (f *Preview) usedBy(ref string) *inventory.Reference {
	normal := normalise(ref)
	for i := range f.Inventory.References {
		if r := &f.Inventory.References[i]; r.Image == ref || normalise(r.Image) == normal {
			return r
		}
	}
	return nil
}

func normalise(ref string) string {
	named, err := registriesconf.ParseReference(strings.TrimSpace(ref))
	if err != nil {
		return ref
	}
	return named.String()
}
