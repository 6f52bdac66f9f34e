package inventory

import "k8s.io/apimachinery/pkg/runtime/schema"

var argoRolloutKind = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"}

// addArgoRollout adds the template of a Rollout of Argo. One that takes it from a Deployment
// (workloadRef) has ReplicaSets of its own, which are read.
func addArgoRollout(rd *readState, owner Owner, r *replicatedTemplate) {
	owner.Kind = "Argo " + owner.Kind
	r.add(rd, owner)
}
