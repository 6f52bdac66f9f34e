package batch

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExitCodesTellCompleteFromPartial(t *testing.T) {
	for name, tc := range map[string]struct {
		results     []Outcome
		notServed   int
		interrupted bool
		want        int
	}{
		"all copied or there": {results: []Outcome{Copied, Present}, want: ExitComplete},
		"all planned":         {results: []Outcome{ToCopy, Present}, want: ExitComplete},
		"one failed":          {results: []Outcome{Copied, Failed}, want: ExitPartial},
		"one not served":      {results: []Outcome{Copied}, notServed: 1, want: ExitPartial},
		"none worked":         {results: []Outcome{Failed, Failed}, want: ExitNone},
		"interrupted": {results: []Outcome{Copied, Unfinished}, interrupted: true,
			want: ExitInterrupted},
		"interrupted with failures": {results: []Outcome{Failed, Unfinished}, interrupted: true,
			want: ExitInterrupted},
		"interrupted when all was done":   {results: []Outcome{Copied}, interrupted: true, want: ExitComplete},
		"interrupted when all had failed": {results: []Outcome{Failed}, interrupted: true, want: ExitNone},
	} {
		t.Run(name, func(t *testing.T) {
			var rows []Row
			for _, r := range tc.results {
				rows = append(rows, Row{Result: r})
			}
			report := NewReport(Copy, Set{NotServed: make([]NotServed, tc.notServed)}, rows, time.Second,
				tc.interrupted)
			if report.ExitCode != tc.want {
				t.Errorf("exit code %d, want %d", report.ExitCode, tc.want)
			}
		})
	}
}

func TestTheFailuresFileIsAnImageList(t *testing.T) {
	report := NewReport(Copy, Set{NotServed: []NotServed{{Source: "quay.io/acme/c@" + digestA,
		Reason: "not served"}}}, []Row{
		{Source: "quay.io/acme/ok:v1", Destination: "m.example.com/ok:v1", Result: Copied},
		{Source: "quay.io/acme/a:v1", Destination: "m.example.com/a:v1", Result: Failed,
			Message: "m.example.com/a:v1: push: Denied: HTTP 403"},
		{Source: "quay.io/acme/b:v1", Destination: "m.example.com/b:v1", Result: Unfinished, Message: "interrupted"},
	}, time.Second, true)
	var b strings.Builder
	if err := report.WriteFailures(&b, "safe-mirror mirror --images x", true); err != nil {
		t.Fatal(err)
	}
	want := `# What is left: of 4 images 1 failed, 1 was not finished, 1 is not served by the mirror sets.
# Once the reasons are dealt with:  safe-mirror mirror --images x

# m.example.com/a:v1: push: Denied: HTTP 403
quay.io/acme/a:v1 m.example.com/a:v1

# interrupted
quay.io/acme/b:v1 m.example.com/b:v1

# not served
quay.io/acme/c@` + digestA + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	lines, err := ParseList("l", strings.NewReader(b.String()))
	if err != nil || len(lines) != 3 || lines[0].Destination != "m.example.com/a:v1" {
		t.Errorf("read back: %v, %v", lines, err)
	}
}
