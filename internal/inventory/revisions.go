package inventory

import (
	"encoding/json"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// revision is the data of a ControllerRevision of a StatefulSet or DaemonSet: a patch that has the
// pod template of that revision.
type revision struct {
	Spec struct {
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

// addControllerRevision adds a template that a StatefulSet or DaemonSet had. The newest is the
// present one, which its owner has named already. Others keep their own data in this kind: KubeVirt
// keeps instance types.
func addControllerRevision(rd *readState, r *appsv1.ControllerRevision) {
	data, err := revisionOf(r)
	if err != nil {
		rd.addMalformed("old revisions", Owner{"ControllerRevision", r.Namespace, r.Name}, err)
		return
	}
	if data != nil {
		rd.addTemplate(&data.Spec.Template,
			Use{Owner: Owner{"ControllerRevision", r.Namespace, r.Name}, Class: Historical})
	}
}

// revisionOf is nil for the data of others.
func revisionOf(r *appsv1.ControllerRevision) (*revision, error) {
	owner := metav1.GetControllerOfNoCopy(r)
	if owner == nil || !slices.Contains([]string{"StatefulSet", "DaemonSet"}, owner.Kind) || len(r.Data.Raw) == 0 {
		return nil, nil
	}
	out := &revision{}
	if err := json.Unmarshal(r.Data.Raw, out); err != nil {
		return nil, err
	}
	return out, nil
}
