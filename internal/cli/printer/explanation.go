package printer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// Explanation says where one reference is pulled from. Its JSON is stable like that of a Report.
type Explanation struct {
	Format    int    `json:"format"`
	Reference string `json:"reference"`
	// UsedBy are the first owners of the reference; OwnerCount is of all.
	UsedBy     []string `json:"usedBy"`
	OwnerCount int      `json:"ownerCount"`
	// Current is by the configurations that nodes run, After by those that they would run; After is
	// null when nothing was wished for.
	Current     []PullPath `json:"now"`
	Proposed    []PullPath `json:"after"`
	UnreadNodes []string   `json:"unseen"`
}

// PullPath is how some nodes pull the reference.
type PullPath struct {
	Nodes      []NodeGroup `json:"nodes"`
	Candidates []Candidate `json:"tries"`
}

// NodeGroup are nodes of one pool with one configuration.
type NodeGroup struct {
	Pool     string   `json:"pool"`
	Rendered string   `json:"rendered,omitempty"`
	Nodes    []string `json:"nodes"`
}

// Candidate is one complete reference; a short name stands for several.
type Candidate struct {
	Reference string `json:"reference"`
	// Scope is the prefix of the entry that applies, empty when none does; From are the objects
	// that make it.
	Scope   string   `json:"scope"`
	Origins []string `json:"from"`
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
	Origins   []string `json:"from,omitempty"`
	// OnFailure says what follows when it does not have the image.
	OnFailure string `json:"then"`
}

// NewExplanation makes the explanation.
func NewExplanation(e preview.Explanation) Explanation {
	out := Explanation{Format: FormatVersion, Reference: e.Reference, UsedBy: []string{}, Current: pullPaths(e.Current),
		UnreadNodes: orEmpty(e.UnreadNodes)}
	if e.Proposed != nil {
		out.Proposed = pullPaths(e.Proposed)
	}
	if e.UsedBy != nil {
		out.OwnerCount = e.UsedBy.Count
		for _, o := range e.UsedBy.Owners {
			out.UsedBy = append(out.UsedBy, o.String())
		}
	}
	return out
}

func pullPaths(list []preview.PullPath) []PullPath {
	out := []PullPath{}
	for _, v := range list {
		view := PullPath{}
		for _, g := range v.Nodes {
			view.Nodes = append(view.Nodes, NodeGroup(g))
		}
		for i, t := range v.Candidates {
			view.Candidates = append(view.Candidates, candidateOf(t, i == len(v.Candidates)-1))
		}
		out = append(out, view)
	}
	return out
}

func candidateOf(t preview.Candidate, lastTry bool) Candidate {
	out := Candidate{Reference: t.Reference, Scope: t.Scope, Origins: orEmpty(t.Origins), Error: t.Err, Steps: []Step{}}
	for i, e := range t.Endpoints {
		out.Steps = append(out.Steps, Step{
			Reference: e.Reference, Source: !e.Mirror, Blocked: e.Blocked, BlockedBy: e.BlockedBy, Insecure: e.Insecure,
			Origins:   t.EndpointOrigins[i],
			OnFailure: onFailure(e.Blocked, i == len(t.Endpoints)-1, lastTry),
		})
	}
	return out
}

func onFailure(blocked, lastStep, lastTry bool) string {
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
		out, err := safetext.MarshalYAML(e)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	}
	return fmt.Errorf("output %q is none of text, wide, json, yaml", format)
}

func (e Explanation) text(w io.Writer, wide bool) error {
	t := &textWriter{limit: defaultLimit}
	if wide {
		t.limit = int(^uint(0) >> 1)
	}
	t.line(e.Reference)
	if len(e.UsedBy) == 0 {
		t.line("used by nobody, as far as was seen")
	} else {
		t.paragraph("", "used by "+strings.Join(e.UsedBy, ", ")+andMore(e.OwnerCount-len(e.UsedBy)))
	}
	now := "NOW"
	if e.Proposed == nil {
		now = "NOW, by the configuration that nodes really run"
	}
	t.pullPaths(now, e.Current)
	t.pullPaths("AFTER", e.Proposed)
	for _, u := range e.UnreadNodes {
		t.line("")
		t.paragraph("not seen: ", u)
	}
	_, err := io.WriteString(w, t.String())
	return err
}

func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func (t *textWriter) pullPaths(head string, list []PullPath) {
	for _, v := range list {
		t.head("%s", head)
		for _, g := range v.Nodes {
			rendered := ""
			if g.Rendered != "" {
				rendered = " on " + g.Rendered
			}
			t.paragraph("  ", fmt.Sprintf("pool %s, %s%s: %s", g.Pool, plural(len(g.Nodes), "node", "nodes"), rendered,
				abbreviate(g.Nodes, t.limit)))
		}
		for i, candidate := range v.Candidates {
			if len(v.Candidates) > 1 {
				t.line(fmt.Sprintf("  candidate %d of %d: %s", i+1, len(v.Candidates), candidate.Reference))
			}
			t.candidate(candidate)
		}
	}
}

func (t *textWriter) candidate(candidate Candidate) {
	switch {
	case candidate.Scope == "":
		t.line("  no entry of registries.conf applies")
	case len(candidate.Origins) == 0:
		t.line(fmt.Sprintf("  entry %s, of a file in the MachineConfig that no mirror set makes", candidate.Scope))
	default:
		t.line(fmt.Sprintf("  entry %s, from %s", candidate.Scope, strings.Join(candidate.Origins, ", ")))
	}
	if candidate.Error != "" {
		t.paragraph("  ", "the pull fails before anybody is asked: "+candidate.Error)
	}
	for i, s := range candidate.Steps {
		var notes []string
		if s.Source {
			notes = append(notes, "the source")
		}
		if len(s.Origins) > 0 {
			notes = append(notes, "by "+strings.Join(s.Origins, ", "))
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
		t.paragraph("     ", s.OnFailure)
	}
}
