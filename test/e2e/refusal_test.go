//go:build lab

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// refusal is a rollout that must not begin, and why.
type refusal struct {
	// arrange makes the cluster unfit and returns how to undo it.
	arrange func(ctx context.Context, c *scenario.Cluster) (undo func() error, err error)
	spec    func(s *v1alpha1.SafeMirrorRolloutSpec)
	// transient is set for what goes away by itself: the rollout waits instead of standing still.
	transient bool
	reason    v1alpha1.ConditionReason
	want      []string
}

func refusals() map[string]refusal {
	return map[string]refusal{
		"policy conflict with an existing set": {
			arrange: creating(&configv1.ImageDigestMirrorSet{
				ObjectMeta: metav1.ObjectMeta{Name: "theirs"},
				// The MCO ignores a set that mirrors a source to itself, and its policy conflicts
				// all the same: nothing rolls meanwhile.
				Spec: configv1.ImageDigestMirrorSetSpec{ImageDigestMirrors: []configv1.ImageDigestMirrors{
					{Source: "quay.io/acme", Mirrors: []configv1.ImageMirror{"quay.io/acme"}}}},
			}),
			reason: v1alpha1.ReasonInvalidMirrorSets, want: []string{"theirs", "quay.io/acme", "mirrorSourcePolicy"},
		},
		"a mirror set of that name is somebody else's": {
			arrange: creating(&configv1.ImageTagMirrorSet{
				ObjectMeta: metav1.ObjectMeta{Name: "unwelcome"},
				Spec: configv1.ImageTagMirrorSetSpec{ImageTagMirrors: []configv1.ImageTagMirrors{
					{Source: "quay.io/other", Mirrors: []configv1.ImageMirror{"quay.io/other"}}}},
			}),
			reason: v1alpha1.ReasonManagedElsewhere,
			want:   []string{"ImageTagMirrorSet unwelcome", "safemirror.io/rollout"},
		},
		"mirror that does not answer": {
			spec: func(s *v1alpha1.SafeMirrorRolloutSpec) {
				s.ImageTagMirrors[0].Mirrors = []string{"nowhere.internal.example.com/acme"}
			},
			reason: v1alpha1.ReasonMirrorUnreachable,
			want:   []string{"nowhere.internal.example.com", "quay.io/acme/app:v1"},
		},
		"push secret without rights": {
			arrange: func(ctx context.Context, c *scenario.Cluster) (func() error, error) {
				auth := base64.StdEncoding.EncodeToString([]byte("nobody:wrong"))
				return creating(&corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Name: "push", Namespace: "safe-mirror-operator"},
					Type:       corev1.SecretTypeDockerConfigJson,
					Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`,
						scenario.MirrorHost, auth))},
				})(ctx, c)
			},
			spec:   func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Mirroring.PushSecret.Name = "push" },
			reason: v1alpha1.ReasonMirrorUnreachable,
			want:   []string{scenario.MirrorHost, "Denied", "spec.mirroring.pushSecret"},
		},
		"push secret that does not exist": {
			spec:   func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Mirroring.PushSecret.Name = "absent" },
			reason: v1alpha1.ReasonSecretInvalid,
			want:   []string{"spec.mirroring.pushSecret", "safe-mirror-operator/absent"},
		},
		"pool that does not exist": {
			spec: func(s *v1alpha1.SafeMirrorRolloutSpec) {
				s.Release.Stages = []v1alpha1.ReleaseStage{{Pool: "worker"}, {Pool: "infra"}}
			},
			reason: v1alpha1.ReasonPoolNotFound,
			want:   []string{"spec.release.stages[1].pool", `"infra"`, "master, worker"},
		},
		"an upgrade in progress": {
			arrange: clusterVersion(configv1.PartialUpdate), transient: true,
			reason: v1alpha1.ReasonUpgrading, want: []string{"is being upgraded to"},
		},
		"a pool that somebody has paused": {
			arrange: pausing("worker"),
			reason:  v1alpha1.ReasonPoolNotReady,
			want:    []string{"MachineConfigPool worker", "is paused by", "spec.paused"},
		},
		"a degraded pool": {
			arrange: degrading, reason: v1alpha1.ReasonPoolNotReady,
			want: []string{"MachineConfigPool worker", "Degraded", "worker-2"},
		},
		"a layered pool": {
			arrange: creating(&mcfgv1.MachineOSConfig{
				ObjectMeta: metav1.ObjectMeta{Name: "worker"},
				Spec: mcfgv1.MachineOSConfigSpec{
					MachineConfigPool:       mcfgv1.MachineConfigPoolReference{Name: "worker"},
					ImageBuilder:            mcfgv1.MachineOSImageBuilder{ImageBuilderType: mcfgv1.JobBuilder},
					RenderedImagePushSecret: mcfgv1.ImageSecretObjectReference{Name: "push"},
					RenderedImagePushSpec:   "mirror.internal.example.com/os:latest",
				},
			}),
			reason: v1alpha1.ReasonPoolNotReady, want: []string{"MachineConfigPool worker", "layering"},
		},
		"HyperShift": {
			arrange: topology(configv1.ExternalTopologyMode),
			reason:  v1alpha1.ReasonUnsupportedTopology, want: []string{"HyperShift", "HostedCluster"},
		},
	}
}

// TestRefusals: each of these is refused early, by name, with what to do, and nothing is changed.
func TestRefusals(t *testing.T) {
	if !inShard(t, 0) {
		return
	}
	ctx, c := resetLab(t)
	if _, err := c.Lab.Registry(scenario.SourceHost).Push(ctx, "acme/app:v1", lab.Image{}); err != nil {
		t.Fatal(err)
	}
	if err := c.App(ctx, "cart", "quay.io/acme/app:v1", 1, nil); err != nil {
		t.Fatal(err)
	}
	operator(ctx, t)
	for name, r := range refusals() {
		t.Run(name, func(t *testing.T) { r.run(ctx, t, c) })
	}
}

func (r refusal) run(ctx context.Context, t *testing.T, c *scenario.Cluster) {
	if r.arrange != nil {
		undo, err := r.arrange(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := undo(); err != nil {
				t.Error(err)
			}
		}()
	}
	cr := scenario.All()[0].Rollout()
	cr.Name = "unwelcome"
	if r.spec != nil {
		r.spec(&cr.Spec)
	}
	if err := c.Client.Create(ctx, cr); err != nil {
		t.Fatal(err)
	}
	condition := v1alpha1.ConditionStalled
	if r.transient {
		condition = v1alpha1.ConditionReconciling
	}
	message := r.await(ctx, t, c, cr.Name, condition)
	for _, want := range r.want {
		if !strings.Contains(message, want) {
			t.Errorf("the message does not mention %q: %s", want, message)
		}
	}
	if r.reason != v1alpha1.ReasonManagedElsewhere {
		checkUntouched(ctx, t, c, cr.Name)
	}
	deleteUntouched(ctx, t, c, cr)
}

// await waits for the reason, and returns everything that the rollout says.
func (r refusal) await(ctx context.Context, t *testing.T, c *scenario.Cluster, name, condition string) string {
	t.Helper()
	got := &v1alpha1.SafeMirrorRollout{}
	err := lab.Eventually(ctx, time.Minute, name+" is "+condition+" with reason "+string(r.reason),
		func(ctx context.Context) (bool, string, error) {
			if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, got); err != nil {
				return false, "", err
			}
			cond := meta.FindStatusCondition(got.Status.Conditions, condition)
			return cond != nil && cond.Status == metav1.ConditionTrue && cond.Reason == string(r.reason),
				scenario.Describe(got), nil
		})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range got.Status.Blockers {
		all = append(all, b.Message)
	}
	return strings.Join(all, "\n")
}

// deleteUntouched expects that a rollout that has touched nothing leaves at once when it is
// deleted.
func deleteUntouched(ctx context.Context, t *testing.T, c *scenario.Cluster, r *v1alpha1.SafeMirrorRollout) {
	t.Helper()
	if err := c.Client.Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	err := lab.Eventually(ctx, 20*time.Second, "the rollout is gone", func(ctx context.Context) (bool, string, error) {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(r), r)
		return err != nil, "it still exists", client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func creating(o client.Object) func(context.Context, *scenario.Cluster) (func() error, error) {
	return func(ctx context.Context, c *scenario.Cluster) (func() error, error) {
		fresh, ok := o.DeepCopyObject().(client.Object)
		if !ok {
			return nil, fmt.Errorf("%T is no object", o)
		}
		return func() error { return c.Client.Delete(ctx, fresh) }, c.Client.Create(ctx, fresh)
	}
}

func pausing(pool string) func(context.Context, *scenario.Cluster) (func() error, error) {
	return func(ctx context.Context, c *scenario.Cluster) (func() error, error) {
		patch := func(paused bool) error {
			p := &mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: pool}}
			return c.Client.Patch(ctx, p, client.RawPatch(types.MergePatchType,
				[]byte(fmt.Sprintf(`{"spec":{"paused":%t}}`, paused))))
		}
		return func() error { return patch(false) }, patch(true)
	}
}

// degrading asks a node of a paused pool for a configuration that does not exist: its daemon
// reports Degraded, as a real one does.
func degrading(ctx context.Context, c *scenario.Cluster) (func() error, error) {
	unpause, err := pausing("worker")(ctx, c)
	if err != nil {
		return nil, err
	}
	pool, err := c.Pool(ctx, "worker")
	if err != nil {
		return nil, err
	}
	desire := func(config string) error {
		return c.PatchNode(ctx, "worker-2",
			fmt.Sprintf(`{"metadata":{"annotations":{"machineconfiguration.openshift.io/desiredConfig":%q}}}`, config))
	}
	undo := func() error {
		if err := desire(pool.Status.Configuration.Name); err != nil {
			return err
		}
		if err := degraded(ctx, c, corev1.ConditionFalse); err != nil {
			return err
		}
		return unpause()
	}
	if err := desire("rendered-worker-none"); err != nil {
		return nil, err
	}
	return undo, degraded(ctx, c, corev1.ConditionTrue)
}

func degraded(ctx context.Context, c *scenario.Cluster, status corev1.ConditionStatus) error {
	return lab.Eventually(ctx, time.Minute, "pool worker is Degraded="+string(status),
		func(ctx context.Context) (bool, string, error) {
			p, err := c.Pool(ctx, "worker")
			if err != nil {
				return false, "", err
			}
			for _, cond := range p.Status.Conditions {
				if cond.Type == mcfgv1.MachineConfigPoolDegraded {
					return cond.Status == status, "it is " + string(cond.Status), nil
				}
			}
			return false, "it has no such condition", nil
		})
}

func clusterVersion(state configv1.UpdateState) func(context.Context, *scenario.Cluster) (func() error, error) {
	return func(ctx context.Context, c *scenario.Cluster) (func() error, error) {
		set := func(state configv1.UpdateState) error {
			v := &configv1.ClusterVersion{}
			if err := c.Client.Get(ctx, client.ObjectKey{Name: "version"}, v); err != nil {
				return err
			}
			before := v.DeepCopy()
			v.Status.History[0].State = state
			return c.Client.Status().Patch(ctx, v, client.MergeFrom(before))
		}
		return func() error { return set(configv1.CompletedUpdate) }, set(state)
	}
}

func topology(mode configv1.TopologyMode) func(context.Context, *scenario.Cluster) (func() error, error) {
	return func(ctx context.Context, c *scenario.Cluster) (func() error, error) {
		set := func(mode configv1.TopologyMode) error {
			i := &configv1.Infrastructure{}
			if err := c.Client.Get(ctx, client.ObjectKey{Name: "cluster"}, i); err != nil {
				return err
			}
			before := i.DeepCopy()
			i.Status.ControlPlaneTopology = mode
			return c.Client.Status().Patch(ctx, i, client.MergeFrom(before))
		}
		return func() error { return set(configv1.HighlyAvailableTopologyMode) }, set(mode)
	}
}
