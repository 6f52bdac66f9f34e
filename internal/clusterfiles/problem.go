package clusterfiles

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says what a finding means for whoever relies on the view.
type Severity string

const (
	// Lost: something that belongs into the view is not in it.
	SeverityLost Severity = "Lost"
	// Doubtful: the view holds it, but it may be incomplete or not the newest.
	SeverityDoubtful Severity = "Doubtful"
	// Note: nothing is missing that was asked for.
	SeverityNote Severity = "Note"
)

// Reasons of findings, one word each.
const (
	Unreadable = "Unreadable" // the file or directory cannot be opened or read
	NotText    = "NotText"    // not UTF-8: binary, or UTF-16 as some shells write it
	Malformed  = "Malformed"  // neither YAML nor JSON, or not the shape of its kind
	Truncated  = "Truncated"  // it ends in the middle
	TooLarge   = "TooLarge"   // above Options.MaxObject or Options.MaxFile
	NoKind     = "NoKind"     // an object or list that does not say what it is
	// the same field twice in one object, or different states of one object in several files
	Duplicate    = "Duplicate"
	OtherVersion = "OtherVersion" // a kind that is read, in a version that is not
	OtherKinds   = "OtherKinds"   // objects nobody asked for
	OtherFiles   = "OtherFiles"   // files that hold no objects
	NotCollected = "NotCollected" // namespaces the files name but hold nothing of
)

// FileProblem is something about the files that their reader should know.
type FileProblem struct {
	// File is relative to the directory, "" when it concerns several.
	File string
	// Line is where the object or the mistake begins, from 1; 0 when it concerns the whole file.
	Line int
	// Kind is the Kubernetes kind concerned, "" when not known.
	Kind     string
	Reason   string
	Severity Severity
	Message  string
}

// String is the finding as a line for people: "namespaces/acme/core/pods.yaml:212: Pod: …".
func (f FileProblem) String() string {
	where := f.File
	if where != "" && f.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Line)
	}
	out := f.Message
	if f.Kind != "" {
		out = f.Kind + ": " + out
	}
	if where != "" {
		out = where + ": " + out
	}
	return out
}

// FileProblems are sorted by file and line; those about several files come first.
type FileProblems []FileProblem

// WithSeverity returns those of one severity.
func (f FileProblems) WithSeverity(s Severity) FileProblems {
	var out FileProblems
	for _, one := range f {
		if one.Severity == s {
			out = append(out, one)
		}
	}
	return out
}

func (f FileProblems) sort() {
	slices.SortFunc(f, func(a, b FileProblem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Reason, b.Reason),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Message, b.Message))
	})
}

// locatedProblem is a finding whose line may not be known yet.
type locatedProblem struct {
	FileProblem
	file   *file // to be read for the line of offset; nil when the line is known
	offset int64
	seq    int // orders the findings of one file
}

// maxPerFile is how many findings of one kind a file may have. A large list of which every object
// is malformed has no more to say.
const maxPerFile = 10

// summarizeProblems orders findings, looks their lines up, and counts those beyond the first few of
// a file.
func summarizeProblems(all []locatedProblem) FileProblems {
	slices.SortStableFunc(all, func(a, b locatedProblem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.seq, b.seq),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Message, b.Message))
	})
	var out FileProblems
	for from := 0; from < len(all); {
		to := from
		for to < len(all) && all[to].File == all[from].File && all[to].Reason == all[from].Reason {
			to++
		}
		for _, one := range all[from:min(to, from+maxPerFile)] {
			if one.file != nil {
				one.Line = one.file.lineAt(one.offset)
			}
			out = append(out, one.FileProblem)
		}
		if more := to - from - maxPerFile; more > 0 {
			last := out[len(out)-1]
			last.Line, last.Kind, last.Message = 0, "", fmt.Sprintf("%d more findings like %q", more, last.Message)
			out = append(out, last)
		}
		from = to
	}
	return out
}
