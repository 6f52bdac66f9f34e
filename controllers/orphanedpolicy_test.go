package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	opv1 "github.com/openshift/api/operator/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// clusterWithPolicy is a cluster with the policy of shop in place of one that drains.
func clusterWithPolicy() []client.Object {
	text, err := json.Marshal(rollout.PolicyRecord{Rollout: "shop", Since: minicluster.StartTime,
		Prior: `{"path":"/etc/containers/registries.conf","actions":[{"type":"Drain"}]}`})
	if err != nil {
		panic(err)
	}
	mc := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "cluster",
		Annotations: map[string]string{nodedisruption.PolicyRecordAnnotation: string(text)}}}
	mc.Spec.NodeDisruptionPolicy.Files = []opv1.NodeDisruptionPolicySpecFile{{Path: "/etc/containers/registries.conf",
		Actions: []opv1.NodeDisruptionPolicySpecAction{
			{Type: opv1.ReloadSpecAction, Reload: &opv1.ReloadService{ServiceName: "crio.service"}}}}}
	return append(minicluster.Objects("worker-0", "worker-1"), mc)
}

// A policy that a rollout has left behind is taken away, and never while a node would be drained by
// that.
func TestOrphanedPolicy(t *testing.T) {
	moving := minicluster.Edit(clusterWithPolicy(), "worker-1",
		func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = "rendered-worker-9" })
	unpaused := somePauseRecord()
	unpaused.Release = &rollout.UnpauseWindow{Target: "rendered-worker-0"}
	open := withPauseRecord(clusterWithPolicy(), unpaused)
	unreadable := minicluster.Edit(clusterWithPolicy(), "cluster",
		func(mc *opv1.MachineConfiguration) { mc.Annotations[nodedisruption.PolicyRecordAnnotation] = "?" })
	cases := map[string]struct {
		objects []client.Object
		want    ctrl.Result
		event   string
		action  opv1.NodeDisruptionPolicySpecActionType
	}{
		"at rest": {clusterWithPolicy(), ctrl.Result{},
			"cluster Normal PolicyGivenBack: SafeMirrorRollout shop is gone and no node", opv1.DrainSpecAction},
		"a node is on its way": {moving, ctrl.Result{RequeueAfter: orphanRequeue},
			"cluster Warning PolicyOrphaned: SafeMirrorRollout shop is gone and left its policy for registries.conf here since 2026-03-01T12:00:00Z; it is taken away when node worker-1", opv1.ReloadSpecAction},
		"a pool is open": {open, ctrl.Result{RequeueAfter: orphanRequeue},
			"cluster Warning PolicyOrphaned: SafeMirrorRollout shop is gone and left its policy for registries.conf here since 2026-03-01T12:00:00Z; it is taken away when MachineConfigPool worker", opv1.ReloadSpecAction},
		"its rollout is there": {append(clusterWithPolicy(), minicluster.Rollout("shop")), ctrl.Result{}, "",
			opv1.ReloadSpecAction},
		"nobody can read its note": {unreadable, ctrl.Result{}, "", opv1.ReloadSpecAction},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cl, events := minicluster.Client(interceptor.Funcs{}, c.objects...), &eventRecorder{}
			got, err := (&OrphanedPolicy{Client: cl, API: cl, Recorder: events}).Reconcile(context.Background(),
				request("cluster"))
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			if said := strings.Join(events.events, "\n"); !strings.HasPrefix(said, c.event) ||
				(c.event == "") != (said == "") {
				t.Errorf("events %q, want %q", said, c.event)
			}
			mc := &opv1.MachineConfiguration{}
			if err := cl.Get(context.Background(), client.ObjectKey{Name: "cluster"}, mc); err != nil {
				t.Fatal(err)
			}
			if is := mc.Spec.NodeDisruptionPolicy.Files[0].Actions[0].Type; is != c.action {
				t.Errorf("policy %s, want %s", is, c.action)
			}
		})
	}
	for name, funcs := range map[string]interceptor.Funcs{
		"the policy": minicluster.FailingReads[*opv1.MachineConfiguration](errDown),
		"pools":      minicluster.FailingReads[*mcfgv1.MachineConfigPoolList](errDown),
		"nodes":      minicluster.FailingReads[*corev1.NodeList](errDown),
	} {
		t.Run("unreadable: "+name, func(t *testing.T) {
			cl, events := minicluster.Client(funcs, clusterWithPolicy()...), &eventRecorder{}
			if _, err := (&OrphanedPolicy{Client: cl, API: cl, Recorder: events}).Reconcile(context.Background(),
				request("cluster")); !errors.Is(err, errDown) || len(events.events) > 0 {
				t.Errorf("error %v, events %v", err, events.events)
			}
		})
	}
}
