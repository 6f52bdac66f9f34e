package printer

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
)

// defaultLimit is how many of a list the text names, unless it is to show all.
const defaultLimit = 10

// Text writes the report for people; wide shows all of every list.
func (r PlanReport) Text(w io.Writer, wide bool) error {
	t := &textWriter{limit: defaultLimit}
	if wide {
		t.limit = int(^uint(0) >> 1)
	}
	t.line(verdictWords[r.Verdict.Code] + ": " + r.Verdict.Message)
	t.reasons(r.Verdict)
	t.about(r)
	if r.Verdict.Code != NothingToDo {
		t.changes(r)
		t.breaks(r)
		t.notices("WOULD NOT BEGIN NOW", r.Blockers)
		t.shadows(r.Shadows)
		t.pools(r.Pools)
		t.immediate(r.Immediate)
		t.notices("TRAPS", r.Traps)
		t.estimate(r)
		t.accepted(r.Accepted)
	}
	t.gaps(r.Gaps)
	_, err := io.WriteString(w, t.String())
	return err
}

var verdictWords = map[VerdictCode]string{NothingToDo: "NOTHING TO DO", Changes: "CHANGES", Blocked: "BLOCKED",
	CannotTell: "CANNOT TELL"}

// textWriter is what has been written so far, and how much of a list is named.
type textWriter struct {
	strings.Builder
	limit int
}

// width is that of a line; a name that is longer is not broken.
const width = 130

func (t *textWriter) line(s string) { t.WriteString(strings.TrimRight(s, " ") + "\n") }

func (t *textWriter) head(format string, args ...any) { t.line("\n" + fmt.Sprintf(format, args...)) }

// paragraph breaks lines between words, the first after lead and the others below it.
func (t *textWriter) paragraph(lead, s string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	at := lead
	empty := true
	for _, word := range strings.Fields(s) {
		if !empty && utf8.RuneCountInString(at)+1+utf8.RuneCountInString(word) > width {
			t.line(at)
			at, empty = indent, true
		}
		if !empty {
			at += " "
		}
		at, empty = at+word, false
	}
	t.line(at)
}

// table aligns rows; cells are divided by tabs.
func (t *textWriter) table(rows []string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	w.Flush()
	for line := range strings.Lines(b.String()) {
		t.line("  " + strings.TrimSuffix(line, "\n"))
	}
}

// more says how much of a list is not shown.
func (t *textWriter) more(n int, what string) {
	if n > t.limit {
		t.line(fmt.Sprintf("  and %d more %s: -o wide names all", n-t.limit, what))
	}
}

func firstN[T any](list []T, limit int) []T { return list[:min(len(list), limit)] }

func (t *textWriter) reasons(v Verdict) {
	if len(v.Reasons) < 2 {
		return
	}
	for _, reason := range firstN(v.Reasons, t.limit) {
		t.paragraph("  - ", reason)
	}
	t.more(len(v.Reasons), "reasons")
}

func (t *textWriter) about(r PlanReport) {
	change := "SafeMirrorRollout " + r.Change.Name
	if r.Change.Plain {
		change = "plain mirror sets (" + r.Change.Name + "), planned as if a SafeMirrorRollout carried them"
	}
	version := r.Cluster.Version
	if version == "" {
		version = "of an unknown version"
	}
	t.head("%s", change)
	t.line(fmt.Sprintf("cluster %s, %s, %s (%d can be pulled at any moment, %d advisory, %d historical)", version,
		plural(r.Cluster.Nodes, "node", "nodes"),
		plural(r.References.Total, "image reference", "image references"), r.References.Blocking, r.References.Advisory,
		r.References.Historical))
	if n := len(r.References.Unreadable); n > 0 {
		t.line(fmt.Sprintf("%s no node can read: %s", plural(n, "reference", "references"),
			abbreviate(r.References.Unreadable, t.limit)))
	}
}

func (t *textWriter) changes(r PlanReport) {
	unknown := slices.ContainsFunc(r.Pools, func(p PoolForecast) bool { return p.Effect == "" })
	switch {
	case len(r.Changes) == 0 && (unknown || len(r.Pools) == 0):
		t.head("WHAT CHANGES cannot be said")
		return
	case len(r.Changes) == 0:
		t.head("WHAT CHANGES: where images are pulled from stays the same for every reference")
		return
	}
	t.head("WHAT CHANGES")
	rows := []string{"CLASS\tREFERENCES\tIN USE\tMEANING"}
	for _, c := range r.Changes {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%s", c.Change, c.Count, c.Blocking,
			changeMeaning[string(c.Change)]))
	}
	t.table(rows)
	for _, c := range r.Changes {
		t.line("\n  " + string(c.Change))
		var rows []string
		for _, i := range firstN(c.Items, t.limit) {
			rows = append(rows, fmt.Sprintf("  %s\t%s\t%s\t%s", i.Reference, forecastText[i.Forecast], route(i),
				usedBy(i)))
		}
		t.table(rows)
		t.more(c.Count, "of this class")
	}
}

var changeMeaning = map[string]string{
	"RewriteError": "the name cannot be rewritten for a mirror: the pull fails before anybody is asked",
	"NewlyBlocked": "a place that is asked today, often the source, is refused",
	"LosesMirror":  "a place that is asked today is no longer",
	"GainsMirror":  "a new place is asked; a node that finds the manifest there takes all of the image from there",
	"OrderChanged": "the same places in another order",
	"Unblocked":    "a place that is refused today is asked",
	"Unchanged":    "cannot be pulled before or after",
}

var forecastText = map[plan.PullForecast]string{
	plan.Lost: "BREAKS", plan.AtRisk: "at risk", plan.ToMirror: "to be proven", plan.Proven: "can be pulled",
	plan.Accepted:    "accepted",
	plan.NotBlocking: "not in use", plan.NoWorse: "no worse than today",
}

// route is where the reference would be looked for.
func route(i ReferenceChange) string {
	var after []string
	for _, e := range i.After {
		switch {
		case e.Blocked && e.Reference == i.Reference:
			after = append(after, "source (blocked)")
		case e.Blocked:
			after = append(after, e.Reference+" (blocked)")
		case e.Reference == i.Reference:
			after = append(after, "source")
		default:
			after = append(after, e.Reference)
		}
	}
	if len(after) == 0 {
		return "-> nowhere"
	}
	return "-> " + strings.Join(after, ", ")
}

func usedBy(i ReferenceChange) string {
	switch {
	case len(i.Owners) == 0:
		return ""
	case i.OwnerCount > 1:
		return fmt.Sprintf("%s and %d more", i.Owners[0], i.OwnerCount-1)
	}
	return i.Owners[0]
}

// breaks explains each reference that is lost or at risk, with its remedy.
func (t *textWriter) breaks(r PlanReport) {
	for _, part := range []struct {
		head     string
		forecast plan.PullForecast
		n        int
	}{{"WOULD BREAK", plan.Lost, len(r.Breaks)}, {"AT RISK", plan.AtRisk, len(r.AtRisk)}} {
		if part.n == 0 {
			continue
		}
		t.head("%s (%d)", part.head, part.n)
		shown := 0
		r.items(func(i ReferenceChange) {
			if i.Forecast == part.forecast && shown < t.limit {
				shown++
				t.paragraph("  - ", i.Message)
			}
		})
		t.more(part.n, "references")
	}
	t.mirrors(r)
}

// mirrors says what the registries answered about what has to be at a mirror.
func (t *textWriter) mirrors(r PlanReport) {
	var lines []string
	r.items(func(i ReferenceChange) {
		if i.Forecast == plan.ToMirror && i.Mirror != "" {
			lines = append(lines, i.Reference+": "+i.Mirror)
		}
	})
	if len(lines) == 0 {
		return
	}
	t.head("NOT AT THE MIRROR YET, OR NOT WHOLE (%d); nothing is applied before it is", len(lines))
	for _, l := range firstN(lines, t.limit) {
		t.paragraph("  - ", l)
	}
	t.more(len(lines), "references")
}

func (t *textWriter) notices(head string, list []Notice) {
	if len(list) == 0 {
		return
	}
	t.head("%s (%d)", head, len(list))
	for _, f := range firstN(list, t.limit) {
		message := f.Message
		if f.Object != "" && !strings.Contains(message, strings.ReplaceAll(f.Object, "/", " ")) {
			message = f.Object + " " + message
		}
		if f.Existing {
			message = "(the cluster has this already) " + message
		}
		t.paragraph("  - ", message)
	}
	t.more(len(list), "of them")
}

func (t *textWriter) shadows(list []Shadow) {
	if len(list) == 0 {
		return
	}
	t.head("SHADOWED: a narrower scope takes references away from the mirrors they have")
	for _, s := range firstN(list, t.limit) {
		t.paragraph("  - ", fmt.Sprintf("%s, by its source %s: %s", s.Object, s.Scope,
			abbreviate(s.References, t.limit)))
	}
	t.more(len(list), "objects")
}
