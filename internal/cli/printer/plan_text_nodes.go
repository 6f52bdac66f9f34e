package printer

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"
)

func (t *textWriter) pools(pools []PoolForecast) {
	if len(pools) == 0 {
		return
	}
	t.head("POOLS")
	rows := []string{"POOL\tNODES\tUPDATED\tEACH NODE\tEVICTIONS\tMOST ON A NODE\tBECAUSE"}
	for _, p := range pools {
		does := string(p.Effect)
		if does == "" {
			does = "unknown"
		}
		name := p.Name
		if p.Paused {
			name += " (paused)"
		}
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%s\t%d\t%d\t%s", name, p.Nodes, p.Updated, does, p.Evictions,
			p.MostOnANode, p.Rule))
	}
	t.table(rows)
	for _, p := range pools {
		t.nextNodes(p)
		t.drains(p)
	}
	for _, p := range pools {
		if len(p.PendingChanges) > 0 {
			t.paragraph("  ", fmt.Sprintf("%s: with the registries come other changes that drain or reboot: %s", p.Name,
				strings.Join(p.PendingChanges, ", ")))
		}
	}
}

func (t *textWriter) nextNodes(p PoolForecast) {
	switch {
	case !p.changes() || p.Nodes == 0:
		return
	case len(p.First) == 0:
		t.paragraph("  ", p.Name+": no node can be taken now")
	case len(p.First) == 1:
		t.paragraph("  ", fmt.Sprintf("%s: the first node is %s", p.Name, p.First[0]))
	default:
		t.paragraph("  ", fmt.Sprintf("%s: the first node is one of %s; which, is decided at random", p.Name,
			abbreviate(p.First, t.limit)))
	}
	var rows []string
	for _, l := range firstN(p.Others, t.limit) {
		when := "later"
		if l.NotCandidate {
			when = "not now"
		}
		rows = append(rows, fmt.Sprintf("  %s\t%s\t%s", l.Node, when, l.Why))
	}
	t.table(rows)
	t.more(len(p.Others), "nodes")
}

func (t *textWriter) immediate(list []ImmediateConsumer) {
	if len(list) == 0 {
		return
	}
	t.head("AT ONCE (%d): these use the mirrors as soon as the mirror sets exist, before any node and whether pools are paused or not", len(list))
	var rows []string
	for _, s := range firstN(list, t.limit) {
		images := "images that cannot be told from the cluster"
		if len(s.Images) > 0 {
			images = abbreviate(s.Images, 3)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", s.Owner, s.By, images))
	}
	t.table(rows)
	t.more(len(list), "of them")
}

func (t *textWriter) estimate(r PlanReport) {
	e := r.Estimate
	t.head("EXPECT")
	t.line("  images    " + plural(e.Images, "has", "have") + " to be at a mirror before anything is applied")
	if c := e.Copy; c == nil {
		t.line("  copying   not known: registries were not asked (--ask-registries)")
	} else {
		line := fmt.Sprintf("%s, %s, about %s", plural(c.Images, "image is", "images are")+" missing",
			units.BytesSize(float64(c.Bytes)), plural(c.Requests, "request", "requests"))
		if c.Unknown > 0 {
			line += fmt.Sprintf("; of %d more it could not be found out", c.Unknown)
		}
		t.line("  copying   " + line)
	}
	if e.Nodes > 0 {
		t.paragraph("  release   ", fmt.Sprintf("%s, %s", e.Release.Mechanism, atMost(e.Release.MaxConcurrent)+
			" at a time"))
	}
	if e.Release.Advice != "" {
		t.paragraph("            ", e.Release.Advice)
	}
	t.line("  evictions " + fmt.Sprintf("%d, of the pods that run now", e.Evictions))
	if e.Nodes > 0 {
		t.paragraph("  time      ", fmt.Sprintf("%s to %s for %s (%s)", minutesText(e.Minutes.From),
			minutesText(e.Minutes.To), plural(e.Nodes, "node", "nodes"), e.Assumption))
	}
}

// minutesText is minutes for people.
func minutesText(minutes int) string {
	switch {
	case minutes < 120:
		return fmt.Sprintf("%d min", minutes)
	case minutes < 48*60:
		return fmt.Sprintf("%d h", (minutes+30)/60)
	}
	return fmt.Sprintf("%d days", (minutes+12*60)/(24*60))
}

func (t *textWriter) accepted(list []AcceptedRisk) {
	if len(list) == 0 {
		return
	}
	t.head("ACCEPTED RISKS")
	rows := []string{"PATTERN\tREFERENCES\tREASON"}
	for _, r := range firstN(list, t.limit) {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%s", r.Pattern, r.Count, r.Reason))
	}
	t.table(rows)
	t.more(len(list), "risks")
}

// gaps names what the cluster does not have in one line: it is no hole.
func (t *textWriter) gaps(list []CoverageGap) {
	var absent []string
	var gaps []CoverageGap
	for _, g := range list {
		if g.Absent {
			absent = append(absent, g.Source)
		} else {
			gaps = append(gaps, g)
		}
	}
	if len(gaps) > 0 {
		t.head("NOT SEEN (%d)", len(gaps))
		for _, g := range firstN(gaps, t.limit) {
			mark := ""
			if g.Essential {
				mark = " (decides)"
			}
			t.paragraph("  - ", g.Source+mark+": "+g.Why)
		}
		t.more(len(gaps), "gaps")
	}
	if len(absent) > 0 {
		t.line("")
		t.paragraph("not in this cluster: ", strings.Join(absent, ", "))
	}
}
