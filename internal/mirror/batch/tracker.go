package batch

import (
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

// Tracker follows the images of a run through the snapshots of the mirror engine, and decides when
// one has failed for good: the engine itself never gives up.
type Tracker struct {
	attempts     int
	tasks        []*task
	lastSnapshot time.Time // at the last snapshot
}

// task is one image and what is known about it.
type task struct {
	image   Image
	result  mirror.Result
	started time.Time // zero until its first attempt
	row     Row
	done    bool
}

// NewTracker makes a tracker for images that are tried so often, at least once.
func NewTracker(images []Image, attempts int) *Tracker {
	t := &Tracker{attempts: max(attempts, 1)}
	for _, image := range images {
		t.tasks = append(t.tasks, &task{image: image})
	}
	return t
}

// Observe takes in a snapshot and returns the rows of the images that it brings to an end, in the
// order of the list.
func (t *Tracker) Observe(results map[string]mirror.Result, now time.Time) []Row {
	var ended []Row
	for _, k := range t.tasks {
		result, known := results[k.image.Destination]
		if k.done || !known {
			continue
		}
		k.result = result
		if k.started.IsZero() && result.Attempts > 0 {
			k.started = t.startOf(result)
		}
		if k.done = result.State == mirror.Verified || result.State == mirror.Failed && t.isFinal(result); k.done {
			k.row = k.finalRow(now)
			ended = append(ended, k.row)
		}
	}
	t.lastSnapshot = now
	return ended
}

// startOf is when the first attempt began. A result that is there at once, and rests on what was
// looked at for another image, tells of an earlier time; the attempt has begun since the last
// snapshot all the same.
func (t *Tracker) startOf(r mirror.Result) time.Time {
	if r.State != mirror.Running && r.At.Before(t.lastSnapshot) {
		return t.lastSnapshot
	}
	return r.At
}

// isFinal tells whether a failure is not worth another attempt.
func (t *Tracker) isFinal(r mirror.Result) bool {
	return r.Attempts >= t.attempts || !isTransient(r.Err.Class)
}

// isTransient tells whether a later attempt may find the matter gone. A registry that says no has
// said it.
func isTransient(class mirror.ErrorClass) bool {
	switch class {
	case mirror.Timeout, mirror.RateLimited, mirror.Refused, mirror.Unknown:
		return true
	case mirror.Corrupt:
		return true // a proxy on the way may have cut it; what is wrong in the registry itself is so again
	default:
		return false
	}
}

func (k *task) partialRow() Row {
	r := Row{
		Source: k.image.Source(), Destination: k.image.Destination, Digest: k.result.Digest,
		Attempts: k.result.Attempts,
	}
	if r.Digest == "" {
		r.Digest = k.image.Digest
	}
	for _, c := range k.result.Copies {
		r.Bytes += c.Bytes
	}
	return r
}

func (k *task) finalRow(now time.Time) Row {
	r := k.partialRow()
	r.Seconds = seconds(now.Sub(k.started))
	if k.result.State == mirror.Failed {
		r.Result, r.Class, r.Message = Failed, string(k.result.Err.Class), oneLine(k.result.Err)
		return r
	}
	r.Result, r.Digest = Present, k.result.Proof.Digest
	for _, c := range k.result.Copies {
		if c.Pushed {
			r.Result = Copied
		}
	}
	if k.result.Proof.Endpoint != k.image.Destination {
		r.Endpoint = k.result.Proof.Endpoint
	}
	return r
}

// unfinishedRow is the row of an image that the run did not come to, or did not finish.
func (k *task) unfinishedRow(now time.Time) Row {
	r := k.partialRow()
	r.Result, r.Message = Unfinished, "interrupted before it was begun"
	if !k.started.IsZero() {
		r.Seconds = seconds(now.Sub(k.started))
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

// OpenImages are the images that are still to be worked on.
func (t *Tracker) OpenImages() []Image {
	var out []Image
	for _, k := range t.tasks {
		if !k.done {
			out = append(out, k.image)
		}
	}
	return out
}

// OpenCount counts them.
func (t *Tracker) OpenCount() int {
	n := 0
	for _, k := range t.tasks {
		if !k.done {
			n++
		}
	}
	return n
}

// FailedCount counts the images that failed for good.
func (t *Tracker) FailedCount() int {
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
			out = append(out, k.unfinishedRow(now))
			continue
		}
		out = append(out, k.row)
	}
	return out
}

// Progress is how far a run is.
type Progress struct {
	Images, Done, Failed     int
	Running, WaitingForRetry int   // in progress; waiting for another attempt
	UploadedBytes            int64 // bytes uploaded so far
	// bytes that will have been uploaded in the end, as far as can be told; never below Moved
	NeededBytes int64
}

// Progress counts. An image of which nothing is known yet is taken to need as much as the others do
// on average.
func (t *Tracker) Progress() Progress {
	out := Progress{Images: len(t.tasks)}
	var needed int64
	known := 0
	for _, k := range t.tasks {
		n, uploaded, isKnown := bytesOf(k.result)
		if k.done && k.row.Result == Failed {
			n = uploaded // nothing more will come
		}
		if isKnown || k.done {
			known++
			needed += n
		}
		out.UploadedBytes += uploaded
		switch {
		case k.done:
			out.Done++
			if k.row.Result == Failed {
				out.Failed++
			}
		case k.result.State == mirror.Running:
			out.Running++
		case k.result.State == mirror.Failed:
			out.WaitingForRetry++
		}
	}
	if known > 0 {
		needed += needed / int64(known) * int64(len(t.tasks)-known)
	}
	out.NeededBytes = max(needed, out.UploadedBytes)
	return out
}

// bytesOf is what an image has to move and has moved, in bytes; sure is false until some of its
// manifests have been read.
func bytesOf(r mirror.Result) (needed, uploaded int64, isKnown bool) {
	return r.NeededBytes, r.UploadedBytes, r.State == mirror.Verified || r.NeededBytes > 0
}
