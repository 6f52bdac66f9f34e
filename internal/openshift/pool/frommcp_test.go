package pool

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

func TestFromMCP(t *testing.T) {
	ours, record := somePauseRecord(), somePauseRecord()
	base := func(change func(*rollout.Pool)) rollout.Pool {
		p := rollout.Pool{Name: "worker", Generation: 7, ObservedGeneration: 6, Rendered: "rendered-worker",
			PausedBy: "an unknown writer"}
		change(&p)
		return p
	}
	cases := map[string]struct {
		mcp  poolBuilder
		want rollout.Pool
	}{
		"as it comes": {newPool("worker"), base(func(*rollout.Pool) {})},
		"paused":      {newPool("worker").paused(), base(func(p *rollout.Pool) { p.Paused = true })},
		"a number of nodes": {newPool("worker").maxUnavailable("2"),
			base(func(p *rollout.Pool) { p.MaxUnavailable = "2" })},
		"a percentage": {newPool("worker").maxUnavailable("10%"),
			base(func(p *rollout.Pool) { p.MaxUnavailable = "10%" })},
		"our pause record": {newPool("worker").record(ours),
			base(func(p *rollout.Pool) { p.PauseRecord = &record })},
		"the pause record of another": {newPool("worker").record(rollout.PauseRecord{Rollout: "books", UID: "7"}),
			base(func(p *rollout.Pool) { p.ForeignOwner = "books, UID 7" })},
		"ours from before a re-create": {newPool("worker").record(rollout.PauseRecord{Rollout: "shop", UID: "older"}),
			base(func(p *rollout.Pool) { p.PauseRecord = &rollout.PauseRecord{Rollout: "shop", UID: "older"} })},
		"paused by us": {newPool("worker").paused().written(FieldManager, pausedField, 1), base(func(p *rollout.Pool) {
			p.Paused, p.PausedBy, p.PausedByUs = true, FieldManager, true
		})},
		"degraded": {newPool("worker").condition(mcfgv1.MachineConfigPoolDegraded, "True", "1 node is degraded"),
			base(func(p *rollout.Pool) { p.Degraded = "1 node is degraded" })},
		"the control plane": {newPool("master"), rollout.Pool{
			Name: "master", Generation: 7, ObservedGeneration: 6, Rendered: "rendered-master",
			PausedBy: "an unknown writer", ControlPlane: true,
		}},
		"an arbiter": {newPool("arbiter"), rollout.Pool{
			Name: "arbiter", Generation: 7, ObservedGeneration: 6, Rendered: "rendered-arbiter",
			PausedBy: "an unknown writer", ControlPlane: true,
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := FromMCP(c.mcp.MachineConfigPool, nil, "shop")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("view (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a note that nobody can read", func(t *testing.T) {
		_, err := FromMCP(newPool("worker").note("{").MachineConfigPool, nil, "shop")
		if err == nil || !strings.Contains(err.Error(),
			"annotation safemirror.io/pause-record of MachineConfigPool worker") {
			t.Errorf("error %v, want one that names the annotation and the pool", err)
		}
	})
}

func TestFromNode(t *testing.T) {
	n := someNode("worker-0", "worker")
	n.Annotations = map[string]string{
		"machineconfiguration.openshift.io/currentConfig":    "rendered-a",
		"machineconfiguration.openshift.io/desiredConfig":    "rendered-b",
		"machineconfiguration.openshift.io/state":            "Degraded",
		"machineconfiguration.openshift.io/reason":           "failed to drain",
		"machineconfiguration.openshift.io/desiredDrain":     "drain-rendered-b",
		"machineconfiguration.openshift.io/lastAppliedDrain": "uncordon-rendered-a",
	}
	n.Spec.Unschedulable = true
	n.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/unschedulable"},
		{Key: "UpdateInProgress", Effect: corev1.TaintEffectPreferNoSchedule}}
	p, err := FromMCP(newPool("worker").MachineConfigPool, []corev1.Node{n, someNode("worker-1")}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	want := []rollout.Node{
		{
			Name: "worker-0", CurrentConfig: "rendered-a", DesiredConfig: "rendered-b", State: "Degraded",
			Reason:       "failed to drain",
			DesiredDrain: "drain-rendered-b", LastAppliedDrain: "uncordon-rendered-a", Ready: true, Unschedulable: true,
			Tainted: true,
		},
		{Name: "worker-1", Ready: true},
	}
	if diff := cmp.Diff(want, p.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

// The MCO's CheckNodeReady, without the cordon.
func TestNodeReady(t *testing.T) {
	cases := map[string]struct {
		kind   corev1.NodeConditionType
		status corev1.ConditionStatus
		want   bool
	}{
		"ready":                         {corev1.NodeReady, "True", true},
		"not ready":                     {corev1.NodeReady, "False", false},
		"the kubelet is silent":         {corev1.NodeReady, "Unknown", false},
		"disk pressure":                 {corev1.NodeDiskPressure, "True", false},
		"disk pressure is unknown":      {corev1.NodeDiskPressure, "Unknown", false},
		"no disk pressure":              {corev1.NodeDiskPressure, "False", true},
		"no network":                    {corev1.NodeNetworkUnavailable, "True", false},
		"network":                       {corev1.NodeNetworkUnavailable, "False", true},
		"memory pressure is not a rule": {corev1.NodeMemoryPressure, "True", true},
		"nor are too many processes":    {corev1.NodePIDPressure, "True", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := someNode("n")
			n.Status.Conditions = []corev1.NodeCondition{{Type: c.kind, Status: c.status}}
			if got := nodeReady(&n); got != c.want {
				t.Errorf("ready: %t, want %t", got, c.want)
			}
		})
	}
	t.Run("without conditions it counts as ready", func(t *testing.T) {
		n := someNode("n")
		if !nodeReady(&n) {
			t.Error("not ready")
		}
	})
}

func TestDegradedMessage(t *testing.T) {
	degradedNode := mcfgv1.MachineConfigPoolConditionType("NodeDegraded")
	cases := map[string]struct {
		mcp  poolBuilder
		want string
	}{
		"no": {newPool("worker").condition(mcfgv1.MachineConfigPoolUpdating, "True",
			"2 of 3"), ""},
		"not any more": {newPool("worker").condition(mcfgv1.MachineConfigPoolDegraded, "False", "x"), ""},
		"the summary has no text": {newPool("worker").condition(mcfgv1.MachineConfigPoolDegraded, "True",
			"").condition(degradedNode, "True", "Node worker-1 is reporting: drain"),
			"Node worker-1 is reporting: drain"},
		"there is no text at all": {newPool("worker").condition(mcfgv1.MachineConfigPoolDegraded, "True", ""),
			"the pool's condition Degraded is True"},
		"only a part is, and alone": {newPool("worker").condition(degradedNode, "True", "x"), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := degradedMessage(c.mcp.MachineConfigPool); got != c.want {
				t.Errorf("degraded: %q, want %q", got, c.want)
			}
		})
	}
}

func TestPausedBy(t *testing.T) {
	cases := map[string]struct {
		mcp  poolBuilder
		want string
	}{
		"nobody is known": {newPool("worker"), "an unknown writer"},
		"the only one":    {newPool("worker").written("kubectl-patch", pausedField, 1), "kubectl-patch"},
		"the last one": {newPool("worker").written("argocd", pausedField, 2).written("kubectl-patch",
			pausedField, 1), "argocd"},
		"the last one, later on": {newPool("worker").written("kubectl-patch", pausedField, 1).written("argocd",
			pausedField, 2), "argocd"},
		"not who wrote another field": {newPool("worker").written("kubectl-patch", pausedField, 1).
			written("machine-config-controller", `{"f:spec":{"f:configuration":{}}}`, 9), "kubectl-patch"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := pausedBy(c.mcp.MachineConfigPool); got != c.want {
				t.Errorf("paused by %q, want %q", got, c.want)
			}
		})
	}
	t.Run("an entry without fields", func(t *testing.T) {
		p := newPool("worker").written("x", pausedField, 1)
		p.ManagedFields[0].FieldsV1 = nil
		if got := pausedBy(p.MachineConfigPool); got != "an unknown writer" {
			t.Errorf("paused by %q", got)
		}
	})
}

// Which pool a node belongs to, as the MCO has it.
func TestNodesByPool(t *testing.T) {
	windows := someNode("n", "worker")
	windows.Labels[corev1.LabelOSStable] = "windows"
	linux := someNode("n", "worker")
	linux.Labels[corev1.LabelOSStable] = "linux"
	cases := map[string]struct {
		node corev1.Node
		want string
	}{
		"a worker":                     {someNode("n", "worker"), "worker"},
		"a worker of its own pool":     {someNode("n", "worker", "infra"), "infra"},
		"of its own pool alone":        {someNode("n", "infra"), "infra"},
		"of two pools of their own":    {someNode("n", "worker", "infra", "gpu"), ""},
		"a master":                     {someNode("n", "master"), "master"},
		"a compact cluster's node":     {someNode("n", "master", "worker"), "master"},
		"a master in another pool":     {someNode("n", "master", "infra"), "master"},
		"a master in two other pools":  {someNode("n", "master", "infra", "gpu"), "master"},
		"an arbiter":                   {someNode("n", "arbiter", "worker"), "arbiter"},
		"a node of no role":            {someNode("n"), ""},
		"a Windows node":               {windows, ""},
		"a node that says it is Linux": {linux, "worker"},
	}
	pools := []mcfgv1.MachineConfigPool{
		*newPool("master").MachineConfigPool, *newPool("arbiter").MachineConfigPool,
		*newPool("worker").MachineConfigPool,
		*newPool("infra").MachineConfigPool, *newPool("gpu").MachineConfigPool,
		*newPool("everything").selector(&metav1.LabelSelector{}).MachineConfigPool, // is never synced
		*newPool("nothing").selector(nil).MachineConfigPool,
		*newPool("broken").selector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a",
			Operator: "is"}}}).MachineConfigPool,
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			for pool, nodes := range NodesByPool(pools, []corev1.Node{c.node}) {
				if len(nodes) != 1 || got != "" {
					t.Fatalf("pool %s has %d nodes, and %s has it, too", pool, len(nodes), got)
				}
				got = pool
			}
			if got != c.want {
				t.Errorf("pool %q, want %q", got, c.want)
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	with := func(mode configv1.TopologyMode) *configv1.Infrastructure {
		return &configv1.Infrastructure{Status: configv1.InfrastructureStatus{ControlPlaneTopology: mode}}
	}
	if got := Unsupported(with(configv1.ExternalTopologyMode)); !strings.Contains(got, "HyperShift") {
		t.Errorf("a hosted control plane: %q", got)
	}
	for _, mode := range []configv1.TopologyMode{"", configv1.HighlyAvailableTopologyMode,
		configv1.SingleReplicaTopologyMode} {
		if got := Unsupported(with(mode)); got != "" {
			t.Errorf("%q: %q", mode, got)
		}
	}
	if got := Unsupported(nil); got != "" {
		t.Errorf("without an Infrastructure: %q", got)
	}
}
