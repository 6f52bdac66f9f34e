package mirror

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDryRunTellsWhatACopyMoves(t *testing.T) {
	images, base := imagesSharingBase(3)
	source, target := newTestRegistry(t), newTestRegistry(t)
	names := []string{"app0", "app1", "app2"}
	var jobs []Job
	for i, name := range names {
		source.seed(t, name, "v1", images[i])
		jobs = append(jobs, jobFor(source, target, name))
	}
	target.seed(t, "app2", "v1", images[2])
	gone := jobFor(source, target, "gone")
	onlyLook := Job{Reference: "quay.io/look:v1", PullEndpoints: []string{target.host + "/app2:v1"}}
	jobs = append(jobs, gone, onlyLook)

	target.resetRequests()
	c := newTestClient(plainHTTP())
	got := c.DryRun(context.Background(), jobs)
	for _, line := range append(target.requests(""), source.requests("")...) {
		if !strings.HasPrefix(line, "GET ") && !strings.HasPrefix(line, "HEAD ") {
			t.Errorf("asked %s", line)
		}
	}
	own := func(img image) (bytes int64) {
		_, all := img.bytes()
		return all - int64(len(base.raw))
	}
	want := []Estimate{
		{Reference: jobs[0].Reference, Digest: images[0].top.digest, Blobs: 3, Bytes: own(images[0]) +
			int64(len(base.raw)), Requests: 13},
		{Reference: jobs[1].Reference, Digest: images[1].top.digest, Blobs: 2, Bytes: own(images[1]), Mounts: 1,
			Requests: 11},
		{Reference: jobs[2].Reference, Digest: images[2].top.digest},
		{Reference: gone.Reference},
		{Reference: onlyLook.Reference},
	}
	assertError(t, got[3].Err, wantError{Missing, gone.Sources[0], "manifest"})
	got[3].Err = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// What was announced is what happens.
	var moved int64
	for _, job := range jobs[:3] {
		copied, err := c.Copy(context.Background(), job.Sources, job.Targets[0], "")
		if err != nil {
			t.Fatal(err)
		}
		moved += copied.Bytes
	}
	if announced := want[0].Bytes + want[1].Bytes; moved != announced {
		t.Errorf("announced %d bytes, moved %d", announced, moved)
	}
}
