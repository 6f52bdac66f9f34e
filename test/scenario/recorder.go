package scenario

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// Recorder watches what a rollout does to pods, from before the rollout exists. It sees what a look
// afterwards cannot: a pod that could not pull for a moment.
type Recorder struct {
	cluster *Cluster
	stop    func()
	begun   time.Time
	before  map[string]string

	mu     sync.Mutex
	failed map[string]string // pod on node -> what its kubelet said
}

// Results is what the witness, the nodes' pull log and the API audit log say together.
type Results struct {
	// FailedPulls are pulls that failed on a node with the new configuration.
	FailedPulls []string
	// PodsFailingPull are pods that were seen waiting for an image on such a node, or anywhere.
	PodsFailingPull []string
	// RefusedEvictions are evictions that a budget refused.
	RefusedEvictions []string
	// Pulls is how many pulls there were on nodes with the new configuration.
	Pulls int
}

// Clean tells whether nothing went wrong.
func (t Results) Clean() bool {
	return len(t.FailedPulls) == 0 && len(t.PodsFailingPull) == 0 && len(t.RefusedEvictions) == 0
}

// Watch starts the witness.
func (c *Cluster) Watch(ctx context.Context) (*Recorder, error) {
	before, err := c.Rendered(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := c.Client.Watch(ctx, &corev1.PodList{})
	if err != nil {
		return nil, err
	}
	w := &Recorder{cluster: c, stop: pods.Stop, begun: time.Now(), before: before, failed: map[string]string{}}
	go w.follow(pods.ResultChan())
	return w, nil
}

func (w *Recorder) follow(events <-chan watch.Event) {
	for e := range events {
		p, ok := e.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		if reason, message := waiting(p); reason == ImagePullBackOff {
			w.mu.Lock()
			w.failed[p.Namespace+"/"+p.Name+" on "+p.Spec.NodeName] = message
			w.mu.Unlock()
		}
	}
}

// Results ends the watch and says what happened since it began.
func (w *Recorder) Results() (Results, error) {
	w.stop()
	var t Results
	pulls, err := w.cluster.Lab.PullLog()
	if err != nil {
		return t, err
	}
	old := map[string]bool{}
	for _, name := range w.before {
		old[name] = true
	}
	for _, p := range pulls {
		if p.Time.Before(w.begun) || old[p.Config] {
			continue
		}
		t.Pulls++
		if p.Error != "" {
			t.FailedPulls = append(t.FailedPulls,
				fmt.Sprintf("%s on %s for %s/%s: %s", p.Reference, p.Node, p.Namespace, p.Pod, p.Error))
		}
	}
	audit, err := w.cluster.Lab.Audit()
	if err != nil {
		return t, err
	}
	for _, e := range audit {
		if e.Subresource == "eviction" && e.Code == 429 && !e.Time.Before(w.begun) {
			t.RefusedEvictions = append(t.RefusedEvictions, fmt.Sprintf("%s/%s: %s", e.Namespace, e.Name, e.Message))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for pod, message := range w.failed {
		t.PodsFailingPull = append(t.PodsFailingPull, pod+": "+message)
	}
	slices.Sort(t.PodsFailingPull)
	return t, nil
}

// AwaitRollout waits until the condition of the SafeMirrorRollout has the status.
func (c *Cluster) AwaitRollout(ctx context.Context, name, condition string, status metav1.ConditionStatus,
	timeout time.Duration) (*v1alpha1.SafeMirrorRollout, error) {
	r := &v1alpha1.SafeMirrorRollout{}
	err := lab.Eventually(ctx, timeout, "SafeMirrorRollout "+name+" is "+condition+"="+string(status),
		func(ctx context.Context) (bool, string, error) {
			if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
				return false, "", err
			}
			if r.Status.ObservedGeneration != r.Generation {
				return false, "its spec has not been looked at yet", nil
			}
			return meta.IsStatusConditionPresentAndEqual(r.Status.Conditions, condition, status), Describe(r), nil
		})
	return r, err
}

// Describe is the rollout in a line.
func Describe(r *v1alpha1.SafeMirrorRollout) string {
	out := fmt.Sprintf("phase %s, images %s, nodes %s", r.Status.Phase, r.Status.Images.Summary, r.Status.Nodes.Summary)
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		out += ", " + c.Reason + ": " + c.Message
	}
	return out
}

// CheckRestored checks that every pool is restored: unpaused, its previous maxUnavailable, no pause
// record, updated, and no taint left.
func (c *Cluster) CheckRestored(ctx context.Context) error {
	pools, err := c.Pools(ctx)
	if err != nil {
		return err
	}
	for i := range pools {
		p := &pools[i]
		switch ok, why := updated(p); {
		case p.Spec.Paused:
			return fmt.Errorf("pool %s is still paused", p.Name)
		case p.Spec.MaxUnavailable != nil:
			return fmt.Errorf("pool %s has maxUnavailable %s, and had none", p.Name, p.Spec.MaxUnavailable)
		case p.Annotations["safemirror.io/pause-record"] != "":
			return fmt.Errorf("pool %s still has a pause record", p.Name)
		case !ok:
			return fmt.Errorf("pool %s is not updated: %s", p.Name, why)
		}
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		for _, t := range n.Spec.Taints {
			if t.Key == "UpdateInProgress" {
				return fmt.Errorf("node %s still carries the taint %s", n.Name, t.Key)
			}
		}
		if n.Spec.Unschedulable {
			return fmt.Errorf("node %s is still cordoned", n.Name)
		}
	}
	return nil
}
