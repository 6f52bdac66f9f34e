package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// countRequests counts the requests of a method for blobs, or for manifests.
func (g *testRegistry) countRequests(method, what string) int {
	return len(slices.DeleteFunc(g.requests(method+" /v2/"),
		func(line string) bool { return !strings.Contains(line, what) }))
}

func TestARoundChecksEachBlobAndManifestOnce(t *testing.T) {
	target := newTestRegistry(t)
	base := layerOf("base")
	var jobs []Job
	blobs, manifests := map[string]bool{}, 0
	for i := range 6 { // six tags of two repositories
		img := singleArch(fmt.Sprintf("app%d", i), "amd64", base)
		repository, tag := fmt.Sprintf("app%d", i%2), fmt.Sprintf("v%d", i)
		target.seed(t, repository, tag, img)
		manifests++
		for _, b := range img.blobs {
			blobs[repository+b.digest] = true
		}
		to := target.host + "/" + repository + ":" + tag
		jobs = append(jobs, Job{Reference: "quay.io/" + repository + ":" + tag, Digest: img.top.digest,
			Targets: []string{to}, PullEndpoints: []string{to}})
	}
	c := newTestClient(plainHTTP())
	for range 2 {
		target.resetRequests()
		c = c.WithAccesses(Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP()}) // which keeps no looks
		runJobs(t, c, EngineOptions{}, jobs...)
		if got := target.countRequests("HEAD", "/blobs/"); got != len(blobs) {
			t.Errorf("%d HEADs for %d different blobs", got, len(blobs))
		}
		if got := target.countRequests("GET", "/manifests/"); got != manifests {
			t.Errorf("%d GETs for %d manifests", got, manifests)
		}
	}
}

func TestAProofIsAsOldAsItsOldestCheck(t *testing.T) {
	g := newTestRegistry(t)
	base := layerOf("base")
	early, late := singleArch("early", "amd64", base), singleArch("late", "amd64", base)
	g.seed(t, "app", "early", early)
	g.seed(t, "app", "late", late)
	e := startEngine(t, EngineOptions{Workers: 1})
	started := e.clock.Now()
	// The second image's manifest is answered when time has passed.
	g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/manifests/late") {
			e.clock.advance(time.Minute)
		}
		return false
	})
	job := func(tag string) Job {
		return Job{Reference: "quay.io/app:" + tag, PullEndpoints: []string{g.host + "/app:" + tag}}
	}
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job("early"), job("late")}, time.Time{})
	if got := e.untilState("quay.io/app:late", Verified); !got.Proof.At.Equal(started) || !got.At.Equal(started) {
		t.Errorf("proof of %s, result of %s, though the base was looked at by %s", got.Proof.At, got.At, started)
	}
	// What is too old is looked at again, its base too.
	g.resetRequests()
	e.Ensure(c, []Job{job("early"), job("late")}, started.Add(time.Second))
	got := e.until("verified again", func(results map[string]Result) bool {
		late := results["quay.io/app:late"]
		return late.State == Verified && late.At.After(started)
	})["quay.io/app:late"]
	if got.At.Before(started.Add(time.Minute)) {
		t.Errorf("proof of %s", got.At)
	}
	if asked := g.requests("HEAD /v2/app/blobs/" + base.digest); len(asked) != 1 {
		t.Errorf("the base was looked at %d times", len(asked))
	}
}

func TestACheckIsNotSharedForever(t *testing.T) {
	g := newTestRegistry(t)
	base := layerOf("base")
	for i := range 3 {
		g.seed(t, "app", fmt.Sprintf("v%d", i), singleArch(fmt.Sprint(i), "amd64", base))
	}
	e := startEngine(t, EngineOptions{Workers: 1})
	g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/manifests/v1") {
			// a long queue: the third image starts much later than it was queued
			e.clock.advance(maxCheckAge + time.Second)
		}
		return false
	})
	var jobs []Job
	for i := range 3 {
		jobs = append(jobs, Job{Reference: fmt.Sprintf("quay.io/app:v%d", i),
			PullEndpoints: []string{fmt.Sprintf("%s/app:v%d", g.host, i)}})
	}
	e.Ensure(newTestClient(plainHTTP()), jobs, time.Time{})
	e.untilState(jobs[2].Reference, Verified)
	if asked := g.requests("HEAD /v2/app/blobs/" + base.digest); len(asked) != 2 {
		t.Errorf("the base was looked at %d times, want 2: by the first image and, minutes later, by the third",
			len(asked))
	}
}

func TestACheckOfAnotherSizeDoesNotCount(t *testing.T) {
	g := newTestRegistry(t)
	img := singleArch("app", "amd64")
	g.seed(t, "app", "v1", img)
	wrong := strings.Replace(string(img.top.raw), fmt.Sprintf(`"size":%d`, len(img.blobs[1].raw)), `"size":9999`, 1)
	g.must(t, http.MethodPut, "/v2/app/manifests/v2", img.top.mediaType, []byte(wrong))
	c := newTestClient(plainHTTP())
	round := newCheckRound()
	if _, failure := c.node.verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{}, round,
		nil); failure != nil {
		t.Fatal(failure)
	}
	_, failure := c.node.verify(context.Background(), []string{g.host + "/app:v2"}, VerifyOptions{}, round, nil)
	assertError(t, failure, wantError{Corrupt, g.host + "/app:v2", "blob " + img.blobs[1].digest})
}

func TestTheNodesAccessMustGetABlobThatWasJustUploaded(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := singleArch("app", "amd64")
	source.seed(t, "app", "v1", img)
	// Uploads pass, and whoever reads a blob is sent to a store that does not know nodes.
	target.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/sha256") && r.Method == http.MethodGet || r.Method == http.MethodHead &&
			strings.Contains(r.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	e.Ensure(newTestClient(plainHTTP()), []Job{job}, time.Time{})
	got := e.untilState(job.Reference, Failed)
	assertError(t, got.Err, wantError{Denied, job.PullEndpoints[0], "blob " + smallest(img).digest})
}

func TestSampleIsSeededAndNeverEmpty(t *testing.T) {
	var blobs []blob
	for i := range 200 {
		blobs = append(blobs, blobOf(layerOf(fmt.Sprint(i))))
	}
	count := func(chosen []bool) (n int) {
		for _, c := range chosen {
			if c {
				n++
			}
		}
		return n
	}
	if diff := cmp.Diff(DownloadSample.selectBlobs(blobs, 7), DownloadSample.selectBlobs(blobs, 7)); diff != "" {
		t.Errorf("the same seed chooses others:\n%s", diff)
	}
	if cmp.Equal(DownloadSample.selectBlobs(blobs, 7), DownloadSample.selectBlobs(blobs, 8)) {
		t.Error("another seed chooses the same")
	}
	if n := count(DownloadSample.selectBlobs(blobs, 7)); n < 10 || n > 40 {
		t.Errorf("%d of 200 chosen, want about 20", n)
	}
	for i := range blobs[:50] {
		if n := count(DownloadSample.selectBlobs(blobs[i:i+1], 7)); n != 1 {
			t.Errorf("%d of one blob chosen", n)
		}
	}
	if count(DownloadFull.selectBlobs(blobs, 7)) != 200 || count(DownloadNone.selectBlobs(blobs, 7)) != 0 {
		t.Error("all must be all and none none")
	}
}

func TestVerifySampleDownloadsOnlyTheSample(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	g.seed(t, "app", "v1", img)
	if _, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{g.host + "/app:v1"},
		VerifyOptions{Download: DownloadSample, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	count, _ := img.bytes()
	head, get := g.countRequests("HEAD", "/blobs/"), g.countRequests("GET", "/blobs/")
	if get == 0 || get == count || head+get != count {
		t.Errorf("%d HEADs and %d GETs of %d blobs", head, get, count)
	}
}

func TestVerifyOfAPullThroughCacheIsSequential(t *testing.T) {
	g := newTestRegistry(t)
	img := multiArch("app")
	g.seed(t, "app", "v1", img)
	arm := img.children[1]
	g.removeManifest(t, "app", arm) // not pulled by anybody yet
	busy := make(chan struct{}, 1)
	g.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		select {
		case busy <- struct{}{}:
		default:
			t.Errorf("%s while another request is in progress", r.URL.Path)
		}
		g.storage.ServeHTTP(w, r)
		<-busy
		return true
	})
	c := newTestClient(plainHTTP())
	want := VerifyOptions{RequiredPlatforms: []string{"linux/amd64"}, PullThroughCache: true}
	if _, err := c.Verify(context.Background(), []string{g.host + "/app:v1"}, want); err != nil {
		t.Fatal(err)
	}
	if asked := g.requests("HEAD"); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	if asked := g.requests(arm.digest); len(asked) > 0 {
		t.Errorf("no node needs %v", asked)
	}
	want.RequiredPlatforms = []string{"linux/arm64"}
	_, err := c.Verify(context.Background(), []string{g.host + "/app:v1"}, want)
	assertError(t, err, wantError{Incomplete, g.host + "/app:v1", "child " + arm.digest + " (linux/arm64/v8)"})
}

func TestVerifyMeasuresHowLongAnAnswerTakes(t *testing.T) {
	g := newTestRegistry(t)
	img := singleArch("app", "amd64")
	g.seed(t, "app", "v1", img)
	const pause = 30 * time.Millisecond
	g.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, img.blobs[1].digest) {
			<-time.After(pause)
		}
		return false
	})
	proof, err := newTestClient(plainHTTP()).Verify(context.Background(), []string{g.host + "/app:v1"}, VerifyOptions{})
	if err != nil || proof.SlowestResponse < pause {
		t.Errorf("slowest answer after %s, %v", proof.SlowestResponse, err)
	}
}

func TestOnlySomePlatformsAreCopiedAndProven(t *testing.T) {
	img := multiArch("app")
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", img)
	arm := img.children[1]
	target.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/v1") {
			// olareg takes an index only whole; registries that can be told not to mind are stood
			// in for here.
			target.seed(t, "app", "arm", image{top: arm, blobs: img.blobs[3:]})
			target.storage.ServeHTTP(w, r)
			target.removeManifest(t, "app", arm)
			target.removeBlob(t, "app", img.blobs[3])
			return true
		}
		return false
	})
	job := jobFor(source, target, "app")
	job.Platforms, job.RequiredPlatforms = []string{"linux/amd64"}, []string{"linux/amd64"}
	for range 2 {
		got := runJobs(t, newTestClient(plainHTTP()), EngineOptions{}, job)[job.Reference]
		if got.Proof.Digest != img.top.digest || got.Proof.Endpoint != job.Targets[0] {
			t.Errorf("proof %+v", got.Proof)
		}
	}
	if asked := source.requests(arm.digest); len(asked) > 0 {
		t.Errorf("read %v", asked)
	}
	_, err := newTestClient(plainHTTP()).Verify(context.Background(), job.Targets, VerifyOptions{})
	assertError(t, err, wantError{Incomplete, job.Targets[0], "child " + arm.digest + " (linux/arm64/v8)"})
}

func TestOtherMirrorsAreCompleteOrHaveNothing(t *testing.T) {
	img, other := multiArch("app"), multiArch("other")
	good := newTestRegistry(t)
	good.seed(t, "app", "v1", img)
	empty, lacking, stale, gone := newTestRegistry(t), newTestRegistry(t), newTestRegistry(t), newTestRegistry(t)
	lacking.seed(t, "app", "v1", img)
	lacking.removeBlob(t, "app", img.blobs[0])
	stale.seed(t, "app", "v1", other)
	gone.server.Close()
	job := Job{Reference: "quay.io/app:v1", Digest: img.top.digest, PullEndpoints: []string{good.host + "/app:v1"}}
	for _, g := range []*testRegistry{good, empty, lacking, stale, gone} {
		job.OtherMirrors = append(job.OtherMirrors, g.host+"/app:v1")
	}
	got := runJobs(t, newTestClient(plainHTTP()), EngineOptions{}, job)[job.Reference].OtherMirrors
	if len(got) != len(job.OtherMirrors) {
		t.Fatalf("%d findings of %d mirrors", len(got), len(job.OtherMirrors))
	}
	for i, want := range []struct {
		digest string
		err    wantError
	}{
		{img.top.digest, wantError{}},
		{"", wantError{}},
		{img.top.digest, wantError{Incomplete, job.OtherMirrors[2], "blob " + img.blobs[0].digest}},
		{other.top.digest, wantError{Corrupt, job.OtherMirrors[3], "manifest"}},
		{"", wantError{Refused, job.OtherMirrors[4], "ping"}},
	} {
		if got[i].Endpoint != job.OtherMirrors[i] || got[i].Digest != want.digest {
			t.Errorf("finding %+v", got[i])
		}
		if (got[i].Err == nil) != (want.err.Class == "") {
			t.Errorf("%s: %v", got[i].Endpoint, got[i].Err)
		} else if got[i].Err != nil {
			assertError(t, got[i].Err, want.err)
		}
	}
	var wrong *DigestError
	if !errors.As(got[3].Err, &wrong) || wrong.Got != other.top.digest {
		t.Errorf("%v", got[3].Err)
	}
}

func TestTheDigestThatTheMirrorHadBeforeIsKept(t *testing.T) {
	img, before := multiArch("app"), multiArch("yesterday")
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", img)
	target.seed(t, "app", "v1", before)
	job := jobFor(source, target, "app")
	e := startEngine(t, EngineOptions{})
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job}, time.Time{})
	e.untilState(job.Reference, Verified)
	e.clock.advance(time.Minute)
	e.Ensure(c, []Job{job}, e.clock.Now())
	got := e.until("verified again", func(results map[string]Result) bool {
		return results[job.Reference].State == Verified && results[job.Reference].At.Equal(e.clock.Now())
	})[job.Reference]
	if got.SourceDigest != img.top.digest || got.MirrorDigest != before.top.digest || got.Digest != img.top.digest {
		t.Errorf("source %s, mirror %s, digest %s", got.SourceDigest, got.MirrorDigest, got.Digest)
	}
}

func TestReferrersComeAlongWhenWanted(t *testing.T) {
	img := multiArch("app")
	attached := func(name string, subject content) image {
		out := singleArch(name, "amd64")
		var m object
		mustJSON(t, out.top.raw, &m)
		m["subject"] = subject.descriptor()
		m["artifactType"] = "application/vnd.example." + name
		out.top = newContent(manifestType, toJSON(m))
		return out
	}
	sbom := attached("sbom", img.children[0])
	signature := attached("signature", sbom.top) // of the bill of materials
	attestation := singleArch("attestation", "amd64")
	for _, wanted := range []bool{true, false} {
		t.Run(fmt.Sprint(wanted), func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			source.seed(t, "app", "v1", img)
			source.seed(t, "app", sbom.top.digest, sbom)
			source.seed(t, "app", signature.top.digest, signature)
			source.seed(t, "app", digestTag(blobOf(img.top).digest, ".att"), attestation)
			job := jobFor(source, target, "app")
			job.Referrers = wanted
			runJobs(t, newTestClient(plainHTTP()), EngineOptions{}, job)
			for name, path := range map[string]string{
				"bill of materials":     sbom.top.digest,
				"a signature of it":     signature.top.digest,
				"the index attestation": digestTag(blobOf(img.top).digest, ".att"),
			} {
				if got := target.has(t, "/v2/app/manifests/"+path); got != wanted {
					t.Errorf("%s: %t, want %t", name, got, wanted)
				}
			}
		})
	}
}

func TestAMirrorThatHidesFromNodesIsNotFilledAgainAndAgain(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", multiArch("app"))
	login, err := ParseKeychain([]byte(`{"auths":{"` + target.host + `":{"username":"robot","password":"secret"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	// Without the push login everything is 404.
	target.inject(func(w http.ResponseWriter, r *http.Request) bool {
		if _, _, ok := r.BasicAuth(); ok || r.URL.Path == "/v2/" {
			return false
		}
		if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	push := plainHTTP()
	push.Keychain = login
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	job.PullEndpoints = job.Targets
	e.Ensure(newSplitClient(Accesses{Source: plainHTTP(), Push: push, Node: plainHTTP()}), []Job{job}, time.Time{})
	for attempt := range 3 {
		got := e.until("failed again", func(results map[string]Result) bool {
			return results[job.Reference].State == Failed && results[job.Reference].Attempts == attempt+1
		})[job.Reference]
		assertError(t, got.Err, wantError{Missing, job.PullEndpoints[0], "manifest"})
		if attempt == 1 {
			target.resetRequests()
		}
		<-e.clock.armed
		e.clock.advance(got.RetryAt.Sub(e.clock.Now()))
	}
	e.stop()
	if wrote := append(target.requests("PUT "), target.requests("POST ")...); len(wrote) > 0 {
		t.Errorf("wrote %v though the push access sees it", wrote)
	}
}
