package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/clusterfiles"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// hostileImage is an image string that the API server accepts in a pod: it colours, rings, renames
// the window, and shows what follows from right to left. The last two are C1 CSI and DEL.
const hostileImage = "quay.io/acme/shop:\x1b[31mv1\a\x1b]0;owned\a\u202ecod\u009b2J\x7f"

// A tenant's image string reaches the administrator's terminal escaped, in every format that has messages.
func TestOutputIsSafeForATerminal(t *testing.T) {
	dir := objectsDir(t, append(minicluster.Objects("worker-0"), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: hostileImage}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	})...)
	file := write(t, t.TempDir(), "rollout.yaml", rolloutText("quay.io/acme", "m.local/acme", ""))
	for _, format := range []string{"text", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			root := Root("test", &out)
			root.SetArgs([]string{"plan", "-f", file, "--from", dir, "-o", format})
			var exitErr *ExitError
			if err := root.ExecuteContext(t.Context()); err != nil && !errors.As(err, &exitErr) {
				t.Fatal(err)
			}
			checkTerminalSafe(t, out.String())
			if !strings.Contains(out.String(), "owned") {
				t.Fatalf("the image is not in the output, so nothing was tested:\n%s", out.String())
			}
			var document any
			switch format {
			case "json":
				if err := json.Unmarshal(out.Bytes(), &document); err != nil {
					t.Error(err)
				} else if !strings.Contains(fmt.Sprintf("%v", document), hostileImage) {
					t.Error("the decoded document does not have the image as it is")
				}
			case "yaml":
				if err := yaml.Unmarshal(out.Bytes(), &document); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestErrorsAreSafeForATerminal(t *testing.T) {
	for _, err := range []error{errors.New("reading " + hostileImage), &ExitError{Code: 3, Text: hostileImage}} {
		var out bytes.Buffer
		if code := HandleError(&out, err); code != 1 && code != 3 {
			t.Errorf("exit code %d", code)
		}
		checkTerminalSafe(t, out.String())
		if !strings.Contains(out.String(), `\u202e`) {
			t.Errorf("printed %q", out.String())
		}
	}
}

func TestProgressIsSafeForATerminal(t *testing.T) {
	row := batch.Row{Source: hostileImage, Result: batch.Failed, Message: "registry says " + hostileImage}
	for _, width := range []func() int{nil, func() int { return 80 }} {
		var out bytes.Buffer
		run := &mirrorRun{status: &out, width: width}
		run.newProgress().update(time.Unix(0, 0), []batch.Row{row}, batch.Progress{Images: 1, Failed: 1, Done: 1})
		checkTerminalSafe(t, strings.ReplaceAll(out.String(), clearLine, ""))
		if !strings.Contains(out.String(), "owned") {
			t.Errorf("the failure is not in %q", out.String())
		}
	}
}

func TestFileProblemsBeyondTheFirstAreCounted(t *testing.T) {
	problems := make(clusterfiles.FileProblems, 23)
	for i := range problems {
		problems[i] = clusterfiles.FileProblem{File: fmt.Sprintf("pods-%02d.yaml", i), Message: "is malformed"}
	}
	got := problemErrors(problems)
	if len(got) != 21 || got[19].Error() != "pods-19.yaml: is malformed" || got[20].Error() != "and 3 more problems" {
		t.Errorf("got %q", got)
	}
	if got := problemErrors(problems[:20]); len(got) != 20 {
		t.Errorf("%d errors for 20 problems: %q", len(got), got)
	}
}

func checkTerminalSafe(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
			t.Errorf("%U is printed in %q", r, s)
			return
		}
	}
}
