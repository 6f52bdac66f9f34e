package prediction

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// predictShop predicts for the rollout shop on a cluster of these objects.
func predictShop(t *testing.T, p *Predictor, objects ...client.Object) Prediction {
	t.Helper()
	ctx, c := context.Background(),
		minicluster.Client(interceptor.Funcs{}, append(minicluster.Objects("worker-0"), objects...)...)
	sets, err := ReadSets(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Pools(ctx, c, c, DesiredSetsOf(minicluster.Rollout("shop")), sets)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is kept of rendered MachineConfigs is bounded: a cluster renders new ones for years.
func TestRenderedConfigsAreBounded(t *testing.T) {
	p := &Predictor{rendered: map[string]renderedConfig{}}
	for i := range 65 {
		p.rendered[strings.Repeat("x", i)] = renderedConfig{}
	}
	predictShop(t, p)
	if got := len(p.rendered); got != 1 {
		t.Errorf("%d are kept, want the one of now", got)
	}
}

// TestNodeDisruption: what the change costs a node follows from what changes, and from the
// cluster's own policy. The rollout blocks quay.io/acme for digests too, which takes images away:
// the MCO drains for it.
func TestNodeDisruption(t *testing.T) {
	if got := predictShop(t, &Predictor{}).Disruptions["worker"]; got.Effect != registriesconf.EffectDrain ||
		got.Rule == "" {
		t.Errorf("costs %+v, want a drain and the rule that says so", got)
	}
}

func TestSucceededDrainsAreNotReported(t *testing.T) {
	done := &mcfgv1.MachineConfigNode{ObjectMeta: metav1.ObjectMeta{Name: "worker-0"},
		Status: mcfgv1.MachineConfigNodeStatus{
			Conditions: []metav1.Condition{{Type: string(mcfgv1.MachineConfigNodeUpdateDrained),
				Status: metav1.ConditionTrue, Message: "drain error: earlier"}},
		}}
	for _, n := range predictShop(t, &Predictor{}, done).Pools[0].Nodes {
		if n.DrainMessage != "" {
			t.Errorf("node %s reports %q", n.Name, n.DrainMessage)
		}
	}
}

func TestPlatforms(t *testing.T) {
	node := func(arch string) corev1.Node {
		return corev1.Node{Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{Architecture: arch}}}
	}
	got := platforms([]corev1.Node{node("s390x"), node("amd64"), node(""), node("amd64")})
	if diff := cmp.Diff([]string{"linux/amd64", "linux/s390x"}, got); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}
