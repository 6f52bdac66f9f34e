package batch

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func imagesNamed(names ...string) []Image {
	var out []Image
	for _, n := range names {
		out = append(out, Image{Sources: []string{"quay.io/" + n}, Destination: "m.example.com/" + n})
	}
	return out
}

func failed(class mirror.ErrorClass, attempts int) mirror.Result {
	return mirror.Result{
		State: mirror.Failed, Attempts: attempts, At: start,
		Err: &mirror.Error{Class: class, Endpoint: "quay.io/a", Part: "manifest", Err: errors.New("two\nlines")},
	}
}

func TestTrackerStopsRetrying(t *testing.T) {
	for name, tc := range map[string]struct {
		result mirror.Result
		want   bool
	}{
		"a timeout is tried again":        {failed(mirror.Timeout, 1), false},
		"a refused connection, too":       {failed(mirror.Refused, 2), false},
		"and a rate limit":                {failed(mirror.RateLimited, 2), false},
		"and a server's own failure":      {failed(mirror.Unknown, 2), false},
		"but not for ever":                {failed(mirror.Timeout, 3), true},
		"what is missing stays missing":   {failed(mirror.Missing, 1), true},
		"a denial is a denial":            {failed(mirror.Denied, 1), true},
		"an unknown CA does not turn up":  {failed(mirror.TLS, 1), true},
		"a source that lacks a layer":     {failed(mirror.Incomplete, 1), true},
		"a registry that takes no pushes": {failed(mirror.ReadOnly, 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			tracker := NewTracker(imagesNamed("a"), 3)
			ended := tracker.Observe(map[string]mirror.Result{"m.example.com/a": tc.result}, start)
			if got := len(ended) == 1 && tracker.FailedCount() == 1 && tracker.OpenCount() == 0; got != tc.want {
				t.Errorf("given up: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestTrackerRowsReportEachImage(t *testing.T) {
	tracker := NewTracker(imagesNamed("copied", "present", "later", "failed", "retried", "queued"), 3)
	proof := func(name string) mirror.Proof { return mirror.Proof{Endpoint: name, Digest: digestA} }
	retried := failed(mirror.Timeout, 1)
	retried.State = mirror.Running
	tracker.Observe(map[string]mirror.Result{"m.example.com/copied": {State: mirror.Running, Attempts: 1,
		At: start}}, start)
	ended := tracker.Observe(map[string]mirror.Result{
		"m.example.com/copied": {
			State: mirror.Verified, Attempts: 2, At: start.Add(time.Second), Proof: proof("m.example.com/copied"),
			Copies: []mirror.CopyResult{{Bytes: 7, Pushed: true}}, NeededBytes: 7, UploadedBytes: 7,
		},
		"m.example.com/present": {State: mirror.Verified, Attempts: 1, At: start,
			Proof: proof("m.example.com/present")},
		"m.example.com/later":   {State: mirror.Verified, Attempts: 1, At: start, Proof: proof("m2.example.com/later")},
		"m.example.com/failed":  failed(mirror.Missing, 1),
		"m.example.com/retried": retried,
		"m.example.com/queued":  {State: mirror.Queued, At: start},
	}, start.Add(1500*time.Millisecond))
	if len(ended) != 4 {
		t.Errorf("%d ended, want 4", len(ended))
	}
	row := func(name string, r Row) Row {
		r.Source, r.Destination = "quay.io/"+name, "m.example.com/"+name
		return r
	}
	want := []Row{
		row("copied", Row{Result: Copied, Digest: digestA, Bytes: 7, Attempts: 2, Seconds: 1.5}),
		row("present", Row{Result: Present, Digest: digestA, Attempts: 1, Seconds: 1.5}),
		row("later", Row{Result: Present, Digest: digestA, Endpoint: "m2.example.com/later", Attempts: 1,
			Seconds: 1.5}),
		row("failed", Row{Result: Failed, Class: "Missing", Message: "quay.io/a: manifest: Missing: two lines",
			Attempts: 1, Seconds: 1.5}),
		row("retried", Row{
			Result: Unfinished, Class: "Timeout", Attempts: 1, Seconds: 2,
			Message: "interrupted; the attempt before had failed: quay.io/a: manifest: Timeout: two lines",
		}),
		row("queued", Row{Result: Unfinished, Message: "interrupted before it was begun"}),
	}
	if diff := cmp.Diff(want, tracker.Rows(start.Add(2*time.Second))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := tracker.OpenImages(); len(got) != 2 || got[0].Source() != "quay.io/retried" {
		t.Errorf("open: %+v", got)
	}
}

func TestProgressEstimatesWhatIsNotKnownYet(t *testing.T) {
	tracker := NewTracker(imagesNamed("done", "half", "failed", "waits", "queued"), 3)
	tracker.Observe(map[string]mirror.Result{
		"m.example.com/done": {State: mirror.Verified, Attempts: 1, NeededBytes: 100, UploadedBytes: 100},
		"m.example.com/half": {State: mirror.Running, Attempts: 1, NeededBytes: 60, UploadedBytes: 30},
		"m.example.com/failed": {State: mirror.Failed, Attempts: 1, NeededBytes: 500, UploadedBytes: 20,
			Err: &mirror.Error{Class: mirror.Denied}},
		"m.example.com/waits":  {State: mirror.Failed, Attempts: 1, Err: &mirror.Error{Class: mirror.Timeout}},
		"m.example.com/queued": {State: mirror.Queued},
	}, start)
	// Known: 100 + 60 + 20 that a failed image had moved, 60 each on average; two more are taken to
	// be like that.
	want := Progress{Images: 5, Done: 2, Failed: 1, Running: 1, WaitingForRetry: 1, UploadedBytes: 150,
		NeededBytes: 300}
	if diff := cmp.Diff(want, tracker.Progress()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestThroughput(t *testing.T) {
	var p Throughput
	if p.Rate() != 0 || p.Remaining(100) != 0 {
		t.Error("a rate before anything was measured")
	}
	p.Add(start, 0)
	if p.Rate() != 0 {
		t.Error("a rate from one sample")
	}
	for i := 1; i <= 5; i++ {
		p.Add(start.Add(time.Duration(i)*time.Second), int64(i)*100)
	}
	if p.Rate() != 100 || p.Remaining(450) != 5*time.Second {
		t.Errorf("%g bytes/s, %s left; want 100 and 5s", p.Rate(), p.Remaining(450))
	}
	// The link slows down to a tenth: ten seconds later nothing of the old rate is left.
	for i := 6; i <= 15; i++ {
		p.Add(start.Add(time.Duration(i)*time.Second), 500+int64(i-5)*10)
	}
	if p.Rate() != 10 {
		t.Errorf("%g bytes/s, want 10", p.Rate())
	}
}
