package pull

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

const node = "w1"

// fixture is one node with its files.
type fixture struct {
	*Runtime
	t       *testing.T
	root    string
	logPath string
	loads   int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, root: t.TempDir(), logPath: filepath.Join(t.TempDir(), "pulls.jsonl")}
	f.open()
	return f
}

// open starts the runtime, or starts it again on the same files.
func (f *fixture) open() {
	f.t.Helper()
	log, err := OpenLog(f.logPath)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { log.Close() })
	if f.Runtime, err = New(f.root, node, log); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(path, content string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// load writes registries.conf and reloads it, as the daemon does.
func (f *fixture) load(registries string) {
	f.write(nodefs.Registries(f.root, node), registries)
	f.loads++
	f.write(nodefs.LoadedConfig(f.root, node), fmt.Sprintf("rendered-worker-%d\n", f.loads))
}

func (f *fixture) pull(reference string) (Image, error) {
	return f.Pull(context.Background(), Request{Reference: reference, Namespace: "shop", Pod: "web-1", Container: "web",
		Policy: "IfNotPresent"})
}

// mustFail pulls and returns the error text.
func (f *fixture) mustFail(reference string) string {
	f.t.Helper()
	_, err := f.pull(reference)
	if err == nil {
		f.t.Fatalf("the pull of %s succeeded", reference)
	}
	return err.Error()
}

func (f *fixture) mustPull(reference string) Image {
	f.t.Helper()
	image, err := f.pull(reference)
	if err != nil {
		f.t.Fatalf("pull of %s: %v", reference, err)
	}
	return image
}

// lastRecord is the newest line of the pull log.
func (f *fixture) lastRecord() Record {
	f.t.Helper()
	file, err := os.Open(f.logPath)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	var last Record
	for lines := bufio.NewScanner(file); lines.Scan(); {
		last = Record{}
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			f.t.Fatal(err)
		}
	}
	return last
}

// conf is a registries.conf with one source, its tag mirrors, and everything allowed without TLS.
func conf(source string, blocked bool, mirrors ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "unqualified-search-registries = [%q]\n[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\nblocked = %t\n", source, source, source, blocked)
	for _, mirror := range mirrors {
		fmt.Fprintf(&b, "[[registry.mirror]]\nlocation = %q\ninsecure = true\npull-from-mirror = \"tag-only\"\n", mirror)
	}
	return b.String()
}

func TestMirrorsAreTriedInOrder(t *testing.T) {
	source, first, second := plain(t), plain(t), plain(t)
	source.push("shop/web", "v1", "web")
	want := second.push("copy/shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false, first.host(), second.host()+"/copy"))

	image := f.mustPull(source.host() + "/shop/web:v1")

	// The first mirror answers 404, the second serves everything, the source is never asked.
	record := f.lastRecord()
	wantTried := []string{first.host() + "/shop/web:v1", second.host() + "/copy/shop/web:v1"}
	if diff := cmp.Diff(wantTried, record.Tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
	if record.Endpoint != wantTried[1] {
		t.Errorf("endpoint %q, want %q", record.Endpoint, wantTried[1])
	}
	if record.Config != "rendered-worker-1" || record.Node != node || record.Pod != "web-1" ||
		record.Container != "web" || record.Cached {
		t.Errorf("record %+v", record)
	}
	if want := want.config.Size + want.layer.Size; record.Bytes != want {
		t.Errorf("bytes %d, want %d", record.Bytes, want)
	}
	if record.Digest != want.index.String() {
		t.Errorf("digest %q, want that of the index %q", record.Digest, want.index)
	}
	if image.ID != want.config.Digest.String() {
		t.Errorf("image %+v", image)
	}
	if n := source.count("/"); n != 0 {
		t.Errorf("the source was asked %d times", n)
	}
}

func TestFallThroughToTheSource(t *testing.T) {
	source, mirror := plain(t), plain(t)
	source.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false, mirror.host()))

	f.mustPull(source.host() + "/shop/web:v1")

	if got, want := f.lastRecord().Endpoint, source.host()+"/shop/web:v1"; got != want {
		t.Errorf("endpoint %q, want %q", got, want)
	}
}

func TestBlockedSource(t *testing.T) {
	source, mirror := plain(t), plain(t)
	source.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), true, mirror.host()))

	err := f.mustFail(source.host() + "/shop/web:v1")

	// Both halves of the message name the mirror's error and the source's.
	for _, part := range []string{
		"unable to pull image or OCI artifact: pull image err: initializing source docker://" + source.host() +
			"/shop/web:v1: ",
		"(Mirrors also failed: [" + mirror.host() + "/shop/web:v1: reading manifest v1 in " + mirror.host() +
			"/shop/web: manifest unknown])",
		"registry " + source.host() + " is blocked in /etc/containers/registries.conf or /etc/containers/registries.conf.d; artifact err: ",
		"; artifact err: get manifest: build image source: (Mirrors also failed: ",
	} {
		if !strings.Contains(err, part) {
			t.Errorf("error %q has no %q", err, part)
		}
	}
	if n := source.count("/"); n != 0 {
		t.Errorf("the blocked source was asked %d times", n)
	}
	if n := mirror.count("/manifests/v1"); n != 2 {
		t.Errorf("the mirror was asked %d times, want 2: for an image and for an artifact", n)
	}
	record := f.lastRecord()
	if record.Endpoint != "" || record.Error != err || record.Bytes != 0 {
		t.Errorf("record %+v", record)
	}
}

func TestNoFallBackAfterTheTopManifest(t *testing.T) {
	tests := map[string]func(mirror *registry, i image){
		"missing layer":  func(m *registry, i image) { delete(m.blobs, "shop/web@"+i.layer.Digest.String()) },
		"missing config": func(m *registry, i image) { delete(m.blobs, "shop/web@"+i.config.Digest.String()) },
		"missing child":  func(m *registry, i image) { delete(m.manifests, "shop/web@"+i.manifest.String()) },
		"corrupt layer":  func(m *registry, i image) { m.corrupt[i.layer.Digest] = true },
	}
	for name, breakIt := range tests {
		t.Run(name, func(t *testing.T) {
			source, mirror := plain(t), plain(t)
			source.push("shop/web", "v1", "web")
			breakIt(mirror, mirror.push("shop/web", "v1", "web"))
			f := newFixture(t)
			f.load(conf(source.host(), false, mirror.host()))

			err := f.mustFail(source.host() + "/shop/web:v1")

			if !strings.Contains(err, "; artifact err: provided artifact is a container image") {
				t.Errorf("error %q", err)
			}
			if got, want := f.lastRecord().Endpoint, mirror.host()+"/shop/web:v1"; got != want {
				t.Errorf("endpoint %q, want %q", got, want)
			}
			if n := source.count("/"); n != 0 {
				t.Errorf("the source was asked %d times", n)
			}
			if _, present, _ := f.Present(source.host() + "/shop/web:v1"); present {
				t.Error("the image counts as present")
			}
		})
	}
}

func TestDigestSkipsTagMirrors(t *testing.T) {
	source, mirror := plain(t), plain(t)
	i := source.push("shop/web", "v1", "web")
	mirror.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false, mirror.host()))

	// The tag of a reference with both is dropped.
	f.mustPull(source.host() + "/shop/web:v1@" + i.index.String())

	if got, want := f.lastRecord().Endpoint, source.host()+"/shop/web@"+i.index.String(); got != want {
		t.Errorf("endpoint %q, want %q", got, want)
	}
}

func TestShortNames(t *testing.T) {
	source := plain(t)
	source.push("nginx", "latest", "nginx")
	f := newFixture(t)
	f.load(conf(source.host(), false))

	f.mustPull("nginx")

	if got, want := f.lastRecord().Endpoint, source.host()+"/nginx:latest"; got != want {
		t.Errorf("endpoint %q, want %q", got, want)
	}
	if _, present, err := f.Present("nginx"); !present || err != nil {
		t.Errorf("present by its short name: %t, %v", present, err)
	}
}

func TestMirrorCredentialsComeFromTheAuthFile(t *testing.T) {
	source, mirror := plain(t), plain(t)
	mirror.password = "secret"
	mirror.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false, mirror.host()))
	// The credentials of the pod are for the source: the library keeps them from the mirror.
	request := Request{Reference: source.host() + "/shop/web:v1", Username: "user", Password: "secret"}

	if _, err := f.Pull(context.Background(), request); err == nil {
		t.Fatal("the mirror was given the pod's credentials")
	}
	// user:secret in base64
	f.write(nodefs.AuthFile(f.root, node), fmt.Sprintf(`{"auths":{%q:{"auth":"dXNlcjpzZWNyZXQ="}}}`, mirror.host()))
	if _, err := f.Pull(context.Background(), request); err != nil {
		t.Fatalf("with the auth file: %v", err)
	}
}

func TestCertificatesOfARegistry(t *testing.T) {
	secure := newRegistry(t, httptest.NewTLSServer)
	secure.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load("")

	if err := f.mustFail(secure.host() + "/shop/web:v1"); !strings.Contains(err,
		"x509: certificate signed by unknown authority") {
		t.Errorf("error %q", err)
	}
	f.write(filepath.Join(nodefs.CertsDir(f.root, node), secure.host(), "ca.crt"), string(secure.ca()))
	f.mustPull(secure.host() + "/shop/web:v1")
}

func TestConfigTakesEffectOnReload(t *testing.T) {
	source, mirror := plain(t), plain(t)
	source.push("shop/web", "v1", "web")
	mirror.push("shop/web", "v1", "web")
	f := newFixture(t)
	endpoint := func() string {
		f.mustPull(source.host() + "/shop/web:v1")
		return f.lastRecord().Endpoint
	}
	if err := f.Reload(); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("before the first load: %v", err)
	}
	f.load(conf(source.host(), false))
	if got := endpoint(); !strings.HasPrefix(got, source.host()) {
		t.Errorf("at first: %s", got)
	}
	f.write(nodefs.Registries(f.root, node), conf(source.host(), false, mirror.host()))
	if got := endpoint(); !strings.HasPrefix(got, source.host()) {
		t.Errorf("written, not loaded: %s", got)
	}
	f.open() // a restart of the lab is no reload
	if got := endpoint(); !strings.HasPrefix(got, source.host()) {
		t.Errorf("after a restart: %s", got)
	}
	f.load(conf(source.host(), false, mirror.host()))
	if got := endpoint(); !strings.HasPrefix(got, mirror.host()) {
		t.Errorf("loaded: %s", got)
	}
	f.load("not toml")
	if got := endpoint(); !strings.HasPrefix(got, mirror.host()) {
		t.Errorf("after a reload that failed: %s", got)
	}
	f.write(filepath.Join(nodefs.RegistriesDir(f.root, node), "99-admin.conf"),
		conf(source.host(), false)[len("unqualified-search-registries = [\"\"]\n")+len(source.host()):])
	f.load(conf(source.host(), false, mirror.host()))
	if got := endpoint(); !strings.HasPrefix(got, source.host()) {
		t.Errorf("with a drop-in that replaces the entry: %s", got)
	}
}

func TestPresenceIsByName(t *testing.T) {
	source := plain(t)
	i := source.push("shop/web", "v1", "web")
	source.push("other/web", "v1", "web") // the same content under another name
	f := newFixture(t)
	f.load(conf(source.host(), false))
	name := source.host() + "/shop/web"
	present := func(reference string) bool {
		_, ok, err := f.Present(reference)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	f.mustPull(name + "@" + i.index.String())
	if !present(name+"@"+i.index.String()) || !present(name+"@"+i.manifest.String()) {
		t.Error("index and child are present by digest")
	}
	if present(name + ":v1") {
		t.Error("a pull by digest made a tag")
	}
	if present(source.host() + "/other/web@" + i.index.String()) {
		t.Error("another repository with the same digest is no name of the image")
	}
	bytes := f.lastRecord().Bytes
	again := f.mustPull(source.host() + "/other/web:v1")
	if got := f.lastRecord().Bytes; got != i.config.Size || got >= bytes {
		t.Errorf("the second pull took %d bytes, want the config only (%d)", got, i.config.Size)
	}
	if len(f.Images()) != 1 || len(again.Names) != 2 {
		t.Errorf("images %+v", f.Images())
	}
	f.open()
	if !present(source.host() + "/other/web:v1") {
		t.Error("the store did not survive a restart")
	}
}

func TestMovedTag(t *testing.T) {
	source := plain(t)
	f := newFixture(t)
	f.load(conf(source.host(), false))
	name := source.host() + "/shop/web:v1"
	source.push("shop/web", "v1", "old")
	before := f.mustPull(name)
	source.push("shop/web", "v1", "new")
	after := f.mustPull(name)
	if before.ID == after.ID {
		t.Error("the tag did not move")
	}
	if image, _, _ := f.Present(name); image.ID != after.ID {
		t.Errorf("the name is at %s", image.ID)
	}
}

func TestRegistryUnavailable(t *testing.T) {
	source := plain(t)
	f := newFixture(t)
	f.load(conf(source.host(), false))
	source.Close()
	if err := f.mustFail(source.host() + "/shop/web:v1"); !strings.HasPrefix(err,
		crierrors.ErrRegistryUnavailable.Error()+": ") {
		t.Errorf("error %q", err)
	}
}

func TestHangingMirrorUntilCancel(t *testing.T) {
	source, mirror := plain(t), plain(t)
	never := make(chan struct{})
	mirror.hold = never
	source.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false, mirror.host()))
	ctx, cancel := context.WithCancelCause(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := f.Pull(ctx, Request{Reference: source.host() + "/shop/web:v1"})
		result <- err
	}()
	<-mirror.arrived
	cancel(errors.New("the pod is gone"))
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := f.lastRecord().Tried; len(got) == 0 || !strings.HasPrefix(got[0], mirror.host()) {
		t.Errorf("tried %v", got)
	}
}

func TestConcurrentPullsOfSameReference(t *testing.T) {
	// Each node has a mirror of its own for the same source: the log must not mix them up.
	source := plain(t)
	const nodes = 8
	fixtures := make([]*fixture, nodes)
	mirrors := make([]*registry, nodes)
	for i := range fixtures {
		mirrors[i] = plain(t)
		mirrors[i].push("shop/web", "v1", "web")
		fixtures[i] = newFixture(t)
		fixtures[i].load(conf(source.host(), false, mirrors[i].host()))
	}
	done := make(chan error, nodes)
	for _, f := range fixtures {
		go func() {
			_, err := f.pull(source.host() + "/shop/web:v1")
			done <- err
		}()
	}
	for range fixtures {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i, f := range fixtures {
		if got, want := f.lastRecord().Endpoint, mirrors[i].host()+"/shop/web:v1"; got != want {
			t.Errorf("node %d: endpoint %q, want %q", i, got, want)
		}
	}
}

func TestSharedPull(t *testing.T) {
	source := plain(t)
	open := make(chan struct{})
	source.hold = open
	source.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false))
	request := Request{Reference: source.host() + "/shop/web:v1", Namespace: "shop"}

	first, shared := f.join(request)
	if shared {
		t.Error("the first request found a pull in flight")
	}
	second, shared := f.join(request)
	if !shared || second != first {
		t.Error("the second request did not join the first")
	}
	elsewhere := request
	elsewhere.Namespace = "other"
	third, shared := f.join(elsewhere)
	if shared {
		t.Error("a request of another namespace joined")
	}
	close(open)
	if f.leave(first) {
		t.Error("the pull ended although one still waits for it")
	}
	<-second.done
	<-third.done
	if second.outcome.err != nil {
		t.Error(second.outcome.err)
	}
}

func TestRejectedByPolicy(t *testing.T) {
	source := plain(t)
	source.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.write(nodefs.Policy(f.root, node), `{"default":[{"type":"reject"}]}`)
	f.load(conf(source.host(), false))
	if err := f.mustFail(source.host() + "/shop/web:v1"); !strings.HasPrefix(err,
		crierrors.ErrSignatureValidationFailed.Error()+": ") {
		t.Errorf("error %q", err)
	}
}

func TestUsedIsLogged(t *testing.T) {
	source := plain(t)
	i := source.push("shop/web", "v1", "web")
	f := newFixture(t)
	f.load(conf(source.host(), false))
	image := f.mustPull(source.host() + "/shop/web:v1")
	f.Used(Request{Reference: source.host() + "/shop/web:v1", Policy: "IfNotPresent"}, image)
	record := f.lastRecord()
	if !record.Cached || record.Endpoint != "" || record.Bytes != 0 || record.Digest != i.index.String() {
		t.Errorf("record %+v", record)
	}
}
