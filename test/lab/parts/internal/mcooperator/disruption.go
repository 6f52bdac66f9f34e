package mcooperator

import (
	"context"
	"errors"

	opv1 "github.com/openshift/api/operator/v1"
	"github.com/openshift/machine-config-operator/pkg/apihelpers"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// syncDisruptionPolicy merges the admin's policies with the defaults, by the MCO's own function
// (Operator.syncMachineConfiguration). Daemons refuse to update until observedGeneration has caught
// up.
func (o *operator) syncDisruptionPolicy(ctx context.Context) error {
	client := o.Operator.OperatorV1().MachineConfigurations()
	current, err := o.machineConfigurations.Get(ctrlcommon.MCOOperatorKnobsObjectName)
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, newMachineConfiguration(), metav1.CreateOptions{})
		return ignoreConflict(err)
	}
	if err != nil {
		return err
	}
	next := current.DeepCopy()
	next.Status.NodeDisruptionPolicyStatus.ClusterPolicies = apihelpers.MergeClusterPolicies(current.Spec.NodeDisruptionPolicy)
	next.Status.ObservedGeneration = current.Generation
	if !equality.Semantic.DeepEqual(current.Status, next.Status) {
		if _, err = client.UpdateStatus(ctx, next, metav1.UpdateOptions{}); ignoreConflict(err) != nil {
			return err
		}
	}
	for _, c := range next.Status.Conditions {
		if c.Type == opv1.MachineConfigurationBootImageUpdateDegraded && c.Status == metav1.ConditionTrue {
			return errors.New("bootimage update failed: " + c.Message)
		}
	}
	return nil
}

func newMachineConfiguration() *opv1.MachineConfiguration {
	m := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: ctrlcommon.MCOOperatorKnobsObjectName}}
	m.Spec.ManagementState = opv1.Managed
	return m
}
