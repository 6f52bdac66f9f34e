package controllers

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// invalid is the API server's answer to a status with the blocker at this place, as long as it is
// there.
func invalid(blockers *int) func(client.Object) error {
	return func(o client.Object) error {
		r, ok := o.(*v1alpha1.SafeMirrorRollout)
		if !ok || len(r.Status.Blockers) == 0 {
			return nil
		}
		*blockers++
		path := field.NewPath("status").Child("blockers").Index(0).Child("message")
		return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("SafeMirrorRollout").GroupKind(), o.GetName(),
			field.ErrorList{
				field.TooLong(path, "", 1024),
			})
	}
}

// What the API server refuses of a status is left out, the rest is written, and a condition says
// so. The next turn writes nothing new.
func TestWhatIsRefusedOfAStatusIsLeftOut(t *testing.T) {
	refused := 0
	patches := &patchCounter{refuse: invalid(&refused)}
	c := minicluster.Client(patches.funcs(), pausedByUser()...)
	r, _ := reconciler(c, (&clock{minicluster.StartTime}).Now)
	var versions []string
	for range 3 {
		if _, err := r.Reconcile(context.Background(), request("shop")); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, getRollout(t, c).ResourceVersion)
	}
	got := getRollout(t, c)
	condition := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionStatusIncomplete)
	if condition == nil || !strings.Contains(condition.Message, "status.blockers[0].message") ||
		condition.Reason != string(v1alpha1.ReasonFieldsRefused) {
		t.Errorf("condition %+v", condition)
	}
	if len(got.Status.Blockers) != 0 || !meta.IsStatusConditionTrue(got.Status.Conditions, v1alpha1.ConditionStalled) ||
		refused == 0 {
		t.Errorf("%d refusals, status %+v", refused, got.Status)
	}
	if versions[1] != versions[2] {
		t.Errorf("versions %v: a status of which the same is refused is written again and again", versions)
	}
	patches.refuse = nil
	if _, err := r.Reconcile(context.Background(), request("shop")); err != nil {
		t.Fatal(err)
	}
	got = getRollout(t, c)
	if len(got.Status.Blockers) == 0 ||
		meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionStatusIncomplete) != nil {
		t.Errorf("once nothing is refused: %+v", got.Status)
	}
}

// A refusal that names no field of the status is an error like any other.
func TestARefusalOfSomethingElseIsAnError(t *testing.T) {
	patches := &patchCounter{refuse: func(o client.Object) error {
		return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("SafeMirrorRollout").GroupKind(), o.GetName(),
			field.ErrorList{
				field.Required(field.NewPath("spec"), ""),
			})
	}}
	r, _ := reconciler(minicluster.Client(patches.funcs(), pausedByUser()...), (&clock{minicluster.StartTime}).Now)
	if _, err := r.Reconcile(context.Background(), request("shop")); !apierrors.IsInvalid(err) {
		t.Errorf("error %v", err)
	}
}
