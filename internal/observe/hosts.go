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

// hosts notes where the replicas of this operator run. What cannot be read is left out: of it nothing is demanded.
func (l *Live) hosts(ctx context.Context, r client.Reader, o *rollout.Observed) {
	o.Self = l.self(ctx, r)
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
		if p.Name != own.Name && drain.Ready(p) {
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
