package observe

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/predict"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// mcoNamespace is where the machine-config-operator runs; its label is what the MCO itself goes by.
const mcoNamespace = "openshift-machine-config-operator"

// hosts notes which nodes run the machine-config-operator, whose turn comes late on the control plane, and where the replicas of this
// operator run. What cannot be read is left out: the one is about the order alone, and of the other nothing is demanded that nobody can see.
func (l *Live) hosts(ctx context.Context, r client.Reader, o *rollout.Observed) {
	var mco corev1.PodList
	if err := r.List(ctx, &mco, client.InNamespace(mcoNamespace), client.MatchingLabels{"k8s-app": "machine-config-operator"}); err == nil {
		markMCO(o, mco.Items)
	}
	o.Self = l.self(ctx, r)
}

// markMCO follows the MCO, whose rule works with exactly one pod.
func markMCO(o *rollout.Observed, pods []corev1.Pod) {
	pools, ok := o.Pools.Get()
	if !ok || len(pods) != 1 {
		return
	}
	for i := range pools {
		for j := range pools[i].Nodes {
			n := &pools[i].Nodes[j]
			n.MCO = n.Name == pods[0].Spec.NodeName
		}
	}
}

// self finds the pod of this process and the replicas that stand by. Without an election, or outside of a cluster, there are none.
func (l *Live) self(ctx context.Context, r client.Reader) rollout.Self {
	if l.PodName == "" {
		return rollout.Self{}
	}
	own := &corev1.Pod{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: l.PodName}, own); err != nil {
		return rollout.Self{}
	}
	out := rollout.Self{Node: own.Spec.NodeName}
	name := own.Labels[nameLabel]
	if name == "" {
		return out
	}
	var replicas corev1.PodList
	if err := r.List(ctx, &replicas, client.InNamespace(l.Namespace), client.MatchingLabels{nameLabel: name}); err != nil {
		return out
	}
	for i := range replicas.Items {
		p := &replicas.Items[i]
		if !p.DeletionTimestamp.IsZero() || drain.Ended(p) {
			continue
		}
		out.Replicas++
		if p.Name != own.Name && podReady(p) {
			out.Standby = append(out.Standby, p.Spec.NodeName)
		}
	}
	return out
}

// warningAge is how long the look for what adds and removes nodes is good for: it decides nothing.
const warningAge = 5 * time.Minute

// warn notes what else adds or removes nodes by itself.
func (l *Live) warn(ctx context.Context, o *rollout.Observed) {
	cluster, ok := o.Cluster.Get()
	if !ok {
		return
	}
	l.mu.Lock()
	fresh := !l.warned.IsZero() && o.Now.Sub(l.warned) < warningAge
	l.mu.Unlock()
	if !fresh {
		found := predict.Restless(ctx, l.API)
		l.mu.Lock()
		l.warned, l.warnings = o.Now, found
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	cluster.Warnings = slices.Clone(l.warnings)
	o.Cluster = rollout.Seen(cluster)
}

// nameLabel is on every pod of the operator's Deployment.
const nameLabel = "app.kubernetes.io/name"
