package mirror

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// imagesSharingBase is n images that share a base layer and have one of their own each.
func imagesSharingBase(n int) (images []image, base content) {
	base = layerOf(strings.Repeat("base ", 1000))
	for i := range n {
		images = append(images, singleArch(fmt.Sprintf("app%d", i), "amd64", base))
	}
	return images, base
}

// uploads lists the digests of the blobs whose content a registry was sent, sorted.
func (g *testRegistry) uploads(t *testing.T) *uploadLog {
	t.Helper()
	log := &uploadLog{}
	g.inject(log.note)
	return log
}

type uploadLog struct {
	mu      sync.Mutex
	digests []string
	opened  []string // the queries with which uploads were opened
	bytes   atomic.Int64
}

func (l *uploadLog) note(_ http.ResponseWriter, r *http.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/") {
		l.digests = append(l.digests, r.URL.Query().Get("digest"))
		l.bytes.Add(r.ContentLength)
	}
	if r.Method == http.MethodPost {
		l.opened = append(l.opened, r.URL.RawQuery)
	}
	return false
}

// runJobs runs jobs with one engine until all are verified.
func runJobs(t *testing.T, c *Client, opts EngineOptions, jobs ...Job) map[string]Result {
	t.Helper()
	e := startEngine(t, opts)
	e.Ensure(c, jobs, time.Time{})
	defer e.stop()
	return e.until("all verified", func(results map[string]Result) bool {
		for _, job := range jobs {
			if results[job.Reference].State == Failed {
				t.Fatal(results[job.Reference].Err)
			}
			if results[job.Reference].State != Verified {
				return false
			}
		}
		return true
	})
}

// withoutMounts makes a registry answer every mount by opening an upload.
func (l *uploadLog) withoutMounts(g *testRegistry) {
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		l.note(w, r)
		query := r.URL.Query()
		query.Del("mount")
		query.Del("from")
		r.URL.RawQuery = query.Encode()
		return false
	})
}

func TestCopiesUploadASharedBlobOnce(t *testing.T) {
	images, base := imagesSharingBase(8)
	for _, mounts := range []bool{true, false} {
		t.Run(fmt.Sprintf("mounts %t", mounts), func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			log := target.uploads(t)
			if !mounts {
				log.withoutMounts(target)
			}
			var jobs []Job
			unique := map[string]bool{}
			for i, img := range images {
				name := fmt.Sprintf("app%d", i)
				source.seed(t, name, "v1", img)
				jobs = append(jobs, jobFor(source, target, name))
				for _, b := range img.blobs {
					unique[b.digest] = true
				}
			}
			results := runJobs(t, newTestClient(plainHTTP()), EngineOptions{}, jobs...)
			sent := map[string]int{}
			for _, d := range log.digests {
				sent[d]++
			}
			want := 1
			if !mounts {
				want = len(images) // there is no other way
			}
			if sent[base.digest] != want {
				t.Errorf("the shared layer was sent %d times, want %d", sent[base.digest], want)
			}
			if mounts && len(log.digests) != len(unique) {
				t.Errorf("%d uploads of %d different blobs", len(log.digests), len(unique))
			}
			var need, moved int64
			for i, job := range jobs {
				assertVerified(t, job.Targets[0], images[i])
				need, moved = need+results[job.Reference].NeededBytes, moved+results[job.Reference].UploadedBytes
			}
			if need != moved || moved != log.bytes.Load() {
				t.Errorf("needed %d, moved %d, the registry was sent %d bytes", need, moved, log.bytes.Load())
			}
		})
	}
}

func TestUploadsNeverAskForAMountFromNowhere(t *testing.T) {
	images, _ := imagesSharingBase(3)
	source, target := newTestRegistry(t), newTestRegistry(t)
	log := target.uploads(t)
	var jobs []Job
	for i, img := range images {
		name := fmt.Sprintf("app%d", i)
		source.seed(t, name, "v1", img)
		jobs = append(jobs, jobFor(source, target, name))
	}
	runJobs(t, newTestClient(plainHTTP()), EngineOptions{}, jobs...)
	if len(log.opened) == 0 {
		t.Fatal("nothing was uploaded")
	}
	for _, query := range log.opened {
		if strings.Contains(query, "mount=") && !strings.Contains(query, "from=") {
			t.Errorf("anonymous mount: ?%s", query)
		}
	}
}

func TestCopyUploadsOnlyWhatAHalfFilledTargetLacks(t *testing.T) {
	img := multiArch("app")
	for _, mounts := range []bool{true, false} {
		t.Run(fmt.Sprintf("mounts %t", mounts), func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			for _, b := range img.blobs[:3] { // as somebody leaves it who is killed: blobs and no manifest
				target.must(t, http.MethodPost, "/v2/app/blobs/uploads/?digest="+b.digest,
					"application/octet-stream", b.raw)
			}
			log := target.uploads(t)
			if !mounts {
				log.withoutMounts(target)
			}
			if _, err := newTestClient(plainHTTP()).Copy(context.Background(), []string{source.host + "/app:v1"},
				target.host+"/app:v1", ""); err != nil {
				t.Fatal(err)
			}
			for _, b := range img.blobs[:3] {
				if slices.Contains(log.digests, b.digest) {
					t.Errorf("uploaded %s, which was there", b.digest)
				}
			}
			assertVerified(t, target.host+"/app:v1", img)
		})
	}
}

func TestTheNextTakesOverAnUploadThatFailed(t *testing.T) {
	images, base := imagesSharingBase(2)
	broken, source, target := newTestRegistry(t), newTestRegistry(t), newTestRegistry(t)
	broken.seed(t, "app0", "v1", images[0])
	source.seed(t, "app1", "v1", images[1])
	// The first image's download of the base breaks only after the second image has set out.
	asked, broke := make(chan struct{}, 10*maxAttempts), make(chan struct{})
	broken.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, base.digest) {
			asked <- struct{}{}
			<-broke
			panic(http.ErrAbortHandler)
		}
		return false
	})
	c := newTestClient(plainHTTP())
	var done sync.WaitGroup
	done.Go(func() {
		_, err := c.Copy(context.Background(), []string{broken.host + "/app0:v1"}, target.host+"/app0:v1", "")
		assertError(t, err, wantError{Refused, broken.host + "/app0:v1", "blob " + base.digest})
	})
	<-asked
	done.Go(func() {
		defer assertVerified(t, target.host+"/app1:v1", images[1])
		if _, err := c.Copy(context.Background(), []string{source.host + "/app1:v1"}, target.host+"/app1:v1",
			""); err != nil {
			t.Error(err)
		}
	})
	close(broke)
	done.Wait()
}

// recordWrongLocations lets a client believe that a repository has all blobs of an image.
func recordWrongLocations(c *Client, g *testRegistry, repository string, img image) {
	s := hostUser{host: g.host}
	c.shared.locations.setMountSupport(s, mountSupported)
	for _, b := range img.blobs {
		c.shared.locations.record(s, repository, blobOf(b).digest)
	}
}

func TestWrongBlobLocationsAreNotTrusted(t *testing.T) {
	img := multiArch("app")
	for name, repository := range map[string]string{
		"about the image's own repository": "app",
		"about another repository":         "other",
	} {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			c := newTestClient(plainHTTP())
			recordWrongLocations(c, target, repository, img)
			if _, err := c.Copy(context.Background(), []string{source.host + "/app:v1"}, target.host+"/app:v1",
				""); err != nil {
				t.Fatal(err)
			}
			assertVerified(t, target.host+"/app:v1", img)
			for _, b := range img.blobs {
				if repository != "app" && c.shared.locations.has(hostUser{host: target.host}, repository,
					blobOf(b).digest) {
					t.Errorf("still believes that %s has %s", repository, b.digest)
				}
			}
		})
	}
}

func TestWrongBlobLocationsAreDetectedByTheProof(t *testing.T) {
	img := singleArch("app", "amd64")
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", img)
	c := newTestClient(plainHTTP())
	recordWrongLocations(c, target, "app", img)
	// The registry takes the manifest without looking at its blobs, once.
	taken := false
	target.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if taken {
			return strings.Contains(r.URL.Path, "/manifests/v1") && serveManifest(w, r, target, img)
		}
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			taken = true
			w.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	})
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	e.Ensure(c, []Job{job}, time.Time{})
	failed := e.untilState(job.Reference, Failed)
	if failed.Err.Class != Incomplete {
		t.Errorf("%v", failed.Err)
	}
	<-e.clock.armed
	e.clock.advance(time.Second)
	e.untilState(job.Reference, Verified)
	for _, b := range img.blobs {
		if !target.has(t, "/v2/app/blobs/"+b.digest) {
			t.Errorf("%s is not there", b.digest)
		}
	}
}

// serveManifest answers for a manifest that the storage does not have yet.
func serveManifest(w http.ResponseWriter, r *http.Request, _ *testRegistry, img image) bool {
	if r.Method != http.MethodGet {
		return false
	}
	w.Header().Set("Content-Type", img.top.mediaType)
	_, _ = w.Write(img.top.raw)
	return true
}

func TestManifestsOfTheSourceAreReadOnce(t *testing.T) {
	img := multiArch("app")
	source, first, second := newTestRegistry(t), newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", img)
	c := newTestClient(plainHTTP())
	for _, target := range []*testRegistry{first, second} {
		if _, err := c.Copy(context.Background(), []string{source.host + "/app:v1"}, target.host+"/app:v1",
			img.top.digest); err != nil {
			t.Fatal(err)
		}
	}
	read := map[string]int{}
	for _, line := range source.requests("GET /v2/app/manifests/") {
		read[line]++
	}
	want := map[string]int{}
	for _, m := range append(slices.Clone(img.children), img.top) {
		want["GET /v2/app/manifests/"+m.digest] = 1
	}
	if diff := cmp.Diff(want, read); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithAccessesKeepsBlobLocationsAndNoProofs(t *testing.T) {
	images, base := imagesSharingBase(2)
	source, target := newTestRegistry(t), newTestRegistry(t)
	for i, img := range images {
		source.seed(t, fmt.Sprintf("app%d", i), "v1", img)
	}
	before := newTestClient(plainHTTP())
	if _, err := before.Copy(context.Background(), []string{source.host + "/app0:v1"}, target.host+"/app0:v1",
		""); err != nil {
		t.Fatal(err)
	}
	after := before.WithAccesses(Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP()})
	log := target.uploads(t)
	if _, err := after.Copy(context.Background(), []string{source.host + "/app1:v1"}, target.host+"/app1:v1",
		""); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(log.digests, base.digest) {
		t.Error("uploaded a layer that the client before it had brought to the registry")
	}
	if before.node.checks == after.node.checks {
		t.Error("what was seen with other credentials is taken for seen")
	}
}

func TestBlobLocationsAreBounded(t *testing.T) {
	l := newBlobLocations()
	mirror, other := hostUser{"mirror.example.com", "robot"}, hostUser{"mirror.example.com", "somebody else"}
	d := blobOf(layerOf("base")).digest
	for i := range maxLocationsPerBlob + 2 {
		l.record(mirror, fmt.Sprintf("app%d", i), d)
		l.record(mirror, fmt.Sprintf("app%d", i), d)
	}
	if l.has(mirror, "app0", d) || !l.has(mirror, "app2", d) {
		t.Error("the oldest one goes first")
	}
	if got := l.otherRepository(mirror, "app5", d); got != "app4" {
		t.Errorf("mounts from %q", got)
	}
	if got := l.otherRepository(other, "app5", d); got != "" {
		t.Errorf("somebody else mounts from %q", got)
	}
	for i := range maxLocationsPerBlob + 2 {
		l.forget(mirror, fmt.Sprintf("app%d", i), d)
	}
	if got := l.otherRepository(mirror, "", d); got != "" || len(l.blobs.items) != 0 {
		t.Errorf("still knows %q", got)
	}
}
