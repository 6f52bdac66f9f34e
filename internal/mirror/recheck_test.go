package mirror

import (
	"testing"
	"time"
)

// TestRecheck: a job is proven once more when its proof is from before the time, and only then;
// others are left alone.
func TestRecheck(t *testing.T) {
	cases := map[string]struct {
		references []string
		later      time.Duration // than the proof
		again      bool
	}{
		"its proof is older":           {[]string{"quay.io/acme/app:v1"}, time.Second, true},
		"it has been proven since":     {[]string{"quay.io/acme/app:v1"}, 0, false},
		"another's":                    {[]string{"quay.io/acme/other:v1"}, time.Second, false},
		"among others that nobody has": {[]string{"quay.io/acme/other:v1", "quay.io/acme/app:v1"}, time.Second, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			img := multiArch("app")
			source.seed(t, "app", "v1", img)
			target.seed(t, "app", "v1", img)
			e := startEngine(t, EngineOptions{})
			job := jobFor(source, target, "app")
			job.Targets = nil
			e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
			first := e.untilState(job.Reference, Verified)

			target.removeBlob(t, "app", img.blobs[0])
			e.clock.advance(time.Minute)
			e.Recheck(c.references, first.At.Add(c.later))
			if !c.again {
				if got := e.Snapshot()[job.Reference]; got.State != Verified || !got.At.Equal(first.At) {
					t.Errorf("it was looked at again: %+v", got)
				}
				return
			}
			got := e.untilState(job.Reference, Failed)
			assertError(t, got.Err, wantError{Incomplete, job.PullEndpoints[0], "blob " + img.blobs[0].digest})
		})
	}
}
