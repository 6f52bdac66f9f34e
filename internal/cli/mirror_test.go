package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

var startOfTest = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// mirrorTest is the command with a clock that stands still, no second attempt unless a test wants
// it, and all that it prints kept.
type mirrorTest struct {
	*mirrorRun
	dir         string
	out, status bytes.Buffer
}

func newTestRun(t *testing.T, registries ...*testRegistry) *mirrorTest {
	t.Helper()
	dir := t.TempDir()
	r := &mirrorTest{dir: dir}
	r.mirrorRun = &mirrorRun{
		mirrorOptions: mirrorOptions{
			parallel: 4, timeout: 20 * time.Second, attempts: 3, output: "json",
			failures: filepath.Join(dir, "failures.txt"),
		},
		in: strings.NewReader(""), out: &r.out, status: &r.status, getenv: isolatedEnv(dir),
		now:   func() time.Time { return startOfTest },
		after: runShortTimers,
		retry: func(int) time.Duration { return noRetry }, // a run ends only if what fails is given up
	}
	for _, g := range registries {
		r.insecure = append(r.insecure, g.host)
	}
	return r
}

// runShortTimers calls at once what only keeps looks apart, and never what depends on time going
// by.
func runShortTimers(d time.Duration, f func()) (stop func()) {
	if d <= pollInterval {
		go f()
	}
	return func() {}
}

// isolatedEnv is an environment whose directories are all the same one, so that no credentials of
// the machine are read.
func isolatedEnv(dir string) func(string) string {
	return func(name string) string {
		if name == "REGISTRY_AUTH_FILE" {
			return ""
		}
		return dir
	}
}

// file writes a file of this run and returns its name.
func (r *mirrorTest) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runToEnd runs the command and returns its report and exit code.
func (r *mirrorTest) runToEnd(ctx context.Context, t *testing.T) (report batch.Report, code int) {
	t.Helper()
	err := r.run(ctx)
	var end *ExitError
	switch {
	case errors.As(err, &end):
		code = end.Code
	case err != nil:
		t.Fatalf("%v\n%s", err, r.status.String())
	}
	if err := json.Unmarshal(r.out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s", err, r.out.String())
	}
	return report, code
}

// results are the outcomes by source, without the source's host.
func results(report batch.Report) map[string]batch.Outcome {
	out := map[string]batch.Outcome{}
	for _, row := range report.Images {
		_, name, _ := strings.Cut(row.Source, "/")
		out[name] = row.Result
	}
	return out
}

func (r *mirrorTest) failuresText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(r.failures)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMirrorComplete(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	pinned, _ := source.seed(t, "acme/pinned", "v1", "pinned")
	source.seed(t, "acme/there", "v1", "there")
	target.seed(t, "site/acme/there", "v1", "there")
	r := newTestRun(t, source, target)
	r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"+source.host+"/acme/pinned@"+pinned+"\n"+
		source.host+"/acme/there:v1\n"), target.host+"/site"

	report, code := r.runToEnd(t.Context(), t)
	want := map[string]batch.Outcome{"acme/app:v1": batch.Copied, "acme/pinned@" + pinned: batch.Copied,
		"acme/there:v1": batch.Present}
	if diff := cmp.Diff(want, results(report)); diff != "" || code != batch.ExitComplete {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	if !target.has(t, "site/acme/app", "v1") || !target.has(t, "site/acme/pinned", pinned) {
		t.Error("the target has not got the images")
	}
	if text := r.failuresText(t); text != "" {
		t.Errorf("nothing failed, and there is a list of it: %s", text)
	}
}

func TestMirrorPartialResumesFromFailuresFile(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	r := newTestRun(t, source, target)
	r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"+source.host+"/acme/gone:v1\n"),
		target.host+"/site"

	report, code := r.runToEnd(t.Context(), t)
	want := map[string]batch.Outcome{"acme/app:v1": batch.Copied, "acme/gone:v1": batch.Failed}
	if diff := cmp.Diff(want, results(report)); diff != "" || code != batch.ExitPartial {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	if row := report.Images[1]; row.Class != "Missing" || row.Attempts != 1 ||
		!strings.Contains(row.Message, source.host+"/acme/gone:v1") {
		t.Errorf("%+v", row)
	}
	if text := r.failuresText(t); !strings.Contains(text, "\n"+source.host+"/acme/gone:v1 "+target.host+
		"/site/acme/gone:v1\n") || strings.Contains(text, "acme/app") {
		t.Errorf("failures file:\n%s", text)
	}

	source.seed(t, "acme/gone", "v1", "back again")
	again := newTestRun(t, source, target)
	again.images = r.failures
	report, code = again.runToEnd(t.Context(), t)
	if diff := cmp.Diff(map[string]batch.Outcome{"acme/gone:v1": batch.Copied}, results(report)); diff != "" ||
		code != batch.ExitComplete {
		t.Errorf("taken up: exit code %d (-want +got):\n%s", code, diff)
	}
}

func TestMirrorNone(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	r := newTestRun(t, source, target)
	r.images, r.to = r.file(t, "images.txt", source.host+"/a:v1\n"+source.host+"/b:v1\n"), target.host
	if report, code := r.runToEnd(t.Context(), t); code != batch.ExitNone || report.ExitCode != batch.ExitNone ||
		report.Totals.Failed != 2 {
		t.Errorf("exit code %d, %+v", code, report.Totals)
	}
}

func TestMirrorRetriesTransientErrors(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	digest, _ := source.seed(t, "acme/app", "v1", "app")
	for name, tc := range map[string]struct {
		status       int
		wantAttempts int
		wantClass    string
	}{
		"other content than was asked for": {http.StatusOK, 3, "Corrupt"},
		"denied":                           {http.StatusForbidden, 1, "Denied"},
	} {
		t.Run(name, func(t *testing.T) {
			source.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/manifests/") {
					return false
				}
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(`{"schemaVersion":2}`))
				return true
			})
			r := newTestRun(t, source, target)
			if tc.wantAttempts > 1 {
				r.retry = func(int) time.Duration { return 0 }
			}
			r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app@"+digest+"\n"), target.host
			report, code := r.runToEnd(t.Context(), t)
			if row := report.Images[0]; code != batch.ExitNone || row.Attempts != tc.wantAttempts ||
				row.Class != tc.wantClass {
				t.Errorf("exit code %d, %+v", code, row)
			}
		})
	}
}

func TestMirrorRejectsDestinationCollision(t *testing.T) {
	one, two, target := newTestRegistry(t), newTestRegistry(t), newTestRegistry(t)
	first, _ := one.seed(t, "acme/app", "v1", "one")
	second, _ := two.seed(t, "acme/app", "v1", "two")
	r := newTestRun(t, one, two, target)
	r.images, r.to = r.file(t, "images.txt", one.host+"/acme/app:v1\n"+two.host+"/acme/app:v1\n"), target.host
	err := r.run(t.Context())
	var collision *batch.CollisionError
	if !errors.As(err, &collision) {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{one.host + "/acme/app:v1 (" + r.images + ":1, now " + first + ")", two.host +
		"/acme/app:v1 (" + r.images + ":2, now " + second + ")"} {
		if collision.Sources[i] != want {
			t.Errorf("source %d is %q, want %q", i, collision.Sources[i], want)
		}
	}
	if writes := target.writes(); len(writes) != 0 {
		t.Errorf("wrote %v", writes)
	}
}

func rolloutFor(source, target string) string {
	return `apiVersion: safemirror.io/v1alpha1
kind: SafeMirrorRollout
metadata: {name: acme}
spec:
  imageTagMirrors:
  - source: ` + source + `/acme
    mirrors: [` + target + `/mirror]
  inventory:
    additionalImages: [` + source + `/acme/extra:v1]
`
}

func TestMirrorFromRollout(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	source.seed(t, "acme/extra", "v1", "extra")
	digest, _ := source.seed(t, "acme/pinned", "v1", "pinned")
	r := newTestRun(t, source, target)
	r.manifests = []string{r.file(t, "rollout.yaml", rolloutFor(source.host, target.host))}
	r.images, r.in = "-", strings.NewReader(source.host+"/acme/app:v1\n"+source.host+"/acme/pinned@"+digest+"\n"+
		source.host+"/other:v1\n")

	report, code := r.runToEnd(t.Context(), t)
	want := map[string]batch.Outcome{"acme/extra:v1": batch.Copied, "acme/app:v1": batch.Copied}
	if diff := cmp.Diff(want, results(report)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !target.has(t, "mirror/app", "v1") || !target.has(t, "mirror/extra", "v1") {
		t.Error("the mirror has not got the images")
	}
	if code != batch.ExitPartial || report.Totals.Outside != 1 || len(report.NotServed) != 1 ||
		!strings.Contains(report.NotServed[0].Reason, "add imageDigestMirrors for "+source.host+"/acme") {
		t.Errorf("exit code %d, %+v, not served %v", code, report.Totals, report.NotServed)
	}
	if text := r.failuresText(t); !strings.Contains(text, "\n"+source.host+"/acme/pinned@"+digest+"\n") {
		t.Errorf("failures file:\n%s", text)
	}
}

func TestMirrorVerifyOnlyFindsMissingLayer(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	for _, g := range []*testRegistry{source, target} {
		g.seed(t, "acme/good", "v1", "good")
	}
	source.seed(t, "acme/bad", "v1", "bad")
	_, layer := target.seed(t, "acme/bad", "v1", "bad")
	if status := target.serveStorage(t, http.MethodDelete, "/v2/acme/bad/blobs/"+layer, "", nil); status >= 300 {
		t.Fatalf("HTTP %d", status)
	}
	r := newTestRun(t, source, target)
	r.images, r.to, r.verifyOnly = r.file(t, "images.txt", source.host+"/acme/good:v1\n"+source.host+"/acme/bad:v1\n"),
		target.host, true
	report, code := r.runToEnd(t.Context(), t)
	want := map[string]batch.Outcome{"acme/good:v1": batch.Present, "acme/bad:v1": batch.Failed}
	if diff := cmp.Diff(want, results(report)); diff != "" || code != batch.ExitPartial {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	if row := report.Images[1]; row.Class != "Incomplete" || !strings.Contains(row.Message, layer) {
		t.Errorf("%+v", row)
	}
	if writes := target.writes(); len(writes) != 0 {
		t.Errorf("wrote %v", writes)
	}
}

func TestMirrorDryRunCopiesNothing(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	source.seed(t, "acme/there", "v1", "there")
	target.seed(t, "acme/there", "v1", "there")
	r := newTestRun(t, source, target)
	r.images, r.to, r.dryRun = r.file(t, "images.txt", source.host+"/acme/app:v1\n"+source.host+"/acme/there:v1\n"+
		source.host+"/acme/gone:v1\n"), target.host, true
	report, code := r.runToEnd(t.Context(), t)
	want := map[string]batch.Outcome{"acme/app:v1": batch.ToCopy, "acme/there:v1": batch.Present,
		"acme/gone:v1": batch.Failed}
	if diff := cmp.Diff(want, results(report)); diff != "" || code != batch.ExitPartial {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	const layerAndConfig = 3 + 37
	if row := report.Images[0]; row.Bytes != layerAndConfig || row.Requests == 0 ||
		report.Totals.Bytes != layerAndConfig {
		t.Errorf("%+v", row)
	}
	if writes := target.writes(); len(writes) != 0 || target.has(t, "acme/app", "v1") || r.failuresText(t) != "" {
		t.Errorf("wrote %v, failures file %q", writes, r.failuresText(t))
	}
}

func TestMirrorInterrupted(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/quick", "v1", "quick")
	source.seed(t, "acme/slow", "v1", "slow")
	source.seed(t, "acme/waits", "v1", "waits")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	source.setIntercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/acme/slow/") {
			return false
		}
		interrupt()
		<-r.Context().Done() // no answer until the client gives up
		return true
	})
	r := newTestRun(t, source, target)
	r.parallel = 1
	r.images, r.to = r.file(t, "images.txt", source.host+"/acme/quick:v1\n"+source.host+"/acme/slow:v1\n"+source.host+
		"/acme/waits:v1\n"), target.host
	report, code := r.runToEnd(ctx, t)
	want := map[string]batch.Outcome{"acme/quick:v1": batch.Copied, "acme/slow:v1": batch.Unfinished,
		"acme/waits:v1": batch.Unfinished}
	if diff := cmp.Diff(want, results(report)); diff != "" || code != batch.ExitInterrupted {
		t.Errorf("exit code %d (-want +got):\n%s", code, diff)
	}
	text := r.failuresText(t)
	if strings.Contains(text, "acme/quick") || !strings.Contains(text, "\n"+source.host+"/acme/slow:v1 ") ||
		!strings.Contains(text, "\n"+source.host+"/acme/waits:v1 ") {
		t.Errorf("failures file:\n%s", text)
	}
}

func TestMirrorInterruptedBeforeStart(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	r := newTestRun(t, source, target)
	r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"), target.host
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var end *ExitError
	if err := r.run(ctx); !errors.As(err, &end) || end.Code != batch.ExitInterrupted || r.failuresText(t) != "" {
		t.Errorf("%v, failures file %q", err, r.failuresText(t))
	}
}

func TestMirrorTextSummary(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	digest, _ := source.seed(t, "acme/pinned", "v1", "pinned")
	r := newTestRun(t, source, target)
	r.output, r.quiet = "text", true
	r.manifests = []string{r.file(t, "rollout.yaml", rolloutFor(source.host, target.host))}
	r.images = r.file(t, "images.txt", source.host+"/acme/app:v1\n"+source.host+"/acme/pinned@"+digest+"\n"+source.host+
		"/other:v1\n")
	err := r.run(t.Context())
	var end *ExitError
	if !errors.As(err, &end) || end.Code != batch.ExitPartial ||
		end.Text != "of 3 images 1 failed, 1 is not served by the mirror sets; what is left is in "+r.failures {
		t.Errorf("%v", err)
	}
	got := strings.ReplaceAll(replaceHosts(r.out.String(),
		map[string]*testRegistry{"source.example.com": source, "target.example.com": target}), digest, "DIGEST")
	want := `source.example.com/acme/pinned@DIGEST: not served by these mirror sets: source.example.com/acme has only imageTagMirrors, and this is a reference by digest; add imageDigestMirrors for source.example.com/acme with the mirrors target.example.com/mirror
failed: source.example.com/acme/extra:v1 -> target.example.com/mirror/extra:v1: source.example.com/acme/extra:v1: manifest: Missing…
2 images: 1 copied (40 B), 1 failed; 1 not served by the mirror sets; 1 outside of the mirror sets; 0s
`
	message := regexp.MustCompile(`(: manifest: Missing)[^"\n]*`)
	if diff := cmp.Diff(want, message.ReplaceAllString(got, "$1…")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.status.Len() > 0 {
		t.Errorf("-q prints %q", r.status.String())
	}
}

func TestMirrorFlags(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	dir := t.TempDir()
	auth := filepath.Join(dir, "auth.json")
	if err := os.WriteFile(auth, []byte(`{"auths":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, status bytes.Buffer
	cmd := Mirror()
	cmd.SetIn(strings.NewReader(source.host + "/acme/app:v1\n"))
	cmd.SetOut(&out)
	cmd.SetErr(&status)
	cmd.SetArgs([]string{
		"--images", "-", "--to", target.host + "/site", "--insecure", source.host, "--insecure", target.host,
		"--authfile", auth,
		"--requests-per-second", "1000", "--bytes-per-second", "1Gi", "--parallel", "2", "--attempts", "1",
		"--timeout", "30s",
		"-o", "json", "--failures", filepath.Join(dir, "failures.txt"),
	})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !target.has(t, "site/acme/app", "v1") || !strings.Contains(out.String(), `"result": "copied"`) {
		t.Errorf("%s%s", out.String(), status.String())
	}
	if lines := strings.Split(status.String(), "\n"); !strings.HasPrefix(lines[0], "[1/1] copied ") {
		t.Errorf("progress: %q", lines)
	}
}

func TestMirrorDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/mirror.md")
	if err != nil {
		t.Fatal(err)
	}
	Mirror().Flags().VisitAll(func(f *pflag.Flag) {
		if !bytes.Contains(page, []byte("`--"+f.Name)) && !bytes.Contains(page, []byte("`-"+f.Shorthand+"`")) {
			t.Errorf("docs/mirror.md does not mention --%s", f.Name)
		}
	})
	for _, of := range []reflect.Type{reflect.TypeFor[batch.Report](), reflect.TypeFor[batch.Row](),
		reflect.TypeFor[batch.Totals](), reflect.TypeFor[batch.NotServed]()} {
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !bytes.Contains(page, []byte("`"+name+"`")) {
				t.Errorf("docs/mirror.md does not explain the field %s of %s", name, of.Name())
			}
		}
	}
}

// replaceHosts replaces what differs from run to run: ports.
func replaceHosts(text string, registries map[string]*testRegistry) string {
	for name, g := range registries {
		text = strings.ReplaceAll(text, g.host, name)
	}
	return text
}

func TestMirrorJSONAndProgressLog(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	digest, _ := source.seed(t, "acme/app", "v1", "app")
	there, _ := source.seed(t, "acme/there", "v1", "there")
	target.seed(t, "acme/there", "v1", "there")
	r := newTestRun(t, source, target)
	r.parallel = 1
	r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"+source.host+"/acme/there:v1\n"+source.host+
		"/acme/gone:v1\n"), target.host
	if _, code := r.runToEnd(t.Context(), t); code != batch.ExitPartial {
		t.Errorf("exit code %d", code)
	}
	hosts := map[string]*testRegistry{"source.example.com": source, "target.example.com": target}
	// The words of the failure are the mirror package's; here it counts that they are there.
	message := regexp.MustCompile(`(source\.example\.com/acme/gone:v1: manifest: Missing)[^"\n]*`)
	wantJSON := `{
  "mode": "copy",
  "exitCode": 2,
  "images": [
    {
      "source": "source.example.com/acme/app:v1",
      "destination": "target.example.com/acme/app:v1",
      "digest": "` + digest + `",
      "result": "copied",
      "bytes": 40,
      "attempts": 1,
      "seconds": 0
    },
    {
      "source": "source.example.com/acme/there:v1",
      "destination": "target.example.com/acme/there:v1",
      "digest": "` + there + `",
      "result": "present",
      "bytes": 0,
      "attempts": 1,
      "seconds": 0
    },
    {
      "source": "source.example.com/acme/gone:v1",
      "destination": "target.example.com/acme/gone:v1",
      "result": "failed",
      "bytes": 0,
      "class": "Missing",
      "message": "source.example.com/acme/gone:v1: manifest: Missing…",
      "attempts": 1,
      "seconds": 0
    }
  ],
  "notServed": [],
  "totals": {
    "images": 3,
    "copied": 1,
    "present": 1,
    "toCopy": 0,
    "failed": 1,
    "unfinished": 0,
    "notServed": 0,
    "outside": 0,
    "bytes": 40,
    "requests": 0,
    "seconds": 0
  }
}
`
	if diff := cmp.Diff(wantJSON, message.ReplaceAllString(replaceHosts(r.out.String(), hosts), "$1…")); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	wantLines := `[1/3] copied source.example.com/acme/app:v1 -> target.example.com/acme/app:v1, 40 B in 0s
[2/3] present source.example.com/acme/there:v1 -> target.example.com/acme/there:v1
[3/3] FAILED source.example.com/acme/gone:v1 -> target.example.com/acme/gone:v1 after 1 of 3 attempts: source.example.com/acme/gone:v1: manifest: Missing…
`
	if diff := cmp.Diff(wantLines,
		message.ReplaceAllString(replaceHosts(r.status.String(), hosts), "$1…")); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

func TestMirrorInvalidInputCopiesNothing(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	list := source.host + "/acme/app:v1\n"
	for name, tc := range map[string]struct {
		change func(t *testing.T, r *mirrorTest)
		want   string
	}{
		"nothing to do": {func(_ *testing.T, r *mirrorTest) { r.images, r.to = "", "" },
			"nothing to do: give --images FILE"},
		"-f and --to": {func(_ *testing.T, r *mirrorTest) { r.manifests = []string{"x.yaml"} },
			"-f and --to contradict each other"},
		"two modes": {func(_ *testing.T, r *mirrorTest) { r.dryRun, r.verifyOnly = true, true },
			"--dry-run and --verify-only contradict"},
		"an unknown output": {func(_ *testing.T, r *mirrorTest) { r.output = "yaml" },
			"--output yaml: give text or json"},
		"no worker":  {func(_ *testing.T, r *mirrorTest) { r.parallel = 0 }, "--parallel 0"},
		"no attempt": {func(_ *testing.T, r *mirrorTest) { r.attempts = 0 }, "--attempts 0"},
		"no time":    {func(_ *testing.T, r *mirrorTest) { r.timeout = 0 }, "--timeout 0s"},
		"a rate that is none": {func(_ *testing.T, r *mirrorTest) { r.bytes = "fast" },
			"--bytes-per-second fast: give a number of bytes"},
		"a rate below 0": {func(_ *testing.T, r *mirrorTest) { r.requests = -1 }, "--requests-per-second -1"},
		"half a platform": {func(_ *testing.T, r *mirrorTest) { r.platforms = []string{"amd64"} },
			"--platform amd64: give os/architecture"},
		"a URL as a host": {func(_ *testing.T, r *mirrorTest) { r.insecure = []string{"http://x"} },
			`--insecure "http://x"`},
		"stdin twice": {func(_ *testing.T, r *mirrorTest) {
			r.images, r.to, r.manifests = "-", "",
				[]string{"-"}
		}, "standard input can be read once"},
		"no such list": {func(_ *testing.T, r *mirrorTest) { r.images = "/nowhere/list" },
			"--images: open /nowhere/list"},
		"an empty list": {func(t *testing.T, r *mirrorTest) { r.images = r.file(t, "empty", "# none\n") },
			"--images: "},
		"no such manifest": {func(_ *testing.T, r *mirrorTest) { r.to, r.manifests = "", []string{"/nowhere/m"} },
			"-f: open /nowhere/m"},
		"no such authfile": {func(_ *testing.T, r *mirrorTest) { r.authfile = "/nowhere/a" },
			"--authfile: open /nowhere/a"},
		"no such dest authfile": {func(_ *testing.T, r *mirrorTest) { r.destAuthfile = "/nowhere/a" },
			"--dest-authfile: open /nowhere/a"},
		"an authfile that is none": {
			func(t *testing.T, r *mirrorTest) { r.authfile = r.file(t, "a.json", "secret") }, "--authfile ",
		},
		"a CA that is none": {func(t *testing.T, r *mirrorTest) { r.cas = []string{r.file(t, "ca", "text")} },
			"--ca "},
		"a CA directory of no CA": {func(t *testing.T, r *mirrorTest) { r.cas = []string{t.TempDir()} }, "--ca "},
		"a failures file nowhere": {func(_ *testing.T, r *mirrorTest) { r.failures = "/nowhere/f" },
			"--failures /nowhere/f: no file can be written there"},
		"a directory for the file": {func(_ *testing.T, r *mirrorTest) { r.failures = r.dir }, "--failures "},
		"mirror sets that serve nothing": {func(t *testing.T, r *mirrorTest) {
			r.to, r.manifests = "", []string{r.file(t, "m.yaml",
				strings.Replace(rolloutFor("other.example.com", target.host),
					"    additionalImages: [other.example.com/acme/extra:v1]\n", "    additionalImages: []\n", 1))}
		}, "the mirror sets serve none of the 1 references: none lies in a source of theirs"},
		"a dry run of what others copy": {func(t *testing.T, r *mirrorTest) {
			r.to, r.dryRun, r.manifests = "", true,
				[]string{r.file(t, "m.yaml", rolloutFor(source.host, target.host)+"  mirroring: {mode: VerifyOnly}\n")}
		}, "--dry-run: spec.mirroring.mode of the rollout is VerifyOnly"},
		"a target that takes nothing": {func(_ *testing.T,
			_ *mirrorTest) {
			target.refuse(http.MethodPost, "", http.StatusForbidden)
		}, "cannot write to " + target.host + "/site/acme/app: "},
	} {
		t.Run(name, func(t *testing.T) {
			target.clearRequests()
			r := newTestRun(t, source, target)
			r.images, r.to = r.file(t, "images.txt", list), target.host+"/site"
			tc.change(t, r)
			defer target.setIntercept(nil)
			err := r.run(t.Context())
			var end *ExitError
			if err == nil || errors.As(err, &end) || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s…", err, tc.want)
			}
			if target.has(t, "site/acme/app", "v1") || r.out.Len() > 0 {
				t.Errorf("something was done: %s", r.out.String())
			}
			if strings.Contains(err.Error(), "secret") {
				t.Error("the message repeats what is in the file of credentials")
			}
		})
	}
}

func TestMirrorUnwritableTargetHint(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "app")
	target.refuse(http.MethodPost, "", http.StatusForbidden)
	r := newTestRun(t, source, target)
	r.images, r.to = r.file(t, "images.txt", source.host+"/acme/app:v1\n"), target.host
	if err := r.run(t.Context()); err == nil ||
		!strings.HasSuffix(err.Error(), "; give credentials that may push there with --dest-authfile or --authfile") {
		t.Errorf("%v", err)
	}
}
