package scenario

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

const appRepository = "acme/app"

// FaultCases are what can go wrong after a clean forecast.
func FaultCases() []FaultCase {
	all := append(lostImages(), brokenMirrors()...)
	all = append(all, changedBudgets()...)
	all = append(all, changedPods()...)
	for i := range all {
		if all[i].Scenario.Stage == nil {
			all[i].Scenario = TwoPodsOnSecondWorker()
		}
	}
	return all
}

// lostImages: what the mirror had is gone.
func lostImages() []FaultCase {
	return []FaultCase{
		{
			ID: "image-deleted", Title: "the image is deleted from the mirror", BlockReason: rollout.DrainBlockPull,
			Inject:   func(ctx context.Context, c *Cluster) error { return c.deleteFromMirror(ctx) },
			Mentions: []string{AppTag, MirrorHost},
		},
		{
			ID: "blob-collected", Title: "a layer of the image is garbage-collected at the mirror",
			BlockReason: rollout.DrainBlockPull,
			Inject: func(ctx context.Context, c *Cluster) error {
				return removeLastLayer(ctx, c.Lab.Registry(MirrorHost), appRepository, "v1")
			},
			Mentions: []string{AppTag, MirrorHost},
		},
		{
			ID: "source-gone", Title: "the image is deleted from the mirror, and the source cannot be reached any more",
			BlockReason: rollout.DrainBlockPull,
			Inject: func(ctx context.Context, c *Cluster) error {
				c.Lab.Wire().Cut(SourceHost)
				return c.deleteFromMirror(ctx)
			},
			Fix: func(ctx context.Context, c *Cluster) error {
				_, err := c.Lab.Registry(MirrorHost).Push(ctx, appRepository+":v1", lab.Image{Seed: "app"})
				return err
			},
			Mentions: []string{AppTag, MirrorHost},
		},
		{
			ID: "new-workload", Title: "a workload appears whose image only the source has", Moment: DuringDrain,
			Inject: newWorkload,
		},
	}
}

// brokenMirrors: the mirror has everything and does not give it.
func brokenMirrors() []FaultCase {
	return []FaultCase{
		{
			ID: "credential-revoked", Title: "the mirror does not take the pull secret any more",
			BlockReason: rollout.DrainBlockPull,
			Inject:      func(_ context.Context, c *Cluster) error { return c.Lab.Revoke(c.Lab.Registry(MirrorHost)) },
			Fix:         func(_ context.Context, c *Cluster) error { return c.Lab.Grant(c.Lab.Registry(MirrorHost)) },
			Mentions:    []string{AppTag, MirrorHost, "401"},
		},
		authorityReplaced(),
		{
			ID: "mirror-hangs", Title: "the mirror accepts connections and never answers",
			BlockReason: rollout.DrainBlockPull,
			Inject:      func(_ context.Context, c *Cluster) error { c.Lab.Wire().Hang(MirrorHost); return nil },
			Fix:         func(_ context.Context, c *Cluster) error { c.Lab.Wire().Heal(MirrorHost); return nil },
			Mentions:    []string{AppTag, MirrorHost},
		},
		{
			ID: "mirror-down", Title: "the mirror cannot be reached", BlockReason: rollout.DrainBlockPull,
			Inject:   func(_ context.Context, c *Cluster) error { c.Lab.Wire().Cut(MirrorHost); return nil },
			Fix:      func(_ context.Context, c *Cluster) error { c.Lab.Wire().Heal(MirrorHost); return nil },
			Mentions: []string{AppTag, MirrorHost},
		},
	}
}

// authorityReplaced is cured as on any cluster: the new authority is added to the ConfigMap that
// image.config names.
func authorityReplaced() FaultCase {
	var ca []byte
	return FaultCase{
		ID: "authority-replaced", Title: "the mirror has a certificate of another authority",
		BlockReason: rollout.DrainBlockPull,
		Inject: func(ctx context.Context, c *Cluster) (err error) {
			ca, err = c.Lab.Distrust(ctx, c.Lab.Registry(MirrorHost))
			return err
		},
		Fix: func(ctx context.Context, c *Cluster) error {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "openshift-config", Name: "registry-cas"}}
			patch := fmt.Sprintf(`{"data":{%q:%q}}`, MirrorHost, ca)
			return c.Client.Patch(ctx, cm, client.RawPatch(types.MergePatchType, []byte(patch)))
		},
		Mentions: []string{AppTag, MirrorHost, "certificate"},
	}
}

// changedBudgets: what protects the pods is not what it was.
func changedBudgets() []FaultCase {
	return []FaultCase{
		{
			ID: "budget-tightened", Title: "the budget is set to zero", Moment: DuringDrain,
			BlockReason: rollout.DrainBlockBudgetZero,
			Inject:      func(ctx context.Context, c *Cluster) error { return c.patchBudget(ctx, 0) },
			Fix:         func(ctx context.Context, c *Cluster) error { return c.patchBudget(ctx, 1) },
			Mentions:    []string{appNamespace + "/" + app, "maxUnavailable 0"},
		},
		{
			ID: "ingress-scaled", Title: "the IngressController is scaled to more routers than there are nodes for",
			Scenario:    routers(),
			BlockReason: rollout.DrainBlockUnschedulable, Held: true,
			Inject:   func(ctx context.Context, c *Cluster) error { return c.scaleRouter(ctx, 3, 3) },
			Fix:      func(ctx context.Context, c *Cluster) error { return c.scaleRouter(ctx, 2, 2) },
			Mentions: []string{ingressNamespace + "/router-default"},
		},
	}
}

// changedPods: the pods, or what is asked about them, are not what they were.
func changedPods() []FaultCase {
	return []FaultCase{
		{
			ID: "replica-crashes", Title: "the replacement crashes again and again", Moment: DuringDrain,
			BlockReason: rollout.DrainBlockCrashing,
			Inject: func(ctx context.Context, c *Cluster) error {
				return c.patchReplacement(ctx, `{"metadata":{"annotations":{"lab.safemirror.io/crash":"true"}}}`)
			},
			Fix: func(ctx context.Context, c *Cluster) error {
				p, err := c.replacement(ctx)
				if err != nil {
					return err
				}
				return c.Client.Delete(ctx, p)
			},
			Mentions: []string{appNamespace + "/" + app, firstWorker, "CrashLoopBackOff"},
		},
		{
			ID: "node-lost", Title: "the node of the replacement goes down", Moment: DuringDrain,
			BlockReason: rollout.DrainBlockNodeLost,
			Inject: func(ctx context.Context, c *Cluster) error {
				if _, err := c.replacement(ctx); err != nil {
					return err
				}
				return c.PatchNode(ctx, firstWorker, `{"metadata":{"annotations":{"lab.safemirror.io/down":"true"}}}`)
			},
			Fix: func(ctx context.Context, c *Cluster) error {
				return c.PatchNode(ctx, firstWorker, `{"metadata":{"annotations":{"lab.safemirror.io/down":null}}}`)
			},
			Mentions: []string{firstWorker},
		},
		{
			ID: "pod-stays", Title: "a pod that is evicted is kept by a finalizer",
			BlockReason: rollout.DrainBlockFinalizer,
			Inject: func(ctx context.Context,
				c *Cluster) error {
				return c.finalizers(ctx, `["lab.safemirror.io/keep"]`)
			},
			Fix:      func(ctx context.Context, c *Cluster) error { return c.finalizers(ctx, `null`) },
			Mentions: []string{"lab.safemirror.io/keep", secondWorker},
		},
		{
			ID: "webhook-closed", Title: "the webhook for evictions does not answer", Moment: DuringDrain,
			BlockReason: rollout.DrainBlockWebhook, Scenario: slowStartScenario(),
			Inject:   func(ctx context.Context, c *Cluster) error { return c.Client.Create(ctx, closedWebhook()) },
			Fix:      func(ctx context.Context, c *Cluster) error { return c.Client.Delete(ctx, closedWebhook()) },
			Mentions: []string{"closed.lab.safemirror.io"},
		},
	}
}

// deleteFromMirror takes the top manifest away, and its tag with it.
func (c *Cluster) deleteFromMirror(ctx context.Context) error {
	r := c.Lab.Registry(MirrorHost)
	digest, err := r.Digest(ctx, appRepository+":v1")
	if err != nil {
		return err
	}
	return r.DeleteManifest(ctx, appRepository, digest)
}

// newWorkload runs on the worker that has the new configuration, where nothing is pulled from the
// source any more.
func newWorkload(ctx context.Context, c *Cluster) error {
	if _, err := c.Lab.Registry(SourceHost).Push(ctx, "acme/late:v1", lab.Image{Seed: "late"}); err != nil {
		return err
	}
	at := &caseBuilder{Cluster: c, namespace: "late", node: firstWorker}
	if err := at.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "late"}}); err != nil {
		return err
	}
	if err := at.labelNodes(ctx, firstWorker); err != nil {
		return err
	}
	return at.create(ctx, at.deployment(app, 2,
		func(p *corev1.PodSpec) { p.Containers[0].Image = SourceHost + "/acme/late:v1" }), at.unavailable(app, "1"))
}

func (c *Cluster) patchBudget(ctx context.Context, maxUnavailable int) error {
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: appNamespace, Name: app}}
	return c.Client.Patch(ctx, b, client.RawPatch(types.MergePatchType,
		[]byte(fmt.Sprintf(`{"spec":{"maxUnavailable":%d}}`, maxUnavailable))))
}

// scaleRouter scales the IngressController, and waits until the Deployment has so many pods, ready
// or not.
func (c *Cluster) scaleRouter(ctx context.Context, replicas, pods int32) error {
	ic := ingressController()
	patch := []byte(fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
	if err := c.Client.Patch(ctx, ic, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}
	return lab.Eventually(ctx, stageTimeout, fmt.Sprintf("there are %d routers", pods),
		func(ctx context.Context) (bool, string, error) {
			d := &appsv1.Deployment{}
			err := c.Client.Get(ctx, client.ObjectKey{Namespace: ingressNamespace, Name: "router-default"}, d)
			return d.Status.Replicas == pods && d.Status.ObservedGeneration == d.Generation,
				fmt.Sprintf("there are %d", d.Status.Replicas), err
		})
}

// patchReplacement patches the replacement.
func (c *Cluster) patchReplacement(ctx context.Context, patch string) error {
	p, err := c.replacement(ctx)
	if err != nil {
		return err
	}
	return c.Client.Patch(ctx, p, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// finalizers are set on all pods of the application that are on the second worker.
func (c *Cluster) finalizers(ctx context.Context, list string) error {
	pods, err := c.appPods(ctx)
	if err != nil {
		return err
	}
	for i := range pods {
		if pods[i].Spec.NodeName != secondWorker {
			continue
		}
		patch := client.RawPatch(types.MergePatchType, []byte(fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, list)))
		if err := c.Client.Patch(ctx, &pods[i], patch); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// closedWebhook intercepts every eviction of the application, at an address without a listener.
func closedWebhook() *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "closed.lab.safemirror.io"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "closed.lab.safemirror.io", FailurePolicy: ptr.To(admissionv1.Fail), TimeoutSeconds: ptr.To(int32(1)),
			ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:9/evictions")},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"},
					Resources: []string{"pods/eviction"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: appNamespace}},
			SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}
