package printer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/evidence"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// DiagnosisCode is a diagnosis in a word.
type DiagnosisCode string

// The diagnoses.
const (
	// NothingStuck: no node is updating, or all of them make progress.
	NothingStuck DiagnosisCode = "NothingStuck"
	// Slow: something takes its time, and passes by itself.
	Slow DiagnosisCode = "Slow"
	// Stuck: somebody, or something, has to do something.
	Stuck DiagnosisCode = "Stuck"
)

// ExitCode is that of the command for the diagnosis.
func (s DiagnosisCode) ExitCode() int {
	switch s {
	case NothingStuck:
		return 0
	case Slow:
		return 2
	default:
		return 3
	}
}

// Diagnosis is what holds the nodes of a cluster. Its JSON is stable like that of a Report.
type Diagnosis struct {
	Format  int           `json:"format"`
	Verdict DiagnosisCode `json:"verdict"`
	Message string        `json:"message"`
	// At is the time of the look; of files, that of their newest entry.
	At    time.Time      `json:"at"`
	Pools []PoolProgress `json:"pools"`
	// BlockedDrains are the nodes that make no progress, the worst first.
	BlockedDrains []BlockedDrain `json:"obstacles"`
	Gaps          []CoverageGap  `json:"gaps"`
}

// PoolProgress is how far a pool is.
type PoolProgress struct {
	Name   string `json:"name"`
	Nodes  int    `json:"nodes"`
	Done   int    `json:"done"`
	Paused bool   `json:"paused,omitempty"`
	// Updating are the updating nodes, each with its stage.
	Updating []UpdatingNode `json:"moving"`
}

// UpdatingNode is an updating node.
type UpdatingNode struct {
	Node  string `json:"node"`
	Stage string `json:"stage"`
}

// BlockedDrain is what holds a node, with what to do about it.
type BlockedDrain struct {
	rollout.BlockedDrain
	// Cause is the root cause in a sentence, Line the whole chain.
	Cause  string           `json:"cause"`
	Line   string           `json:"line"`
	Advice diagnosis.Advice `json:"advice"`
}

// NewDiagnosis makes the report.
func NewDiagnosis(r evidence.Result) Diagnosis {
	out := Diagnosis{Format: FormatVersion, Verdict: NothingStuck, At: r.At, Pools: []PoolProgress{},
		BlockedDrains: []BlockedDrain{}, Gaps: []CoverageGap{}}
	updating := 0
	for _, p := range r.Pools {
		d := PoolProgress{Name: p.Name, Nodes: len(p.Nodes), Done: p.Updated(), Paused: p.Paused,
			Updating: []UpdatingNode{}}
		for _, n := range p.Nodes {
			if evidence.IsUpdating(n) {
				d.Updating = append(d.Updating, UpdatingNode{n.Name, n.UpdateStage(n.DesiredConfig)})
			}
		}
		updating += len(d.Updating)
		out.Pools = append(out.Pools, d)
	}
	stuck := 0
	for _, o := range r.BlockedDrains {
		if out.Verdict == NothingStuck {
			out.Verdict = Slow
		}
		if !o.Reason.Transient() {
			out.Verdict = Stuck
			stuck++
		}
		out.BlockedDrains = append(out.BlockedDrains,
			BlockedDrain{BlockedDrain: o, Cause: o.RootCause(), Line: o.String(), Advice: diagnosis.Advise(o)})
	}
	for _, g := range r.UnreadKinds {
		out.Gaps = append(out.Gaps, CoverageGap{Source: g.Kind, Why: g.Why})
	}
	switch {
	case updating == 0:
		out.Message = "no node is updating"
	case out.Verdict == NothingStuck:
		out.Message = plural(updating, "node is updating and makes progress",
			"nodes are updating, and all make progress")
	case out.Verdict == Slow:
		out.Message = fmt.Sprintf("%s; what is waited for passes by itself",
			plural(updating, "node is updating", "nodes are updating"))
	default:
		out.Message = fmt.Sprintf("%s, and %s no progress", plural(updating, "node is updating", "nodes are updating"),
			plural(stuck, "makes", "make"))
	}
	return out
}

// DiagnosisFormats are those of Write.
const DiagnosisFormats = "text, json, yaml"

// Write writes the diagnosis as text, json or yaml.
func (d Diagnosis) Write(w io.Writer, format string) error {
	switch format {
	case "", "text":
		_, err := io.WriteString(w, d.text())
		return err
	default:
		return writeData(w, d, format, DiagnosisFormats)
	}
}

func writeData(w io.Writer, data any, format, formats string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(data)
	case "yaml":
		out, err := safetext.MarshalYAML(data)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	}
	return fmt.Errorf("output %q is none of %s", format, formats)
}

var diagnosisText = map[DiagnosisCode]string{NothingStuck: "NOTHING IS STUCK", Slow: "SLOW", Stuck: "STUCK"}

func (d Diagnosis) text() string {
	t := &textWriter{limit: defaultLimit}
	t.line(diagnosisText[d.Verdict] + ": " + d.Message)
	t.line("")
	rows := []string{"POOL\tNODES\tDONE\tIN PROGRESS"}
	for _, p := range d.Pools {
		var updating []string
		for _, m := range p.Updating {
			updating = append(updating, m.Node+" ("+m.Stage+")")
		}
		name := p.Name
		if p.Paused {
			name += " (paused)"
		}
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%s", name, p.Nodes, p.Done, abbreviate(updating, t.limit)))
	}
	t.table(rows)
	for _, o := range firstN(d.BlockedDrains, t.limit) {
		t.blockedDrain(o, d.At)
	}
	t.more(len(d.BlockedDrains), "nodes")
	t.gaps(d.Gaps)
	return t.String()
}

// blockedDrain is one chain, a link a line, the root cause at its end.
func (t *textWriter) blockedDrain(o BlockedDrain, at time.Time) {
	head := "node " + o.Node + " makes no progress"
	if len(o.CauseChain) > 0 {
		head = o.CauseChain[0].Message
	}
	t.head("%s%s (pool %s)", head, sinceText(o.Since, at), o.Pool)
	for i, l := range o.CauseChain {
		if i > 0 {
			t.paragraph("  "+strings.Repeat(" ", i-1)+"<- ", l.Message)
		}
	}
	headed := false
	for _, p := range o.Pods {
		for _, pull := range p.Pulls {
			if pull.Message == o.Cause {
				continue
			}
			if !headed {
				t.line("  also waited for:")
				headed = true
			}
			t.paragraph("  - ", fmt.Sprintf("pod %s/%s, %s: %s", p.Namespace, p.Name, pull.Reference, pull.Message))
		}
	}
	t.advice("what helps", o.Advice.Helps)
	t.advice("what does not", o.Advice.Ineffective)
}

func (t *textWriter) advice(head string, list []string) {
	if len(list) == 0 {
		return
	}
	t.line("  " + head + ":")
	for _, a := range list {
		t.paragraph("  - ", a)
	}
}

// sinceText are since when, and how long that is at the time of the look.
func sinceText(since, at time.Time) string {
	if since.IsZero() {
		return ""
	}
	out := " since " + since.UTC().Format(time.RFC3339)
	if d := at.Sub(since).Truncate(time.Second); d > 0 {
		out += " (" + d.String() + ")"
	}
	return out
}
