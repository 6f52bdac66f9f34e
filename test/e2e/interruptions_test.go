//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestClusterInterruptions: what happens to a cluster while a rollout is half way holds it by name,
// and the rollout goes on when it has passed.
func TestClusterInterruptions(t *testing.T) {
	if !inShard(t, 5) {
		return
	}
	runInterruptions(t, []interruption{
		{
			name: "a cluster upgrade starts", begin: refusalOf(clusterVersion(configv1.PartialUpdate)),
			reason: v1alpha1.ReasonUpgrading,
			says:   []string{"is being upgraded to", "goes on when the upgrade has ended"},
		},
		{
			name: "a pool becomes Degraded", begin: degradeNode,
			reason: v1alpha1.ReasonPoolNotReady, says: []string{"MachineConfigPool worker", "is Degraded", "worker-4"},
		},
		{
			name: "a MachineConfig that reboots queues up behind the pause", begin: rebootingMachineConfig,
			reason: v1alpha1.ReasonWaiting,
			says:   []string{"MachineConfigPool worker", "other changes queued", "reboot"},
		},
		{
			name: "a machine is born and does not come up", begin: addUnreadyNode,
			reason: v1alpha1.ReasonWaiting, says: []string{"node worker-5", "pool worker", "is new"},
			after: checkNewNodeUpdated,
		},
	})
}

// TestUserInterruptions: so does what users do to a rollout that is half way.
func TestUserInterruptions(t *testing.T) {
	if !inShard(t, 6) {
		return
	}
	runInterruptions(t, []interruption{
		{
			name: "the rollout is held", begin: func(ctx context.Context, u *rolloutRun) (func() error, error) {
				set := func(state v1alpha1.RolloutState) error {
					return u.changeSpec(ctx, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.State = state })
				}
				return func() error { return set(v1alpha1.StateActive) }, set(v1alpha1.StateHeld)
			},
			reason: v1alpha1.ReasonHeld, says: []string{"spec.state", "Held"},
		},
		{
			name: "a node is cordoned", begin: func(ctx context.Context, u *rolloutRun) (func() error, error) {
				cordon := func(on bool) error {
					return u.cluster.PatchNode(ctx, "worker-4", fmt.Sprintf(`{"spec":{"unschedulable":%t}}`, on))
				}
				return func() error { return cordon(false) }, cordon(true)
			},
			reason: v1alpha1.ReasonWaiting,
			says:   []string{"node worker-4", "pool worker", "is cordoned and was not when the rollout began"},
		},
		{
			name: "the spec names a pool that does not exist",
			begin: func(ctx context.Context, u *rolloutRun) (func() error, error) {
				last := func(name string) error {
					return u.changeSpec(ctx, func(s *v1alpha1.SafeMirrorRolloutSpec) {
						s.Release.Stages = append(gatedWorkers(4), v1alpha1.ReleaseStage{Pool: name})
					})
				}
				return func() error { return last("master") }, last("infra")
			},
			reason: v1alpha1.ReasonPoolNotFound,
			says:   []string{"spec.release.stages[4].pool", `"infra"`, "master, worker"},
		},
		{
			name: "a pool is unpaused once", begin: unpausedOnce,
		},
	})
}

// TestMirrorSetsEditedByUser: the mirror sets of a rollout that is half way are put back, and
// nothing runs with what somebody else has made of them; what others add to the cluster's mirror
// sets either becomes part of the plan or holds the rollout.
func TestMirrorSetsEditedByUser(t *testing.T) {
	if !inShard(t, 7) {
		return
	}
	runInterruptions(t, []interruption{
		{name: "the ImageTagMirrorSet is edited", begin: editMirrorSet},
		{name: "the ImageTagMirrorSet is deleted", begin: deleteMirrorSet},
		{
			name: "a mirror set appears that contradicts", begin: refusalOf(creating(&configv1.ImageDigestMirrorSet{
				ObjectMeta: metav1.ObjectMeta{Name: "theirs"},
				Spec: configv1.ImageDigestMirrorSetSpec{ImageDigestMirrors: []configv1.ImageDigestMirrors{
					{Source: "quay.io/acme", Mirrors: []configv1.ImageMirror{"quay.io/acme"}}}},
			})),
			reason: v1alpha1.ReasonInvalidMirrorSets, says: []string{"theirs", "quay.io/acme", "mirrorSourcePolicy"},
		},
		{name: "a mirror set appears for another source", begin: anotherSource},
	})
	for _, p := range pulls(t) {
		if strings.HasPrefix(p.Endpoint, "second.internal.example.com") {
			t.Errorf("%s was pulled on %s from an endpoint that was not proven: %s", p.Reference, p.Node, p.Endpoint)
		}
	}
}

func pulls(t *testing.T) []lab.Pull {
	t.Helper()
	all, err := shared.PullLog()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (u *rolloutRun) changeSpec(ctx context.Context, change func(*v1alpha1.SafeMirrorRolloutSpec)) error {
	r := &v1alpha1.SafeMirrorRollout{}
	if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, r); err != nil {
		return err
	}
	before := r.DeepCopy()
	change(&r.Spec)
	return u.cluster.Client.Patch(ctx, r, client.MergeFrom(before))
}

// degradeNode asks a node for a configuration that does not exist. The pools are paused, so
// it gets no other one meanwhile.
func degradeNode(ctx context.Context, u *rolloutRun) (func() error, error) {
	node := &corev1.Node{}
	if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: "worker-4"}, node); err != nil {
		return nil, err
	}
	desire := func(config string, degrades corev1.ConditionStatus) error {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"machineconfiguration.openshift.io/desiredConfig":%q}}}`, config)
		if err := u.cluster.PatchNode(ctx, node.Name, patch); err != nil {
			return err
		}
		return degraded(ctx, u.cluster, degrades)
	}
	was := node.Annotations["machineconfiguration.openshift.io/desiredConfig"]
	return func() error { return desire(was, corev1.ConditionFalse) },
		desire("rendered-worker-none", corev1.ConditionTrue)
}

// rebootingMachineConfig is a MachineConfig that reboots every worker that it reaches. The MCO
// renders it into the paused pool at once.
func rebootingMachineConfig(ctx context.Context, u *rolloutRun) (func() error, error) {
	raw, err := json.Marshal(map[string]any{"ignition": map[string]any{"version": "3.4.0"}})
	if err != nil {
		return nil, err
	}
	mc := &mcfgv1.MachineConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "99-worker-rider",
			Labels: map[string]string{"machineconfiguration.openshift.io/role": "worker"}},
		Spec: mcfgv1.MachineConfigSpec{Config: runtime.RawExtension{Raw: raw},
			KernelArguments: []string{"quiet"}},
	}
	rendered := func(wanted bool) error {
		return lab.Eventually(ctx, time.Minute, fmt.Sprintf("pool worker is rendered with %s: %t", mc.Name, wanted),
			func(ctx context.Context) (bool, string, error) {
				p, err := u.cluster.Pool(ctx, "worker")
				if err != nil {
					return false, "", err
				}
				has := slices.ContainsFunc(p.Spec.Configuration.Source,
					func(r corev1.ObjectReference) bool { return r.Name == mc.Name })
				return has == wanted, p.Spec.Configuration.Name, nil
			})
	}
	undo := func() error {
		if err := u.cluster.Client.Delete(ctx, mc); err != nil {
			return err
		}
		return rendered(false)
	}
	if err := u.cluster.Client.Create(ctx, mc); err != nil {
		return nil, err
	}
	return undo, rendered(true)
}

// addUnreadyNode adds a machine whose kubelet does not come up, and lets it come up.
func addUnreadyNode(ctx context.Context, u *rolloutRun) (func() error, error) {
	name, err := u.cluster.Lab.AddNode(ctx, "worker", 5,
		func(n *corev1.Node) { n.Annotations["lab.safemirror.io/down"] = "true" })
	undo := func() error {
		return u.cluster.PatchNode(ctx, name, `{"metadata":{"annotations":{"lab.safemirror.io/down":null}}}`)
	}
	return undo, err
}

// grown: the machine that was born counts, and has the new configuration without ever having had
// the old one.
func checkNewNodeUpdated(ctx context.Context, u *rolloutRun) error {
	return lab.Eventually(ctx, rolloutTime, "worker-5 is one of the nodes that are done",
		func(ctx context.Context) (bool, string, error) {
			n, p := &corev1.Node{}, &mcfgv1.MachineConfigPool{}
			for name, o := range map[string]client.Object{"worker-5": n, "worker": p} {
				if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
					return false, "", err
				}
			}
			current := n.Annotations["machineconfiguration.openshift.io/currentConfig"]
			if current == u.before["worker"] {
				return false, "", fmt.Errorf("worker-5 was born with the old configuration %s", current)
			}
			return current == p.Spec.Configuration.Name, "it runs " + current, nil
		})
}

// unpausedOnce: whoever unpauses a pool finds it paused again, once. The MCO may have taken a node
// meanwhile, one at most.
func unpausedOnce(ctx context.Context, u *rolloutRun) (func() error, error) {
	return nil, unpauseAs(ctx, u, "somebody", func(p *mcfgv1.MachineConfigPool) (bool, error) {
		ledger, err := pool.ReadPauseRecord(p)
		if err != nil || ledger == nil {
			return false, err
		}
		return p.Spec.Paused && ledger.Repaused == 1, nil
	})
}

// unpauseAs unpauses the worker pool and waits until the pool is as the check wants it.
func unpauseAs(ctx context.Context, u *rolloutRun, manager string,
	check func(*mcfgv1.MachineConfigPool) (bool, error)) error {
	p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: "worker"}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":false}}`))
	if err := u.cluster.Client.Patch(ctx, p, patch, client.FieldOwner(manager)); err != nil {
		return err
	}
	return lab.Eventually(ctx, time.Minute, "pool worker is dealt with after "+manager+" has unpaused it",
		func(ctx context.Context) (bool, string, error) {
			p, err := u.cluster.Pool(ctx, "worker")
			if err != nil {
				return false, "", err
			}
			ok, err := check(p)
			return ok, fmt.Sprintf("paused %t, %s", p.Spec.Paused, p.Annotations[pool.PauseRecordAnnotation]), err
		})
}

func (u *rolloutRun) mirrorSet() *configv1.ImageTagMirrorSet {
	return &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: u.rollout.Name}}
}

// editMirrorSet points the rollout's own set elsewhere and waits until it is back.
func editMirrorSet(ctx context.Context, u *rolloutRun) (func() error, error) {
	set := u.mirrorSet()
	if err := u.cluster.Client.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
		return nil, err
	}
	declared := set.Spec.DeepCopy()
	before := set.DeepCopy()
	set.Spec.ImageTagMirrors[0].Mirrors = []configv1.ImageMirror{"second.internal.example.com/acme"}
	if err := u.cluster.Client.Patch(ctx, set, client.MergeFrom(before), client.FieldOwner("somebody")); err != nil {
		return nil, err
	}
	return nil, u.awaitMirrorSetRestored(ctx, *declared)
}

func deleteMirrorSet(ctx context.Context, u *rolloutRun) (func() error, error) {
	set := u.mirrorSet()
	if err := u.cluster.Client.Get(ctx, client.ObjectKeyFromObject(set), set); err != nil {
		return nil, err
	}
	if err := u.cluster.Client.Delete(ctx, set); err != nil {
		return nil, err
	}
	return nil, u.awaitMirrorSetRestored(ctx, set.Spec)
}

func (u *rolloutRun) awaitMirrorSetRestored(ctx context.Context, declared configv1.ImageTagMirrorSetSpec) error {
	return lab.Eventually(ctx, time.Minute, "the mirror set is put back",
		func(ctx context.Context) (bool, string, error) {
			set := u.mirrorSet()
			err := u.cluster.Client.Get(ctx, client.ObjectKeyFromObject(set), set)
			if apierrors.IsNotFound(err) {
				return false, "it is gone", nil
			}
			want, got := declared.ImageTagMirrors[0], configv1.ImageTagMirrors{}
			if len(set.Spec.ImageTagMirrors) == 1 {
				got = set.Spec.ImageTagMirrors[0]
			}
			return got.Source == want.Source && slices.Equal(got.Mirrors, want.Mirrors) &&
				got.MirrorSourcePolicy == want.MirrorSourcePolicy, fmt.Sprint(got), err
		})
}

// anotherSource: somebody mirrors something that has nothing to do with the rollout. What the nodes
// would get is another configuration than the one that was approved: it is planned anew, no node
// has it yet, and every gate asks for its own approval.
func anotherSource(ctx context.Context, u *rolloutRun) (func() error, error) {
	r := &v1alpha1.SafeMirrorRollout{}
	if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, r); err != nil {
		return nil, err
	}
	digest := r.Status.PlanHash
	err := u.cluster.Client.Create(ctx, &configv1.ImageTagMirrorSet{
		ObjectMeta: metav1.ObjectMeta{Name: "theirs"},
		Spec: configv1.ImageTagMirrorSetSpec{ImageTagMirrors: []configv1.ImageTagMirrors{
			{Source: "quay.io/other", Mirrors: []configv1.ImageMirror{scenario.MirrorHost + "/other"}}}},
	})
	if err != nil {
		return nil, err
	}
	return nil, lab.Eventually(ctx, time.Minute, "the plan is another one",
		func(ctx context.Context) (bool, string, error) {
			err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, r)
			return r.Status.PlanHash != digest, scenario.Describe(r), err
		})
}
