package mirror

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// copierEnv makes the test binary a copier: "source target name name ...".
const copierEnv = "SAFE_MIRROR_TEST_COPIER"

// TestCopierProcess is not a test: it is the process that TestKilledCopiesResume kills.
func TestCopierProcess(t *testing.T) {
	order := strings.Fields(os.Getenv(copierEnv))
	if len(order) == 0 {
		t.Skip("only runs as a process of its own")
	}
	var jobs []Job
	for _, name := range order[2:] {
		from, to := order[0]+"/"+name+":v1", order[1]+"/"+name+":v1"
		jobs = append(jobs, Job{Reference: "quay.io/" + name + ":v1", Sources: []string{from}, Targets: []string{to},
			PullEndpoints: []string{to}})
	}
	runJobs(t, NewClient(Accesses{Source: plainHTTP(), Push: plainHTTP(), Node: plainHTTP()}), EngineOptions{}, jobs...)
}

// meter counts what uploads bring to a registry. At a number of bytes it holds all of them back
// until the copier is dead.
type meter struct {
	mu       sync.Mutex
	under    int // uploads
	idle     *sync.Cond
	whole    map[string]int // uploads that arrived in one piece, by digest
	broken   int            // uploads that did not
	bytes    int64
	limit    int64 // where to hold back; 0 for nowhere
	reached  chan struct{}
	released chan struct{}
}

func newMeter() *meter {
	m := &meter{whole: map[string]int{}}
	m.idle = sync.NewCond(&m.mu)
	return m
}

// settle waits until everything that had arrived is taken in.
func (m *meter) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.under > 0 {
		m.idle.Wait()
	}
}

// holdAt arms the meter: reached is closed when that many more bytes have come.
func (m *meter) holdAt(more int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit, m.reached, m.released = m.bytes+more, make(chan struct{}), make(chan struct{})
}

func (m *meter) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = 0
	close(m.released)
}

// around puts the meter before a registry.
func (m *meter) around(storage http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/blobs/uploads/") {
			storage.ServeHTTP(w, r)
			return
		}
		m.mu.Lock()
		m.under++
		m.mu.Unlock()
		body := &meteredBody{ReadCloser: r.Body, meter: m}
		r.Body = body
		storage.ServeHTTP(w, r)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.under--
		m.idle.Broadcast()
		if body.read == r.ContentLength {
			m.whole[r.URL.Query().Get("digest")]++
		} else {
			m.broken++
		}
	})
}

type meteredBody struct {
	io.ReadCloser
	meter *meter
	read  int64
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 4<<10)])
	b.read += int64(n)
	if held := b.meter.count(int64(n)); held != nil {
		<-held
	}
	return n, err
}

func (m *meter) count(n int64) (held chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes += n
	if m.limit == 0 || m.bytes < m.limit {
		return nil
	}
	select {
	case <-m.reached:
	default:
		close(m.reached)
	}
	return m.released
}

func copier(t *testing.T, source, target *testRegistry, names []string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-test.run", "^TestCopierProcess$", "-test.count", "1")
	cmd.Env = append(os.Environ(), copierEnv+"="+
		strings.Join(append([]string{source.host, target.host}, names...), " "))
	return cmd
}

// TestKilledCopiesResume kills a copier process (SIGKILL) in the middle of its uploads, several
// times, and counts at the registry what the next one brings again: nothing that had arrived.
func TestKilledCopiesResume(t *testing.T) {
	c := newCorpus(12, 12<<20)
	source, target := newTestRegistry(t), newTestRegistry(t)
	for i, img := range c.images {
		source.seed(t, c.names[i], "v1", img)
	}
	m := newMeter()
	target.wrap(m.around)
	const kills = 3
	for range kills {
		m.holdAt(c.unique / 6)
		cmd := copier(t, source, target, c.names)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-m.reached:
		case <-time.After(testTimeout):
			t.Error("the copier uploads nothing")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed"
		m.release()
		m.settle()
	}
	if out, err := copier(t, source, target, c.names).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, img := range c.images {
		assertVerified(t, target.host+"/"+c.names[i]+":v1", img)
	}
	target.server.Close() // waits for the handlers
	unique := map[string]bool{}
	for _, img := range c.images {
		for _, b := range img.blobs {
			unique[b.digest] = true
		}
	}
	again := 0
	for _, times := range m.whole {
		again += times - 1
	}
	if again > kills { // next to never one: two images that both begin with a layer that only one of them had brought
		t.Errorf("%d blobs that had arrived were brought again", again)
	}
	if len(m.whole) != len(unique) {
		t.Errorf("%d of %d blobs were uploaded", len(m.whole), len(unique))
	}
	if slots := smallBlobSlots + largeBlobSlots; m.broken > kills*slots {
		t.Errorf("%d kills broke %d uploads, with %d slots", kills, m.broken, slots)
	}
	t.Logf("%d bytes for %d unique ones; %d kills broke %d uploads", m.bytes, c.unique, kills, m.broken)
}
