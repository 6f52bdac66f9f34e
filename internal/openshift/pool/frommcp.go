package pool

import (
	"strings"

	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// The annotations by which the machine-config-daemon of a node and the controllers talk to each
// other.
const (
	prefix           = "machineconfiguration.openshift.io/"
	currentConfig    = prefix + "currentConfig"
	desiredConfig    = prefix + "desiredConfig"
	state            = prefix + "state"
	reason           = prefix + "reason"
	desiredDrain     = prefix + "desiredDrain"
	lastAppliedDrain = prefix + "lastAppliedDrain"
	currentImage     = prefix + "currentImage"
	desiredImage     = prefix + "desiredImage"
	topology         = prefix + "controlPlaneTopology"
	updateInProgress = "UpdateInProgress"
	masterPool       = "master"
	arbiterPool      = "arbiter"
	workerPool       = "worker"
)

// FromMCP turns a pool and the nodes that belong to it into what the core looks at. What its
// rendered configuration means is for the caller to say, who knows the plan. A pause record is the
// named rollout's by its name, not by its UID: names are unique in the cluster, so one with another
// UID was written for a rollout that is gone and was created again, from a backup for example.
func FromMCP(mcp *mcfgv1.MachineConfigPool, nodes []corev1.Node, name string) (rollout.Pool, error) {
	p := rollout.Pool{
		Name: mcp.Name, Paused: mcp.Spec.Paused, Generation: mcp.Generation,
		ObservedGeneration: mcp.Status.ObservedGeneration,
		ControlPlane:       mcp.Name == masterPool || mcp.Name == arbiterPool,
		Rendered:           mcp.Spec.Configuration.Name, PausedBy: pausedBy(mcp), Degraded: degradedMessage(mcp),
	}
	p.PausedByUs = p.PausedBy == FieldManager
	if m := mcp.Spec.MaxUnavailable; m != nil {
		p.MaxUnavailable = m.String()
	}
	record, err := ReadPauseRecord(mcp)
	if err != nil {
		return rollout.Pool{}, err
	}
	switch {
	case record == nil:
	case record.Rollout == name:
		p.PauseRecord = record
	default:
		p.ForeignOwner = record.Rollout + ", UID " + record.UID
	}
	for i := range nodes {
		p.Nodes = append(p.Nodes, fromNode(&nodes[i]))
	}
	return p, nil
}

func fromNode(n *corev1.Node) rollout.Node {
	a := n.Annotations
	out := rollout.Node{
		Name: n.Name, CurrentConfig: a[currentConfig], DesiredConfig: a[desiredConfig], State: a[state],
		Reason:       a[reason],
		DesiredDrain: a[desiredDrain], LastAppliedDrain: a[lastAppliedDrain],
		Ready: nodeReady(n), Unschedulable: n.Spec.Unschedulable,
		Zone: n.Labels[corev1.LabelTopologyZone], Created: n.CreationTimestamp.Time,
		NotDrained: notDrained(n),
	}
	for _, t := range n.Spec.Taints {
		if t.Key == updateInProgress {
			out.Tainted = true
		}
	}
	return out
}

// notDrained follows pkg/daemon (drainRequired): what the node controller has noted on the node of
// the topology of the control plane decides, whatever the number of nodes and whatever the
// Infrastructure says by now. The note is on workers too.
func notDrained(n *corev1.Node) bool {
	return n.Annotations[topology] == string(configv1.SingleReplicaTopologyMode)
}

// nodeReady follows the MCO's CheckNodeReady without the cordon: Ready True, DiskPressure and
// NetworkUnavailable False, Unknown is bad, and a condition that is absent counts as good.
func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		switch {
		case c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue:
			return false
		case c.Type == corev1.NodeDiskPressure && c.Status != corev1.ConditionFalse:
			return false
		case c.Type == corev1.NodeNetworkUnavailable && c.Status != corev1.ConditionFalse:
			return false
		}
	}
	return true
}

func degradedMessage(mcp *mcfgv1.MachineConfigPool) string {
	for _, c := range mcp.Status.Conditions {
		if c.Type == mcfgv1.MachineConfigPoolDegraded && c.Status == corev1.ConditionTrue {
			if msg := degradedConditionMessage(mcp); msg != "" {
				return msg
			}
			return "the pool's condition Degraded is True"
		}
	}
	return ""
}

// degradedConditionMessage looks where the text is: the summary condition often has none.
func degradedConditionMessage(mcp *mcfgv1.MachineConfigPool) string {
	for _, c := range mcp.Status.Conditions {
		if c.Status != corev1.ConditionTrue || c.Message == "" {
			continue
		}
		if strings.HasSuffix(string(c.Type), "Degraded") {
			return c.Message
		}
	}
	return ""
}

// pausedBy names the field manager that last wrote spec.paused.
func pausedBy(mcp *mcfgv1.MachineConfigPool) string { return lastManager(mcp, "paused") }

// lastManager names the field manager that last wrote the field of the spec.
func lastManager(mcp *mcfgv1.MachineConfigPool, field string) string {
	var newest metav1.ManagedFieldsEntry
	for _, f := range mcp.ManagedFields {
		if f.FieldsV1 == nil || !strings.Contains(f.FieldsV1.GetRawString(), `"f:`+field+`"`) {
			continue
		}
		if newest.Manager == "" || (f.Time != nil && newest.Time != nil && newest.Time.Before(f.Time)) {
			newest = f
		}
	}
	if newest.Manager == "" {
		return "an unknown writer"
	}
	return newest.Manager
}

// NodesByPool sorts nodes into pools as the MCO does: master and arbiter win over everything, one
// custom pool wins over worker, a node in two custom pools belongs to none, and Windows nodes are
// nobody's.
func NodesByPool(pools []mcfgv1.MachineConfigPool, nodes []corev1.Node) map[string][]corev1.Node {
	out := map[string][]corev1.Node{}
	for _, n := range nodes {
		if n.Labels[corev1.LabelOSStable] == "windows" {
			continue
		}
		if name := primaryPool(pools, &n); name != "" {
			out[name] = append(out[name], n)
		}
	}
	return out
}

func primaryPool(pools []mcfgv1.MachineConfigPool, n *corev1.Node) string {
	builtin, custom := map[string]bool{}, []string{}
	for i := range pools {
		if !selects(&pools[i], n) {
			continue
		}
		switch name := pools[i].Name; name {
		case masterPool, arbiterPool, workerPool:
			builtin[name] = true
		default:
			custom = append(custom, name)
		}
	}
	switch {
	case builtin[masterPool]:
		return masterPool
	case builtin[arbiterPool]:
		return arbiterPool
	case len(custom) == 1:
		return custom[0]
	case len(custom) == 0 && builtin[workerPool]:
		return workerPool
	default:
		return ""
	}
}

func selects(mcp *mcfgv1.MachineConfigPool, n *corev1.Node) bool {
	selector, err := metav1.LabelSelectorAsSelector(mcp.Spec.NodeSelector)
	if err != nil || selector.Empty() {
		return false
	}
	return selector.Matches(labels.Set(n.Labels))
}

// Unsupported says why no Machine Config Operator updates the nodes of such a cluster; empty when
// one does.
func Unsupported(infrastructure *configv1.Infrastructure) string {
	if infrastructure != nil && infrastructure.Status.ControlPlaneTopology == configv1.ExternalTopologyMode {
		return "the control plane is hosted elsewhere (HyperShift): mirror sets come from the HostedCluster and its NodePools, which do not " +
			"take ImageTagMirrorSets; declare spec.imageContentSources there instead"
	}
	return ""
}
