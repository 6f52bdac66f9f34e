//go:build lab

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// rolloutTime is far longer than any rollout of the lab takes.
const rolloutTime = 6 * time.Minute

// TestSafe carries the same cluster through the same change by a SafeMirrorRollout.
func TestSafe(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.ID, func(t *testing.T) {
			ctx, c := resetLab(t)
			stage(ctx, t, c, s, scenario.Safe)
			operator(ctx, t)
			rollOut(ctx, t, c, s)
		})
	}
}

// rollOut creates the rollout, amends it where the spec cannot work, and expects a clean end.
func rollOut(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario) {
	t.Helper()
	recorder, err := c.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Rollout()
	if err := c.Client.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	if s.Refused != "" {
		checkRefused(ctx, t, c, s, r.Name)
		amend(ctx, t, c, s, r.Name)
	}
	awaitComplete(ctx, t, c, s, r.Name, recorder)
	provenFromNodes(ctx, t, c, r.Name)
}

// provenFromNodes: before anything pointed them there, nodes have pulled from the mirrors; nothing
// of that is left.
func provenFromNodes(ctx context.Context, t *testing.T, c *scenario.Cluster, name string) {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		t.Fatal(err)
	}
	// Where no pull changes, as after the amendment of one scenario, there is nothing to prove.
	if n := r.Status.Images; n.Changed > 0 && (n.NodePullsVerified == 0 || n.NodePullsVerified != n.NodePullsDesired) {
		t.Errorf("nodes have proven %d of %d pulls: %s", n.NodePullsVerified, n.NodePullsDesired, scenario.Describe(r))
	}
	pods := &corev1.PodList{}
	if err := c.Client.List(ctx, pods, client.InNamespace("safe-mirror-operator"),
		client.MatchingLabels{pullcheck.LabelName: pullcheck.AppName}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) > 0 {
		t.Errorf("%d probe pods are left", len(pods.Items))
	}
	checkNoPodsLeft(ctx, t, c)
}

// awaitComplete waits for the end and checks everything that it promises.
func awaitComplete(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario, name string,
	recorder *scenario.Recorder) {
	t.Helper()
	done, err := c.AwaitRollout(ctx, name, v1alpha1.ConditionReady, metav1.ConditionTrue, rolloutTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(scenario.Describe(done))
	results, err := recorder.Results()
	if err != nil {
		t.Fatal(err)
	}
	if !results.Clean() {
		t.Errorf("not clean: %+v", results)
	}
	if results.Pulls == 0 {
		t.Error("no node pulled anything with the new configuration: this run proves nothing")
	}
	if err := c.CheckRestored(ctx); err != nil {
		t.Error(err)
	}
	if done.Status.Nodes.Updated != done.Status.Nodes.Total || done.Status.Nodes.Total == 0 {
		t.Errorf("%d of %d nodes are updated", done.Status.Nodes.Updated, done.Status.Nodes.Total)
	}
	set := &configv1.ImageTagMirrorSet{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, set); err != nil {
		t.Error(err)
	}
	if s.Proof != nil {
		if err := s.Proof(ctx, c); err != nil {
			t.Error(err)
		}
	}
}

// checkRefused expects a refusal that names the reference and what to add, and that nothing was
// touched.
func checkRefused(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario, name string) {
	t.Helper()
	r, err := c.AwaitRollout(ctx, name, v1alpha1.ConditionStalled, metav1.ConditionTrue, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(scenario.Describe(r))
	if len(r.Status.Blockers) == 0 {
		t.Fatal("refused without a blocker")
	}
	message := r.Status.Blockers[0].Message
	for _, want := range []string{s.Refused, scenario.SourceHost + "/acme", "sha256:", s.Protected} {
		if !strings.Contains(message, want) {
			t.Errorf("the refusal does not mention %q: %s", want, message)
		}
	}
	checkUntouched(ctx, t, c, name)
}

// checkUntouched expects that the operator has written nothing but the status of the rollout.
func checkUntouched(ctx context.Context, t *testing.T, c *scenario.Cluster, name string) {
	t.Helper()
	for _, set := range []client.Object{&configv1.ImageTagMirrorSet{}, &configv1.ImageDigestMirrorSet{}} {
		if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, set); !apierrors.IsNotFound(err) {
			t.Errorf("%T %s exists (%v)", set, name, err)
		}
	}
	audit, err := c.Lab.Audit()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range audit {
		if e.User == "system:serviceaccount:safe-mirror-operator:safe-mirror-operator" &&
			e.Resource == "machineconfigpools" {
			t.Errorf("the operator has written MachineConfigPool %s", e.Name)
		}
	}
}

func amend(ctx context.Context, t *testing.T, c *scenario.Cluster, s scenario.Scenario, name string) {
	t.Helper()
	r := &v1alpha1.SafeMirrorRollout{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		t.Fatal(err)
	}
	before := r.DeepCopy()
	s.Amend(&r.Spec)
	if err := c.Client.Patch(ctx, r, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}
