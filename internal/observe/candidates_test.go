package observe

import (
	"context"
	"strings"
	"testing"

	operatorv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/inventory"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// allowAll is an API server that grants every right.
func allowAll() interceptor.Funcs {
	return interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object,
		opts ...client.CreateOption) error {
		if review, is := o.(*authorizationv1.SelfSubjectAccessReview); is {
			review.Status.Allowed = true
			return nil
		}
		return c.Create(ctx, o, opts...)
	}}
}

// One node that was deleted after its pod was read hides none of the other candidates.
func TestCordonCandidatesAfterNodeDeletion(t *testing.T) {
	observer := newObserverWith(allowAll(), minicluster.Objects("worker-0", "worker-2")...)
	blocked := rollout.BlockedDrain{Node: "worker-9", Pods: []rollout.FailingPod{
		{Node: "worker-0"}, {Node: "worker-1"}, {Node: "worker-2"}}}
	got, err := observer.cordonCandidates(t.Context(), observer.API, nil, blocked, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range got {
		names = append(names, c.Name+c.Refusal)
	}
	if strings.Join(names, " ") != "worker-0 worker-2" {
		t.Errorf("candidates %q, want worker-0 and worker-2", names)
	}
}

// A router whose IngressController was deleted has nothing that could be scaled.
func TestScaleCandidatesWithoutIngressController(t *testing.T) {
	router := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "openshift-ingress", Name: "router-default",
		Labels: map[string]string{owningIngressLabel: "default"}}}
	ingress := &operatorv1.IngressController{ObjectMeta: metav1.ObjectMeta{Namespace: ingressNamespace,
		Name: "default", UID: "uid-ingress"}, Spec: operatorv1.IngressControllerSpec{Replicas: new(int32(2))}}
	blocked := rollout.BlockedDrain{Node: "worker-0", Pods: []rollout.FailingPod{
		{Owner: "Deployment/openshift-ingress/router-default"}}}
	for name, c := range map[string]struct {
		objects []client.Object
		want    int
	}{
		"it exists":      {[]client.Object{router, ingress}, 1},
		"it was deleted": {[]client.Object{router}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			observer := newObserverWith(allowAll(), c.objects...)
			got, err := observer.scaleCandidates(t.Context(), observer.API, nil, blocked, nil)
			if err != nil || len(got) != c.want {
				t.Fatalf("%d candidates %+v, %v; want %d", len(got), got, err, c.want)
			}
			for _, candidate := range got {
				if candidate.UID != "uid-ingress" || candidate.Value != "2" || candidate.Refusal != "" {
					t.Errorf("candidate %+v", candidate)
				}
			}
		})
	}
}

// Only a missing right and a missing kind say that nothing was changed there.
func TestUnreadableIngressControllers(t *testing.T) {
	resource := schema.GroupResource{Group: "operator.openshift.io", Resource: "ingresscontrollers"}
	for name, c := range map[string]struct {
		err   error
		known bool
	}{
		"forbidden":    {apierrors.NewForbidden(resource, "", nil), true},
		"no such kind": {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: resource.Group}}, true},
		"no answer":    {errDown, false},
		"overloaded":   {apierrors.NewTooManyRequests("slow down", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			observer := newObserverWith(minicluster.FailingReads[*operatorv1.IngressControllerList](c.err),
				minicluster.Objects("worker-0")...)
			r := minicluster.Rollout("shop")
			r.Spec.Remediation.Actions = []v1alpha1.RemedySwitch{{Action: v1alpha1.ScaleIngress, Mode: v1alpha1.Enabled}}
			got := observer.remedies(t.Context(), observer.API, &Observation{Rollout: r})
			if _, known := got.Get(); known != c.known {
				t.Errorf("remedies %+v, known %t; want %t", got, known, c.known)
			}
		})
	}
}

// A note counts on the object that its remedy names, and only on objects that no tenant can write.
// The caches drop the annotations of a Deployment: a note there would be seen by one read of two,
// and every disruptive action would be refused for as long as it exists.
func TestNotesOfOthers(t *testing.T) {
	remedy := func(kind, namespace, name, uid string) v1alpha1.RemedyRecord {
		return v1alpha1.RemedyRecord{ID: "r-" + kind, Kind: kind, Namespace: namespace, Name: name, UID: uid,
			Action: v1alpha1.Relocate}
	}
	withNote := func(o client.Object, r v1alpha1.RemedyRecord) client.Object {
		o.SetAnnotations(map[string]string{remediation.Annotation: remediation.NewNote("shop", r).String()})
		return o
	}
	node := func() *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-5", UID: "uid-5"}}
	}
	deployment := func() *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", UID: "uid-cart"}}
	}
	ingress := func() *operatorv1.IngressController {
		return &operatorv1.IngressController{ObjectMeta: metav1.ObjectMeta{Namespace: ingressNamespace,
			Name: "default", UID: "uid-ingress"}}
	}
	for name, c := range map[string]struct {
		object client.Object
		want   int
	}{
		"a node":              {withNote(node(), remedy("Node", "", "worker-5", "uid-5")), 1},
		"of another node":     {withNote(node(), remedy("Node", "", "worker-6", "uid-5")), 0},
		"of an earlier node":  {withNote(node(), remedy("Node", "", "worker-5", "uid-4")), 0},
		"of another kind":     {withNote(node(), remedy("Deployment", "", "worker-5", "uid-5")), 0},
		"a node, without UID": {withNote(node(), remedy("Node", "", "worker-5", "")), 0},
		"an IngressController": {withNote(ingress(), remedy("IngressController", ingressNamespace, "default",
			"uid-ingress")), 1},
		"of another namespace": {withNote(ingress(), remedy("IngressController", "shop", "default",
			"uid-ingress")), 0},
		"a tenant's Deployment": {withNote(deployment(), remedy("Deployment", "shop", "cart", "uid-cart")), 0},
		"a Deployment that names a node": {withNote(deployment(), remedy("Node", "", "worker-5", "uid-5")),
			0},
	} {
		t.Run(name, func(t *testing.T) {
			r := minicluster.Rollout("shop")
			r.Spec.Remediation.Actions = []v1alpha1.RemedySwitch{
				{Action: v1alpha1.ScaleDeployments, Mode: v1alpha1.Enabled},
				{Action: v1alpha1.ScaleIngress, Mode: v1alpha1.Enabled}}
			trimmed := c.object.DeepCopyObject().(client.Object)
			if _, err := inventory.Trim(trimmed); err != nil {
				t.Fatal(err)
			}
			for reader, object := range map[string]client.Object{"fresh": c.object, "cached": trimmed} {
				observer := newObserver(object)
				got, known := observer.remedies(t.Context(), observer.API, &Observation{Rollout: r}).Get()
				if !known || len(got.Unrecorded) != c.want {
					t.Errorf("%s: remedies %+v, known %t; want %d", reader, got.Unrecorded, known, c.want)
				}
			}
		})
	}
}

// While the operator's own pods cannot be read, it is unknown whether a replica stands by.
func TestUnreadableOperatorReplicas(t *testing.T) {
	ours := map[string]string{appNameLabel: "safe-mirror-operator"}
	own := operatorPod(operatorNamespace, "op-1", "worker-0", ours, corev1.ConditionTrue)
	bare := operatorPod(operatorNamespace, "op-1", "worker-0", nil, corev1.ConditionTrue)
	for name, c := range map[string]struct {
		funcs interceptor.Funcs
		pod   *corev1.Pod
		says  string
	}{
		"the own pod":    {minicluster.FailingReads[*corev1.Pod](errDown), own, "connection refused"},
		"all pods":       {minicluster.FailingReads[*corev1.PodList](errDown), own, "connection refused"},
		"it is missing":  {interceptor.Funcs{}, nil, "not found"},
		"its label":      {interceptor.Funcs{}, bare, "has no label"},
		"it is readable": {interceptor.Funcs{}, own, ""},
	} {
		t.Run(name, func(t *testing.T) {
			objects := cluster()
			if c.pod != nil {
				objects = append(objects, c.pod)
			}
			observer := newObserverWith(c.funcs, objects...)
			observer.PodName = "op-1"
			got := observer.operatorReplicas(t.Context(), observer.API)
			if (got.Unreadable == "") != (c.says == "") || !strings.Contains(got.Unreadable, c.says) {
				t.Errorf("%+v, want it unreadable with %q", got, c.says)
			}
		})
	}
}
