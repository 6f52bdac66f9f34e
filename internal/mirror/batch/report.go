package batch

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Mode is what a run does with its images.
type Mode string

// The modes.
const (
	Copy   Mode = "copy"   // fills the mirrors and proves them
	Verify Mode = "verify" // proves them as they are
	DryRun Mode = "dryRun" // counts what a copy would move
)

// Outcome is what became of an image.
type Outcome string

// The outcomes. Present means proven complete, with nothing to copy.
const (
	Copied     Outcome = "copied"
	Present    Outcome = "present"
	Failed     Outcome = "failed"
	Unfinished Outcome = "unfinished" // the run was interrupted first
	ToCopy     Outcome = "toCopy"     // in a dry run: not there, or not all of it
)

// Row is the result of one image. The JSON of Report, and with it this one, is an interface that
// scripts read: docs/mirror.md.
type Row struct {
	Source      string  `json:"source"`
	Destination string  `json:"destination"`
	Digest      string  `json:"digest,omitempty"` // of the top manifest, once it is known
	Result      Outcome `json:"result"`
	// Bytes were uploaded, or would be in a dry run.
	Bytes int64 `json:"bytes"`
	// Requests are how many a copy is expected to take, in a dry run only.
	Requests int64 `json:"requests,omitempty"`
	// Endpoint is the reference that was proven, where it is not the destination: a later mirror
	// has the image, and the first has not.
	Endpoint string `json:"endpoint,omitempty"`
	// Class and Message say what went wrong; the classes are those of mirror.ErrorClass.
	Class    string  `json:"class,omitempty"`
	Message  string  `json:"message,omitempty"`
	Attempts int     `json:"attempts"`
	Seconds  float64 `json:"seconds"` // from the first attempt to the result, waiting in between included
}

// Totals add up the rows.
type Totals struct {
	Images     int     `json:"images"`
	Copied     int     `json:"copied"`
	Present    int     `json:"present"`
	ToCopy     int     `json:"toCopy"`
	Failed     int     `json:"failed"`
	Unfinished int     `json:"unfinished"`
	NotServed  int     `json:"notServed"`
	Outside    int     `json:"outside"` // references that the mirror sets say nothing about
	Bytes      int64   `json:"bytes"`
	Requests   int64   `json:"requests"`
	Seconds    float64 `json:"seconds"`
}

// Report is the result of a run.
type Report struct {
	Mode     Mode `json:"mode"`
	ExitCode int  `json:"exitCode"`
	// Images are in the order in which they were asked for.
	Images    []Row       `json:"images"`
	NotServed []NotServed `json:"notServed"`
	Totals    Totals      `json:"totals"`
}

// NewReport adds up what became of a set.
func NewReport(mode Mode, set Set, rows []Row, took time.Duration, interrupted bool) Report {
	r := Report{Mode: mode, Images: rows, NotServed: set.NotServed}
	if r.NotServed == nil {
		r.NotServed = []NotServed{} // an empty list in JSON, and not null
	}
	t := Totals{Images: len(rows), NotServed: len(set.NotServed), Outside: set.Outside, Seconds: seconds(took)}
	for _, row := range rows {
		t.Bytes += row.Bytes
		t.Requests += row.Requests
		switch row.Result {
		case Copied:
			t.Copied++
		case Present:
			t.Present++
		case ToCopy:
			t.ToCopy++
		case Failed:
			t.Failed++
		case Unfinished:
			t.Unfinished++
		}
	}
	r.Totals = t
	r.ExitCode = t.exitCode(interrupted)
	return r
}

// Shortfall says in a few words what keeps a run from being complete, "" when nothing does.
//
//	of 60 images 2 failed, 1 is not served by the mirror sets
func (t Totals) Shortfall() string {
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(t.Failed, "failed", "failed")
	add(t.Unfinished, "was not finished", "were not finished")
	add(t.NotServed, "is not served by the mirror sets", "are not served by the mirror sets")
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("of %d images %s", t.Images+t.NotServed, strings.Join(parts, ", "))
}

// The exit codes of a run that began. What is wrong before anything begins ends with 1.
const (
	ExitComplete    = 0
	ExitSetup       = 1
	ExitPartial     = 2
	ExitNone        = 3
	ExitInterrupted = 130
)

// exitCode tells complete from partial. A reference that the user asked for and that no mirror
// serves makes a run partial, too.
func (t Totals) exitCode(interrupted bool) int {
	worked := t.Copied + t.Present + t.ToCopy
	switch {
	case interrupted && t.Unfinished > 0:
		return ExitInterrupted
	case worked == 0:
		return ExitNone
	case worked < t.Images || t.NotServed > 0:
		return ExitPartial
	default:
		return ExitComplete
	}
}

// seconds keeps milliseconds.
func seconds(d time.Duration) float64 {
	return math.Round(d.Seconds()*1000) / 1000
}
