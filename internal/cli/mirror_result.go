package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

// writeResult prints the result, writes what is left, and gives the exit code.
func (r *mirrorRun) writeResult(report batch.Report) error {
	var problems []error
	if err := r.print(report); err != nil {
		problems = append(problems, fmt.Errorf("printing the result: %w", err))
	}
	left := ""
	if report.HasFailures() && report.Mode != batch.DryRun {
		if err := r.writeFailures(report); err != nil {
			problems = append(problems, fmt.Errorf("--failures: %w", err))
		} else {
			left = "; what is left is in " + r.failures
		}
	}
	if report.ExitCode == batch.ExitComplete && len(problems) == 0 {
		return nil
	}
	end := &ExitError{Code: report.ExitCode, Text: report.Totals.Shortfall() + left}
	if report.ExitCode == batch.ExitInterrupted {
		end.Text = "interrupted: " + end.Text
	}
	if err := errors.Join(problems...); err != nil {
		end.Code = max(end.Code, batch.ExitSetup)
		end.Text = err.Error()
	}
	return end
}

func (r *mirrorRun) print(report batch.Report) error {
	if r.output == "json" {
		encoder := json.NewEncoder(r.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(report)
	}
	_, err := fmt.Fprint(r.out, summary(report))
	return err
}

// maxListed is how many images of one kind the summary names; the failures file and the JSON have
// all of them.
const maxListed = 20

// summary is the result for people: what went wrong, and the numbers.
func summary(report batch.Report) string {
	var b strings.Builder
	var failed, later, planned []string
	for _, row := range report.Images {
		switch {
		case row.Result == batch.Failed:
			failed = append(failed, fmt.Sprintf("failed: %s -> %s: %s", row.Source, row.Destination, row.Message))
		case row.Result == batch.ToCopy:
			planned = append(planned, fmt.Sprintf("to copy: %s -> %s, %s in %d requests", row.Source, row.Destination,
				formatBytes(row.Bytes), row.Requests))
		case row.Endpoint != "":
			later = append(later, fmt.Sprintf("not at the first mirror: %s, which nodes get from %s", row.Destination,
				row.Endpoint))
		}
	}
	var unserved []string
	for _, n := range report.NotServed {
		unserved = append(unserved, n.Source+": "+n.Reason)
	}
	for _, list := range [][]string{planned, later, unserved, failed} {
		for i, line := range list {
			if i == maxListed && report.Mode != batch.DryRun {
				fmt.Fprintf(&b, "and %d more\n", len(list)-i)
				break
			}
			b.WriteString(line + "\n")
		}
	}
	b.WriteString(totals(report) + "\n")
	return b.String()
}

// totals is the last line.
//
//	60 images: 12 copied (83.1 MiB), 46 present, 2 failed; 1 not served by the mirror sets; 31 outside of the mirror sets; 12.4s
func totals(report batch.Report) string {
	t := report.Totals
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, text))
		}
	}
	add(t.Copied, fmt.Sprintf("copied (%s)", formatBytes(t.Bytes)))
	add(t.ToCopy, fmt.Sprintf("to copy (%s in %d requests)", formatBytes(t.Bytes), t.Requests))
	add(t.Present, "present")
	add(t.Failed, "failed")
	add(t.Unfinished, "unfinished")
	text := fmt.Sprintf("%d images: %s", t.Images, strings.Join(parts, ", "))
	if t.NotServed > 0 {
		text += fmt.Sprintf("; %d not served by the mirror sets", t.NotServed)
	}
	if t.Outside > 0 {
		text += fmt.Sprintf("; %d outside of the mirror sets", t.Outside)
	}
	return text + "; " + formatDuration(t.Seconds)
}

// checkFailuresFile finds out before anything is copied whether the list of what is left could be
// written.
func (r *mirrorRun) checkFailuresFile() error {
	if r.mode() == batch.DryRun {
		return nil
	}
	file, err := os.CreateTemp(filepath.Dir(r.failures), ".safe-mirror-*")
	if err != nil {
		return fmt.Errorf("--failures %s: no file can be written there: %w; name another place", r.failures, err)
	}
	_ = file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("--failures %s: %w", r.failures, err)
	}
	if info, err := os.Stat(r.failures); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("--failures %s: is not a regular file; name another place", r.failures)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--failures %s: %w", r.failures, err)
	}
	return nil
}

// writeFailures replaces the file as a whole: it may be the very list that this run was given.
func (r *mirrorRun) writeFailures(report batch.Report) error {
	file, err := os.CreateTemp(filepath.Dir(r.failures), ".safe-mirror-*")
	if err != nil {
		return err
	}
	err = report.WriteFailures(file, r.resumeCommand(), len(r.manifests) == 0)
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Chmod(file.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(file.Name(), r.failures)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// resumeCommand is the command that takes up what is left.
func (r *mirrorRun) resumeCommand() string {
	text := "safe-mirror mirror"
	for _, file := range r.manifests {
		text += " -f " + file
	}
	text += " --images " + r.failures
	if r.verifyOnly {
		text += " --verify-only"
	}
	return text
}
