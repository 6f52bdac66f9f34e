package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

const mib = 1 << 20

func TestProgressLogInterval(t *testing.T) {
	var out strings.Builder
	p := &progressLog{w: &out, attempts: 3}
	now := startOfTest
	tick := func(after time.Duration, tally batch.Progress, ended ...batch.Row) {
		now = now.Add(after)
		tally.Images = 4
		p.update(now, ended, tally)
	}
	tick(0, batch.Progress{})
	tick(5*time.Second, batch.Progress{Done: 1, UploadedBytes: 50 * mib, NeededBytes: 400 * mib}, batch.Row{
		Source: "quay.io/a:v1", Destination: "m.example.com/a:v1", Result: batch.Copied, Bytes: 50 * mib, Seconds: 4.95,
	})
	// 25 s: too early for numbers
	tick(20*time.Second, batch.Progress{Done: 1, WaitingForRetry: 1, UploadedBytes: 100 * mib, NeededBytes: 400 * mib})
	tick(10*time.Second, batch.Progress{Done: 1, WaitingForRetry: 1, UploadedBytes: 200 * mib, NeededBytes: 400 * mib})
	tick(time.Second, batch.Progress{Done: 3, Failed: 1, UploadedBytes: 210 * mib, NeededBytes: 400 * mib},
		batch.Row{Source: "quay.io/b:v1", Destination: "m.example.com/b:v1", Result: batch.Present},
		batch.Row{Source: "quay.io/c:v1", Destination: "m.example.com/c:v1", Result: batch.Failed, Attempts: 3,
			Message: "quay.io/c:v1: manifest: Timeout: no connection within 30s"})
	tick(time.Minute, batch.Progress{Done: 4, Failed: 1, UploadedBytes: 210 * mib, NeededBytes: 210 * mib}, batch.Row{
		Source: "quay.io/d:v1", Destination: "m.example.com/d:v1", Result: batch.Copied, Bytes: 123, Seconds: 75.2,
	})
	p.end()
	want := `[1/4] copied quay.io/a:v1 -> m.example.com/a:v1, 50.0 MiB in 5s
1/4 images  200.0 MiB of 400.0 MiB  10.0 MiB/s  20s left  1 to be tried again
[2/4] present quay.io/b:v1 -> m.example.com/b:v1
[3/4] FAILED quay.io/c:v1 -> m.example.com/c:v1 after 3 of 3 attempts: quay.io/c:v1: manifest: Timeout: no connection within 30s
[4/4] copied quay.io/d:v1 -> m.example.com/d:v1, 123 B in 1m15s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProgressBarClearsItsLine(t *testing.T) {
	var out strings.Builder
	b := &progressBar{w: &out, width: func() int { return 120 }}
	update := func(at time.Duration, tally batch.Progress, ended ...batch.Row) string {
		out.Reset()
		b.update(startOfTest.Add(at), ended, tally)
		return out.String()
	}
	for _, step := range []struct {
		name string
		got  string
		want string
	}{
		{"at first", update(0, batch.Progress{Images: 60}), clearLine + "[------------------------------] 0/60 images"},
		{"too soon", update(199*time.Millisecond, batch.Progress{Images: 60, Done: 1}), ""},
		{
			"later", update(2*time.Second,
				batch.Progress{Images: 60, Done: 18, UploadedBytes: 80 * mib, NeededBytes: 240 * mib}),
			clearLine + "[##########--------------------] 18/60 images  80.0 MiB of 240.0 MiB  40.0 MiB/s  4s left",
		},
		{
			"a failure goes above it", update(2*time.Second,
				batch.Progress{Images: 60, Done: 19, Failed: 1, UploadedBytes: 80 * mib, NeededBytes: 240 * mib},
				batch.Row{Source: "quay.io/a:v1", Result: batch.Failed, Message: "gone"}),
			clearLine + "failed: quay.io/a:v1: gone\n" +
				clearLine + "[##########--------------------] 19/60 images  80.0 MiB of 240.0 MiB  40.0 MiB/s  4s left  1 failed",
		},
	} {
		if diff := cmp.Diff(step.want, step.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	out.Reset()
	b.end()
	if out.String() != clearLine {
		t.Errorf("left behind: %q", out.String())
	}
}

func TestProgressBarFitsTerminal(t *testing.T) {
	tally := batch.Progress{Images: 12345, Done: 12300, Failed: 7, WaitingForRetry: 3, UploadedBytes: 80 * mib,
		NeededBytes: 240 * mib}
	for columns := range 130 {
		if got := formatBar(tally, &batch.Throughput{}, columns); len(got) > columns {
			t.Errorf("%d columns: %q has %d", columns, got, len(got))
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 250 * mib: "250.0 MiB",
		3 << 30: "3.0 GiB"} {
		if got := formatBytes(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
}
