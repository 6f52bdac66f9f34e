package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Outcome is what came of a run.
type Outcome struct {
	At    string `json:"at"`
	Fault Fault  `json:"fault"`
	// Failures are empty when it converged and nothing happened that must not.
	Failures []string `json:"wrongs,omitempty"`
	// Injected is how often the fault came: not at all when the run did without that write.
	Injected int `json:"struck"`
	// Seconds is how long the rollout took, the fault included.
	Seconds float64 `json:"seconds"`
}

// Append appends the outcome to the file, so that the runs may be made in several parts.
func (o Outcome) Append(file string) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(append(line, '\n'))
	return err
}

// ReadOutcomes reads the outcomes of the file. Of several of the same run the last one counts.
func ReadOutcomes(file string) (map[FaultRun]Outcome, error) {
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return map[FaultRun]Outcome{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[FaultRun]Outcome{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o Outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out[FaultRun{o.At, o.Fault}] = o
	}
	return out, lines.Err()
}

// Summary counts the runs for the RESULT line.
func Summary(kept map[FaultRun]Outcome) string {
	converged, struck := 0, 0
	for _, o := range kept {
		if len(o.Failures) == 0 {
			converged++
		}
		if o.Injected > 0 {
			struck++
		}
	}
	return fmt.Sprintf("RESULT writes=%d runs=%d struck=%d converged=%d", len(Recorded()), len(kept), struck, converged)
}

// Table is the outcomes as Markdown: a row for each write, a column for each fault. A cell is the
// seconds that the run took, a dash when the run did without the write, and what was wrong.
func Table(kept map[FaultRun]Outcome) string {
	var b strings.Builder
	b.WriteString("| # | write | ")
	for _, f := range Faults() {
		fmt.Fprintf(&b, "%s | ", f)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(Faults())) + "\n")
	for i, line := range append(Recorded(), EveryWrite) {
		name := line
		if line == EveryWrite {
			name = "each write once"
		}
		fmt.Fprintf(&b, "| %d | %s | ", i+1, name)
		for _, f := range Faults() {
			o, ran := kept[FaultRun{writeKey(line), f}]
			fmt.Fprintf(&b, "%s | ", cell(o, ran))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func cell(o Outcome, ran bool) string {
	switch {
	case !ran:
		return ""
	case len(o.Failures) > 0:
		return "**" + strings.ReplaceAll(strings.Join(o.Failures, "; "), "|", "/") + "**"
	case o.Injected == 0:
		return "–"
	default:
		return fmt.Sprintf("%.0f", o.Seconds)
	}
}
