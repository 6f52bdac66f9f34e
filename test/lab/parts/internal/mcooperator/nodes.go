package mcooperator

import (
	"context"

	configv1 "github.com/openshift/api/config/v1"
	"github.com/openshift/api/features"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	resourceapply "github.com/openshift/machine-config-operator/lib/resourceapply"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/helpers"
	"github.com/openshift/machine-config-operator/pkg/upgrademonitor"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
)

// gates has what the MCO's functions ask for below; the gate is on in every cluster of this
// release.
var gates = ctrlcommon.NewFeatureGatesHardcodedHandler([]configv1.FeatureGateName{features.FeatureGateMachineConfigNodes}, nil)

// syncMachineConfigNodes keeps one MachineConfigNode per node, with its pool
// (Operator.syncMachineConfigNodes).
func (o *operator) syncMachineConfigNodes(ctx context.Context) error {
	nodes, err := o.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	exists := map[string]bool{}
	for _, node := range nodes {
		exists[node.Name] = true
		if err := o.syncMachineConfigNode(node); err != nil {
			return err
		}
	}
	mcns, err := o.mcns.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, mcn := range mcns {
		if exists[mcn.Name] {
			continue
		}
		klog.Infof("Node %s has been removed, deleting associated MCN", mcn.Name)
		err := o.MCFG.MachineconfigurationV1().MachineConfigNodes().Delete(ctx, mcn.Name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (o *operator) syncMachineConfigNode(node *corev1.Node) error {
	if node.Status.Phase == corev1.NodePending || node.Status.Phase == "Provisioning" {
		return nil
	}
	pool, err := helpers.GetPrimaryPoolNameForMCN(o.pools, node)
	if err != nil {
		return err
	}
	// The real operator reads every MachineConfigNode live in each round; for hundreds of nodes
	// that is most of what its client may ask, so the lab looks at its cache first.
	if cached, err := o.mcns.Get(node.Name); err == nil && cached.Spec.Pool.Name == pool &&
		cached.Spec.ConfigVersion.Desired != upgrademonitor.NotYetSet {
		return nil
	}
	mcn, _, err := resourceapply.ApplyMachineConfigNode(o.MCFG.MachineconfigurationV1(), machineConfigNode(node, pool))
	if err != nil {
		return ignoreConflict(err)
	}
	if mcn.Spec.ConfigVersion.Desired == upgrademonitor.NotYetSet {
		if err := upgrademonitor.GenerateAndApplyMachineConfigNodeSpec(gates, pool, node, o.MCFG); err != nil {
			klog.Errorf("Error making MCN spec for Update Compatible: %v", err)
		}
	}
	return nil
}

func machineConfigNode(node *corev1.Node, pool string) *mcfgv1.MachineConfigNode {
	return &mcfgv1.MachineConfigNode{
		ObjectMeta: metav1.ObjectMeta{
			Name:            node.Name,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}},
		},
		Spec: mcfgv1.MachineConfigNodeSpec{
			Node:          mcfgv1.MCOObjectReference{Name: node.Name},
			Pool:          mcfgv1.MCOObjectReference{Name: pool},
			ConfigVersion: mcfgv1.MachineConfigNodeSpecMachineConfigVersion{Desired: upgrademonitor.NotYetSet},
		},
	}
}
