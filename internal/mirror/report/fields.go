package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// What the schema of a SafeMirrorReport allows: of texts in characters, kept here in bytes, and of
// lists in members.
const (
	maxImage      = 1024
	maxName       = 253
	maxPlanDigest = 128
	maxOwners     = 5
	maxOwner      = 640
	maxListed     = 32 // pools, places
	maxPool       = 512
	maxDigest     = 160
	maxMessage    = 2048
	maxGaps       = 100
	maxGapSource  = 256
	maxGapMessage = 1024
)

const unchanged = v1alpha1.PullChange(registriesconf.Unchanged)

// owners are the first owners, and how many there are in all.
func owners(ref inventory.Reference) ([]string, int32) {
	var out []string
	for _, o := range ref.Owners[:min(len(ref.Owners), maxOwners)] {
		out = append(out, truncate(o.String(), maxOwner))
	}
	return out, int32(min(ref.Count, 1<<31-1))
}

// endpointsOf are those that a node contacts, in order. When it contacts none, the reference cannot
// be pulled, and the message says why.
func endpointsOf(r registriesconf.Resolution) []string {
	var out []string
	for _, e := range r.Usable() {
		if len(out) < maxListed {
			out = append(out, truncate(e.Reference, maxImage))
		}
	}
	return out
}

// reportedGaps names first what is missing from the inventory, and then what the cluster does not
// have.
func reportedGaps(found []inventory.UnreadSource) []v1alpha1.UnreadSource {
	var out []v1alpha1.UnreadSource
	size := 0
	for _, absent := range []bool{false, true} {
		for _, g := range found {
			if g.Absent != absent {
				continue
			}
			source := g.Source
			if g.Kind != "" && g.Kind != g.Source {
				source = fmt.Sprintf("%s (%s)", g.Source, g.Kind)
			}
			gap := v1alpha1.UnreadSource{Source: truncate(source, maxGapSource),
				Message: truncate(g.Why, maxGapMessage)}
			if size += sizeOfGap(gap); len(out) == maxGaps || size > maxGapBytes {
				return out
			}
			out = append(out, gap)
		}
	}
	return out
}

func omittedGap(references int) v1alpha1.UnreadSource {
	return v1alpha1.UnreadSource{Source: "report", Message: fmt.Sprintf(
		"%d references are not listed: the report has %d parts of at most %d entries and %d bytes, and what changes or holds the rollout comes first; "+
			"safe-mirror plan -o json lists all of them", references, maxParts, maxEntries, maxBytes)}
}

// statesByPriority is of the states, the one least worth keeping first.
var statesByPriority = []v1alpha1.ReferenceState{"Ignored", "Accepted", "NoWorse", "Proven", "Open", "Failing", "Lost"}

// priorityOf ranks what changes above what does not, and of that what a pod can need now above the
// rest.
func priorityOf(r *v1alpha1.ReportedReference) int {
	switch {
	case r.State != "":
		return 10 + slices.Index(statesByPriority, r.State)
	case r.Class == v1alpha1.ReferenceClass(inventory.Blocking):
		return 2
	case r.Class == v1alpha1.ReferenceClass(inventory.Advisory):
		return 1
	default:
		return 0
	}
}

// truncate keeps at most so many bytes, and cuts between characters, never inside one: the API
// server refuses what is not UTF-8. Characters that are not printable become escapes, as an image
// reference or a message of a registry may have any.
func truncate(s string, most int) string {
	if len(s) <= most && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
		return s // as nearly all are
	}
	if s = safetext.Clean(oneLine.Replace(s)); len(s) <= most {
		return s
	}
	end := most - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// oneLine joins the lines of a text: a column of kubectl holds one.
var oneLine = strings.NewReplacer("\n", " ", "\t", " ")
