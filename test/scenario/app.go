package scenario

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// AppTag is the image of the scenarios' plain application.
const AppTag = SourceHost + "/acme/app:v1"

// Plain is a cluster with one protected application, for tests that are about something else. The
// mirror is empty and the source is not to be contacted, so that a node which takes the mirror set
// too early cannot pull: the application always does. It runs where the labels say.
func Plain(replicas int32, nodes map[string]string) Scenario {
	s := Scenario{
		ID: "plain", Title: "a protected application, NeverContactSource, empty mirror",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
		ProtectedNamespace: appNamespace, Protected: "cart",
	}
	s.Stage = func(ctx context.Context, c *Cluster, _ Variant) error {
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/app:v1", lab.Image{Seed: "app"}); err != nil {
			return err
		}
		d := deployment(appNamespace, s.Protected, AppTag, replicas, nodes)
		d.Spec.Template.Spec.Containers[0].ImagePullPolicy = corev1.PullAlways
		err := c.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appNamespace}}, d,
			budget(appNamespace, s.Protected, 1))
		if err != nil {
			return err
		}
		return c.WaitReady(ctx, appNamespace, s.Protected, replicas)
	}
	return s
}

// Restart deletes the pods of the scenario's application and waits until the new ones are ready.
func (s Scenario) Restart(ctx context.Context, c *Cluster, replicas int32) error {
	pods, err := s.podsOf(ctx, c)
	if err != nil {
		return err
	}
	for i := range pods {
		if err := c.Client.Delete(ctx, &pods[i]); err != nil {
			return err
		}
	}
	old := map[string]bool{}
	for _, p := range pods {
		old[string(p.UID)] = true
	}
	return lab.Eventually(ctx, stageTimeout, s.Protected+" is ready again",
		func(ctx context.Context) (bool, string, error) {
			pods, err := s.podsOf(ctx, c)
			ready := int32(0)
			for i := range pods {
				if !old[string(pods[i].UID)] && isReady(&pods[i]) {
					ready++
				}
			}
			return ready == replicas, fmt.Sprintf("%d of %d new pods are ready", ready, replicas), err
		})
}
