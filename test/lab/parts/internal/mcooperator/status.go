package mcooperator

import (
	"context"
	"encoding/json"
	"fmt"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/library-go/pkg/config/clusteroperator/v1helpers"
	"github.com/openshift/machine-config-operator/pkg/version"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
)

const (
	operatorName = "machine-config"
	asExpected   = "AsExpected"
)

// report changes ClusterOperator/machine-config and writes it if that made a difference.
func (o *operator) report(ctx context.Context, change func(*configv1.ClusterOperator)) error {
	client := o.Config.ConfigV1().ClusterOperators()
	current, err := o.operators.Get(operatorName)
	if apierrors.IsNotFound(err) {
		current, err = client.Create(ctx, &configv1.ClusterOperator{ObjectMeta: metav1.ObjectMeta{Name: operatorName}},
			metav1.CreateOptions{})
	}
	if err != nil {
		return ignoreConflict(err)
	}
	next := current.DeepCopy()
	change(next)
	if equality.Semantic.DeepEqual(current.Status, next.Status) {
		return nil
	}
	_, err = client.UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return ignoreConflict(err)
}

// setHealthy is the status after a round without an error.
func (o *operator) setHealthy(co *configv1.ClusterOperator) {
	set(co, configv1.OperatorProgressing, configv1.ConditionFalse, "", "Cluster version is "+o.release())
	set(co, configv1.OperatorDegraded, configv1.ConditionFalse, "", "")
	o.setCommon(co, nil)
}

// setDegraded is the status after a failed task.
func (o *operator) setDegraded(co *configv1.ClusterOperator, reason string, cause error) {
	set(co, configv1.OperatorProgressing, configv1.ConditionFalse, "", "Error while reconciling "+o.release())
	set(co, configv1.OperatorDegraded, configv1.ConditionTrue, reason,
		fmt.Sprintf("Failed to resync %s because: %v", o.release(), cause))
	o.setCommon(co, nil)
}

// reportWaiting shows in the extension what the loop waits for. Degraded stays as it was: a wait is
// no failure, and an old failure is only cleared by a complete round.
func (o *operator) reportWaiting(ctx context.Context, reason error) error {
	return o.report(ctx, func(co *configv1.ClusterOperator) {
		if v1helpers.FindStatusCondition(co.Status.Conditions, configv1.OperatorDegraded) == nil {
			set(co, configv1.OperatorDegraded, configv1.ConditionFalse, "", "")
		}
		o.setCommon(co, reason)
	})
}

// setCommon sets the fields that every sync sets. Available is always True, as in the MCO.
func (o *operator) setCommon(co *configv1.ClusterOperator, waiting error) {
	co.Status.Versions = []configv1.OperandVersion{{Name: "operator", Version: o.release()}}
	set(co, configv1.OperatorAvailable, configv1.ConditionTrue, asExpected,
		fmt.Sprintf("Cluster has deployed %s", co.Status.Versions))
	o.setUpgradeable(co)
	co.Status.RelatedObjects = []configv1.ObjectReference{
		{Resource: "namespaces", Name: "openshift-machine-config-operator"},
		{Group: "machineconfiguration.openshift.io", Resource: "machineconfigpools"},
		{Group: "machineconfiguration.openshift.io", Resource: "controllerconfigs"},
		{Group: "machineconfiguration.openshift.io", Resource: "machineconfigs"},
		{Group: "operator.openshift.io", Resource: "machineconfigurations"},
		{Resource: "nodes"},
	}
	co.Status.Extension.Raw = o.extension(waiting)
}

// setUpgradeable: a Degraded pool is the only state of a pool that forbids an upgrade; paused or
// half-updated ones do not.
func (o *operator) setUpgradeable(co *configv1.ClusterOperator) {
	pools, _ := o.pools.List(labels.Everything()) // reads the informer's cache, which does not fail
	for _, pool := range pools {
		if hasCondition(pool, mcfgv1.MachineConfigPoolDegraded) {
			set(co, configv1.OperatorUpgradeable, configv1.ConditionFalse, "DegradedPool",
				"One or more machine config pools are degraded, please see `oc get mcp` for further details and resolve before upgrading")
			return
		}
	}
	set(co, configv1.OperatorUpgradeable, configv1.ConditionTrue, asExpected, "")
}

// extension is a line per pool, and what the loop waits for.
func (o *operator) extension(waiting error) []byte {
	lines := map[string]string{}
	pools, _ := o.pools.List(labels.Everything()) // reads the informer's cache, which does not fail
	for _, pool := range pools {
		lines[pool.Name] = describe(pool)
	}
	if waiting != nil {
		lines["lastSyncError"] = waiting.Error()
	}
	raw, _ := json.Marshal(lines) // a map of strings always marshals, in the order of its keys
	return raw
}

// release is what the cluster is at.
func (o *operator) release() string {
	if v, err := o.versions.Get("version"); err == nil && v.Status.Desired.Version != "" {
		return v.Status.Desired.Version
	}
	return version.ReleaseVersion
}

func set(co *configv1.ClusterOperator, kind configv1.ClusterStatusConditionType, status configv1.ConditionStatus,
	reason, message string) {
	v1helpers.SetStatusCondition(&co.Status.Conditions, configv1.ClusterOperatorStatusCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
	}, clock.RealClock{})
}
