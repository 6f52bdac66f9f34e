package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// Explanation says where one reference is pulled from. Its JSON is stable like that of a Report.
type Explanation struct {
	Format    int    `json:"format"`
	Reference string `json:"reference"`
	// UsedBy are the first owners of the reference; OwnerCount is of all.
	UsedBy     []string `json:"usedBy"`
	OwnerCount int      `json:"ownerCount"`
	// Now is by the configurations that nodes run, After by those that they would run; After is null when nothing was wished for.
	Now    []View   `json:"now"`
	After  []View   `json:"after"`
	Unseen []string `json:"unseen"`
}

// View is how some nodes pull the reference.
type View struct {
	Nodes []NodeGroup `json:"nodes"`
	Tries []Try       `json:"tries"`
}

// NodeGroup are nodes of one pool with one configuration.
type NodeGroup struct {
	Pool     string   `json:"pool"`
	Rendered string   `json:"rendered,omitempty"`
	Nodes    []string `json:"nodes"`
}

// Try is one complete reference; a short name stands for several.
type Try struct {
	Reference string `json:"reference"`
	// Scope is the prefix of the entry that applies, empty when none does; From are the objects that make it.
	Scope string   `json:"scope"`
	From  []string `json:"from"`
	// Error says why the pull fails before anybody is asked.
	Error string `json:"error,omitempty"`
	Steps []Step `json:"steps"`
}

// Step is one place at which a node looks.
type Step struct {
	Reference string `json:"reference"`
	// Source is true for the last one, which is not a mirror.
	Source    bool     `json:"source,omitempty"`
	Blocked   bool     `json:"blocked,omitempty"`
	BlockedBy string   `json:"blockedBy,omitempty"`
	Insecure  bool     `json:"insecure,omitempty"`
	From      []string `json:"from,omitempty"`
	// Then says what follows when it does not have the image.
	Then string `json:"then"`
}

// Explain makes the explanation.
func Explain(e whatif.Explanation) Explanation {
	out := Explanation{Format: Format, Reference: e.Reference, UsedBy: []string{}, Now: views(e.Now), Unseen: orEmpty(e.Unseen)}
	if e.After != nil {
		out.After = views(e.After)
	}
	if e.UsedBy != nil {
		out.OwnerCount = e.UsedBy.Count
		for _, o := range e.UsedBy.Owners {
			out.UsedBy = append(out.UsedBy, o.String())
		}
	}
	return out
}

func views(list []whatif.View) []View {
	out := []View{}
	for _, v := range list {
		view := View{}
		for _, g := range v.Nodes {
			view.Nodes = append(view.Nodes, NodeGroup(g))
		}
		for i, t := range v.Tries {
			view.Tries = append(view.Tries, try(t, i == len(v.Tries)-1))
		}
		out = append(out, view)
	}
	return out
}

func try(t whatif.Try, lastTry bool) Try {
	out := Try{Reference: t.Reference, Scope: t.Scope, From: orEmpty(t.Origins), Error: t.Err, Steps: []Step{}}
	for i, e := range t.Endpoints {
		out.Steps = append(out.Steps, Step{
			Reference: e.Reference, Source: !e.Mirror, Blocked: e.Blocked, BlockedBy: e.BlockedBy, Insecure: e.Insecure, From: t.From[i],
			Then: then(e.Blocked, i == len(t.Endpoints)-1, lastTry),
		})
	}
	return out
}

func then(blocked, lastStep, lastTry bool) string {
	switch {
	case !lastStep && blocked:
		return "refused without asking; the next is tried"
	case !lastStep:
		return "if it cannot be reached or does not have the manifest, the next is tried; once it has served the manifest, a layer that it lacks fails the pull"
	case !lastTry:
		return "if it fails, the next candidate of the short name is tried"
	case blocked:
		return "refused without asking: the pull fails"
	default:
		return "if it fails, the pull fails"
	}
}

// Write writes the explanation as text, json or yaml.
func (e Explanation) Write(w io.Writer, format string) error {
	switch format {
	case "", "text", "wide":
		return e.text(w, format == "wide")
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(e)
	case "yaml":
		out, err := yaml.Marshal(e)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	}
	return fmt.Errorf("output %q is none of text, wide, json, yaml", format)
}

func (e Explanation) text(w io.Writer, wide bool) error {
	t := &text{most: worst}
	if wide {
		t.most = int(^uint(0) >> 1)
	}
	t.line(e.Reference)
	if len(e.UsedBy) == 0 {
		t.line("used by nobody, as far as was seen")
	} else {
		t.paragraph("", "used by "+strings.Join(e.UsedBy, ", ")+more(e.OwnerCount-len(e.UsedBy)))
	}
	now := "NOW"
	if e.After == nil {
		now = "NOW, by the configuration that nodes really run"
	}
	t.views(now, e.Now)
	t.views("AFTER", e.After)
	for _, u := range e.Unseen {
		t.line("")
		t.paragraph("not seen: ", u)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func (t *text) views(head string, list []View) {
	for _, v := range list {
		t.head("%s", head)
		for _, g := range v.Nodes {
			rendered := ""
			if g.Rendered != "" {
				rendered = " on " + g.Rendered
			}
			t.paragraph("  ", fmt.Sprintf("pool %s, %s%s: %s", g.Pool, plural(len(g.Nodes), "node", "nodes"), rendered, some(g.Nodes, t.most)))
		}
		for i, try := range v.Tries {
			if len(v.Tries) > 1 {
				t.line(fmt.Sprintf("  candidate %d of %d: %s", i+1, len(v.Tries), try.Reference))
			}
			t.try(try)
		}
	}
}

func (t *text) try(try Try) {
	switch {
	case try.Scope == "":
		t.line("  no entry of registries.conf applies")
	case len(try.From) == 0:
		t.line(fmt.Sprintf("  entry %s, of a file in the MachineConfig that no mirror set makes", try.Scope))
	default:
		t.line(fmt.Sprintf("  entry %s, from %s", try.Scope, strings.Join(try.From, ", ")))
	}
	if try.Error != "" {
		t.paragraph("  ", "the pull fails before anybody is asked: "+try.Error)
	}
	for i, s := range try.Steps {
		var notes []string
		if s.Source {
			notes = append(notes, "the source")
		}
		if len(s.From) > 0 {
			notes = append(notes, "by "+strings.Join(s.From, ", "))
		}
		if s.Blocked {
			notes = append(notes, "BLOCKED by "+s.BlockedBy)
		}
		if s.Insecure {
			notes = append(notes, "insecure")
		}
		about := ""
		if len(notes) > 0 {
			about = " (" + strings.Join(notes, "; ") + ")"
		}
		t.paragraph(fmt.Sprintf("  %d. ", i+1), s.Reference+about)
		t.paragraph("     ", s.Then)
	}
}
