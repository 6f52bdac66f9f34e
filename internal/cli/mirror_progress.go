package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/safe-mirror/safe-mirror-operator/internal/batch"
)

// progress tells how far a run is while it is under way.
type progress interface {
	// update takes in the images that have just ended, and the present numbers.
	update(now time.Time, ended []batch.Row, tally batch.Tally)
	// interval is how often it wants to be updated when nothing ends.
	interval() time.Duration
	// end removes what is not meant to stay.
	end()
}

func (r *mirrorRun) progress() progress {
	switch {
	case r.quiet:
		return silent{}
	case r.width != nil:
		return &bar{w: r.status, width: r.width}
	default:
		return &plain{w: r.status, attempts: r.attempts}
	}
}

type silent struct{}

func (silent) update(time.Time, []batch.Row, batch.Tally) {}
func (silent) interval() time.Duration                    { return time.Hour }
func (silent) end()                                       {}

// The most often that a bar is drawn, and that a line of numbers is added to a log.
const (
	redraw = 200 * time.Millisecond
	calm   = 30 * time.Second
)

// bar is one line of a terminal that is drawn anew; what fails is written above it.
type bar struct {
	w     io.Writer
	width func() int
	pace  batch.Pace
	drawn time.Time
}

func (b *bar) interval() time.Duration { return redraw }

func (b *bar) update(now time.Time, ended []batch.Row, tally batch.Tally) {
	failed := false
	for _, row := range ended {
		if row.Result == batch.Failed {
			fmt.Fprintf(b.w, "%sfailed: %s: %s\n", clearLine, row.Source, row.Message)
			failed = true
		}
	}
	if !failed && now.Sub(b.drawn) < redraw {
		return
	}
	b.drawn = now
	b.pace.Add(now, tally.Moved)
	fmt.Fprint(b.w, clearLine+drawBar(tally, &b.pace, b.width()-1)) // a full line would wrap
}

// clearLine goes back to the beginning of the line and empties it.
const clearLine = "\r\x1b[K"

func (b *bar) end() { fmt.Fprint(b.w, clearLine) }

// drawBar fits the numbers, and a bar where there is room for one, into so many columns.
//
//	[#########---------------------] 18/60 images  75.2/250.0 MiB  41.3 MiB/s  4s left  1 failed
func drawBar(t batch.Tally, pace *batch.Pace, columns int) string {
	text := numbers(t, pace)
	room := min(columns-len(text)-3, 30)
	if room >= 10 {
		// Bytes tell more than images, once there are any to tell of.
		done, all := int64(t.Done), int64(t.Images)
		if t.Need > 0 {
			done, all = t.Moved, t.Need
		}
		filled := int(done * int64(room) / max(all, 1))
		text = "[" + strings.Repeat("#", filled) + strings.Repeat("-", room-filled) + "] " + text
	}
	return text[:max(min(len(text), columns), 0)]
}

func numbers(t batch.Tally, pace *batch.Pace) string {
	parts := []string{fmt.Sprintf("%d/%d images", t.Done, t.Images)}
	if t.Need > 0 {
		parts = append(parts, size(t.Moved)+" of "+size(t.Need))
	}
	if rate := pace.Rate(); rate > 0 {
		parts = append(parts, size(int64(rate))+"/s")
		if left := pace.Left(t.Need - t.Moved); left > 0 {
			parts = append(parts, left.String()+" left")
		}
	}
	if t.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", t.Failed))
	}
	if t.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d to be tried again", t.Waiting))
	}
	return strings.Join(parts, "  ")
}

// plain writes lines that stay: one for each image that ends, and the numbers at a calm pace.
type plain struct {
	w        io.Writer
	attempts int
	pace     batch.Pace
	ended    int
	told     time.Time
}

func (p *plain) interval() time.Duration { return calm }

func (p *plain) update(now time.Time, ended []batch.Row, tally batch.Tally) {
	p.pace.Add(now, tally.Moved)
	if p.told.IsZero() {
		p.told = now
	}
	for _, row := range ended {
		p.ended++
		fmt.Fprintf(p.w, "[%d/%d] %s\n", p.ended, tally.Images, p.line(row))
	}
	if now.Sub(p.told) >= calm && tally.Done < tally.Images {
		p.told = now
		fmt.Fprintln(p.w, numbers(tally, &p.pace))
	}
}

func (p *plain) line(row batch.Row) string {
	switch row.Result {
	case batch.Copied:
		return fmt.Sprintf("copied %s -> %s, %s in %s", row.Source, row.Destination, size(row.Bytes), took(row.Seconds))
	case batch.Failed:
		return fmt.Sprintf("FAILED %s -> %s after %d of %d attempts: %s", row.Source, row.Destination, row.Attempts, p.attempts, row.Message)
	default:
		return fmt.Sprintf("%s %s -> %s", row.Result, row.Source, row.Destination)
	}
}

func (p *plain) end() {}

// size is a number of bytes for people: 83.1 MiB.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	return units.CustomSize("%.1f %s", float64(bytes), 1024, []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"})
}

func took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
