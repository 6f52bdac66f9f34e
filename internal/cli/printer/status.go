package printer

import (
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// StatusReport is how rollouts stand, by what the operator has written on them. Its JSON is stable
// like that of a Report.
type StatusReport struct {
	Format   int             `json:"format"`
	At       time.Time       `json:"at"`
	Rollouts []RolloutStatus `json:"rollouts"`
	Code     StatusCode      `json:"verdict"`
}

// StatusCode is the worst of all rollouts in a word.
type StatusCode string

// How rollouts stand, the best first.
const (
	// StatusComplete: every node has what was declared.
	StatusComplete StatusCode = "Complete"
	// StatusInProgress: it goes on by itself.
	StatusInProgress StatusCode = "UnderWay"
	// StatusHeld: somebody has to do something.
	StatusHeld StatusCode = "Held"
)

// ExitCode is that of the command.
func (c StatusCode) ExitCode() int {
	switch c {
	case StatusComplete:
		return 0
	case StatusInProgress:
		return 2
	default:
		return 3
	}
}

// RolloutStatus is how one rollout stands.
type RolloutStatus struct {
	Name    string     `json:"name"`
	Verdict StatusCode `json:"verdict"`
	// Next is what happens next, or what somebody has to do.
	Next   string                           `json:"next"`
	Status v1alpha1.SafeMirrorRolloutStatus `json:"status"`
	// Outdated is true when the operator has not looked at the newest spec yet.
	Outdated bool `json:"outdated,omitempty"`
}

// NewStatus makes the report.
func NewStatus(list []v1alpha1.SafeMirrorRollout, at time.Time) StatusReport {
	out := StatusReport{Format: FormatVersion, At: at.UTC(), Rollouts: []RolloutStatus{}, Code: StatusComplete}
	for i := range list {
		one := rolloutStatusOf(&list[i])
		if one.Verdict.ExitCode() > out.Code.ExitCode() {
			out.Code = one.Verdict
		}
		out.Rollouts = append(out.Rollouts, one)
	}
	return out
}

func rolloutStatusOf(r *v1alpha1.SafeMirrorRollout) RolloutStatus {
	one := RolloutStatus{Name: r.Name, Status: r.Status, Verdict: StatusInProgress,
		Outdated: r.Status.ObservedGeneration != r.Generation}
	is := func(kind string) bool {
		return meta.IsStatusConditionPresentAndEqual(r.Status.Conditions, kind, metav1.ConditionTrue)
	}
	ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		one.Next = "no operator has looked at it yet"
		return one
	case one.Outdated:
		one.Next = fmt.Sprintf("the operator has not looked at generation %d of the spec yet", r.Generation)
		return one
	case is(v1alpha1.ConditionReady):
		one.Verdict, one.Next = StatusComplete, "nothing: "+ready.Message
		return one
	case is(v1alpha1.ConditionStalled), hasBlockedDrain(r.Status):
		one.Verdict = StatusHeld
	}
	one.Next = ready.Message
	return one
}

// hasBlockedDrain tells whether an updating node is held by something that does not pass by itself.
func hasBlockedDrain(s v1alpha1.SafeMirrorRolloutStatus) bool {
	for _, o := range s.BlockedDrains {
		if !o.Transient {
			return true
		}
	}
	return false
}

// Write writes it as text, json or yaml.
func (s StatusReport) Write(w io.Writer, format string) error {
	switch format {
	case "", "text":
		_, err := io.WriteString(w, s.text())
		return err
	default:
		return writeData(w, s, format, DiagnosisFormats)
	}
}

func (s StatusReport) text() string {
	t := &textWriter{limit: defaultLimit}
	if len(s.Rollouts) == 0 {
		t.line("there is no SafeMirrorRollout; safe-mirror diagnose looks at nodes that plain mirror sets have in progress")
	}
	for i, one := range s.Rollouts {
		if i > 0 {
			t.line("")
		}
		t.rollout(one, s.At)
	}
	return t.String()
}

var statusText = map[StatusCode]string{StatusComplete: "COMPLETE", StatusInProgress: "IN PROGRESS", StatusHeld: "HELD"}

func (t *textWriter) rollout(one RolloutStatus, at time.Time) {
	st := one.Status
	phase := st.Phase
	if phase == "" {
		phase = "not begun"
	}
	t.line(fmt.Sprintf("%s  %s, phase %s", one.Name, statusText[one.Verdict], phase))
	t.paragraph("  next    ", one.Next)
	if m := st.Images; m.Total > 0 {
		line := fmt.Sprintf("%d references, %d change, %d of them proven, %d copied", m.Total, m.Changed, m.Verified,
			m.Copied)
		for _, c := range []struct {
			n    int32
			word string
		}{{m.Failed, "failed"}, {m.Lost, "lost"}, {m.Accepted, "accepted"}, {m.NoWorse, "no worse than today"},
			{m.Drifted, "moved at the source"}} {
			if c.n > 0 {
				line += fmt.Sprintf(", %d %s", c.n, c.word)
			}
		}
		t.paragraph("  images  ", line)
	}
	if st.Nodes.Total > 0 {
		t.line(fmt.Sprintf("  nodes   %s updated", st.Nodes.Summary))
		rows := []string{"  POOL\tUPDATED\tNODE"}
		for _, p := range st.Pools {
			updating := "-"
			if p.Node != "" {
				updating = p.Node + " (" + string(p.NodeState) + ")"
			}
			name := p.Name
			if p.Paused {
				name += " (paused)"
			}
			rows = append(rows, fmt.Sprintf("  %s\t%d/%d\t%s", name, p.Updated, p.Total, updating))
		}
		t.table(rows)
	}
	for _, o := range st.BlockedDrains {
		t.blockedDrainStatus(o, at)
	}
	t.blockers(st, at)
}

func (t *textWriter) blockedDrainStatus(o v1alpha1.BlockedDrain, at time.Time) {
	for i, l := range o.CauseChain {
		if i == 0 {
			t.line("  " + l.Message + sinceText(o.Since.Time, at))
			continue
		}
		t.paragraph("    "+strings.Repeat(" ", i-1)+"<- ", l.Message)
	}
	if !o.Transient {
		t.line("    safe-mirror diagnose says what helps")
	}
}

// blockers names what is waited for; what the chain of an obstacle has told already is left out.
func (t *textWriter) blockers(st v1alpha1.SafeMirrorRolloutStatus, at time.Time) {
	reported := map[string]bool{}
	for _, o := range st.BlockedDrains {
		reported["Node/"+o.Node] = true
	}
	head := false
	for _, b := range firstN(st.Blockers, t.limit) {
		if reported[b.Kind+"/"+b.Name] {
			continue
		}
		if !head {
			t.line("  waits for")
			head = true
		}
		name := b.Name
		if b.Namespace != "" {
			name = b.Namespace + "/" + b.Name
		}
		t.paragraph("  - ", b.Kind+" "+name+sinceText(b.Since.Time, at)+": "+b.Message)
	}
	t.more(len(st.Blockers), "of them")
}
