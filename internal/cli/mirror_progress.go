package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// progressReporter tells how far a run is while it is in progress.
type progressReporter interface {
	// update takes in the images that have just ended, and the present numbers.
	update(now time.Time, ended []batch.Row, tally batch.Progress)
	// interval is how often it wants to be updated when nothing ends.
	interval() time.Duration
	// end removes what is not meant to stay.
	end()
}

func (r *mirrorRun) newProgress() progressReporter {
	switch {
	case r.quiet:
		return noProgress{}
	case r.width != nil:
		return &progressBar{w: r.status, width: r.width}
	default:
		return &progressLog{w: safetext.NewWriter(r.status), attempts: r.attempts}
	}
}

type noProgress struct{}

func (noProgress) update(time.Time, []batch.Row, batch.Progress) {}
func (noProgress) interval() time.Duration                       { return time.Hour }
func (noProgress) end()                                          {}

// The most often that a bar is drawn, and that a line of numbers is added to a log.
const (
	redrawInterval = 200 * time.Millisecond
	logInterval    = 30 * time.Second
)

// progressBar is one line of a terminal that is drawn anew; what fails is written above it.
type progressBar struct {
	w         io.Writer
	width     func() int
	pace      batch.Throughput
	lastDrawn time.Time
}

func (b *progressBar) interval() time.Duration { return redrawInterval }

func (b *progressBar) update(now time.Time, ended []batch.Row, tally batch.Progress) {
	failed := false
	for _, row := range ended {
		if row.Result == batch.Failed {
			fmt.Fprintf(b.w, "%sfailed: %s: %s\n", clearLine, safetext.Clean(row.Source),
				safetext.Clean(row.Message))
			failed = true
		}
	}
	if !failed && now.Sub(b.lastDrawn) < redrawInterval {
		return
	}
	b.lastDrawn = now
	b.pace.Add(now, tally.UploadedBytes)
	fmt.Fprint(b.w, clearLine+formatBar(tally, &b.pace, b.width()-1)) // a full line would wrap
}

// clearLine returns to the beginning of the line and empties it.
const clearLine = "\r\x1b[K"

func (b *progressBar) end() { fmt.Fprint(b.w, clearLine) }

// formatBar fits the numbers, and a bar where there is room for one, into so many columns.
//
//	[#########---------------------] 18/60 images  75.2/250.0 MiB  41.3 MiB/s  4s left  1 failed
func formatBar(t batch.Progress, pace *batch.Throughput, columns int) string {
	text := formatProgress(t, pace)
	barWidth := min(columns-len(text)-3, 30)
	if barWidth >= 10 {
		// Bytes tell more than images, once there are any to tell of.
		done, all := int64(t.Done), int64(t.Images)
		if t.NeededBytes > 0 {
			done, all = t.UploadedBytes, t.NeededBytes
		}
		filled := int(done * int64(barWidth) / max(all, 1))
		text = "[" + strings.Repeat("#", filled) + strings.Repeat("-", barWidth-filled) + "] " + text
	}
	return text[:max(min(len(text), columns), 0)]
}

func formatProgress(t batch.Progress, pace *batch.Throughput) string {
	parts := []string{fmt.Sprintf("%d/%d images", t.Done, t.Images)}
	if t.NeededBytes > 0 {
		parts = append(parts, formatBytes(t.UploadedBytes)+" of "+formatBytes(t.NeededBytes))
	}
	if rate := pace.Rate(); rate > 0 {
		parts = append(parts, formatBytes(int64(rate))+"/s")
		if left := pace.Remaining(t.NeededBytes - t.UploadedBytes); left > 0 {
			parts = append(parts, left.String()+" left")
		}
	}
	if t.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", t.Failed))
	}
	if t.WaitingForRetry > 0 {
		parts = append(parts, fmt.Sprintf("%d to be tried again", t.WaitingForRetry))
	}
	return strings.Join(parts, "  ")
}

// progressLog writes lines that stay: one for each image that ends, and the numbers at a calm pace.
type progressLog struct {
	w          io.Writer
	attempts   int
	pace       batch.Throughput
	ended      int
	lastLogged time.Time
}

func (p *progressLog) interval() time.Duration { return logInterval }

func (p *progressLog) update(now time.Time, ended []batch.Row, tally batch.Progress) {
	p.pace.Add(now, tally.UploadedBytes)
	if p.lastLogged.IsZero() {
		p.lastLogged = now
	}
	for _, row := range ended {
		p.ended++
		fmt.Fprintf(p.w, "[%d/%d] %s\n", p.ended, tally.Images, p.line(row))
	}
	if now.Sub(p.lastLogged) >= logInterval && tally.Done < tally.Images {
		p.lastLogged = now
		fmt.Fprintln(p.w, formatProgress(tally, &p.pace))
	}
}

func (p *progressLog) line(row batch.Row) string {
	switch row.Result {
	case batch.Copied:
		return fmt.Sprintf("copied %s -> %s, %s in %s", row.Source, row.Destination, formatBytes(row.Bytes),
			formatDuration(row.Seconds))
	case batch.Failed:
		return fmt.Sprintf("FAILED %s -> %s after %d of %d attempts: %s", row.Source, row.Destination, row.Attempts,
			p.attempts, row.Message)
	default:
		return fmt.Sprintf("%s %s -> %s", row.Result, row.Source, row.Destination)
	}
}

func (p *progressLog) end() {}

// formatBytes is a number of bytes for people: 83.1 MiB.
func formatBytes(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	return units.CustomSize("%.1f %s", float64(bytes), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"})
}

func formatDuration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
