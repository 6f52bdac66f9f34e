package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// Deadlock is the end state of a rollout that cannot go on, with everybody's name.
type Deadlock struct {
	Node     string // whose drain is refused again and again
	Pod      string // the healthy pod on it that may not be evicted
	Budget   string // the PodDisruptionBudget that refuses, namespace/name
	Stuck    string // the pod that would have to become ready first
	StuckOn  string // the node it is on; empty when it found none
	Waiting  string // its waiting reason, or Unschedulable
	Message  string // what its kubelet or the scheduler says
	Refused  int    // how often the eviction was refused
	Pool     string
	Updated  int32
	Machines int32
}

func (d Deadlock) String() string {
	on := ""
	if d.StuckOn != "" {
		on = " on " + d.StuckOn
	}
	return fmt.Sprintf("drain of %s refused %d times <- PDB %s allows 0 <- pod %s%s is not ready <- %s; pool %s stuck at %d of %d nodes",
		d.Node, d.Refused, d.Budget, d.Stuck, on, d.Waiting, d.Pool, d.Updated, d.Machines)
}

// minRefusals is how often an eviction must be refused, on an unchanged cluster, before it counts
// as a deadlock. The drain tries again every few seconds of the lab's time, and a healthy node is
// done in two.
const minRefusals = 3

// AwaitDeadlock waits until the plain rollout is stuck. An end without a deadlock is an error.
func (s Scenario) AwaitDeadlock(ctx context.Context, c *Cluster, since map[string]string,
	timeout time.Duration) (Deadlock, error) {
	var found Deadlock
	var first Deadlock
	base := 0
	err := lab.Eventually(ctx, timeout, "the rollout deadlocks", func(ctx context.Context) (bool, string, error) {
		d, why, err := s.readDeadlock(ctx, c)
		if err != nil || why != "" {
			first = Deadlock{}
			if ended, endErr := s.allPoolsUpdated(ctx, c, since); endErr == nil && ended {
				return false, "", fmt.Errorf("every pool is updated: there is no deadlock")
			}
			return false, why, err
		}
		steady := d
		steady.Refused, steady.Message = 0, "" // the kubelet words it differently while it pulls and while it backs off
		if before := first; before != steady {
			first, base = steady, d.Refused
		}
		found = d
		return d.Refused-base >= minRefusals, fmt.Sprintf("refused %d times so far: %s", d.Refused-base, d), nil
	})
	return found, err
}

func (s Scenario) allPoolsUpdated(ctx context.Context, c *Cluster, since map[string]string) (bool, error) {
	pools, err := c.Pools(ctx)
	if err != nil {
		return false, err
	}
	for i := range pools {
		if ok, _ := updated(&pools[i]); !ok || since[pools[i].Name] == pools[i].Spec.Configuration.Name {
			return false, nil
		}
	}
	return true, nil
}

// readDeadlock reads the state; why says what is missing for a deadlock.
func (s Scenario) readDeadlock(ctx context.Context, c *Cluster) (d Deadlock, why string, err error) {
	pods, err := s.podsOf(ctx, c)
	if err != nil {
		return d, "", err
	}
	budget := &policyv1.PodDisruptionBudget{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: s.ProtectedNamespace, Name: s.Protected},
		budget); err != nil {
		return d, "", err
	}
	if budget.Status.DisruptionsAllowed > 0 || budget.Status.ObservedGeneration < budget.Generation {
		return d, fmt.Sprintf("PDB %s/%s allows %d", budget.Namespace, budget.Name,
			budget.Status.DisruptionsAllowed), nil
	}
	d.Budget = budget.Namespace + "/" + budget.Name
	nodes, err := c.nodes(ctx)
	if err != nil {
		return d, "", err
	}
	for i := range pods {
		s.classifyPod(&d, &pods[i], nodes)
	}
	if d.Node == "" {
		return d, "no node is being drained of a ready pod of " + s.Protected, nil
	}
	if d.Stuck == "" {
		return d, "no pod of " + s.Protected + " waits with " + s.Waiting, nil
	}
	if err := c.addProgress(ctx, &d, nodes); err != nil {
		return d, "", err
	}
	return d, "", nil
}

// classifyPod takes note of a pod: the one that may not be evicted, or the one that would have to
// become ready.
func (s Scenario) classifyPod(d *Deadlock, p *corev1.Pod, nodes map[string]corev1.Node) {
	if n, ok := nodes[p.Spec.NodeName]; ok && draining(n) && isReady(p) && p.DeletionTimestamp == nil {
		d.Node, d.Pod = n.Name, p.Name
		return
	}
	if reason, message := waiting(p); reason == s.Waiting {
		d.Stuck, d.StuckOn, d.Waiting, d.Message = p.Name, p.Spec.NodeName, reason, message
	}
}

// draining: cordoned, at work, and the drain that its daemon asked for is not done.
func draining(n corev1.Node) bool {
	a := n.Annotations
	want := a["machineconfiguration.openshift.io/desiredDrain"]
	return n.Spec.Unschedulable && a["machineconfiguration.openshift.io/state"] == "Working" &&
		strings.HasPrefix(want, "drain-") &&
		want != a["machineconfiguration.openshift.io/lastAppliedDrain"]
}

// waiting says what the pod waits for. ErrImagePull and ImagePullBackOff alternate, and are one.
func waiting(p *corev1.Pod) (reason, message string) {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && (w.Reason == ImagePullBackOff || w.Reason == "ErrImagePull") {
			return ImagePullBackOff, w.Message
		}
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			return Unschedulable, cond.Message
		}
	}
	return "", ""
}

func (c *Cluster) nodes(ctx context.Context) (map[string]corev1.Node, error) {
	var list corev1.NodeList
	err := c.Client.List(ctx, &list)
	out := map[string]corev1.Node{}
	for _, n := range list.Items {
		out[n.Name] = n
	}
	return out, err
}

// addProgress adds how far the node's pool is, and how often the eviction was refused.
func (c *Cluster) addProgress(ctx context.Context, d *Deadlock, nodes map[string]corev1.Node) error {
	d.Pool = "worker"
	if _, edge := nodes[d.Node].Labels["node-role.kubernetes.io/"+edgePool]; edge {
		d.Pool = edgePool
	}
	p, err := c.Pool(ctx, d.Pool)
	if err != nil {
		return err
	}
	d.Updated, d.Machines = p.Status.UpdatedMachineCount, p.Status.MachineCount
	audit, err := c.Lab.Audit()
	if err != nil {
		return err
	}
	for _, e := range audit {
		if e.Subresource == "eviction" && e.Code == 429 && e.Name == d.Pod {
			d.Refused++
		}
	}
	return nil
}
