package remediation

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	operatorv1 "github.com/openshift/api/operator/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// NewObject is an empty object of the remedy's kind; nil when it is about no object of the cluster.
func NewObject(r v1alpha1.RemedyRecord) client.Object {
	switch r.Kind {
	case "Pod":
		return &corev1.Pod{}
	case "Node":
		return &corev1.Node{}
	case "ConfigMap":
		return &corev1.ConfigMap{}
	case "IngressController":
		return &operatorv1.IngressController{}
	case "Deployment":
		return &appsv1.Deployment{}
	}
	return nil
}

// ReadObject reads the object of the remedy and compares. An object that was deleted and created
// again under the same name is not the one.
func ReadObject(ctx context.Context, reader client.Reader, r v1alpha1.RemedyRecord) (client.Object,
	rollout.RemedyObject, error) {
	c := rollout.RemedyObject{ID: r.ID}
	o := NewObject(r)
	if o == nil {
		return nil, c, fmt.Errorf("remedy %s is about a %s, which is no object of the cluster", r.ID, r.Kind)
	}
	switch err := reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name}, o); {
	case apierrors.IsNotFound(err):
		c.Gone = true
		return o, c, nil
	case err != nil:
		return o, c, fmt.Errorf("reading %s %s: %w", r.Kind, r.Name, err)
	}
	if r.UID != "" && string(o.GetUID()) != r.UID {
		c.Gone = true
		return o, c, nil
	}
	note, noted := ReadNote(o)
	c.HasNote = noted && note.Remedy.ID == r.ID
	c.Value = CurrentValue(o, r)
	manager := LastManager(o, fieldKey(r))
	// an object that tells of no writers has the note at least
	c.Ours = c.HasNote && (manager == pool.FieldManager || manager == "")
	return o, c, nil
}

// CurrentValue is what the object has, in the form of the record.
func CurrentValue(o client.Object, r v1alpha1.RemedyRecord) string {
	switch o := o.(type) {
	case *corev1.Node:
		if o.Spec.Unschedulable {
			return rollout.Cordoned
		}
		return rollout.Schedulable
	case *corev1.ConfigMap:
		if _, there := o.Data[r.IntendedValue]; there {
			return r.IntendedValue
		}
	case *operatorv1.IngressController:
		return replicas(o.Spec.Replicas)
	case *appsv1.Deployment:
		return replicas(o.Spec.Replicas)
	}
	return ""
}

func replicas(n *int32) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// fieldKey is the one that the remedy writes, as managed fields spell it.
func fieldKey(r v1alpha1.RemedyRecord) string {
	switch r.Kind {
	case "Node":
		return "f:unschedulable"
	case "ConfigMap":
		return "f:" + r.IntendedValue
	}
	return "f:replicas"
}

// LastManager names the manager that last wrote the field of the object's spec; empty when the
// object does not tell.
func LastManager(o client.Object, name string) string {
	var newest metav1.ManagedFieldsEntry
	for _, f := range ManagersOf(o, name) {
		if newest.Manager == "" || (f.Time != nil && newest.Time != nil && newest.Time.Before(f.Time)) {
			newest = f
		}
	}
	return newest.Manager
}

// ManagersOf are those who own the field, the status aside.
func ManagersOf(o client.Object, name string) []metav1.ManagedFieldsEntry {
	var out []metav1.ManagedFieldsEntry
	for _, f := range o.GetManagedFields() {
		if f.FieldsV1 != nil && f.Subresource != "status" &&
			strings.Contains(f.FieldsV1.GetRawString(), strconv.Quote(name)) {
			out = append(out, f)
		}
	}
	return out
}

// reconcilingManagers are parts of the names of managers that write a number of replicas again and
// again.
var reconcilingManagers = []string{"argocd", "argo-cd", "flux", "kustomize-controller", "helm-controller", "keda",
	"autoscaler", "kube-controller-manager"}

// ReplicasManager names the manager that would fight for the number of replicas: a pipeline that
// applies it, or an autoscaler. Empty when there is none.
func ReplicasManager(o client.Object) string {
	for _, f := range ManagersOf(o, "f:replicas") {
		if f.Manager == pool.FieldManager {
			continue
		}
		if f.Operation == metav1.ManagedFieldsOperationApply {
			return f.Manager
		}
		for _, part := range reconcilingManagers {
			if strings.Contains(strings.ToLower(f.Manager), part) {
				return f.Manager
			}
		}
	}
	return ""
}

// NodeUpdating tells whether the node is on its way to another configuration.
func NodeUpdating(o client.Object) bool {
	n, ok := o.(*corev1.Node)
	if !ok {
		return false
	}
	a := n.Annotations
	return a["machineconfiguration.openshift.io/currentConfig"] != a["machineconfiguration.openshift.io/desiredConfig"] ||
		a["machineconfiguration.openshift.io/state"] != "Done"
}
