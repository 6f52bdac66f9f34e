package scenario

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	kindBudget = "PodDisruptionBudget"
	// unreadyAnnotation, with the value false, keeps a pod of the lab from becoming ready.
	unreadyAnnotation = "lab.safemirror.io/ready"
)

// StructuralCases are the cases, spread over nodes: of each a forecast has room for a few problems
// only. The one that stays is alone on its node, so that nothing else keeps the drain from ending.
func StructuralCases() []StructuralCase {
	return []StructuralCase{
		{Namespace: "c01-saturated", Title: "two pods on the only node that takes them: the first waits for the node, the second for the first",
			Node: "worker-1", Kind: kindBudget, Name: app, stage: saturated},
		{Namespace: "c02-undersized", Title: "three pods with a host port, two nodes: one never starts, and that is the whole budget",
			Node: "worker-1", Kind: kindBudget, Name: app, stage: undersized},
		{Namespace: "c03-rounding", Title: "minAvailable 50% of one pod is one pod",
			Node: "worker-1", Kind: kindBudget, Name: app, stage: rounding},
		{Namespace: "c06-broken", Title: "a pod on another node does not become ready, and uses up the budget",
			Node: "worker-1", Kind: kindBudget, Name: app, stage: brokenElsewhere},
		{Namespace: "c07-overlap", Title: "two budgets select one pod: the eviction fails, and not with 429",
			Node: "worker-2", Kind: kindBudget, Name: app, stage: overlapping},
		{Namespace: "c08-taint", Title: "the other node that could take the pods has a taint that they do not tolerate",
			Node: "worker-2", Kind: kindBudget, Name: app, stage: tainted},
		{Namespace: "c09-volume", Title: "the pods' volume can be used on one node only",
			Node: "worker-2", Kind: kindBudget, Name: app, stage: boundVolume},
		{Namespace: "c10-bare", Title: "a bare pod with a budget: it is asked for, and nothing replaces it",
			Node: "worker-2", Kind: kindBudget, Name: app, stage: barePod},
		{Namespace: "c11-finalizer", Title: "a pod past its grace period that a finalizer keeps",
			Node: "master-1", Kind: "Pod", Name: "kept", PodStays: true, stage: finalizer},
		{Namespace: "c12-webhook", Title: "the webhook for evictions fails closed and does not answer",
			Node: "worker-3", Kind: "ValidatingWebhookConfiguration", Name: "c12-webhook", stage: webhook},
		{Namespace: "c13-unknown-owner",
			Title: "the disruption controller cannot compute the budget of pods whose owner it does not know",
			Node:  "worker-3", Kind: kindBudget, Name: app, stage: unknownOwner},
		{Namespace: "c15-ports", Title: "two routers want the same port of the same two nodes",
			Node: "worker-4", Kind: kindBudget, Name: app, stage: portConflict},
	}
}

// CrossDrainCases are two cases that are none by themselves: the pods of either can leave its node
// for that of the other, and those of the twins for a third one too.
func CrossDrainCases() []StructuralCase {
	const left, right, third = "worker-1", "worker-2", "worker-3"
	crossing := func(other string) func(context.Context, *caseBuilder) error {
		return func(ctx context.Context, s *caseBuilder) error {
			others := []string{other}
			if s.twin {
				others = append(others, third)
			}
			return s.twoPodsOnNode(ctx, others)
		}
	}
	const title = "two pods on one node, and no other node for them but one that is drained at the same time"
	return []StructuralCase{
		{Namespace: "c05-left", Title: title, Node: left, Kind: kindBudget, Name: app, stage: crossing(right)},
		{Namespace: "c05-right", Title: title, Node: right, Kind: kindBudget, Name: app, stage: crossing(left)},
	}
}

// saturated: both pods are on the node before the other node is there for them. The twin's second
// pod is elsewhere, one pod a node by its port: what leaves has nowhere to go either, and comes
// back with the node.
func saturated(ctx context.Context, s *caseBuilder) error {
	if s.twin {
		if err := s.labelNodes(ctx, "worker-1", "worker-2"); err != nil {
			return err
		}
		if err := s.create(ctx, s.deployment(app, 2, hostPort(8401)), s.unavailable(app, "1")); err != nil {
			return err
		}
		return s.awaitReady(ctx, 2)
	}
	return s.twoPodsOnNode(ctx, nil)
}

// twoPodsOnNode starts two pods on the site's node, with a budget of one; afterwards these other
// nodes are there for them, too.
func (s *caseBuilder) twoPodsOnNode(ctx context.Context, others []string, edits ...func(*corev1.PodSpec)) error {
	if err := s.labelNodes(ctx, s.node); err != nil {
		return err
	}
	if err := s.create(ctx, s.deployment(app, 2, edits...), s.unavailable(app, "1")); err != nil {
		return err
	}
	if err := s.awaitReady(ctx, 2); err != nil {
		return err
	}
	return s.labelNodes(ctx, others...)
}

func undersized(ctx context.Context, s *caseBuilder) error {
	nodes := []string{"worker-1", "worker-2", "worker-3"}
	if !s.twin {
		nodes = nodes[:2]
	}
	port := int32(8402)
	if s.twin {
		port = 8403
	}
	if err := s.labelNodes(ctx, nodes...); err != nil {
		return err
	}
	if err := s.create(ctx, s.deployment(app, 3, hostPort(port)), s.unavailable(app, "1")); err != nil {
		return err
	}
	return s.awaitReady(ctx, len(nodes))
}

func rounding(ctx context.Context, s *caseBuilder) error {
	if err := s.labelNodes(ctx, s.node); err != nil {
		return err
	}
	replicas := int32(1)
	if s.twin {
		replicas = 2
	}
	if err := s.create(ctx, s.deployment(app, replicas), s.available(app, "50%")); err != nil {
		return err
	}
	if err := s.awaitReady(ctx, int(replicas)); err != nil {
		return err
	}
	return s.labelNodes(ctx, "worker-2")
}

// brokenElsewhere: the twin lacks a pod as well, and its budget has room for one more.
func brokenElsewhere(ctx context.Context, s *caseBuilder) error {
	if err := s.labelNodes(ctx, "worker-1", "worker-2", "worker-3"); err != nil {
		return err
	}
	port, max := int32(8406), "1"
	if s.twin {
		port, max = 8407, "2"
	}
	if err := s.create(ctx, s.deployment(app, 3, hostPort(port)), s.unavailable(app, max)); err != nil {
		return err
	}
	if err := s.awaitReady(ctx, 3); err != nil {
		return err
	}
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(s.namespace)); err != nil {
		return err
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Spec.NodeName == "worker-3" {
			patch := client.RawPatch(types.MergePatchType,
				fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"false"}}}`, unreadyAnnotation))
			if err := s.Client.Patch(ctx, p, patch); err != nil {
				return err
			}
		}
	}
	return s.awaitReady(ctx, 2)
}

// overlapping: the twin has two budgets as well, each for a Deployment of its own.
func overlapping(ctx context.Context, s *caseBuilder) error {
	if err := s.labelNodes(ctx, s.node, "worker-3"); err != nil {
		return err
	}
	second := s.unavailable("second", "1")
	objects := []client.Object{s.deployment(app, 2), s.unavailable(app, "1"), second}
	ready := 2
	if s.twin {
		second.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "second"}}
		objects, ready = append(objects, s.deployment("second", 2)), 4
	}
	if err := s.create(ctx, objects...); err != nil {
		return err
	}
	return s.awaitReady(ctx, ready)
}

// tainted: the other node is of the control plane, and only the twin's pods tolerate that.
func tainted(ctx context.Context, s *caseBuilder) error {
	return s.twoPodsOnNode(ctx, []string{"master-1"}, func(p *corev1.PodSpec) {
		if s.twin {
			p.Tolerations = []corev1.Toleration{{Key: "node-role.kubernetes.io/master",
				Operator: corev1.TolerationOpExists}}
		}
	})
}

// boundVolume: the twin's volume can be used on two nodes.
func boundVolume(ctx context.Context, s *caseBuilder) error {
	hosts := []string{s.node}
	if s.twin {
		hosts = append(hosts, "worker-3")
	}
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName:       "local",
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/data"}},
			ClaimRef: &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1",
				Namespace: s.namespace, Name: app},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname,
					Operator: corev1.NodeSelectorOpIn, Values: hosts}},
			}}}},
		},
	}
	pvc := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: app, Annotations: map[string]string{
			"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: pv.Spec.AccessModes, StorageClassName: ptr.To("local"), VolumeName: pv.Name,
			Resources: corev1.VolumeResourceRequirements{Requests: size},
		},
	}
	if err := s.create(ctx, pv, pvc); err != nil {
		return err
	}
	// The lab has no controller that binds volumes, so what it would write is written here.
	pv.Status.Phase = corev1.VolumeBound
	pvc.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: pvc.Spec.AccessModes,
		Capacity: size}
	for _, o := range []client.Object{pv, pvc} {
		if err := s.Client.Status().Update(ctx, o); err != nil {
			return err
		}
	}
	return s.twoPodsOnNode(ctx, []string{"worker-3"}, func(p *corev1.PodSpec) {
		p.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: app}}}}
	})
}

// barePod: the twin's has no budget. It is deleted and lost, and that is no matter for the drain.
func barePod(ctx context.Context, s *caseBuilder) error {
	objects := []client.Object{s.newBarePod("alone", s.node)}
	if err := s.labelNodes(ctx, s.node); err != nil {
		return err
	}
	if !s.twin {
		objects = append(objects, s.available(app, "1"))
	}
	if err := s.create(ctx, objects...); err != nil {
		return err
	}
	return s.awaitReady(ctx, 1)
}

// finalizer: both pods are being deleted. The twin's only takes its time.
func finalizer(ctx context.Context, s *caseBuilder) error {
	p := s.newBarePod("kept", s.node)
	p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(1))
	if s.twin {
		// At the lab's pace this is twenty seconds.
		p.Annotations = map[string]string{"lab.safemirror.io/shutdown-seconds": "400"}
		p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(3600))
	} else {
		p.Finalizers = []string{"lab.safemirror.io/keep"}
	}
	if err := s.labelNodes(ctx, s.node); err != nil {
		return err
	}
	if err := s.create(ctx, p); err != nil {
		return err
	}
	return s.awaitReady(ctx, 1)
}

// DeleteFinalizerPod deletes the pod of the finalizer case, or of its twin: only what is being
// deleted already is foreseen to stay.
func (c *Cluster) DeleteFinalizerPod(ctx context.Context, namespace string) error {
	return c.Client.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kept"}})
}

// webhook: the service of either has no endpoints; the twin's failure policy allows the eviction.
func webhook(ctx context.Context, s *caseBuilder) error {
	policy := admissionv1.Fail
	if s.twin {
		policy = admissionv1.Ignore
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "hook"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "hook"},
			Ports: []corev1.ServicePort{{Port: 443}}},
	}
	hook := &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "evictions.lab.safemirror.io", FailurePolicy: &policy, TimeoutSeconds: ptr.To(int32(1)),
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: s.namespace,
				Name: "hook"}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"},
					Resources: []string{"pods/eviction"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
			SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	if err := s.labelNodes(ctx, s.node, "worker-4"); err != nil {
		return err
	}
	if err := s.create(ctx, service, hook, s.deployment(app, 2), s.unavailable(app, "1")); err != nil {
		return err
	}
	return s.awaitReady(ctx, 2)
}

// unknownOwner: a budget in percent, or one that says how many may be unavailable, needs to know
// how many pods there should be. One that says how many have to be available, as the twin's does,
// counts the pods that there are.
func unknownOwner(ctx context.Context, s *caseBuilder) error {
	objects := []client.Object{s.unavailable(app, "1")}
	if s.twin {
		objects = []client.Object{s.available(app, "1")}
	}
	// The second pod is on a node that is not drained: nothing would replace it, and the twin's
	// first would be the last one of its budget.
	const undrained = "master-2"
	if err := s.labelNodes(ctx, s.node, undrained); err != nil {
		return err
	}
	for i, node := range []string{s.node, undrained} {
		p := s.newBarePod(fmt.Sprintf("widget-%d", i), node)
		p.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "acme.example.com/v1", Kind: "Widget", Name: "widget",
			UID: "00000000-0000-4000-8000-00000000c013", Controller: ptr.To(true),
		}}
		objects = append(objects, p)
	}
	if err := s.create(ctx, objects...); err != nil {
		return err
	}
	return s.awaitReady(ctx, 2)
}

// portConflict: the second router of the case finds the port taken by the other's. The twin's other
// router uses another port.
func portConflict(ctx context.Context, s *caseBuilder) error {
	port, other := int32(8415), int32(8415)
	if s.twin {
		port, other = 8416, 8417
	}
	if err := s.labelNodes(ctx, "worker-3"); err != nil {
		return err
	}
	if err := s.create(ctx, s.deployment("other", 1, hostPort(other))); err != nil {
		return err
	}
	if err := s.awaitReady(ctx, 1); err != nil {
		return err
	}
	if err := s.labelNodes(ctx, s.node); err != nil {
		return err
	}
	if err := s.create(ctx, s.deployment(app, 2, hostPort(port)), s.unavailable(app, "1")); err != nil {
		return err
	}
	if s.twin {
		return s.awaitReady(ctx, 3)
	}
	return s.awaitReady(ctx, 2)
}
