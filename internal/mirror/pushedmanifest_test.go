package mirror

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestThePushedTopManifestIsReadBackWhenNeeded copies three images, one after the other, and counts
// the GETs of their tags: one for each image before the copy, and those after it.
func TestThePushedTopManifestIsReadBackWhenNeeded(t *testing.T) {
	silent := func(storage http.Handler) http.Handler { // acknowledges without a digest
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			storage.ServeHTTP(&withoutHeader{ResponseWriter: w, name: "Docker-Content-Digest"}, r)
		})
	}
	login := func(host string) Keychain {
		keychain, err := ParseKeychain([]byte(`{"auths":{"` + host + `":{"username":"robot","password":"secret"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		return keychain
	}
	const before = 3
	for name, tc := range map[string]struct {
		change func(push *Access, host string)
		around func(storage http.Handler) http.Handler
		after  int
	}{
		"the same party: once": {after: 1},
		"another login":        {change: func(push *Access, host string) { push.Keychain = login(host) }, after: 3},
		"another CA": {change: func(push *Access,
			host string) {
			push.CAs = map[string][]byte{host: []byte("CA")}
		}, after: 3},
		"another bundle":         {change: func(push *Access, _ string) { push.ExtraCAs = []byte("CA") }, after: 3},
		"no digest acknowledged": {around: silent, after: 3},
		"another host's CA is all": {change: func(push *Access,
			_ string) {
			push.CAs = map[string][]byte{"quay.io": []byte("CA")}
		}, after: 1},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := newTestRegistry(t), newTestRegistry(t)
			if tc.around != nil {
				target.wrap(tc.around)
			}
			accesses := Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP()}
			if tc.change != nil {
				tc.change(&accesses.Push, target.host)
			}
			var jobs []Job
			for _, repository := range []string{"one", "two", "three"} {
				source.seed(t, repository, "v1", singleArch(repository, "amd64"))
				jobs = append(jobs, jobFor(source, target, repository))
			}
			target.resetRequests()
			for reference, got := range runJobs(t, newSplitClient(accesses), EngineOptions{}, jobs...) {
				if got.Proof.Endpoint != got.Copies[0].To || got.Proof.Digest != got.Digest {
					t.Errorf("%s: proof %+v", reference, got.Proof)
				}
			}
			if got := target.countRequests("GET", "/manifests/v1"); got != before+tc.after {
				t.Errorf("%d GETs of tags, want %d and %d", got, before, tc.after)
			}
		})
	}
}

// withoutHeader leaves a header out of answers to PUT of manifests.
type withoutHeader struct {
	http.ResponseWriter
	name string
}

func (w *withoutHeader) WriteHeader(status int) {
	if status == http.StatusCreated {
		w.Header().Del(w.name)
	}
	w.ResponseWriter.WriteHeader(status)
}

// TestAPushedManifestIsReadAgainInTheNextRound: what was acknowledged counts for the copy's own
// proof only.
func TestAPushedManifestIsReadAgainInTheNextRound(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	img := multiArch("app")
	source.seed(t, "app", "v1", img)
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	job.PullEndpoints = job.Targets
	c := newTestClient(plainHTTP())
	e.Ensure(c, []Job{job}, time.Time{})
	e.untilState(job.Reference, Verified)
	target.removeManifest(t, "app", img.top)
	target.resetRequests()
	e.clock.advance(time.Minute)
	e.Ensure(c, []Job{job}, e.clock.Now())
	e.until("copied again", func(results map[string]Result) bool {
		return results[job.Reference].State == Verified && results[job.Reference].At.Equal(e.clock.Now())
	})
	if puts := target.requests("PUT /v2/app/manifests/v1"); len(puts) != 1 {
		t.Errorf("a manifest that is gone was not seen to be gone: %v", puts)
	}
}

func TestGatedCopiesReadAndDoNotWrite(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "app", "v1", singleArch("app", "amd64"))
	allowed, read := make(chan struct{}), make(chan struct{}, 1)
	source.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/manifests/v1") {
			signal(read)
		}
		return false
	})
	e := startEngine(t, EngineOptions{})
	job := jobFor(source, target, "app")
	target.resetRequests()
	e.Ensure(newTestClient(plainHTTP()).WithWriteGate(allowed), []Job{job}, time.Time{})
	<-read
	if wrote := append(target.requests("POST "), target.requests("PUT ")...); len(wrote) > 0 {
		t.Errorf("wrote %v", wrote)
	}
	close(allowed)
	e.untilState(job.Reference, Verified)
}
