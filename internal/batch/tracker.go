package batch

import (
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// Tracker follows the images of a run through the snapshots of the mirror engine, and decides when one has failed for good: the engine
// itself never gives up.
type Tracker struct {
	attempts int
	tasks    []*task
	looked   time.Time // at the last snapshot
}

// task is one image and what is known about it.
type task struct {
	image  Image
	result mirror.Result
	begun  time.Time // zero until its first attempt
	row    Row
	done   bool
}

// NewTracker makes a tracker for images that are tried so often, at least once.
func NewTracker(images []Image, attempts int) *Tracker {
	t := &Tracker{attempts: max(attempts, 1)}
	for _, image := range images {
		t.tasks = append(t.tasks, &task{image: image})
	}
	return t
}

// Observe takes in a snapshot and returns the rows of the images that it brings to an end, in the order of the list.
func (t *Tracker) Observe(results map[string]mirror.Result, now time.Time) []Row {
	var ended []Row
	for _, k := range t.tasks {
		result, known := results[k.image.Destination]
		if k.done || !known {
			continue
		}
		k.result = result
		if k.begun.IsZero() && result.Attempts > 0 {
			k.begun = t.beginning(result)
		}
		if k.done = result.State == mirror.Verified || result.State == mirror.Failed && t.final(result); k.done {
			k.row = k.finish(now)
			ended = append(ended, k.row)
		}
	}
	t.looked = now
	return ended
}

// beginning is when the first attempt began. A result that is there at once, and rests on what was looked at for another image, tells
// of an earlier time; the attempt has begun since the last snapshot all the same.
func (t *Tracker) beginning(r mirror.Result) time.Time {
	if r.State != mirror.Running && r.At.Before(t.looked) {
		return t.looked
	}
	return r.At
}

// final tells whether a failure is not worth another attempt.
func (t *Tracker) final(r mirror.Result) bool {
	return r.Attempts >= t.attempts || !passing(r.Err.Class)
}

// passing tells whether a later attempt may find the matter gone. A registry that says no has said it.
func passing(class mirror.ErrorClass) bool {
	switch class {
	case mirror.Timeout, mirror.RateLimited, mirror.Refused, mirror.Unknown:
		return true
	case mirror.Corrupt:
		return true // a proxy on the way may have cut it; what is wrong in the registry itself is so again
	default:
		return false
	}
}

func (k *task) base() Row {
	r := Row{
		Source: k.image.Source(), Destination: k.image.Destination, Digest: k.result.Digest, Attempts: k.result.Attempts,
	}
	if r.Digest == "" {
		r.Digest = k.image.Digest
	}
	for _, c := range k.result.Copied {
		r.Bytes += c.Bytes
	}
	return r
}

func (k *task) finish(now time.Time) Row {
	r := k.base()
	r.Seconds = seconds(now.Sub(k.begun))
	if k.result.State == mirror.Failed {
		r.Result, r.Class, r.Message = Failed, string(k.result.Err.Class), oneLine(k.result.Err)
		return r
	}
	r.Result, r.Digest = Present, k.result.Proof.Digest
	for _, c := range k.result.Copied {
		if c.Pushed {
			r.Result = Copied
		}
	}
	if k.result.Proof.Endpoint != k.image.Destination {
		r.Endpoint = k.result.Proof.Endpoint
	}
	return r
}

// unfinished is the row of an image that the run did not come to, or did not finish.
func (k *task) unfinished(now time.Time) Row {
	r := k.base()
	r.Result, r.Message = Unfinished, "interrupted before it was begun"
	if !k.begun.IsZero() {
		r.Seconds = seconds(now.Sub(k.begun))
		r.Message = "interrupted"
	}
	if k.result.Err != nil {
		r.Class = string(k.result.Err.Class)
		r.Message = "interrupted; the attempt before had failed: " + oneLine(k.result.Err)
	}
	return r
}

// oneLine keeps an error, and with it what a registry has written, from breaking a list of lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Open are the images that are still to be worked on.
func (t *Tracker) Open() []Image {
	var out []Image
	for _, k := range t.tasks {
		if !k.done {
			out = append(out, k.image)
		}
	}
	return out
}

// Left counts them.
func (t *Tracker) Left() int {
	n := 0
	for _, k := range t.tasks {
		if !k.done {
			n++
		}
	}
	return n
}

// GivenUp counts the images that failed for good.
func (t *Tracker) GivenUp() int {
	n := 0
	for _, k := range t.tasks {
		if k.done && k.row.Result == Failed {
			n++
		}
	}
	return n
}

// Rows are the results of all images as of now.
func (t *Tracker) Rows(now time.Time) []Row {
	out := make([]Row, 0, len(t.tasks))
	for _, k := range t.tasks {
		if !k.done {
			out = append(out, k.unfinished(now))
			continue
		}
		out = append(out, k.row)
	}
	return out
}

// Tally is how far a run is.
type Tally struct {
	Images, Done, Failed int
	Running, Waiting     int   // under way; waiting for another attempt
	Moved                int64 // bytes uploaded so far
	Need                 int64 // bytes that will have been uploaded in the end, as far as can be told; never below Moved
}

// Tally counts. An image of which nothing is known yet is taken to need as much as the others do on average.
func (t *Tracker) Tally() Tally {
	out := Tally{Images: len(t.tasks)}
	var need int64
	known := 0
	for _, k := range t.tasks {
		n, moved, sure := load(k.result)
		if k.done && k.row.Result == Failed {
			n = moved // nothing more will come
		}
		if sure || k.done {
			known++
			need += n
		}
		out.Moved += moved
		switch {
		case k.done:
			out.Done++
			if k.row.Result == Failed {
				out.Failed++
			}
		case k.result.State == mirror.Running:
			out.Running++
		case k.result.State == mirror.Failed:
			out.Waiting++
		}
	}
	if known > 0 {
		need += need / int64(known) * int64(len(t.tasks)-known)
	}
	out.Need = max(need, out.Moved)
	return out
}

// load is what an image has to move and has moved, in bytes; sure is false until some of its manifests have been read.
func load(r mirror.Result) (need, moved int64, sure bool) {
	return r.Need, r.Moved, r.State == mirror.Verified || r.Need > 0
}
