package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// blockedDrainObjects are a cluster in which worker-1 is drained and a budget of zero keeps the
// only pod of the shop there.
func blockedDrainObjects() []client.Object {
	began := metav1.NewTime(minicluster.StartTime)
	objects := minicluster.Edit(minicluster.Objects("worker-0", "worker-1"), "worker-1", func(n *corev1.Node) {
		n.Annotations[minicluster.DesiredConfig], n.Annotations[minicluster.DaemonState] = "rendered-worker-1",
			"Working"
		n.Annotations["machineconfiguration.openshift.io/desiredDrain"] = "drain-rendered-worker-1"
		n.Spec.Unschedulable, n.Spec.Taints = true,
			[]corev1.Taint{{Key: corev1.TaintNodeUnschedulable, TimeAdded: &began}}
		n.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(began.Add(time.Minute))
	})
	labels := map[string]string{"app": "shop"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-a", Labels: labels},
		Spec: corev1.PodSpec{NodeName: "worker-1"}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	pdb := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}}
	pdb.Spec.MinAvailable, pdb.Spec.Selector = &intstr.IntOrString{IntVal: 1},
		&metav1.LabelSelector{MatchLabels: labels}
	return append(objects, pod, pdb,
		minicluster.MachineConfig("rendered-worker-1", minicluster.RegistriesFile(minicluster.BaseRegistriesConf)))
}

// runCommand runs the command and gives what it says and its exit code; an error has 1 and is what
// it says.
func runCommand(cmd *cobra.Command, args ...string) (string, int) {
	var out bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(context.Background())
	var end *ExitError
	switch {
	case err == nil:
		return out.String(), 0
	case errors.As(err, &end):
		return out.String(), end.Code
	default:
		return err.Error(), 1
	}
}

func TestDiagnose(t *testing.T) {
	rollout := minicluster.Rollout("shop")
	cases := map[string]struct {
		cmd  *cobra.Command
		args []string
		code int
		says []string
	}{
		"at rest": {Diagnose(), []string{"--from", objectsDir(t, minicluster.Objects("worker-0")...)}, 0,
			[]string{"NOTHING IS STUCK: no node is updating"}},
		"stuck": {Diagnose(), []string{"--from", objectsDir(t, blockedDrainObjects()...)}, 3,
			[]string{"STUCK: 1 node is updating", "drain of worker-1 is blocked since 2026-03-01T12:00:00Z (1m0s)",
				"PDB shop/shop allows 0", "what helps"}},
		"as data": {Diagnose(),
			[]string{"--from", objectsDir(t, blockedDrainObjects()...), "-o", "json"}, 3,
			[]string{`"hindrance": "BudgetZero"`, `"line": "drain of worker-1`}},
		"without budgets": {Diagnose(),
			[]string{"--from", objectsDir(t, blockedDrainObjects()[:len(blockedDrainObjects())-2]...)}, 1,
			[]string{"reading PodDisruptionBudgets, without which nothing can be said"}},
		"an unknown format": {Diagnose(), []string{"-o", "wide"}, 1,
			[]string{`--output "wide" is none of text, json, yaml`}},
		"tries that cannot be made": {Diagnose(), []string{"--try-evictions", "--from", "x"}, 1,
			[]string{"there is none with --from"}},
		"a rollout nobody has looked at": {Status(),
			[]string{"--from", objectsDir(t, append(blockedDrainObjects(), rollout)...)}, 2,
			[]string{"shop  IN PROGRESS", "no operator has looked at it yet"}},
		"no rollouts": {Status(), []string{"--from", objectsDir(t, blockedDrainObjects()...)}, 0,
			[]string{"there is no SafeMirrorRollout"}},
		"no such rollout": {Status(),
			[]string{"other", "--from", objectsDir(t, append(blockedDrainObjects(), rollout)...)}, 1,
			[]string{`"other" not found`}},
		"files do not change by watching": {Status(), []string{"--watch", "1s", "--from", "x"}, 1,
			[]string{"--watch looks at a live cluster"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, code := runCommand(c.cmd, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, part := range c.says {
				if !strings.Contains(got, part) {
					t.Errorf("it does not say %q:\n%s", part, got)
				}
			}
		})
	}
}
