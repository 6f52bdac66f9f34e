package kubelet

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	nodeutil "k8s.io/component-helpers/node/util"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

const (
	// leasePeriod is not scaled: the node lifecycle controller judges leases by the clock.
	leasePeriod   = 10 * time.Second
	leaseDuration = 40
	// statusPeriod is how often a kubelet computes the node's status; a write happens on a change.
	statusPeriod = 10 * time.Second
)

// heartbeat renews the node's lease.
func (k *kubelet) heartbeat() {
	poll(k.ctx, leasePeriod, func() bool {
		if err := k.renew(); err != nil && k.ctx.Err() == nil {
			klog.Warningf("node %s: lease: %v", k.NodeName, err)
		}
		return false
	})
}

func (k *kubelet) renew() error {
	leases := k.Cluster.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(k.ctx, k.NodeName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	now := metav1.NewMicroTime(time.Now())
	if err == nil {
		lease = lease.DeepCopy()
		lease.Spec.HolderIdentity, lease.Spec.RenewTime = &k.NodeName, &now
		_, err = leases.Update(k.ctx, lease, metav1.UpdateOptions{})
		return err
	}
	lease = &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: k.NodeName, Namespace: corev1.NamespaceNodeLease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &k.NodeName, RenewTime: &now, LeaseDurationSeconds: ptr.To[int32](leaseDuration),
		},
	}
	if node := k.Cluster.Node(k.NodeName); node != nil {
		lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name,
			UID: node.UID}}
	}
	_, err = leases.Create(k.ctx, lease, metav1.CreateOptions{})
	return err
}

// postStatus keeps the node's status as it should be, including against others: the node lifecycle
// controller turns Ready to Unknown while the lab is stopped.
func (k *kubelet) postStatus() {
	period := min(max(scaled(statusPeriod, k.Scale), 10*time.Millisecond), time.Second)
	poll(k.ctx, period, func() bool {
		err := k.write(func(node *corev1.Node, now time.Time) {
			describe(node, k.hostIP, k.runtime.Images())
			if k.booted() {
				healthy(node, now)
			} else {
				ready(node, now, corev1.ConditionFalse, "KubeletNotReady",
					"the daemon has not loaded a configuration yet")
			}
		})
		if err != nil && k.ctx.Err() == nil {
			klog.Warningf("node %s: %v", k.NodeName, err)
		}
		return false
	})
}

// reportStopped says that the node is going away, as a kubelet does at an orderly shutdown. It is
// said once: later the node lifecycle controller says the rest.
func (o Options) reportStopped() error {
	reason, message := "KubeletStopped", "the node is down"
	if o.isRebooting() {
		reason, message = "KubeletNotReady", "node is shutting down"
	}
	return o.write(func(node *corev1.Node, now time.Time) {
		ready(node, now, corev1.ConditionFalse, reason, message)
	})
}

// write patches the node's status with what edit makes of it, if that is different. Annotations,
// labels and taints have other owners.
func (o Options) write(edit func(node *corev1.Node, now time.Time)) error {
	before := o.Cluster.Node(o.NodeName)
	if before == nil {
		return nil // deleted; this life ends in a moment
	}
	now := time.Now()
	after := before.DeepCopy()
	edit(after, now)
	if !differs(before, after, now) {
		return nil
	}
	_, _, err := nodeutil.PatchNodeStatus(o.Cluster.kube.CoreV1(), types.NodeName(o.NodeName), before, after)
	return err
}
