//go:build lab

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

const desiredConfig = "machineconfiguration.openshift.io/desiredConfig"

// targetedNode is a node that got another desired configuration, and when.
type targetedNode struct {
	node string
	at   time.Time
}

// watchTargets records which nodes get the new desired configuration. The function that it
// returns ends the watch.
func watchTargets(ctx context.Context, t *testing.T, c *scenario.Cluster) func() []targetedNode {
	t.Helper()
	before, err := c.Rendered(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Client.Watch(ctx, &corev1.NodeList{})
	if err != nil {
		t.Fatal(err)
	}
	old, done := map[string]bool{}, make(chan []targetedNode)
	for _, name := range before {
		old[name] = true
	}
	go func() {
		var seen []targetedNode
		for e := range w.ResultChan() {
			n, ok := e.Object.(*corev1.Node)
			if !ok || e.Type == watch.Deleted || n.Annotations[desiredConfig] == "" ||
				old[n.Annotations[desiredConfig]] {
				continue
			}
			if !slices.ContainsFunc(seen, func(m targetedNode) bool { return m.node == n.Name }) {
				seen = append(seen, targetedNode{n.Name, time.Now()})
			}
		}
		done <- seen
	}()
	return func() []targetedNode {
		w.Stop()
		return <-done
	}
}

// canaryPulls are the pulls of canaries of the reference, oldest first.
func canaryPulls(t *testing.T, c *scenario.Cluster, reference string) []lab.Pull {
	t.Helper()
	all, err := c.Lab.PullLog()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(p lab.Pull) bool {
		return p.Reference != reference || !strings.HasPrefix(p.Pod, pullcheck.CanaryName)
	})
}

// withoutOperatorPods leaves out what is said of the operator's own pods.
func withoutOperatorPods(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
		return strings.HasPrefix(s, "safe-mirror-operator/") || strings.Contains(s, " for safe-mirror-operator/")
	})
}

// checkRestored: the pods are gone, or on their way.
func checkNoPodsLeft(ctx context.Context, t *testing.T, c *scenario.Cluster) {
	t.Helper()
	pods := &corev1.PodList{}
	if err := c.Client.List(ctx, pods, client.InNamespace("safe-mirror-operator"),
		client.MatchingLabels{pullcheck.LabelName: pullcheck.CanaryName}); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			t.Errorf("canary pod %s is left", p.Name)
		}
	}
}

const routerImage = scenario.SourceHost + "/acme/router:v1"

// TestCanaryPullsBeforeSecondNode: the first node with the new configuration has pulled the
// router's image under it, layers and all, before the second node gets it as its desired
// configuration.
func TestCanaryPullsBeforeSecondNode(t *testing.T) {
	if !inShard(t, 1) {
		return
	}
	u := startRollout(t)
	ctx, c := u.ctx, u.cluster
	stop := watchTargets(ctx, t, c)
	u.awaitComplete(t)
	moved := stop()
	if len(moved) < 2 {
		t.Fatalf("%d nodes have moved", len(moved))
	}
	first, second := moved[0], moved[1]
	pulls := canaryPulls(t, c, routerImage)
	i := slices.IndexFunc(pulls, func(p lab.Pull) bool { return p.Node == first.node && p.Error == "" })
	if i < 0 {
		t.Fatalf("node %s has pulled nothing for a canary: %+v", first.node, pulls)
	}
	p := pulls[i]
	t.Logf("node %s was updated from %s on and pulled %d bytes from %s for %s at %s; the second, %s, was updated from %s on",
		first.node,
		first.at.Format(time.TimeOnly), p.Bytes, p.Endpoint, p.Pod, p.Time.Format(time.TimeOnly), second.node,
		second.at.Format(time.TimeOnly))
	if !p.Time.Before(second.at) || p.Time.Before(first.at) {
		t.Errorf("pulled at %s, which is not between the first release at %s and the second at %s", p.Time, first.at,
			second.at)
	}
	if p.Bytes == 0 || !strings.HasPrefix(p.Endpoint, scenario.MirrorHost+"/") || p.Policy != "Always" {
		t.Errorf("the pull shows little: %+v", p)
	}
	if n := u.current(t).Status.Images; n.CanaryPullsVerified == 0 || n.CanaryPullsVerified != n.CanaryPullsDesired {
		t.Errorf("the status tells of %d of %d pulls", n.CanaryPullsVerified, n.CanaryPullsDesired)
	}
	checkNoPodsLeft(ctx, t, c)
}

// TestFailedCanaryPullHoldsRollout: a layer vanishes from the mirror after everything was proven
// there, while the first node is on its way. That node shows it; no other gets the configuration,
// and no pod of anybody is ever without its image. Once the layer is back the rollout goes on by
// itself.
func TestFailedCanaryPullHoldsRollout(t *testing.T) {
	if !inShard(t, 2) {
		return
	}
	u := startRollout(t, func(s *v1alpha1.SafeMirrorRolloutSpec) {
		s.Mirroring.Mode = v1alpha1.VerifyOnly
		// what a node has pulled before leaves it with the layers
		s.Mirroring.Verification.FromNodes = v1alpha1.Disabled
	})
	ctx, c, name := u.ctx, u.cluster, u.rollout.Name
	stop := watchTargets(ctx, t, c)
	mirror := c.Lab.Registry(scenario.MirrorHost)
	await(ctx, t, c, name, "the mirror is looked at",
		func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Images.Failed > 0 })
	push := func() {
		t.Helper()
		if _, err := mirror.Push(ctx, "acme/router:v1", lab.Image{Seed: scenario.SourceSeed}); err != nil {
			t.Fatal(err)
		}
	}
	push() // whoever fills the mirror does so
	await(ctx, t, c, name, "the first node is on its way", func(r *v1alpha1.SafeMirrorRollout) bool {
		return r.Status.Record.Release != nil && len(r.Status.Record.Release.Nodes) > 0
	})
	if err := scenario.RemoveLastLayer(ctx, mirror, "acme/router", "v1"); err != nil {
		t.Fatal(err)
	}
	held := await(ctx, t, c, name, "the first node cannot pull", func(r *v1alpha1.SafeMirrorRollout) bool {
		return reasonOf(r, v1alpha1.ConditionStalled) == v1alpha1.ReasonNodesCannotPull && r.Status.Phase == "Release"
	})
	t.Log(scenario.Describe(held))
	for _, want := range []string{routerImage, scenario.MirrorHost + "/acme/router:v1", held.Status.Blockers[0].Name,
		"no other node is released"} {
		if !strings.Contains(held.Status.Blockers[0].Message, want) {
			t.Errorf("the blocker does not name %q: %s", want, held.Status.Blockers[0].Message)
		}
	}
	if held.Status.Nodes.Updated != 1 {
		t.Errorf("%d nodes have the configuration, want the first only", held.Status.Nodes.Updated)
	}
	push()
	// It is tried again by itself: the pause after a first failure is 20 s.
	if _, err := c.AwaitRollout(ctx, name, v1alpha1.ConditionReady, metav1.ConditionTrue, rolloutTime); err != nil {
		t.Fatal(err)
	}
	results, err := u.witness.Results()
	if err != nil {
		t.Fatal(err)
	}
	if pulls, pods := withoutOperatorPods(results.FailedPulls),
		withoutOperatorPods(results.PodsFailingPull); len(pulls)+len(pods)+len(results.RefusedEvictions) > 0 {
		t.Errorf("users have noticed: %v %v %v", pulls, pods, results.RefusedEvictions)
	}
	if len(results.FailedPulls) == 0 {
		t.Error("no canary has failed: this run proves nothing")
	}
	first := stop()[0].node
	for _, p := range canaryPulls(t, c, routerImage) {
		if p.Error != "" && p.Node != first {
			t.Errorf("node %s, which is not the first, had to find out: %s", p.Node, p.Error)
		}
	}
	if err := c.CheckRestored(ctx); err != nil {
		t.Error(err)
	}
	checkNoPodsLeft(ctx, t, c)
}
