//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	operatorv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// usersPolicy is what the user has had before: a drain for each change of registries.conf, and
// something that is none of our business.
const usersPolicy = `{"files":[{"path":"/etc/chrony.conf","actions":[{"type":"None"}]},{"path":"/etc/containers/registries.conf","actions":[{"type":"Drain"}]}]}`

// disruptionWatch watches for anything that a drain would do.
type disruptionWatch struct {
	u        *rolloutRun
	begun    time.Time
	stop     func()
	cordoned chan string
}

// startReload creates a rollout in which nodes reload, on a cluster whose user wants drains
// otherwise.
func startReload(t *testing.T, changes ...func(*v1alpha1.SafeMirrorRolloutSpec)) (*rolloutRun, *disruptionWatch) {
	t.Helper()
	var watching *disruptionWatch
	changes = append(changes, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Release.Disruption = v1alpha1.DisruptionReload })
	u := startRollout(t, append(changes, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.State = v1alpha1.StateHeld })...)
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"nodeDisruptionPolicy":`+usersPolicy+`}}`))
	err := lab.Eventually(u.ctx, time.Minute, "the user's policy is taken",
		func(ctx context.Context) (bool, string, error) {
			err := u.cluster.Client.Patch(ctx,
				&operatorv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: nodedisruption.Name}}, patch)
			return err == nil, "it is not there yet", client.IgnoreNotFound(err)
		})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := u.cluster.Client.Watch(u.ctx, &corev1.NodeList{})
	if err != nil {
		t.Fatal(err)
	}
	watching = &disruptionWatch{u: u, begun: time.Now(), stop: nodes.Stop, cordoned: make(chan string, 4096)}
	go func() {
		defer close(watching.cordoned)
		for e := range nodes.ResultChan() {
			if n, ok := e.Object.(*corev1.Node); ok && n.Spec.Unschedulable {
				watching.cordoned <- n.Name
			}
		}
	}()
	changeSpec(u.ctx, t, u.cluster, u.rollout.Name,
		func(s *v1alpha1.SafeMirrorRolloutSpec) { s.State = v1alpha1.StateActive })
	return u, watching
}

// checkNoDisruption expects that no node was cordoned and no pod evicted, and that the user's
// policy is back.
func (w *disruptionWatch) checkNoDisruption(t *testing.T) {
	t.Helper()
	w.stop()
	for node := range w.cordoned {
		t.Errorf("node %s was cordoned", node)
	}
	audit, err := w.u.cluster.Lab.Audit()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range audit {
		if e.Subresource == "eviction" && e.Time.After(w.begun) {
			t.Errorf("pod %s/%s was evicted by %s: %d %s", e.Namespace, e.Name, e.User, e.Code, e.Message)
		}
	}
	w.u.checkPolicyRestored(t)
	if err := w.u.cluster.CheckRestored(w.u.ctx); err != nil {
		t.Error(err)
	}
}

func (u *rolloutRun) machineConfiguration(t *testing.T) *operatorv1.MachineConfiguration {
	t.Helper()
	mc := &operatorv1.MachineConfiguration{}
	if err := u.cluster.Client.Get(u.ctx, client.ObjectKey{Name: nodedisruption.Name}, mc); err != nil {
		t.Fatal(err)
	}
	return mc
}

func (u *rolloutRun) checkPolicyRestored(t *testing.T) {
	t.Helper()
	mc := u.machineConfiguration(t)
	have, err := json.Marshal(map[string]any{"files": mc.Spec.NodeDisruptionPolicy.Files})
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != usersPolicy {
		t.Errorf("the policy is %s, and was %s", have, usersPolicy)
	}
	if note := mc.Annotations[nodedisruption.PolicyRecordAnnotation]; note != "" {
		t.Errorf("the note is still there: %s", note)
	}
}

// checkPolicyInstalled expects our policy in the cluster, in effect, with what is needed to undo it
// by hand.
func (u *rolloutRun) checkPolicyInstalled(t *testing.T) {
	t.Helper()
	mc := u.machineConfiguration(t)
	p, err := nodedisruption.FromMachineConfiguration(mc, u.rollout.Name)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Ours || !p.Reloads || p.Record == nil || len(mc.Spec.NodeDisruptionPolicy.Files) != 2 {
		t.Errorf("policy %+v", p)
	} else if !strings.Contains(p.Record.Prior, `"Drain"`) || !strings.Contains(p.Record.Undo, `"Drain"`) {
		t.Errorf("policy record %+v", p.Record)
	}
}

// TestReload brings the mirrors to every node without a drain: no node is cordoned, no pod evicted;
// the nodes pull from the mirrors, and the user's policy is back at the end.
func TestReload(t *testing.T) {
	if !inShard(t, 2) {
		return
	}
	u, watching := startReload(t)
	await(u.ctx, t, u.cluster, u.rollout.Name, "a node is updated",
		func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated >= 1 })
	u.checkPolicyInstalled(t)
	done, err := u.cluster.AwaitRollout(u.ctx, u.rollout.Name, v1alpha1.ConditionReady, metav1.ConditionTrue,
		rolloutTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(scenario.Describe(done))
	if done.Status.Nodes.Updated != done.Status.Nodes.Total || done.Status.Nodes.Total == 0 {
		t.Errorf("%d of %d nodes are updated", done.Status.Nodes.Updated, done.Status.Nodes.Total)
	}
	watching.checkNoDisruption(t)
	if endpoint, failure := u.pullOn(t, "worker-2", "acme/after"); !strings.Contains(failure, "blocked") {
		t.Errorf("the new configuration is not in effect: pulled from %q, %q", endpoint, failure)
	}
}

// TestReloadRolledBack rolls back after some nodes are updated, also by reloads.
func TestReloadRolledBack(t *testing.T) {
	if !inShard(t, 3) {
		return
	}
	u, watching := startReload(t)
	await(u.ctx, t, u.cluster, u.rollout.Name, "nodes are updated",
		func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated >= 1 })
	addRequest(u.ctx, t, u.cluster, u.rollout.Name, v1alpha1.Request{ID: "undo", Action: v1alpha1.RequestRollback})
	await(u.ctx, t, u.cluster, u.rollout.Name, "the rollout has gone back", func(r *v1alpha1.SafeMirrorRollout) bool {
		return reasonOf(r, v1alpha1.ConditionStalled) == v1alpha1.ReasonRolledBack
	})
	watching.checkNoDisruption(t)
	rolledBack(u, t, u.witness)
}

// TestReloadDeleted: the policy is there, the mirror sets are not, or have reached no node; nothing
// of it is left.
func TestReloadDeleted(t *testing.T) {
	if !inShard(t, 4) {
		return
	}
	u, watching := startReload(t)
	for phase := range u.phases {
		if phase == string(rollout.PhasePolicy) || phase == string(rollout.PhaseApply) ||
			phase == string(rollout.PhaseRender) {
			break
		}
	}
	changeSpec(u.ctx, t, u.cluster, u.rollout.Name,
		func(s *v1alpha1.SafeMirrorRolloutSpec) { s.Deletion = v1alpha1.DeletionRollback })
	if err := u.cluster.Client.Delete(u.ctx, u.rollout); err != nil {
		t.Fatal(err)
	}
	u.awaitDeleted(t)
	watching.checkNoDisruption(t)
}
