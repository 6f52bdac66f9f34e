package execute

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// readyToTarget is a cluster in which both workers are on record to be told by name; the pool
// allows two.
func readyToTarget(t *testing.T) *setup {
	t.Helper()
	s := readyToRelease(t)
	editAsUser(s, &mcfgv1.MachineConfigPool{}, "worker", func(p *mcfgv1.MachineConfigPool) {
		two := intstr.FromInt32(2)
		p.Spec.MaxUnavailable = &two
	})
	editAsUser(s, &v1alpha1.SafeMirrorRollout{}, "shop", func(r *v1alpha1.SafeMirrorRollout) {
		two := int32(2)
		r.Spec.Release.Mechanism, r.Spec.Release.MaxUnavailable = v1alpha1.MechanismTargeted, &two
	})
	r := &v1alpha1.SafeMirrorRollout{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Name: "shop"}, r); err != nil {
		t.Fatal(err)
	}
	r.Status.Record.Pools[0].MaxUnavailable = "2"
	r.Status.Record.Release.TargetNodes, r.Status.Record.Release.NodeCount = []string{"worker-0", "worker-1"}, 2
	if err := s.Client.Status().Update(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	*s.writes = nil
	return s
}

func (s *setup) desired(name string) string {
	s.t.Helper()
	n := &corev1.Node{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Name: name}, n); err != nil {
		s.t.Fatal(err)
	}
	return n.Annotations[minicluster.DesiredConfig]
}

// The note on the pool comes first; the pool stays paused, with the maxUnavailable that it has.
func TestTargetNodes(t *testing.T) {
	s := readyToTarget(t)
	obs := s.observe()
	if err := s.Execute(context.Background(), obs, s.nextAction(obs)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"patch MachineConfigPool worker", "patch Node worker-0", "patch Node worker-1"},
		*s.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	record := somePauseRecord()
	record.Release = &rollout.UnpauseWindow{
		IntendedAt: minicluster.StartTime, Deadline: minicluster.StartTime, Target: s.rendered(), Size: 2,
		Nodes: []string{"worker-0", "worker-1"}, Closed: true,
	}
	if diff := cmp.Diff(poolState{Paused: true, MaxUnavailable: "2", Record: &record},
		s.poolState("worker")); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
	for _, name := range []string{"worker-0", "worker-1"} {
		if got := s.desired(name); got != s.rendered() {
			t.Errorf("node %s is to run %q, want %q", name, got, s.rendered())
		}
	}
}

// What has changed since the decision is seen by the fresh look, or by the executor itself: the
// second node of a batch is read after the first was told.
func TestRefusedTargets(t *testing.T) {
	cases := map[string]struct {
		change func(*setup, *rollout.TargetNodes)
		why    string
		first  bool // the first node is told
	}{
		"not sure to lead": {func(s *setup, _ *rollout.TargetNodes) {
			s.Fence = &Fence{Identity: "op-1", Lease: func(context.Context) (Lease, error) { return Lease{Holder: "op-1"}, nil }}
		}, "leader lease for 0s only", false},
		"rendered anew": {func(_ *setup, a *rollout.TargetNodes) { a.Target = "rendered-worker-other" },
			"new rendered MachineConfig", false},
		"no longer our pool": {func(_ *setup, a *rollout.TargetNodes) { a.Record.Rollout = "books" },
			"does not carry the pause record", false},
		"the second is cordoned": {func(s *setup, _ *rollout.TargetNodes) {
			editAsUser(s, &corev1.Node{}, "worker-1", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		}, "node worker-1 is left alone", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := readyToTarget(t)
			a, ok := s.nextAction(s.observe()).(rollout.TargetNodes)
			if !ok {
				t.Fatal("no TargetNodes")
			}
			c.change(s, &a)
			err := s.targetNodes(context.Background(), a)
			var refused *Refused
			if !errors.As(err, &refused) || !strings.Contains(refused.Why, c.why) {
				t.Errorf("error %v, want it refused because %q", err, c.why)
			}
			if got := s.desired("worker-0") == s.rendered(); got != c.first {
				t.Errorf("the first node is told: %t, want %t", got, c.first)
			}
			if s.desired("worker-1") == s.rendered() {
				t.Error("the second node is told")
			}
		})
	}
	t.Run("the fresh look", func(t *testing.T) {
		s := readyToTarget(t)
		obs := s.observe()
		a := s.nextAction(obs)
		editAsUser(s, &corev1.Node{}, "worker-1", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		*s.writes = nil
		var refused *Refused
		if err := s.Execute(context.Background(), obs, a); !errors.As(err, &refused) || len(*s.writes) > 0 {
			t.Errorf("error %v, wrote %v; want a refusal and nothing written", err, *s.writes)
		}
	})
}

func TestStepDown(t *testing.T) {
	s := readyToTarget(t)
	var refused *Refused
	if err := s.Execute(context.Background(), s.observe(), rollout.StepDown{Node: "worker-0"}); !errors.As(err,
		&refused) {
		t.Errorf("error %v, want a refusal without an election", err)
	}
	ended := false
	s.StepDown = func() { ended = true }
	if err := s.Execute(context.Background(), s.observe(), rollout.StepDown{Node: "worker-0"}); err != nil || !ended {
		t.Errorf("error %v, ended %t", err, ended)
	}
}
