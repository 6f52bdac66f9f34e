package scenario

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// Moment is when something goes wrong. The first worker has the new configuration in any case, and the forecast of the second was good.
type Moment int

// The moments.
const (
	// Between is before the second worker is released.
	Between Moment = iota
	// Draining is when the drain of the second worker has evicted one of its two pods, and has to evict the other five seconds later: as
	// kubectl does with what was refused.
	Draining
)

// Stuck is something that goes wrong during a rollout after everything was foreseen to go well.
type Stuck struct {
	ID, Title string
	Scenario  Scenario
	Moment    Moment
	// Inject makes it go wrong. Cure is what a person would do about it; nil where nobody has to.
	Inject func(ctx context.Context, c *Cluster) error
	Cure   func(ctx context.Context, c *Cluster) error
	// Hindrance is what holds the drain, and Says what the diagnosis has to mention, the root cause among it. A rollout that is Held does
	// not release the second worker in the first place.
	Hindrance rollout.Hindrance
	Says      []string
	Held      bool
}

// Unproven tells whether the rollout may find out before it releases the second worker. A mirror that fails when nothing drains is looked at
// again by the operator, or meets the second worker's pods, whichever comes first; either says what is the matter.
func (s Stuck) Unproven() bool {
	return s.Held || s.Hindrance == rollout.HindrancePull && s.Moment == Between
}

// Healed tells whether the rollout gets over it without a person.
func (s Stuck) Healed() bool { return s.Cure == nil }

const (
	second = "worker-2" // whose drain gets stuck
)

// Together has both pods of the protected application on the second worker, and room for them on the first. They are pulled at each
// start, so that what a node has cached helps nobody.
func Together() Scenario { return together("") }

// slowly is Together with pods that take eight seconds of the lab to get ready: longer than the API server takes to notice a webhook, and than the
// drain takes to try again.
func slowly() Scenario { return together("160") }

func together(readyAfter string) Scenario {
	s := Scenario{
		ID: "together", Title: "two protected pods on the second worker, and room on the first",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
		ProtectedNamespace: appNamespace, Protected: app,
	}
	s.Stage = func(ctx context.Context, c *Cluster, _ Variant) error {
		if err := c.twoWorkers(ctx); err != nil {
			return err
		}
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/app:v1", lab.Image{Seed: "app"}); err != nil {
			return err
		}
		if err := c.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appNamespace}}); err != nil {
			return err
		}
		at := &site{Cluster: c, namespace: appNamespace, node: second, readyAfter: readyAfter}
		return at.together(ctx, []string{first}, func(p *corev1.PodSpec) {
			p.Containers[0].Image, p.Containers[0].ImagePullPolicy = AppTag, corev1.PullAlways
			p.TerminationGracePeriodSeconds = ptr.To(int64(2))
		})
	}
	return s
}

// twoWorkers leaves two workers and a master.
func (c *Cluster) twoWorkers(ctx context.Context) error {
	return c.Shrink(ctx, "worker-3", "worker-4", "master-2", "master-3")
}

// routers has the default router on both workers.
func routers() Scenario {
	s := Scenario{
		ID: "routers", Title: "two routers on two workers",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
	}
	s.ProtectedNamespace, s.Protected = router()
	s.Stage = func(ctx context.Context, c *Cluster, _ Variant) error {
		if err := c.twoWorkers(ctx); err != nil {
			return err
		}
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/router:v1", lab.Image{Seed: sourceSeed}); err != nil {
			return err
		}
		return c.Router(ctx, routerTag, 2, "")
	}
	return s
}

// AwaitEviction waits until the drain of the second worker has evicted a pod of the application, and returns the pod.
func (c *Cluster) AwaitEviction(ctx context.Context) error {
	return lab.Eventually(ctx, stageTime, "a pod of the application is evicted from "+second, func(ctx context.Context) (bool, string, error) {
		pods, err := c.cartPods(ctx)
		if err != nil {
			return false, "", err
		}
		stays := 0
		for _, p := range pods {
			if p.Spec.NodeName == second && p.DeletionTimestamp == nil {
				stays++
			}
		}
		if stays == 0 {
			return false, "", fmt.Errorf("both pods have left %s: nothing can get stuck any more", second)
		}
		return stays == 1, "both pods are on " + second, nil
	})
}

func (c *Cluster) cartPods(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.Client.List(ctx, &list, client.InNamespace(appNamespace), client.MatchingLabels{"app": app})
	return list.Items, err
}

// replacement is the pod that has taken over from the one that was evicted.
func (c *Cluster) replacement(ctx context.Context) (*corev1.Pod, error) {
	var found *corev1.Pod
	err := lab.Eventually(ctx, stageTime, "there is a replacement on "+first, func(ctx context.Context) (bool, string, error) {
		pods, err := c.cartPods(ctx)
		i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Spec.NodeName == first && p.DeletionTimestamp == nil })
		if i < 0 {
			return false, "there is none", err
		}
		found = &pods[i]
		return true, "", err
	})
	return found, err
}
