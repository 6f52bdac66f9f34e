package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/batch"
)

const mib = 1 << 20

func TestPlainProgressIsCalm(t *testing.T) {
	var out strings.Builder
	p := &plain{w: &out, attempts: 3}
	now := startOfTest
	tick := func(after time.Duration, tally batch.Tally, ended ...batch.Row) {
		now = now.Add(after)
		tally.Images = 4
		p.update(now, ended, tally)
	}
	tick(0, batch.Tally{})
	tick(5*time.Second, batch.Tally{Done: 1, Moved: 50 * mib, Need: 400 * mib}, batch.Row{
		Source: "quay.io/a:v1", Destination: "m.example.com/a:v1", Result: batch.Copied, Bytes: 50 * mib, Seconds: 4.95,
	})
	tick(20*time.Second, batch.Tally{Done: 1, Waiting: 1, Moved: 100 * mib, Need: 400 * mib}) // 25 s: too early for numbers
	tick(10*time.Second, batch.Tally{Done: 1, Waiting: 1, Moved: 200 * mib, Need: 400 * mib})
	tick(time.Second, batch.Tally{Done: 3, Failed: 1, Moved: 210 * mib, Need: 400 * mib},
		batch.Row{Source: "quay.io/b:v1", Destination: "m.example.com/b:v1", Result: batch.Present},
		batch.Row{Source: "quay.io/c:v1", Destination: "m.example.com/c:v1", Result: batch.Failed, Attempts: 3, Message: "quay.io/c:v1: manifest: Timeout: no connection within 30s"})
	tick(time.Minute, batch.Tally{Done: 4, Failed: 1, Moved: 210 * mib, Need: 210 * mib}, batch.Row{
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

func TestTheBarIsOneLineThatLeavesNothingBehind(t *testing.T) {
	var out strings.Builder
	b := &bar{w: &out, width: func() int { return 120 }}
	update := func(at time.Duration, tally batch.Tally, ended ...batch.Row) string {
		out.Reset()
		b.update(startOfTest.Add(at), ended, tally)
		return out.String()
	}
	for _, step := range []struct {
		name string
		got  string
		want string
	}{
		{"at first", update(0, batch.Tally{Images: 60}), clearLine + "[------------------------------] 0/60 images"},
		{"too soon", update(199*time.Millisecond, batch.Tally{Images: 60, Done: 1}), ""},
		{
			"later", update(2*time.Second, batch.Tally{Images: 60, Done: 18, Moved: 80 * mib, Need: 240 * mib}),
			clearLine + "[##########--------------------] 18/60 images  80.0 MiB of 240.0 MiB  40.0 MiB/s  4s left",
		},
		{
			"a failure goes above it", update(2*time.Second, batch.Tally{Images: 60, Done: 19, Failed: 1, Moved: 80 * mib, Need: 240 * mib},
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

func TestTheBarFitsTheTerminal(t *testing.T) {
	tally := batch.Tally{Images: 12345, Done: 12300, Failed: 7, Waiting: 3, Moved: 80 * mib, Need: 240 * mib}
	for columns := range 130 {
		if got := drawBar(tally, &batch.Pace{}, columns); len(got) > columns {
			t.Errorf("%d columns: %q has %d", columns, got, len(got))
		}
	}
}

func TestSizesAreForPeople(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 250 * mib: "250.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := size(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
}
