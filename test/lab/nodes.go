package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	roleLabel = "node-role.kubernetes.io/"
	mcoPrefix = "machineconfiguration.openshift.io/"
)

// createNodes registers the nodes as they are on a cluster that has been up for a while: on their
// pool's rendered config, done, not drained. Their status is the simulated kubelets' work. worker-1
// and master-1 come in the same second, worker-2 and master-2 in the next: the controllers take a
// pool's nodes oldest first, timestamps have whole seconds, and nodes of equal age are taken in
// random order.
func (l *Lab) createNodes(ctx context.Context) error {
	next := time.Now()
	for i := 1; i <= max(l.options.Workers, l.options.Masters); i++ {
		if err := sleepUntil(ctx, next); err != nil {
			return err
		}
		next = nextSecond(time.Now())
		if err := l.createPair(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) createPair(ctx context.Context, i int) (err error) {
	if i <= l.options.Workers {
		err = l.createNode(ctx, "worker", i)
	}
	if i <= l.options.Masters {
		err = errors.Join(err, l.createNode(ctx, "master", i))
	}
	return err
}

func (l *Lab) createNode(ctx context.Context, role string, i int) error {
	rendered, err := l.renderedConfig(ctx, role)
	if err != nil {
		return err
	}
	node := newNode(role, i, rendered, l.options.Topology)
	if _, err := l.kube.CoreV1().Nodes().Create(ctx, node,
		metav1.CreateOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("creating node %s: %w", node.Name, err)
	}
	return nil
}

func newNode(role string, i int, rendered string, topology Topology) *corev1.Node {
	name := fmt.Sprintf("%s-%d", role, i)
	node := &corev1.Node{}
	node.Name = name
	node.Labels = map[string]string{
		roleLabel + role:     "",
		corev1.LabelHostname: name,
		corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		"node.openshift.io/os_id": "rhel",
	}
	if role == "master" {
		node.Labels[roleLabel+"control-plane"] = ""
		if topology.schedulable() {
			node.Labels[roleLabel+"worker"] = ""
		} else {
			node.Spec.Taints = []corev1.Taint{{Key: roleLabel + "master", Effect: corev1.TaintEffectNoSchedule}}
		}
	}
	node.Annotations = map[string]string{
		mcoPrefix + "currentConfig":    rendered,
		mcoPrefix + "desiredConfig":    rendered,
		mcoPrefix + "state":            "Done",
		mcoPrefix + "reason":           "",
		mcoPrefix + "desiredDrain":     "uncordon-" + rendered,
		mcoPrefix + "lastAppliedDrain": "uncordon-" + rendered,
	}
	return node
}

// AddNode registers a machine that is new, as its kubelet would: it has the labels of its role,
// what edit adds to it (nil adds nothing) and no configuration yet. Its daemon gives it one, as the
// machine-config-server does. Reset takes the node away again.
func (l *Lab) AddNode(ctx context.Context, role string, i int, edit func(*corev1.Node)) (name string, err error) {
	node := newNode(role, i, "", l.options.Topology)
	// Not empty: the machine config controllers write into the map that they find.
	node.Annotations = map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
	if edit != nil {
		edit(node)
	}
	if _, err := l.kube.CoreV1().Nodes().Create(ctx, node,
		metav1.CreateOptions{FieldManager: fieldManager}); err != nil {
		return "", fmt.Errorf("creating node %s: %w", node.Name, err)
	}
	return node.Name, nil
}

// nextSecond is the begin of the next whole second: the earliest moment at which a new object's
// timestamp differs.
func nextSecond(t time.Time) time.Time {
	return t.Truncate(time.Second).Add(time.Second + 20*time.Millisecond)
}

func sleepUntil(ctx context.Context, t time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(t)):
		return nil
	}
}
