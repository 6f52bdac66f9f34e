package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// clusterDir writes a small cluster to a directory, as oc get would: one file for each kind. It
// runs the images.
func clusterDir(t *testing.T, insecure []string, images ...string) string {
	t.Helper()
	objects := minicluster.Objects("worker-0", "worker-1")
	objects = append(objects, daemonSet(), replicaSet())
	for _, image := range images {
		spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: image}}}
		name := "app-" + string(rune('a'+len(objects)))
		objects = append(objects,
			&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
				Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}}},
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name + "-1"}, Spec: spec,
				Status: corev1.PodStatus{Phase: corev1.PodRunning}})
	}
	for i, o := range objects {
		if image, ok := o.(*configv1.Image); ok {
			image.Spec.RegistrySources.InsecureRegistries = insecure
		}
		if o.GetName() == minicluster.FirstRendered("worker") {
			objects[i] = minicluster.MachineConfig(o.GetName(), minicluster.RegistriesFile(rendered(t, insecure)))
		}
	}
	return objectsDir(t, objects...)
}

// objectsDir writes the objects to a directory, one file for each kind.
func objectsDir(t *testing.T, objects ...client.Object) string {
	t.Helper()
	byKind := map[string][]json.RawMessage{}
	for _, o := range objects {
		gvk, err := apiutil.GVKForObject(o, minicluster.Scheme())
		if err != nil {
			t.Fatal(err)
		}
		o.GetObjectKind().SetGroupVersionKind(gvk)
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		byKind[gvk.Kind] = append(byKind[gvk.Kind], raw)
	}
	dir := t.TempDir()
	for kind, items := range byKind {
		text, err := safetext.MarshalYAML(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, strings.ToLower(kind)+".yaml", string(text))
	}
	return dir
}

// rendered is the registries.conf of the nodes.
func rendered(t *testing.T, insecure []string) string {
	t.Helper()
	image := &configv1.Image{}
	image.Spec.RegistrySources.InsecureRegistries = insecure
	text, err := registriesconf.Render([]byte(minicluster.BaseRegistriesConf), registriesconf.Sets{Image: image})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func daemonSet() client.Object {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "agent"}}
}

func replicaSet() client.Object {
	return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old"},
		Spec: appsv1.ReplicaSetSpec{Replicas: new(int32)}}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// rolloutText wants tag mirrors for a source.
func rolloutText(source, mirror, more string) string {
	return "apiVersion: safemirror.io/v1alpha1\nkind: SafeMirrorRollout\nmetadata:\n  name: shop\nspec:\n  imageTagMirrors:\n" +
		"  - source: " + source + "\n    mirrors: [\"" + mirror + "\"]\n" + more
}

// plainText is a mirror set that nobody rolls out.
func plainText(source string) string {
	return "apiVersion: config.openshift.io/v1\nkind: ImageTagMirrorSet\nmetadata: {name: shop}\nspec:\n  imageTagMirrors:\n" +
		"  - {source: " + source + ", mirrors: [m.local/acme]}\n"
}

// run runs a command and gives what it printed, its exit code, and the error if it ended with one
// of its own.
func run(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (out string, code int, err error) {
	t.Helper()
	var buffer bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&buffer)
	cmd.SetErr(&buffer)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(context.Background())
	var end *ExitError
	switch {
	case errors.As(err, &end):
		return buffer.String(), end.Code, nil
	case err != nil:
		return buffer.String(), 1, err
	}
	return buffer.String(), 0, nil
}

func TestPlanExitCodes(t *testing.T) {
	dir := clusterDir(t, nil, "quay.io/acme/app:v1",
		"quay.io/acme/web@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	partial := clusterDir(t, nil, "quay.io/acme/app:v1")
	if err := os.Remove(filepath.Join(partial, "pod.yaml")); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		rollout, from string
		code          int
		says          []string
	}{
		"changes": {rolloutText("quay.io/acme", "m.local/acme", ""), dir, 2,
			[]string{"CHANGES: safe as far as seen", "GainsMirror"}},
		"blocked": {rolloutText("quay.io/acme", "m.local/acme",
			"    mirrorSourcePolicy: NeverContactSource\n"), dir, 3, []string{"BLOCKED: 1 reference in use",
			"WOULD BREAK (1)"}},
		"cannot tell": {rolloutText("quay.io/acme", "m.local/acme", ""), partial, 1,
			[]string{"CANNOT TELL: Pod was not seen"}},
		"a schedule": {rolloutText("quay.io/acme", "m.local/acme",
			"  release:\n    windows:\n    - {schedule: \"61 25 * * *\", durationSeconds: 7200}\n"), dir, 3,
			[]string{"BLOCKED: spec.release.windows[0]"}},
		"a time zone": {rolloutText("quay.io/acme", "m.local/acme",
			"  release:\n    windows:\n    - {schedule: \"1 2 * * *\", durationSeconds: 7200, timeZone: Mars/Olympus}\n"), dir, 3, []string{"BLOCKED: spec.release.windows[0]", "Mars/Olympus"}},
		"two stages of one name": {rolloutText("quay.io/acme", "m.local/acme",
			"  release:\n    stages:\n    - {name: one, pool: worker, nodes: 1}\n    - {name: one, pool: worker}\n"),
			dir, 3, []string{"BLOCKED: spec.release.stages[1].name"}},
		"a foreign target": {rolloutText("quay.io/acme", "m.local/acme",
			"  mirroring:\n    targets: [elsewhere.local/acme]\n"), dir, 3,
			[]string{"BLOCKED: spec.mirroring.targets[0]"}},
		"a missing platform": {rolloutText("quay.io/acme", "m.local/acme",
			"  mirroring:\n    platforms: [linux/arm64]\n"), dir, 3,
			[]string{"BLOCKED: spec.mirroring.platforms: linux/amd64 is missing"}},
		"invalid": {plainText("quay.io/ACME"), dir, 3,
			[]string{"BLOCKED: ", "spec.imageTagMirrors[0].source", "WHAT CHANGES cannot be said"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, code, err := run(t, Plan(), c.rollout, "-f", "-", "--from", c.from)
			if err != nil {
				t.Fatal(err)
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestPlanBadInput(t *testing.T) {
	dir, good := clusterDir(t, nil), rolloutText("quay.io/acme", "m.local/acme", "")
	file := write(t, t.TempDir(), "rollout.yaml", good)
	empty, other := t.TempDir(), t.TempDir()
	write(t, other, "readme.txt", "nothing here")
	write(t, other, "broken.yaml", "kind: [")
	cases := map[string]struct {
		args []string
		want []string
	}{
		"no file": {[]string{"--from", dir}, []string{"--filename is missing"}},
		"a file that is none": {[]string{"-f", "/nowhere/x.yaml", "--from", dir},
			[]string{"--filename", "/nowhere/x.yaml"}},
		"a directory": {[]string{"-f", dir, "--from", dir}, []string{"--filename", dir}},
		"an output": {[]string{"-f", file, "--from", dir, "-o", "xml"},
			[]string{`"xml"`, "text, wide, json, yaml, name"}},
		"two clusters": {[]string{"-f", file, "--from", dir, "--replay", "x"},
			[]string{"--from, --replay and --kubeconfig"}},
		"no such directory":    {[]string{"-f", file, "--from", "/nowhere"}, []string{"/nowhere"}},
		"an empty directory":   {[]string{"-f", file, "--from", empty}, []string{empty}},
		"nothing of a cluster": {[]string{"-f", file, "--from", other}, []string{"broken.yaml", other}},
		"no kubeconfig": {[]string{"-f", file, "--kubeconfig", "/nowhere/kubeconfig"},
			[]string{"finding the cluster", "--from"}},
		"no recording": {[]string{"-f", file, "--replay", file}, []string{"--replay", file}},
		"a replay is saved": {[]string{"-f", file, "--replay", file, "--save", "y"},
			[]string{"--save with --replay"}},
		"no authfile": {[]string{"-f", file, "--from", dir, "--ask-registries", "--authfile",
			"/nowhere/auth.json"}, []string{"--authfile", "/nowhere/auth.json"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", "/nowhere/at-all")
			_, code, err := run(t, Plan(), "", c.args...)
			if code != 1 || err == nil {
				t.Fatalf("exit code %d, %v", code, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// One bad file does not keep the rest from being read, and the plan says what is missing.
func TestPlanWithMalformedFile(t *testing.T) {
	dir := clusterDir(t, nil, "quay.io/acme/app:v1")
	write(t, dir, "junk.yaml", "apiVersion: v1\nkind: Pod\n\tmetadata: {")
	out, code, err := run(t, Plan(), rolloutText("quay.io/acme", "m.local/acme", ""), "-f", "-", "--from", dir)
	if err != nil || code != 1 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	for _, want := range []string{"CANNOT TELL: file junk.yaml was not seen", "GainsMirror", "quay.io/acme/app:v1"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}

// What is saved gives the same plan again, and another plan over the same cluster.
func TestPlanSaveAndReplay(t *testing.T) {
	dir, seen := clusterDir(t, nil, "quay.io/acme/app:v1"), filepath.Join(t.TempDir(), "seen.gz")
	rollout := rolloutText("quay.io/acme", "m.local/acme", "")
	live, _, err := run(t, Plan(), rollout, "-f", "-", "--from", dir, "-o", "json", "--save", seen)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := run(t, Plan(), rollout, "-f", "-", "--replay", seen, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, again); diff != "" {
		t.Errorf("replayed (-live +replayed):\n%s", diff)
	}
	other, code, err := run(t, Plan(), rolloutText("quay.io/other", "m.local/other", ""), "-f", "-", "--replay", seen)
	if err != nil || code != 2 || !strings.Contains(other, "stays the same for every reference") {
		t.Errorf("exit code %d, %v:\n%s", code, err, other)
	}
}

// The registries are asked what is missing, and nothing is written to them.
func TestPlanChecksRegistries(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	source.seed(t, "acme/app", "v1", "one")
	source.seed(t, "acme/web", "v1", "two")
	target.seed(t, "mirror/web", "v1", "two")
	dir := clusterDir(t, []string{source.host, target.host}, source.host+"/acme/app:v1", source.host+"/acme/web:v1",
		source.host+"/acme/gone:v1")
	out, code, err := run(t, Plan(),
		rolloutText(source.host+"/acme", target.host+"/mirror", "    mirrorSourcePolicy: NeverContactSource\n"),
		"-f", "-", "--from", dir, "--ask-registries", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var r printer.PlanReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range r.Changes {
		for _, i := range c.Items {
			got[strings.TrimPrefix(i.Reference, source.host)] = string(i.Forecast)
		}
	}
	want := map[string]string{"/acme/app:v1": "ToFill", "/acme/web:v1": "Proven", "/acme/gone:v1": "NoWorse"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outlooks (-want +got):\n%s", diff)
	}
	if code != 2 || !r.RegistriesChecked || r.Estimate.Copy == nil || r.Estimate.Copy.Images != 1 ||
		r.Estimate.Copy.Bytes == 0 {
		t.Errorf("exit code %d, copy %+v: %s", code, r.Estimate.Copy, r.Verdict.Message)
	}
	for name, g := range map[string]*testRegistry{"source": source, "mirror": target} {
		if writes := g.writes(); len(writes) > 0 {
			t.Errorf("the plan wrote to the %s: %q", name, writes)
		}
	}
}

func TestExplainCommand(t *testing.T) {
	dir := clusterDir(t, nil, "quay.io/acme/app:v1")
	out, code, err := run(t, Explain(), rolloutText("quay.io/acme", "m.local/acme", ""), "quay.io/acme/app:v1", "-f",
		"-", "--from", dir)
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	for _, want := range []string{"used by Deployment shop/", "NOW", "no entry of registries.conf applies", "AFTER",
		"entry quay.io/acme, from ImageTagMirrorSet/shop", "1. m.local/acme/app:v1",
		"2. quay.io/acme/app:v1 (the source)"} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	if out, _, err := run(t, Explain(), "", "nginx", "--from", dir, "-o", "json"); err != nil ||
		!strings.Contains(out, `"docker.io/library/nginx:latest"`) || strings.Contains(out, `"after": [`) {
		t.Errorf("%v:\n%s", err, out)
	}
	if _, _, err := run(t, Explain(), "", "Not/A Reference", "--from", dir); err == nil {
		t.Error("something that is no reference was explained")
	}
}

func TestInitCommand(t *testing.T) {
	set := "apiVersion: config.openshift.io/v1\nkind: ImageTagMirrorSet\nmetadata: {name: itms-0}\nspec:\n  imageTagMirrors:\n  - {source: quay.io/acme, mirrors: [m.local/acme]}\n"
	out, _, err := run(t, Init(), set, "-f", "-", "--name", "site")
	if err != nil || !strings.Contains(out, "name: site") || !strings.Contains(out, "kind: SafeMirrorRollout") {
		t.Fatalf("%v:\n%s", err, out)
	}
	// What it prints can be planned.
	if out, code, err := run(t, Plan(), out, "-f", "-", "--from",
		clusterDir(t, nil, "quay.io/acme/app:v1")); err != nil || code != 2 {
		t.Errorf("exit code %d, %v:\n%s", code, err, out)
	}
	if _, _, err := run(t, Init(), "", "-f", "-"); err == nil || !strings.Contains(err.Error(), "standard input") {
		t.Errorf("nothing: %v", err)
	}
}
