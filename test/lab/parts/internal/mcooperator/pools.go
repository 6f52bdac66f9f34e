package mcooperator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"github.com/openshift/machine-config-operator/pkg/apihelpers"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	kubeerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// requiredLabel marks the pools that must be updated for the cluster to count as healthy: master
// only.
const requiredLabel = "operator.machineconfiguration.openshift.io/required-for-upgrade"

// poolLabels are those of the manifests master.machineconfigpool.yaml and
// worker.machineconfigpool.yaml.
var poolLabels = map[string]map[string]string{
	"master": {requiredLabel: "", "machineconfiguration.openshift.io/mco-built-in": "",
		"pools.operator.machineconfiguration.openshift.io/master": ""},
	"worker": {"machineconfiguration.openshift.io/mco-built-in": "",
		"pools.operator.machineconfiguration.openshift.io/worker": ""},
}

// syncPoolLabels puts back what the manifests say about the built-in pools. It leaves paused and
// maxUnavailable alone, as the MCO does.
func (o *operator) syncPoolLabels(ctx context.Context) error {
	for name, wanted := range poolLabels {
		pool, err := o.pools.Get(name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if labels.SelectorFromSet(wanted).Matches(labels.Set(pool.Labels)) {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": wanted}})
		if err != nil {
			return err
		}
		if _, err := o.MCFG.MachineconfigurationV1().MachineConfigPools().Patch(ctx, name, types.MergePatchType, patch,
			metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// syncRequiredPools waits until the required pools are updated and no pool at all is Degraded
// (Operator.syncRequiredMachineConfigPools): ten minutes per node of the required pools. A paused
// required pool with work to do ends the wait at once:
//
//	master paused, new configuration pending -> RequiredPoolsFailed within a second
//	master unpaused, one node stuck          -> RequiredPoolsFailed after 30 minutes with 3 nodes
//	worker paused, new configuration pending -> nothing
func (o *operator) syncRequiredPools(ctx context.Context) error {
	pools, err := o.pools.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("error during syncRequiredMachineConfigPools: %w", err)
	}
	timeout := 10 * time.Minute * time.Duration(max(1, requiredMachines(pools)))
	var last error
	err = wait.PollUntilContextTimeout(ctx, o.scaled(time.Second), o.scaled(timeout), false,
		func(ctx context.Context) (bool, error) {
			if last != nil {
				if err := o.reportWaiting(ctx, last); err != nil {
					return false, err
				}
			}
			if err := o.syncDisruptionPolicy(ctx); err != nil {
				return false, err
			}
			pools, err := o.pools.List(labels.Everything())
			if err != nil {
				last = err
				return false, nil
			}
			var stop error
			last, stop = checkPools(pools)
			return last == nil, stop
		})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("error during syncRequiredMachineConfigPools: %w",
			kubeerrors.NewAggregate([]error{err, last}))
	}
	return err
}

// checkPools says why to wait (nil: everything is fine), and why waiting is useless.
func checkPools(pools []*mcfgv1.MachineConfigPool) (waitFor, stop error) {
	for _, pool := range pools {
		if hasCondition(pool, mcfgv1.MachineConfigPoolDegraded) {
			return fmt.Errorf("error MachineConfigPool %s is not ready, retrying. Status: (pool degraded: %v total: %d, ready %d, updated: %d, unavailable: %d, reason: %s)",
				pool.Name, true, pool.Status.MachineCount, pool.Status.ReadyMachineCount,
				pool.Status.UpdatedMachineCount, pool.Status.UnavailableMachineCount,
				apihelpers.GetMachineConfigPoolCondition(pool.Status, mcfgv1.MachineConfigPoolDegraded).Message), nil
		}
		if _, required := pool.Labels[requiredLabel]; !required {
			continue
		}
		if err := hasConfiguration(pool); err != nil {
			return fmt.Errorf("MachineConfigPool %s has not progressed to latest configuration: %w, retrying",
				pool.Name, err), nil
		}
		if pool.Generation <= pool.Status.ObservedGeneration && hasCondition(pool, mcfgv1.MachineConfigPoolUpdated) {
			continue
		}
		return fmt.Errorf("error required MachineConfigPool %s is not ready, retrying. Status: (total: %d, ready %d, updated: %d, unavailable: %d, degraded: %d)",
			pool.Name, pool.Status.MachineCount, pool.Status.ReadyMachineCount, pool.Status.UpdatedMachineCount,
			pool.Status.UnavailableMachineCount,
			pool.Status.DegradedMachineCount), pausedError(pool)
	}
	return nil, nil
}

func pausedError(pool *mcfgv1.MachineConfigPool) error {
	switch {
	case !pool.Spec.Paused:
		return nil
	case hasCondition(pool, mcfgv1.MachineConfigPoolUpdated): // the moment before the node controller has seen the change
		return fmt.Errorf("the required MachineConfigPool %s was paused with no pending updates; no further syncing will occur until it is unpaused", pool.Name)
	default:
		return fmt.Errorf("error required MachineConfigPool %s is paused and cannot sync until it is unpaused",
			pool.Name)
	}
}

// hasConfiguration is the part of isMachineConfigPoolConfigurationValid that does not compare
// releases.
func hasConfiguration(pool *mcfgv1.MachineConfigPool) error {
	switch {
	case pool.Spec.Configuration.Name == "":
		return fmt.Errorf("configuration spec for pool %s is empty: %v", pool.Name, describe(pool))
	case pool.Status.Configuration.Name == "":
		return fmt.Errorf("configuration status for pool %s is empty: %s", pool.Name, describe(pool))
	case len(pool.Status.Configuration.Source) == 0:
		return fmt.Errorf("list of MachineConfigs that were used to generate configuration for pool %s is empty: %v",
			pool.Name, describe(pool))
	}
	return nil
}

// describe is machineConfigPoolStatus: one line per pool, shown in the ClusterOperator's extension.
func describe(pool *mcfgv1.MachineConfigPool) string {
	switch {
	case hasCondition(pool, mcfgv1.MachineConfigPoolRenderDegraded):
		c := apihelpers.GetMachineConfigPoolCondition(pool.Status, mcfgv1.MachineConfigPoolRenderDegraded)
		return fmt.Sprintf("pool is degraded because rendering fails with %q: %q", c.Reason, c.Message)
	case hasCondition(pool, mcfgv1.MachineConfigPoolNodeDegraded):
		c := apihelpers.GetMachineConfigPoolCondition(pool.Status, mcfgv1.MachineConfigPoolNodeDegraded)
		return fmt.Sprintf("pool is degraded because nodes fail with %q: %q", c.Reason, c.Message)
	case hasCondition(pool, mcfgv1.MachineConfigPoolUpdated):
		return fmt.Sprintf("all %d nodes are at latest configuration %s", pool.Status.MachineCount,
			pool.Status.Configuration.Name)
	case hasCondition(pool, mcfgv1.MachineConfigPoolUpdating):
		return fmt.Sprintf("%d (ready %d) out of %d nodes are updating to latest configuration %s",
			pool.Status.UpdatedMachineCount, pool.Status.ReadyMachineCount, pool.Status.MachineCount,
			pool.Spec.Configuration.Name)
	}
	return "<unknown>"
}

func requiredMachines(pools []*mcfgv1.MachineConfigPool) int {
	n := 0
	for _, pool := range pools {
		if _, required := pool.Labels[requiredLabel]; required {
			n += int(pool.Status.MachineCount)
		}
	}
	return n
}

func hasCondition(pool *mcfgv1.MachineConfigPool, kind mcfgv1.MachineConfigPoolConditionType) bool {
	return apihelpers.IsMachineConfigPoolConditionTrue(pool.Status.Conditions, kind)
}
