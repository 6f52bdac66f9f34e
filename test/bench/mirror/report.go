package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// report makes text of what was measured. It measures nothing itself.
type report struct {
	setting environmentInfo
	series  []measurements
	rounds  int
}

// The targets on the shaped link with corpus A, but for the loopback one.
const (
	wallTarget     = 0.50
	loopbackTarget = 1.00
	bytesTarget    = 1.02
	requestsTarget = 0.60
	warmTarget     = 2.00
	peakTarget     = 150.0
)

// summary is what a tool's rounds come to: medians, except for the peak, which is the highest of
// all.
type summary struct {
	tool                       tool
	cold, warm, processor      float64 // seconds
	ratio                      float64 // uploaded bytes by distinct bytes, NaN where not counted
	coldRequests, warmRequests float64
	source, target             map[string]float64 // requests of the cold run by method
	peak                       float64            // MiB
	failed                     error
}

// summarize gives a tool's figures. One failed round makes all of it not count: medians of the
// luckier rounds would flatter.
func summarize(t toolSamples, unique int64) summary {
	s := summary{tool: t.tool}
	for _, one := range t.samples {
		s.failed = cmp.Or(s.failed, one.failed)
		s.peak = max(s.peak, float64(max(one.cold.peak, one.warm.peak))/(1<<20))
	}
	of := func(value func(sample) float64) float64 {
		values := make([]float64, len(t.samples))
		for i, one := range t.samples {
			values[i] = value(one)
		}
		return median(values)
	}
	s.cold = of(func(x sample) float64 { return x.cold.wall.Seconds() })
	s.warm = of(func(x sample) float64 { return x.warm.wall.Seconds() })
	s.processor = of(func(x sample) float64 { return x.cold.processor.Seconds() })
	s.coldRequests = of(func(x sample) float64 { return float64(x.cold.requests()) })
	s.warmRequests = of(func(x sample) float64 { return float64(x.warm.requests()) })
	s.ratio = math.NaN()
	if uploaded := of(func(x sample) float64 { return float64(x.cold.uploaded) }); uploaded > 0 {
		s.ratio = uploaded / float64(unique)
	}
	s.source, s.target = map[string]float64{}, map[string]float64{}
	for _, method := range methods {
		s.source[method] = of(func(x sample) float64 { return float64(x.cold.source[method]) })
		s.target[method] = of(func(x sample) float64 { return float64(x.cold.target[method]) })
	}
	return s
}

var methods = []string{"HEAD", "GET", "POST", "PATCH", "PUT"}

// median is the middle value, the lower one of two.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

func (s measurements) summaries() []summary {
	var all []summary
	for _, t := range s.tools {
		all = append(all, summarize(t, s.corpus.unique))
	}
	return all
}

// findSummary finds a tool whose figures count.
func findSummary(all []summary, name string) (summary, bool) {
	at := slices.IndexFunc(all, func(s summary) bool { return s.tool.name == name && s.failed == nil })
	if at < 0 {
		return summary{}, false
	}
	return all[at], true
}

// bestPeer is the fastest cold run that is not ours.
func bestPeer(all []summary) (summary, bool) {
	peers := slices.DeleteFunc(slices.Clone(all),
		func(s summary) bool { return s.tool.name == safeMirrorName || s.failed != nil })
	if len(peers) == 0 {
		return summary{}, false
	}
	return slices.MinFunc(peers, func(a, b summary) int { return cmp.Compare(a.cold, b.cold) }), true
}

// figures are what the targets are about. One that could not be measured is NaN.
type figures struct {
	wall, loopback, bytes, requests, warm, peak float64
	best, loopbackBest                          summary
}

func (r report) figures() figures {
	unknown := math.NaN()
	f := figures{wall: unknown, loopback: unknown, bytes: unknown, requests: unknown, warm: unknown, peak: unknown}
	for _, s := range r.series {
		all := s.summaries()
		ours, ok := findSummary(all, safeMirrorName)
		if !ok || s.corpus.name != "A" {
			continue
		}
		best, haveBest := bestPeer(all)
		if s.link == loopback {
			if haveBest {
				f.loopback, f.loopbackBest = ours.cold/best.cold, best
			}
			continue
		}
		if haveBest {
			f.wall, f.best = ours.cold/best.cold, best
		}
		f.bytes, f.peak = ours.ratio, ours.peak
		if peer, ok := findSummary(all, "regctl"); ok {
			f.requests = ours.coldRequests / peer.coldRequests
		}
		if peer, ok := findSummary(all, "regsync"); ok {
			f.warm = ours.warm / peer.warm
		}
	}
	return f
}

// resultLines are the lines that end the output, the RESULT line at the very end.
func (r report) resultLines() []string {
	f := r.figures()
	against := ""
	if f.loopbackBest.tool.name != "" {
		against = fmt.Sprintf(" best=%s", f.loopbackBest.tool.name)
	}
	return []string{
		fmt.Sprintf("LOOPBACK wall_vs_best=%s%s", decimals(f.loopback), against),
		fmt.Sprintf("RESULT wall_vs_best=%s bytes_vs_unique=%s requests_vs_regclient=%s warm_vs_regsync=%s peak_mib=%s",
			decimals(f.wall), decimals(f.bytes), decimals(f.requests), decimals(f.warm), decimals(f.peak)),
	}
}

// ourFailure is the first failure of safe-mirror itself.
func (r report) ourFailure() error {
	for _, s := range r.series {
		for _, one := range s.summaries() {
			if one.tool.name == safeMirrorName && one.failed != nil {
				return fmt.Errorf("%s failed on the %s link with corpus %s: %w", safeMirrorName, s.link, s.corpus.name,
					one.failed)
			}
		}
	}
	return nil
}

func decimals(x float64) string {
	if math.IsNaN(x) {
		return "n/a"
	}
	return fmt.Sprintf("%.2f", x)
}

// markdown is the report as it goes into docs/performance.md, and readable as it is.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s: %s; load average before the first run %.1f; registries' storage in %s; medians of %d rounds.\n",
		r.setting.date, r.setting.machine, r.setting.load, r.setting.storage, r.rounds)
	if r.setting.link != "" {
		fmt.Fprintf(&b, "Shaped %s.\n", r.setting.link)
	}
	fmt.Fprintf(&b, "Peak memory is that of the largest single process; less than %.0f MiB cannot be told.\n\n",
		r.setting.floor)
	for _, version := range r.setting.versions {
		fmt.Fprintf(&b, "- %s\n", version)
	}
	for _, name := range r.setting.missingTools {
		fmt.Fprintf(&b, "- %s: not installed, not measured\n", name)
	}
	b.WriteString("\n" + r.targets().String())
	for _, s := range r.series {
		all := s.summaries()
		fmt.Fprintf(&b, "\n### %s link, corpus %s: %s\n\n", capitalize(s.link), s.corpus.name, s.corpus.title)
		fmt.Fprintf(&b, "%d distinct blobs, %.1f MB of distinct bytes with manifests.\n\n", s.corpus.blobs,
			float64(s.corpus.unique)/1e6)
		b.WriteString(overview(all).String() + "\n" + byMethod(all).String())
	}
	return b.String()
}

func capitalize(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// targets holds the figures against what the project has promised.
func (r report) targets() table {
	f := r.figures()
	t := table{{"target (corpus A)", "at most", "measured", ""}}
	add := func(what string, limit, measured float64) {
		verdict := "met"
		switch {
		case math.IsNaN(measured):
			verdict = "not measured"
		case measured > limit:
			verdict = "**MISSED**"
		}
		t = append(t, []string{what, decimals(limit), decimals(measured), verdict})
	}
	against := func(best summary) string {
		if best.tool.name == "" {
			return "the best peer's"
		}
		return fmt.Sprintf("the best peer's (%s, %.2f s)", best.tool.name, best.cold)
	}
	add("shaped: cold wall time by "+against(f.best), wallTarget, f.wall)
	add("loopback: cold wall time by "+against(f.loopbackBest), loopbackTarget, f.loopback)
	add("shaped: bytes uploaded by distinct bytes", bytesTarget, f.bytes)
	add("shaped: requests by those of `regctl image copy`", requestsTarget, f.requests)
	add("shaped: warm wall time, verifying every blob, by that of `regsync once`", warmTarget, f.warm)
	add("shaped: peak memory in MiB", peakTarget, f.peak)
	return t
}

// overview is a row per tool.
func overview(all []summary) table {
	t := table{{"tool", "cold s", "by best peer", "uploaded / distinct", "requests", "CPU s", "peak MiB", "warm s",
		"warm requests"}}
	best, haveBest := bestPeer(all)
	for _, s := range all {
		if s.failed != nil {
			reason, _, _ := strings.Cut(s.failed.Error(), "\n")
			t = append(t, []string{s.tool.name, "failed: " + reason, "", "", "", "", "", "", ""})
			continue
		}
		against := math.NaN()
		if haveBest {
			against = s.cold / best.cold
		}
		t = append(t, []string{
			s.tool.name, decimals(s.cold), decimals(against), decimals(s.ratio), formatWhole(s.coldRequests),
			decimals(s.processor),
			formatWhole(s.peak), decimals(s.warm), formatWhole(s.warmRequests),
		})
	}
	return t
}

// byMethod is a row per tool with the requests of its cold run.
func byMethod(all []summary) table {
	header := []string{"cold requests"}
	for _, side := range []string{"source", "target"} {
		for _, method := range methods {
			if side == "target" || method == "HEAD" || method == "GET" {
				header = append(header, side+" "+method)
			}
		}
	}
	t := table{header}
	for _, s := range all {
		if s.failed != nil {
			continue
		}
		row := []string{s.tool.name, formatWhole(s.source["HEAD"]), formatWhole(s.source["GET"])}
		for _, method := range methods {
			row = append(row, formatWhole(s.target[method]))
		}
		t = append(t, row)
	}
	return t
}

func formatWhole(x float64) string { return fmt.Sprintf("%.0f", x) }

// table is a header and rows.
type table [][]string

// String aligns it: the first column to the left, the others to the right.
func (t table) String() string {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), 3)
		}
	}
	var b strings.Builder
	for n, row := range t {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len(cell))
			if i == 0 {
				b.WriteString("| " + cell + pad)
			} else {
				b.WriteString(" | " + pad + cell)
			}
		}
		b.WriteString(" |\n")
		if n == 0 {
			for i, width := range widths {
				if i == 0 {
					b.WriteString("|" + strings.Repeat("-", width+2) + "|")
				} else {
					b.WriteString(strings.Repeat("-", width+1) + ":|")
				}
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// What is between these lines of a document is written by -doc.
const (
	beginGenerated = "<!-- begin: written by hack/bench-mirror.sh --doc -->\n"
	endGenerated   = "<!-- end: written by hack/bench-mirror.sh --doc -->\n"
)

func replaceGenerated(file, text string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, foundBegin := strings.Cut(string(document), beginGenerated)
	_, after, foundEnd := strings.Cut(rest, endGenerated)
	if !foundBegin || !foundEnd {
		return fmt.Errorf("%s has no lines %q and %q to write between", file, strings.TrimSpace(beginGenerated),
			strings.TrimSpace(endGenerated))
	}
	return os.WriteFile(file, []byte(before+beginGenerated+"\n"+text+"\n"+endGenerated+after), 0o644)
}
