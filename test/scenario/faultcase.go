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

// FaultPoint is when something goes wrong. The first worker has the new configuration in any case,
// and the forecast of the second was good.
type FaultPoint int

// The moments.
const (
	// BeforeRelease is before the second worker is released.
	BeforeRelease FaultPoint = iota
	// DuringDrain is when the drain of the second worker has evicted one of its two pods, and has
	// to evict the other five seconds later: as kubectl does with what was refused.
	DuringDrain
)

// FaultCase is something that goes wrong during a rollout after everything was foreseen to go well.
type FaultCase struct {
	ID, Title string
	Scenario  Scenario
	Moment    FaultPoint
	// Inject makes it go wrong. Fix is what an administrator would do about it; nil where no action
	// is necessary.
	Inject func(ctx context.Context, c *Cluster) error
	Fix    func(ctx context.Context, c *Cluster) error
	// BlockReason is what holds the drain, and Says what the diagnosis has to mention, the root
	// cause among it. A rollout that is Held does not release the second worker in the first place.
	BlockReason rollout.DrainBlockReason
	Mentions    []string
	Held        bool
}

// MayBeHeldBeforeRelease tells whether the rollout may find out before it releases the second
// worker. A mirror that fails when nothing drains is looked at again by the operator, or meets the
// second worker's pods, whichever comes first; either says what is the matter.
func (s FaultCase) MayBeHeldBeforeRelease() bool {
	return s.Held || s.BlockReason == rollout.DrainBlockPull && s.Moment == BeforeRelease
}

// RecoversByItself tells whether the rollout gets over it without a person.
func (s FaultCase) RecoversByItself() bool { return s.Fix == nil }

const (
	secondWorker = "worker-2" // whose drain gets stuck
)

// TwoPodsOnSecondWorker has both pods of the protected application on the second worker, and room
// for them on the first. They are pulled at each start, so that a node's cached images do
// not help.
func TwoPodsOnSecondWorker() Scenario { return twoPodsScenario("") }

// slowStartScenario is Together with pods that take eight seconds of the lab to get ready: longer
// than the API server takes to notice a webhook, and than the drain takes to try again.
func slowStartScenario() Scenario { return twoPodsScenario("160") }

func twoPodsScenario(readyAfter string) Scenario {
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
		at := &caseBuilder{Cluster: c, namespace: appNamespace, node: secondWorker, readyAfter: readyAfter}
		return at.twoPodsOnNode(ctx, []string{firstWorker}, func(p *corev1.PodSpec) {
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

// AwaitEviction waits until the drain of the second worker has evicted a pod of the application,
// and returns the pod.
func (c *Cluster) AwaitEviction(ctx context.Context) error {
	return lab.Eventually(ctx, stageTimeout, "a pod of the application is evicted from "+secondWorker,
		func(ctx context.Context) (bool, string, error) {
			pods, err := c.appPods(ctx)
			if err != nil {
				return false, "", err
			}
			stays := 0
			for _, p := range pods {
				if p.Spec.NodeName == secondWorker && p.DeletionTimestamp == nil {
					stays++
				}
			}
			if stays == 0 {
				return false, "", fmt.Errorf("both pods have left %s: nothing can get stuck any more", secondWorker)
			}
			return stays == 1, "both pods are on " + secondWorker, nil
		})
}

func (c *Cluster) appPods(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.Client.List(ctx, &list, client.InNamespace(appNamespace), client.MatchingLabels{"app": app})
	return list.Items, err
}

// replacement is the pod that has taken over from the one that was evicted.
func (c *Cluster) replacement(ctx context.Context) (*corev1.Pod, error) {
	var found *corev1.Pod
	err := lab.Eventually(ctx, stageTimeout, "there is a replacement on "+firstWorker,
		func(ctx context.Context) (bool, string, error) {
			pods, err := c.appPods(ctx)
			i := slices.IndexFunc(pods, func(p corev1.Pod) bool {
				return p.Spec.NodeName == firstWorker &&
					p.DeletionTimestamp == nil
			})
			if i < 0 {
				return false, "there is none", err
			}
			found = &pods[i]
			return true, "", err
		})
	return found, err
}
