package observe

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// locateOperators records where the replicas of this operator run.
func (observer *Observer) locateOperators(ctx context.Context, r client.Reader, o *rollout.Observed) {
	o.Operator = observer.operatorReplicas(ctx, r)
}

// operatorReplicas finds the pod of this process and the replicas that stand by. Without a leader
// election, or outside of a cluster, there are none. Pods that cannot be read are not the same as
// none: whether a replica stands by is then unknown, and no pool is opened.
func (observer *Observer) operatorReplicas(ctx context.Context, r client.Reader) rollout.OperatorReplicas {
	if observer.PodName == "" {
		return rollout.OperatorReplicas{}
	}
	own := &corev1.Pod{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: observer.Namespace, Name: observer.PodName}, own); err != nil {
		return rollout.OperatorReplicas{Unreadable: err.Error()}
	}
	out := rollout.OperatorReplicas{LeaderNode: own.Spec.NodeName}
	name := own.Labels[appNameLabel]
	if name == "" {
		out.Unreadable = fmt.Sprintf("pod %s/%s has no label %s, which finds the other replicas", own.Namespace,
			own.Name, appNameLabel)
		return out
	}
	var replicas corev1.PodList
	if err := r.List(ctx, &replicas, client.InNamespace(observer.Namespace),
		client.MatchingLabels{appNameLabel: name}); err != nil {
		out.Unreadable = err.Error()
		return out
	}
	for i := range replicas.Items {
		p := &replicas.Items[i]
		if !p.DeletionTimestamp.IsZero() || drain.IsPodTerminal(p) {
			continue
		}
		out.Replicas++
		if p.Name != own.Name && drain.IsPodReady(p) {
			out.StandbyNodes = append(out.StandbyNodes, p.Spec.NodeName)
		}
	}
	return out
}

// warningMaxAge is how long the list of what adds and removes nodes is used: it decides nothing.
const warningMaxAge = 5 * time.Minute

// addLifecycleWarnings adds a warning for each controller that adds or removes nodes by itself.
func (observer *Observer) addLifecycleWarnings(ctx context.Context, o *rollout.Observed) {
	cluster, ok := o.Cluster.Get()
	if !ok {
		return
	}
	observer.mu.Lock()
	fresh := !observer.warningsReadAt.IsZero() && o.Now.Sub(observer.warningsReadAt) < warningMaxAge
	observer.mu.Unlock()
	if !fresh {
		found := prediction.NodeLifecycleControllers(ctx, observer.API)
		observer.mu.Lock()
		observer.warningsReadAt, observer.warnings = o.Now, found
		observer.mu.Unlock()
	}
	observer.mu.Lock()
	defer observer.mu.Unlock()
	cluster.Warnings = slices.Clone(observer.warnings)
	o.Cluster = rollout.Known(cluster)
}

// appNameLabel is on every pod of the operator's Deployment.
const appNameLabel = "app.kubernetes.io/name"
