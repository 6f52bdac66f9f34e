package main

import (
	"context"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// watchProgress prints a line for every change of a node and of the rollout's phase, until it is
// stopped.
func (d *demo) watchProgress(ctx context.Context, c *scenario.Cluster) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		seen := map[string]string{}
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			d.nodes(ctx, c, seen)
			d.rollouts(ctx, c, seen)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return sync.OnceFunc(func() { cancel(); wait.Wait() })
}

func (d *demo) nodes(ctx context.Context, c *scenario.Cluster, seen map[string]string) {
	var list corev1.NodeList
	if err := c.Client.List(ctx, &list); err != nil {
		d.readFailed(ctx, seen, "nodes", err)
		return
	}
	for _, n := range list.Items {
		state := describeNode(n)
		if before, ok := seen[n.Name]; ok && before != state {
			d.logf("  node %-9s %s", n.Name, state)
		}
		seen[n.Name] = state
	}
}

// describeNode describes the state that the annotations of the node's daemon and of the MCO show.
func describeNode(n corev1.Node) string {
	const prefix = "machineconfiguration.openshift.io/"
	a := n.Annotations
	want, applied := a[prefix+"desiredDrain"], a[prefix+"lastAppliedDrain"]
	switch {
	case a[prefix+"state"] == "Done" && a[prefix+"currentConfig"] == a[prefix+"desiredConfig"]:
		return "done: runs " + short(a[prefix+"currentConfig"])
	case want != applied && strings.HasPrefix(want, "drain-"):
		return "draining"
	case n.Spec.Unschedulable:
		return "drained: updating to " + short(a[prefix+"desiredConfig"])
	default:
		return "waiting for " + short(a[prefix+"desiredConfig"])
	}
}

// readFailed prints an error once for as long as it stays the same. The end of the demo is no error.
func (d *demo) readFailed(ctx context.Context, seen map[string]string, what string, err error) {
	if key := "error " + what; ctx.Err() == nil && seen[key] != err.Error() {
		seen[key] = err.Error()
		d.logf("  %s cannot be read: %v", what, err)
	}
}

// short leaves enough of a rendered MachineConfig's name to tell two apart.
func short(name string) string {
	i := strings.LastIndex(name, "-")
	if i < 0 || len(name) < i+7 {
		return name
	}
	return name[:i+7]
}

func (d *demo) rollouts(ctx context.Context, c *scenario.Cluster, seen map[string]string) {
	r := &v1alpha1.SafeMirrorRollout{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: d.scenario.Rollout().Name}, r); err != nil {
		if !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) { // not created, or no CRD yet
			d.readFailed(ctx, seen, "rollout", err)
		}
		return
	}
	line := string(r.Status.Phase)
	if line == "" || line == seen["rollout"] {
		return
	}
	seen["rollout"] = line
	d.logf("  rollout: phase %s, images %s, nodes %s", line, r.Status.Images.Summary, r.Status.Nodes.Summary)
}

// lines adds a time to every line that the lab logs.
type lines struct{ d *demo }

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	for _, line := range strings.Split(strings.TrimRight(string(p), "\n"), "\n") {
		l.d.logf("%s", line)
	}
	return len(p), nil
}
