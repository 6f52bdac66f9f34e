package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/internal/diagnose"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// Stuckness is a diagnosis in a word.
type Stuckness string

// The diagnoses.
const (
	// NothingStuck: no node is under way, or all of them get on.
	NothingStuck Stuckness = "NothingStuck"
	// Slow: something takes its time, and passes by itself.
	Slow Stuckness = "Slow"
	// Stuck: somebody, or something, has to do something.
	Stuck Stuckness = "Stuck"
)

// ExitCode is that of the command for the diagnosis.
func (s Stuckness) ExitCode() int {
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
	Format  int       `json:"format"`
	Verdict Stuckness `json:"verdict"`
	Message string    `json:"message"`
	// At is the time of the look; of files, that of their newest entry.
	At    time.Time       `json:"at"`
	Pools []DiagnosedPool `json:"pools"`
	// Obstacles are the nodes that do not get on, the worst first.
	Obstacles []Obstacle `json:"obstacles"`
	Gaps      []Gap      `json:"gaps"`
}

// DiagnosedPool is how far a pool is.
type DiagnosedPool struct {
	Name   string `json:"name"`
	Nodes  int    `json:"nodes"`
	Done   int    `json:"done"`
	Paused bool   `json:"paused,omitempty"`
	// Moving are the nodes under way, each with its stage.
	Moving []MovingNode `json:"moving"`
}

// MovingNode is a node under way.
type MovingNode struct {
	Node  string `json:"node"`
	Stage string `json:"stage"`
}

// Obstacle is what holds a node, with what to do about it.
type Obstacle struct {
	rollout.Obstacle
	// Cause is the root cause in a sentence, Line the whole chain.
	Cause  string       `json:"cause"`
	Line   string       `json:"line"`
	Advice drain.Advice `json:"advice"`
}

// Diagnose makes the report.
func Diagnose(r diagnose.Result) Diagnosis {
	out := Diagnosis{Format: Format, Verdict: NothingStuck, At: r.At, Pools: []DiagnosedPool{}, Obstacles: []Obstacle{}, Gaps: []Gap{}}
	moving := 0
	for _, p := range r.Pools {
		d := DiagnosedPool{Name: p.Name, Nodes: len(p.Nodes), Done: p.Updated(), Paused: p.Paused, Moving: []MovingNode{}}
		for _, n := range p.Nodes {
			if diagnose.Under(n) {
				d.Moving = append(d.Moving, MovingNode{n.Name, n.Stage(n.Desired)})
			}
		}
		moving += len(d.Moving)
		out.Pools = append(out.Pools, d)
	}
	stuck := 0
	for _, o := range r.Obstacles {
		if out.Verdict == NothingStuck {
			out.Verdict = Slow
		}
		if !o.Hindrance.Passing() {
			out.Verdict = Stuck
			stuck++
		}
		out.Obstacles = append(out.Obstacles, Obstacle{Obstacle: o, Cause: o.Root(), Line: o.String(), Advice: drain.Advise(o)})
	}
	for _, g := range r.Gaps {
		out.Gaps = append(out.Gaps, Gap{Source: g.Kind, Why: g.Why})
	}
	switch {
	case moving == 0:
		out.Message = "no node is under way"
	case out.Verdict == NothingStuck:
		out.Message = plural(moving, "node is under way and gets on", "nodes are under way, and all get on")
	case out.Verdict == Slow:
		out.Message = fmt.Sprintf("%s; what is waited for passes by itself", plural(moving, "node is under way", "nodes are under way"))
	default:
		out.Message = fmt.Sprintf("%s, and %s not get on", plural(moving, "node is under way", "nodes are under way"), plural(stuck, "does", "do"))
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
		out, err := yaml.Marshal(data)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	}
	return fmt.Errorf("output %q is none of %s", format, formats)
}

var stuckWords = map[Stuckness]string{NothingStuck: "NOTHING IS STUCK", Slow: "SLOW", Stuck: "STUCK"}

func (d Diagnosis) text() string {
	t := &text{most: worst}
	t.line(stuckWords[d.Verdict] + ": " + d.Message)
	t.line("")
	rows := []string{"POOL\tNODES\tDONE\tIN PROGRESS"}
	for _, p := range d.Pools {
		var moving []string
		for _, m := range p.Moving {
			moving = append(moving, m.Node+" ("+m.Stage+")")
		}
		name := p.Name
		if p.Paused {
			name += " (paused)"
		}
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%s", name, p.Nodes, p.Done, some(moving, t.most)))
	}
	t.table(rows)
	for _, o := range first(d.Obstacles, t.most) {
		t.obstacle(o, d.At)
	}
	t.more(len(d.Obstacles), "nodes")
	t.gaps(d.Gaps)
	return t.String()
}

// obstacle is one chain, a link a line, the root cause at its end.
func (t *text) obstacle(o Obstacle, at time.Time) {
	head := "node " + o.Node + " does not get on"
	if len(o.Chain) > 0 {
		head = o.Chain[0].Message
	}
	t.head("%s%s (pool %s)", head, sinceWords(o.Since, at), o.Pool)
	for i, l := range o.Chain {
		if i > 0 {
			t.paragraph("  "+strings.Repeat(" ", i-1)+"<- ", l.Message)
		}
	}
	told := false
	for _, p := range o.Pods {
		for _, pull := range p.Pulls {
			if pull.Message == o.Cause {
				continue
			}
			if !told {
				t.line("  also waited for:")
				told = true
			}
			t.paragraph("  - ", fmt.Sprintf("pod %s/%s, %s: %s", p.Namespace, p.Name, pull.Reference, pull.Message))
		}
	}
	t.advice("what helps", o.Advice.Helps)
	t.advice("what does not", o.Advice.Useless)
}

func (t *text) advice(head string, list []string) {
	if len(list) == 0 {
		return
	}
	t.line("  " + head + ":")
	for _, a := range list {
		t.paragraph("  - ", a)
	}
}

// sinceWords are since when, and how long that is at the time of the look.
func sinceWords(since, at time.Time) string {
	if since.IsZero() {
		return ""
	}
	out := " since " + since.UTC().Format(time.RFC3339)
	if d := at.Sub(since).Truncate(time.Second); d > 0 {
		out += " (" + d.String() + ")"
	}
	return out
}
