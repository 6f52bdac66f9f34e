package execute

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	operatorv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/remediation"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func remedyOf(kind, namespace, name, original, intended string) v1alpha1.RemedyRecord {
	return v1alpha1.RemedyRecord{
		ID: "remedy-1", Action: v1alpha1.Relocate, Node: "worker-1", Kind: kind, Namespace: namespace, Name: name,
		UID:           "uid-" + name,
		OriginalValue: original, IntendedValue: intended, DecidedAt: metav1.NewTime(minicluster.StartTime),
		Deadline: metav1.NewTime(minicluster.StartTime.Add(5 * time.Minute)),
		State:    v1alpha1.RemedyIntended,
	}
}

var (
	cordonOf = remedyOf("Node", "", "worker-0", rollout.Schedulable, rollout.Cordoned)
	scaleOf  = remedyOf("Deployment", "shop", "cart", "3", "5")
	podOf    = remedyOf("Pod", "shop", "cart-x", "", "")
	trustOf  = remedyOf("ConfigMap", "openshift-config", "user-ca", "", "mirror.local..5000")
)

// newRemedySetup is a cluster with one object of each kind that remedies change.
func newRemedySetup(t *testing.T, changes ...func(objects []client.Object)) *setup {
	t.Helper()
	objects := minicluster.Objects("worker-0", "worker-1")
	shop := minicluster.Rollout("shop")
	shop.Spec.Mirroring.CABundle.Name = "our-ca"
	three := int32(3)
	objects = append(objects, shop,
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", UID: "uid-cart"},
			Spec: appsv1.DeploymentSpec{Replicas: &three}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart-x", UID: "uid-cart-x",
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "cart-1", UID: "uid-cart-1",
					Controller: &[]bool{true}[0]},
			}}, Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "cart", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}},
		}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "openshift-config", Name: "user-ca",
			UID: "uid-user-ca"}, Data: map[string]string{"other.local": "pem"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "safe-mirror-operator", Name: "our-ca"},
			Data: map[string]string{"ca-bundle.crt": someCA}},
	)
	minicluster.Edit(objects, "worker-0", func(n *corev1.Node) { n.UID = "uid-worker-0" })
	for _, o := range objects {
		// The API server notes who writes what of objects of which it has done so from the
		// beginning.
		o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "somebody",
			Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1",
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{}}}`)}})
	}
	for _, change := range changes {
		change(objects)
	}
	return newSetup(t, objects...)
}

func read[T client.Object](s *setup, o T, namespace, name string) T {
	s.t.Helper()
	if err := s.Client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
		s.t.Fatal(err)
	}
	return o
}

// run carries the action out as the executor does after it has decided once more.
func (s *setup) run(a rollout.Action) error {
	s.t.Helper()
	obs := s.observe()
	return s.remediate(context.Background(), obs, a)
}

// editNamespaced is a person with kubectl.
func editNamespaced[T client.Object](s *setup, o T, namespace, name string, edit func(T)) {
	s.t.Helper()
	read(s, o, namespace, name)
	edit(o)
	if err := s.Client.Update(context.Background(), o, client.FieldOwner("kubectl-edit")); err != nil {
		s.t.Fatal(err)
	}
}

func TestCordonAndUncordon(t *testing.T) {
	s := newRemedySetup(t)
	for range 2 { // twice is as if once (I8)
		if err := s.run(rollout.Cordon{Remedy: cordonOf}); err != nil {
			t.Fatal(err)
		}
	}
	n := read(s, &corev1.Node{}, "", "worker-0")
	note, ok := remediation.ReadNote(n)
	if !n.Spec.Unschedulable || !ok {
		t.Fatalf("unschedulable %v, note %v", n.Spec.Unschedulable, n.Annotations[remediation.Annotation])
	}
	want := remediation.Note{
		Rollout: "shop", Why: "Relocate by safe-mirror-operator, because the drain of node worker-1 does not progress",
		Until: "2026-03-01T12:05:00Z",
		Undo:  "oc adm uncordon worker-0 && oc annotate node worker-0 safemirror.io/remedy-", Remedy: cordonOf,
	}
	want.Remedy.State = v1alpha1.RemedyTaken
	if diff := cmp.Diff(want, note); diff != "" {
		t.Errorf("note (-want +got):\n%s", diff)
	}
	for range 2 {
		if err := s.run(rollout.Uncordon{Remedy: cordonOf}); err != nil {
			t.Fatal(err)
		}
	}
	n = read(s, &corev1.Node{}, "", "worker-0")
	if _, noted := remediation.ReadNote(n); n.Spec.Unschedulable || noted {
		t.Errorf("unschedulable %v, noted %v after the end", n.Spec.Unschedulable, noted)
	}
}

// What somebody else has made of the node meanwhile stays; only our note goes.
func TestForeignCordonStays(t *testing.T) {
	cases := map[string]struct {
		edit    func(n *corev1.Node)
		want    bool
		noWrite bool
	}{
		"uncordoned":              {func(n *corev1.Node) { n.Spec.Unschedulable = false }, false, false},
		"the note was taken off":  {func(n *corev1.Node) { delete(n.Annotations, remediation.Annotation) }, true, true},
		"its configuration moves": {func(n *corev1.Node) { n.Annotations[minicluster.DesiredConfig] = "rendered-worker-2" }, true, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newRemedySetup(t)
			if err := s.run(rollout.Cordon{Remedy: cordonOf}); err != nil {
				t.Fatal(err)
			}
			editNamespaced(s, &corev1.Node{}, "", "worker-0", c.edit)
			if err := s.run(rollout.Uncordon{Remedy: cordonOf}); err != nil {
				t.Fatal(err)
			}
			n := read(s, &corev1.Node{}, "", "worker-0")
			if _, noted := remediation.ReadNote(n); n.Spec.Unschedulable != c.want || noted ||
				(len(*s.writes) == 0) != c.noWrite {
				t.Errorf("unschedulable %v, noted %v, writes %v", n.Spec.Unschedulable, noted, *s.writes)
			}
		})
	}
}

// An admin who uncordons and cordons again has the last word.
func TestRenewedCordonStays(t *testing.T) {
	s := newRemedySetup(t)
	if err := s.run(rollout.Cordon{Remedy: cordonOf}); err != nil {
		t.Fatal(err)
	}
	for _, cordoned := range []bool{false, true} {
		editNamespaced(s, &corev1.Node{}, "", "worker-0", func(n *corev1.Node) { n.Spec.Unschedulable = cordoned })
	}
	if err := s.run(rollout.Uncordon{Remedy: cordonOf}); err != nil {
		t.Fatal(err)
	}
	if n := read(s, &corev1.Node{}, "", "worker-0"); !n.Spec.Unschedulable {
		t.Error("a cordon that somebody else has renewed was taken off")
	}
}

// What has changed since it was decided is not changed by us.
func TestOutdatedRemedies(t *testing.T) {
	ran := func(s *corev1.ContainerStatus) { s.RestartCount = 1 }
	cases := map[string]struct {
		action rollout.Action
		change func(objects []client.Object)
		why    string
	}{
		"a cordoned node": {rollout.Cordon{Remedy: cordonOf}, func(o []client.Object) {
			minicluster.Edit(o, "worker-0", func(n *corev1.Node) { n.Spec.Unschedulable = true })
		}, `node worker-0 has "cordoned"`},
		"another node": {rollout.Cordon{Remedy: cordonOf},
			func(o []client.Object) { minicluster.Edit(o, "worker-0", func(n *corev1.Node) { n.UID = "uid-new" }) },
			"is gone"},
		"other replicas": {rollout.ScaleUp{Remedy: scaleOf}, func(o []client.Object) {
			minicluster.Edit(o, "cart", func(d *appsv1.Deployment) { *d.Spec.Replicas = 4 })
		}, `Deployment cart has "4"`},
		"a pod that runs": {rollout.DeletePod{Remedy: podOf}, func(o []client.Object) {
			minicluster.Edit(o, "cart-x", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
		}, "a container of pod shop/cart-x has run"},
		"a pod of which one container runs": {rollout.DeletePod{Remedy: podOf}, func(o []client.Object) {
			minicluster.Edit(o, "cart-x", func(p *corev1.Pod) {
				p.Status.ContainerStatuses = append(p.Status.ContainerStatuses,
					corev1.ContainerStatus{Name: "side",
						State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
			})
		}, "has run"},
		"a pod that has run": {rollout.DeletePod{Remedy: podOf}, func(o []client.Object) {
			minicluster.Edit(o, "cart-x", func(p *corev1.Pod) { ran(&p.Status.ContainerStatuses[0]) })
		}, "has run"},
		"a pod of nobody": {rollout.DeletePod{Remedy: podOf}, func(o []client.Object) {
			minicluster.Edit(o, "cart-x", func(p *corev1.Pod) { p.OwnerReferences = nil })
		}, "no controller"},
		"no bundle": {rollout.AddTrustedCA{Remedy: trustOf}, func(o []client.Object) {
			minicluster.Edit(o, "our-ca", func(c *corev1.ConfigMap) { c.Data = nil })
		}, "has no PEM certificate"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newRemedySetup(t, c.change)
			err := s.run(c.action)
			var refused *Refused
			if !errors.As(err, &refused) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.why)) {
				t.Errorf("error %v, want it to be refused because %q", err, c.why)
			}
			if len(*s.writes) > 0 {
				t.Errorf("wrote %v", *s.writes)
			}
		})
	}
}

func TestDeletePod(t *testing.T) {
	s := newRemedySetup(t)
	for range 2 {
		if err := s.run(rollout.DeletePod{Remedy: podOf}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Namespace: "shop", Name: "cart-x"},
		&corev1.Pod{}); !apierrors.IsNotFound(err) {
		t.Errorf("the pod is there: %v", err)
	}
	// One of the same name that came after it is another.
	other := newRemedySetup(t, func(o []client.Object) {
		minicluster.Edit(o, "cart-x",
			func(p *corev1.Pod) { p.UID = "uid-new" })
	})
	if err := other.run(rollout.DeletePod{Remedy: podOf}); err != nil || len(*other.writes) > 0 {
		t.Errorf("error %v, writes %v", err, *other.writes)
	}
}

// The deletion names the pod as it was read: should a container start in between, the API server
// refuses.
func TestDeletionPreconditions(t *testing.T) {
	s := newRemedySetup(t)
	var got *metav1.Preconditions
	funcs := s.recording()
	funcs.Delete = func(_ context.Context, _ client.WithWatch, _ client.Object, opts ...client.DeleteOption) error {
		got = new(client.DeleteOptions).ApplyOptions(opts).Preconditions
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "cart-x",
			errors.New("the UID in the precondition does not match"))
	}
	s.Client = interceptor.NewClient(s.Client.(client.WithWatch), funcs)
	err := s.deletePod(context.Background(), rollout.DeletePod{Remedy: podOf})
	if !apierrors.IsConflict(err) {
		t.Errorf("error %v, want the conflict", err)
	}
	if got == nil || got.UID == nil || *got.UID != "uid-cart-x" || got.ResourceVersion == nil ||
		*got.ResourceVersion == "" {
		t.Errorf("preconditions %+v", got)
	}
}

func TestAddTrust(t *testing.T) {
	s := newRemedySetup(t)
	for range 2 {
		if err := s.run(rollout.AddTrustedCA{Remedy: trustOf}); err != nil {
			t.Fatal(err)
		}
	}
	c := read(s, &corev1.ConfigMap{}, "openshift-config", "user-ca")
	if diff := cmp.Diff(map[string]string{"other.local": "pem", "mirror.local..5000": someCA}, c.Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	note, _ := remediation.ReadNote(c)
	if want := `kept on purpose; without it: oc patch configmap user-ca -n openshift-config --type=merge -p '{"data":{"mirror.local..5000":null}}'`; !strings.HasPrefix(note.Undo, want) {
		t.Errorf("undo is %q", note.Undo)
	}
}

func TestScaleUpAndRestore(t *testing.T) {
	s := newRemedySetup(t)
	for range 2 {
		if err := s.run(rollout.ScaleUp{Remedy: scaleOf}); err != nil {
			t.Fatal(err)
		}
	}
	d := read(s, &appsv1.Deployment{}, "shop", "cart")
	note, _ := remediation.ReadNote(d)
	if *d.Spec.Replicas != 5 || note.Undo != "oc scale deployment cart -n shop --replicas=3 && oc annotate deployment cart -n shop safemirror.io/remedy-" {
		t.Fatalf("%d replicas, undo %q", *d.Spec.Replicas, note.Undo)
	}
	for range 2 {
		if err := s.run(rollout.ScaleDown{Remedy: scaleOf}); err != nil {
			t.Fatal(err)
		}
	}
	d = read(s, &appsv1.Deployment{}, "shop", "cart")
	if _, noted := remediation.ReadNote(d); *d.Spec.Replicas != 3 || noted {
		t.Errorf("%d replicas, noted %v", *d.Spec.Replicas, noted)
	}
}

// The process dies after each write of a scale-up; whatever was done is finished, or taken back.
func TestInterruptedScaleUp(t *testing.T) {
	for at := range 2 {
		for name, next := range map[string]rollout.Action{"finished": rollout.ScaleUp{Remedy: scaleOf},
			"taken back": rollout.ScaleDown{Remedy: scaleOf}} {
			t.Run(name, func(t *testing.T) {
				s := newRemedySetup(t)
				working := s.Client
				writes := 0
				refuse := func() error {
					if writes++; writes > at {
						return errDown
					}
					return nil
				}
				s.Client = interceptor.NewClient(working.(client.WithWatch), interceptor.Funcs{
					Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch,
						opts ...client.PatchOption) error {
						if err := refuse(); err != nil {
							return err
						}
						return c.Patch(ctx, o, p, opts...)
					},
					SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object,
						p client.Patch, opts ...client.SubResourcePatchOption) error {
						if err := refuse(); err != nil {
							return err
						}
						return c.SubResource(sub).Patch(ctx, o, p, opts...)
					},
				})
				if err := s.run(rollout.ScaleUp{Remedy: scaleOf}); !errors.Is(err, errDown) {
					t.Fatalf("error %v", err)
				}
				s.Client = working
				if err := s.run(next); err != nil {
					t.Fatal(err)
				}
				want := int32(5)
				if name == "taken back" {
					want = 3
				}
				if d := read(s, &appsv1.Deployment{}, "shop", "cart"); *d.Spec.Replicas != want {
					t.Errorf("%d replicas, want %d", *d.Spec.Replicas, want)
				}
			})
		}
	}
}

// A number that somebody else has set since stays, and one that a pipeline sets is not touched.
func TestForeignReplicas(t *testing.T) {
	s := newRemedySetup(t)
	if err := s.run(rollout.ScaleUp{Remedy: scaleOf}); err != nil {
		t.Fatal(err)
	}
	editNamespaced(s, &appsv1.Deployment{}, "shop", "cart", func(d *appsv1.Deployment) { *d.Spec.Replicas = 7 })
	if err := s.run(rollout.ScaleDown{Remedy: scaleOf}); err != nil {
		t.Fatal(err)
	}
	d := read(s, &appsv1.Deployment{}, "shop", "cart")
	if _, noted := remediation.ReadNote(d); *d.Spec.Replicas != 7 || noted {
		t.Errorf("%d replicas, noted %v", *d.Spec.Replicas, noted)
	}

	s = newRemedySetup(t)
	for _, n := range []int32{4, 3} {
		d := read(s, &appsv1.Deployment{}, "shop", "cart")
		*d.Spec.Replicas = n
		if err := s.Client.Update(context.Background(), d, client.FieldOwner("argocd-controller")); err != nil {
			t.Fatal(err)
		}
	}
	err := s.run(rollout.ScaleUp{Remedy: scaleOf})
	var refused *Refused
	if !errors.As(err, &refused) || !strings.Contains(refused.Why, "argocd-controller") {
		t.Errorf("error %v, want it to be refused because of argocd-controller", err)
	}
}

// Of an IngressController the number is changed through its scale, too.
func TestScaleIngress(t *testing.T) {
	r := remedyOf("IngressController", "openshift-ingress-operator", "default", "3", "5")
	three := int32(3)
	s := newRemedySetup(t)
	ic := &operatorv1.IngressController{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name,
		UID: "uid-default"}, Spec: operatorv1.IngressControllerSpec{Replicas: &three}}
	if err := s.Client.Create(context.Background(), ic); err != nil {
		t.Fatal(err)
	}
	var through, body string
	s.Client = interceptor.NewClient(s.Client.(client.WithWatch), interceptor.Funcs{
		SubResourcePatch: func(_ context.Context, _ client.Client, sub string, o client.Object, p client.Patch,
			opts ...client.SubResourcePatchOption) error {
			data, err := p.Data(o)
			through, body = sub+" by "+new(client.SubResourcePatchOptions).ApplyOptions(opts).FieldManager, string(data)
			return err
		},
	})
	if err := s.run(rollout.ScaleUp{Remedy: r}); err != nil {
		t.Fatal(err)
	}
	if through != "scale by "+pool.FieldManager || !strings.Contains(body, `"replicas":5`) ||
		!strings.Contains(body, `"resourceVersion"`) {
		t.Errorf("patched %s: %s", through, body)
	}
}

// someCA is the certificate of a test server.
var someCA = func() string {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}()
