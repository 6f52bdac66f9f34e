package whatif

import (
	"fmt"
	"slices"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
)

// Explanation is where one reference is pulled from, and by which nodes.
type Explanation struct {
	// Reference is as it was asked for, and Normal what it stands for: several references when it names no registry.
	Reference string
	UsedBy    *inventory.Reference
	// Now is one view for each configuration that nodes really run and that treats the reference differently; After is the same for
	// the predicted ones, and empty when nothing was wished for.
	Now, After []View
	// Unseen says of which nodes nothing is known, and why.
	Unseen []string
}

// View is how some nodes pull the reference.
type View struct {
	Nodes []NodeGroup
	// Tries are the references that are tried one after another: one, or the candidates of a short name.
	Tries []Try
}

// NodeGroup are nodes of one pool with one configuration.
type NodeGroup struct {
	Pool string
	// Rendered is the MachineConfig that the nodes run; empty for a prediction.
	Rendered string
	Nodes    []string
}

// Try is one full reference and the endpoints at which a node looks for it, in order.
type Try struct {
	registries.Resolution
	// Origins are the objects that make the entry which applies.
	Origins []string
	// From are the objects that each endpoint comes from; nil for the source.
	From [][]string
}

// Explain tells where a reference is pulled from. The error says that it is not a reference.
func (f *Foresight) Explain(ref string) (Explanation, error) {
	out := Explanation{Reference: ref}
	for _, p := range f.Pools {
		for _, g := range p.Running {
			if g.Why != "" {
				out.Unseen = append(out.Unseen, fmt.Sprintf("%d nodes of pool %s: %s", len(g.Nodes), p.Name, g.Why))
				continue
			}
			tries, err := tries(g.Config, f.Now, ref)
			if err != nil {
				return Explanation{}, err
			}
			out.Now = addView(out.Now, NodeGroup{Pool: p.Name, Rendered: g.Rendered, Nodes: g.Nodes}, tries)
		}
	}
	for _, c := range f.Prediction.Configs {
		i := slices.IndexFunc(f.Pools, func(p Pool) bool { return p.Name == c.Name })
		if i < 0 || !f.wished() {
			continue // what single nodes run on top has the same future as their pool
		}
		tries, err := tries(c.After, f.After, ref)
		if err != nil {
			return Explanation{}, err
		}
		out.After = addView(out.After, NodeGroup{Pool: c.Name, Nodes: names(f.Pools[i])}, tries)
	}
	out.UsedBy = f.usedBy(ref)
	return out, nil
}

func (f *Foresight) wished() bool { return f.Wish.Rollout.Name != "" || f.Wish.Plain() }

func names(p Pool) []string {
	out := make([]string, 0, len(p.Nodes))
	for _, n := range p.Nodes {
		out = append(out, n.Name)
	}
	return out
}

// tries resolves the reference, or each candidate of a short name.
func tries(c registries.Config, sets registries.Sets, ref string) ([]Try, error) {
	candidates := c.Candidates(ref)
	if len(candidates) == 0 {
		if _, err := registries.ParseReference(ref); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("image reference %q names no registry, and unqualified-search-registries is empty on these nodes", ref)
	}
	var out []Try
	for _, name := range candidates {
		r, err := c.Resolve(name)
		if err != nil {
			return nil, err
		}
		t := Try{Resolution: r, Origins: sets.Origins(r.Scope)}
		for _, e := range r.Endpoints {
			var from []string
			if e.Mirror {
				from = sets.MirrorOrigins(r, e)
			}
			t.From = append(t.From, from)
		}
		out = append(out, t)
	}
	return out, nil
}

// addView puts nodes that treat the reference alike together.
func addView(views []View, group NodeGroup, tries []Try) []View {
	for i := range views {
		if slices.EqualFunc(views[i].Tries, tries, func(a, b Try) bool {
			return a.Reference == b.Reference && a.Scope == b.Scope && a.Equal(b.Resolution)
		}) {
			views[i].Nodes = append(views[i].Nodes, group)
			return views
		}
	}
	return append(views, View{Nodes: []NodeGroup{group}, Tries: tries})
}

// usedBy finds the reference in the inventory, in whatever spelling.
func (f *Foresight) usedBy(ref string) *inventory.Reference {
	normal := normalise(ref)
	for i := range f.Inventory.References {
		if r := &f.Inventory.References[i]; r.Image == ref || normalise(r.Image) == normal {
			return r
		}
	}
	return nil
}

func normalise(ref string) string {
	named, err := registries.ParseReference(strings.TrimSpace(ref))
	if err != nil {
		return ref
	}
	return named.String()
}
