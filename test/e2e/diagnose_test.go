//go:build lab

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// expectedDiagnoses are what a diagnosis has to find of each scenario, by nothing but what the
// cluster says.
var expectedDiagnoses = map[string]struct {
	hindrance rollout.DrainBlockReason
	cause     rollout.PullCause // of the first pull; empty where no image is at fault
	endpoint  string            // the place that decides, or how it begins
	says      []string
}{
	"a": {rollout.DrainBlockPull, rollout.PullMissing, scenario.MirrorHost + "/acme/router:v1",
		[]string{scenario.MirrorHost + "/acme/router:v1 answers 404",
			"the source is blocked by ImageTagMirrorSet/plain"}},
	"b": {rollout.DrainBlockPull, rollout.PullBlocked, scenario.SourceHost + "/acme/router@sha256:",
		[]string{"is blocked by ImageTagMirrorSet/plain, and no mirror serves it by digest"}},
	"c": {rollout.DrainBlockPull, rollout.PullIncomplete, scenario.MirrorHost + "/acme/router:v1",
		[]string{scenario.MirrorHost + "/acme/router:v1 has the manifest and lacks something beneath it"}},
	"d": {rollout.DrainBlockPull, rollout.PullUnreachable, scenario.SourceHost + "/acme/edge/router@sha256:",
		[]string{"does not answer", "ImageTagMirrorSet/plain takes it away from that mirror"}},
	"e": {rollout.DrainBlockUnschedulable, "", "",
		[]string{"has no node to go to", "worker-3 is being drained", "worker-4 is being drained"}},
}

// maxDiagnosisTime is how long after the first refused eviction the root cause may take to be
// named.
const maxDiagnosisTime = time.Minute

// TestDiagnose: a plain mirror set deadlocks the cluster, no operator is installed, and a user with
// read permissions gets the root cause within a minute. Files that are saved then give the same
// answer.
func TestDiagnose(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.ID, func(t *testing.T) {
			ctx, c := resetLab(t)
			stage(ctx, t, c, s, scenario.Raw)
			kubeconfig := planViewer(ctx, t, c)
			if _, code := diagnosis(ctx, t, c, "--kubeconfig", kubeconfig); code != 0 {
				t.Errorf("before anything happens the exit code is %d, want 0", code)
			}
			since, err := c.Rendered(ctx)
			if err != nil {
				t.Fatal(err)
			}
			group, beside := errgroup.WithContext(ctx)
			apply(beside, t, group, c, s)
			named := make(chan time.Time, 1)
			watching, stop := context.WithCancel(ctx)
			defer stop()
			go func() { named <- awaitCause(watching, c, s, kubeconfig) }()
			d, err := s.AwaitDeadlock(ctx, c, since, 5*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
			refused := firstRefusal(t, c, d.Pod)
			deadline := time.AfterFunc(time.Until(refused.Add(maxDiagnosisTime)), stop)
			defer deadline.Stop()
			at := <-named
			if at.IsZero() {
				t.Errorf("the root cause was not named within %s of the first refusal at %s", maxDiagnosisTime,
					refused.Format(time.TimeOnly))
			} else {
				t.Logf("named %s after the first refused eviction", at.Sub(refused).Round(100*time.Millisecond))
			}
			got, code := diagnosis(ctx, t, c, "--kubeconfig", kubeconfig)
			if code != printer.Stuck.ExitCode() {
				t.Errorf("the exit code is %d, want %d", code, printer.Stuck.ExitCode())
			}
			live := checkDiagnosis(t, s, d, got)
			saved, _ := diagnosis(ctx, t, c, "--from", save(ctx, t, c))
			if files := checkDiagnosis(t, s, d, saved); files.Reason != live.Reason {
				t.Errorf("from files it is %s, and it was %s live", files.Reason, live.Reason)
			}
			if t.Failed() {
				text, _ := runTool(ctx, t, c, "diagnose", "--kubeconfig", kubeconfig)
				t.Log("\n" + text)
			}
		})
	}
}

// awaitCause asks again and again until the root cause is named, as somebody at the keyboard would;
// zero when it never is.
func awaitCause(ctx context.Context, c *scenario.Cluster, s scenario.Scenario, kubeconfig string) time.Time {
	want := expectedDiagnoses[s.ID]
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, filepath.Join("..", "..", "bin", "safe-mirror"), "diagnose", "-o", "json",
			"--kubeconfig", kubeconfig)
		cmd.Env = append(os.Environ(), c.Lab.Env()...)
		out, _ := cmd.Output() // its exit code tells of the drain
		at := time.Now()
		var d printer.Diagnosis
		if json.Unmarshal(out, &d) == nil && len(d.BlockedDrains) > 0 && d.BlockedDrains[0].Reason == want.hindrance &&
			saysAll(d.BlockedDrains[0].Line, want.says) == "" {
			return at
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return time.Time{}
}

// saysAll is the first part that the text does not say.
func saysAll(text string, parts []string) string {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

// checkDiagnosis holds the chain of the stuck node against what the scenario's own witness has
// seen.
func checkDiagnosis(t *testing.T, s scenario.Scenario, d scenario.Deadlock,
	got printer.Diagnosis) printer.BlockedDrain {
	t.Helper()
	want := expectedDiagnoses[s.ID]
	for _, o := range got.BlockedDrains {
		if o.Node != d.Node {
			continue
		}
		if o.Reason != want.hindrance {
			t.Errorf("it is %s, want %s: %s", o.Reason, want.hindrance, o.Line)
		}
		if missing := saysAll(o.Line, want.says); missing != "" {
			t.Errorf("the chain does not say %q:\n%s", missing, o.Line)
		}
		if o.Budget == nil || o.Budget.Namespace+"/"+o.Budget.Name != d.Budget || o.ProtectedPod == nil ||
			o.ProtectedPod.Name != d.Pod {
			t.Errorf("budget %+v keeps %+v, want %s and %s", o.Budget, o.ProtectedPod, d.Budget, d.Pod)
		}
		checkPods(t, s, d, o)
		t.Log(o.Line)
		return o
	}
	t.Errorf("nothing is said of node %s: %+v", d.Node, got.BlockedDrains)
	return printer.BlockedDrain{}
}

func checkPods(t *testing.T, s scenario.Scenario, d scenario.Deadlock, o printer.BlockedDrain) {
	t.Helper()
	want := expectedDiagnoses[s.ID]
	for _, p := range o.Pods {
		if p.Name != d.Stuck {
			continue
		}
		if !p.NeverStarted {
			t.Errorf("pod %s has containers that run, and it has none", p.Name)
		}
		if want.cause == "" {
			return
		}
		if len(p.Pulls) == 0 || p.Pulls[0].Cause != want.cause ||
			!strings.HasPrefix(p.Pulls[0].Endpoint, want.endpoint) {
			t.Errorf("pulls %+v, want %s at %s", p.Pulls, want.cause, want.endpoint)
		}
		return
	}
	t.Errorf("pod %s is not among %+v", d.Stuck, o.Pods)
}

// firstRefusal is when the pod's eviction was first refused.
func firstRefusal(t *testing.T, c *scenario.Cluster, pod string) time.Time {
	t.Helper()
	audit, err := c.Lab.Audit()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range audit {
		if e.Subresource == "eviction" && e.Code == 429 && e.Name == pod {
			return e.Time
		}
	}
	t.Fatalf("no eviction of %s was refused", pod)
	return time.Time{}
}

func diagnosis(ctx context.Context, t *testing.T, c *scenario.Cluster, args ...string) (printer.Diagnosis, int) {
	t.Helper()
	out, code := runTool(ctx, t, c, append([]string{"diagnose", "-o", "json"}, args...)...)
	var d printer.Diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return d, code
}

// runTool runs the product as a process of its own.
func runTool(ctx context.Context, t *testing.T, c *scenario.Cluster, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join("..", "..", "bin", "safe-mirror"), args...)
	cmd.Env = append(os.Environ(), c.Lab.Env()...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if stdout.Len() == 0 {
		t.Fatalf("safe-mirror %s said nothing but %q (%v)", args[0], stderr.String(), err)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// savedKinds are what an administrator would collect with oc get -A -o json.
var savedKinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Node"}, {Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Event"},
	{Version: "v1", Kind: "ReplicationController"},
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "machineconfiguration.openshift.io", Version: "v1", Kind: "MachineConfigPool"},
	{Group: "machineconfiguration.openshift.io", Version: "v1", Kind: "MachineConfig"},
	{Group: "machineconfiguration.openshift.io", Version: "v1", Kind: "MachineConfigNode"},
	{Group: "config.openshift.io", Version: "v1", Kind: "ImageTagMirrorSet"},
	{Group: "config.openshift.io", Version: "v1", Kind: "ImageDigestMirrorSet"},
	{Group: "config.openshift.io", Version: "v1", Kind: "Image"},
	{Group: "config.openshift.io", Version: "v1", Kind: "ClusterVersion"},
	{Group: "operator.openshift.io", Version: "v1alpha1", Kind: "ImageContentSourcePolicy"},
}

// save writes the cluster into a directory, a file for each kind.
func save(ctx context.Context, t *testing.T, c *scenario.Cluster) string {
	t.Helper()
	dir := t.TempDir()
	for _, kind := range savedKinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := c.Client.List(ctx, list); err != nil {
			t.Fatal(err)
		}
		text, err := list.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ToLower(kind.Kind)+"s.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
