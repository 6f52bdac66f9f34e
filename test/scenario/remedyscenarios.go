package scenario

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// ThirdWorkerOnOldConfig is Together with a third worker, which runs the earlier configuration for
// longest and pulls from the source as before. The mirror is filled by somebody else.
func ThirdWorkerOnOldConfig() Scenario {
	s := Scenario{
		ID: "elsewhere", Title: "two protected pods on the second worker, and room on the first and the third",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
		ProtectedNamespace: appNamespace, Protected: app,
	}
	s.Stage = func(ctx context.Context, c *Cluster, _ Variant) error {
		if err := c.Shrink(ctx, plainNode, "master-2", "master-3"); err != nil {
			return err
		}
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/app:v1", lab.Image{Seed: "app"}); err != nil {
			return err
		}
		if err := c.FillMirror(ctx); err != nil {
			return err
		}
		if err := c.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: appNamespace}}); err != nil {
			return err
		}
		at := &caseBuilder{Cluster: c, namespace: appNamespace, node: secondWorker}
		return at.twoPodsOnNode(ctx, []string{firstWorker, edgeNode}, func(p *corev1.PodSpec) {
			p.Containers[0].Image, p.Containers[0].ImagePullPolicy = AppTag, corev1.PullAlways
			p.TerminationGracePeriodSeconds = ptr.To(int64(2))
		})
	}
	return s
}

// FillMirror gives the mirror what the source has of the application; EmptyMirror takes it away
// again.
func (c *Cluster) FillMirror(ctx context.Context) error {
	_, err := c.Lab.Registry(MirrorHost).Push(ctx, appRepository+":v1", lab.Image{Seed: "app"})
	return err
}

// EmptyMirror deletes the image of the application from the mirror.
func (c *Cluster) EmptyMirror(ctx context.Context) error { return c.deleteFromMirror(ctx) }

// FourRouters has four routers on six workers. Their budget is one of four, and a quarter, rounded
// up, of five or more.
func FourRouters() Scenario {
	s := Scenario{
		ID: "four-routers", Title: "four routers on six workers",
		Tags: []v1alpha1.ImageMirrors{mirrored("/acme", v1alpha1.NeverContactSource)}, Waiting: ImagePullBackOff,
	}
	s.ProtectedNamespace, s.Protected = router()
	s.Stage = func(ctx context.Context, c *Cluster, _ Variant) error {
		if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/router:v1", lab.Image{Seed: sourceSeed}); err != nil {
			return err
		}
		return c.Router(ctx, routerTag, 4, firstWorker)
	}
	return s
}

// CrashRouter lets a router crash from now on that is on neither of the first two workers, and
// returns its name.
func (c *Cluster) CrashRouter(ctx context.Context) (string, error) {
	var list corev1.PodList
	if err := c.Client.List(ctx, &list, client.InNamespace(ingressNamespace)); err != nil {
		return "", err
	}
	i := slices.IndexFunc(list.Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp == nil && p.Spec.NodeName != "" && p.Spec.NodeName != firstWorker &&
			p.Spec.NodeName != secondWorker
	})
	if i < 0 {
		return "", fmt.Errorf("none of %d routers is elsewhere", len(list.Items))
	}
	p := &list.Items[i]
	patch := client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"lab.safemirror.io/crash":"true"}}}`))
	return p.Name, c.Client.Patch(ctx, p, patch)
}

// RouterReplicas is what the IngressController is asked for.
func (c *Cluster) RouterReplicas(ctx context.Context) (int32, error) {
	ic := ingressController()
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(ic), ic)
	return ptr.Deref(ic.Spec.Replicas, 0), err
}

// AllowRemedies grants the optional role for remedies, which no default installation has.
func (c *Cluster) AllowRemedies(ctx context.Context) error {
	if err := c.Lab.Apply(ctx, filepath.Join(root(), "config/rbac/remediation_role.yaml")); err != nil {
		return err
	}
	const role = "safe-mirror-remediation"
	return c.create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "safe-mirror-operator",
			Name: "safe-mirror-operator"}},
	})
}
