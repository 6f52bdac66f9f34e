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
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	planned "github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// expectedPlans are what the plan has to say of each scenario before anything happens.
var expectedPlans = map[string]struct {
	code planned.VerdictCode
	says []string
}{
	// The mirror has nothing, and from then on it alone has to have the image.
	"a": {planned.Changes, []string{"NewlyBlocked", "NOT AT THE MIRROR YET", "quay.io/acme/router:v1",
		"Deployment openshift-ingress/router-default", "1 image is missing"}},
	// By digest the image has no mirror, and its source is blocked all the same.
	"b": {planned.Blocked, []string{"WOULD BREAK (1)", "quay.io/acme/router@sha256:",
		"blocks pulls by tag and by digest", "Add to spec.imageDigestMirrors: {source: quay.io/acme"}},
	// A node that finds the index at the mirror does not fall back for the layer.
	"c": {planned.Changes, []string{"GainsMirror", "NOT AT THE MIRROR YET, OR NOT WHOLE", "blob sha256:",
		"Incomplete"}},
	// The narrower scope takes the digest mirrors away, and the source cannot be reached.
	"d": {planned.Blocked, []string{"WOULD BREAK (1)", "SHADOWED",
		"ImageTagMirrorSet/scenario-d, by its source quay.io/acme/edge",
		"Add to spec.imageDigestMirrors: {source: quay.io/acme/edge"}},
	// Two drains at the same time hold each other. Either is refused already: the pod that the
	// other pool's node has is not ready.
	"e": {planned.Blocked, []string{"the drain of worker-4 would be refused", "WOULD NOT BEGIN NOW (2)", "TRAPS",
		"PodDisruptionBudgets shop/cart and shop/till", "edge and worker", "worker-3, worker-4"}},
}

// TestPlan plans each scenario as a user who may only read, and expects the plan to name what the
// scenario is about.
func TestPlan(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.ID, func(t *testing.T) {
			ctx, c := resetLab(t)
			stage(ctx, t, c, s, scenario.Raw)
			kubeconfig := planViewer(ctx, t, c)
			file := rolloutFile(t, s)
			want := expectedPlans[s.ID]
			text, code := runPlan(ctx, t, c, "--kubeconfig", kubeconfig, "-f", file, "--ask-registries", "--save",
				filepath.Join(t.TempDir(), "seen.gz"))
			if code != want.code.ExitCode() {
				t.Errorf("the exit code is %d, want %d", code, want.code.ExitCode())
			}
			flat := strings.Join(strings.Fields(text), " ") // lines are broken between words
			for _, part := range want.says {
				if !strings.Contains(flat, part) {
					t.Errorf("the plan does not say %q", part)
				}
			}
			if strings.Contains(text, "not allowed") {
				t.Error("config/rbac/plan_viewer_role.yaml does not let a plan see everything")
			}
			firstNodes(ctx, t, c, s, kubeconfig, file)
			if t.Failed() {
				t.Log("\n" + text)
			}
		})
	}
}

// firstNodes: where the scenario says which node goes first, the plan has it in the set.
func firstNodes(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario, kubeconfig, file string) {
	t.Helper()
	out, _ := runPlan(ctx, t, c, "--kubeconfig", kubeconfig, "-f", file, "-o", "json")
	var r planned.PlanReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	for _, p := range r.Pools {
		if p.Name == "worker" && s.Waiting == scenario.ImagePullBackOff && !slices.Contains(p.First, "worker-1") {
			t.Errorf("the first nodes of pool worker are %v, and the MCO takes worker-1", p.First)
		}
	}
}

// runPlan runs the product as a process of its own, with the network of the cluster.
func runPlan(ctx context.Context, t *testing.T, c *scenario.Cluster, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join("..", "..", "bin", "safe-mirror"),
		append([]string{"plan"}, args...)...)
	cmd.Env = append(os.Environ(), c.Lab.Env()...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if stdout.Len() == 0 {
		t.Fatalf("safe-mirror plan said nothing but %q (%v)", stderr.String(), err)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

func rolloutFile(t *testing.T, s scenario.Scenario) string {
	t.Helper()
	r := s.Rollout()
	r.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "SafeMirrorRollout"}
	text, err := yaml.Marshal(map[string]any{"apiVersion": r.APIVersion, "kind": r.Kind,
		"metadata": map[string]any{"name": r.Name}, "spec": r.Spec})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rollout.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// planViewer is a ServiceAccount with the roles of config/rbac/plan_viewer_role.yaml and nothing
// else. The operator is not installed.
func planViewer(ctx context.Context, t *testing.T, c *scenario.Cluster) (kubeconfig string) {
	t.Helper()
	if err := c.Lab.Apply(ctx, filepath.Join("..", "..", "config", "rbac", "plan_viewer_role.yaml")); err != nil {
		t.Fatal(err)
	}
	const namespace, name = "default", "planner"
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}}
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "safe-mirror-plan-viewer"}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "openshift-config", Name: name},
			Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role",
				Name: "safe-mirror-plan-pull-secret-reader"}},
	} {
		if err := c.Client.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	kubeconfig, err := c.Lab.ServiceAccountKubeconfig(ctx, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}
