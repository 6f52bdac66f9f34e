package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RemediationSpec says what the operator may do by itself about a drain that does not progress. It never touches a PodDisruptionBudget,
// never deletes a pod of which a container has run, and never lets a node take its configuration undrained.
type RemediationSpec struct {
	// actions switches single remedies on or off; docs/remediation.md tells for each what it needs, what it disturbs and how it is
	// undone. They are tried from the least disturbing on, one at a time, each once for a drain, and everything that one has changed is put
	// back when the drain is over, when its time is up, and in every end of the rollout, except where somebody else has changed it since.
	// When omitted, or for an action that is not in the list, MirrorMissingImages and RestartFailingPods are Enabled and the others Disabled.
	// +optional
	// +listType=map
	// +listMapKey=action
	// +kubebuilder:validation:MaxItems=7
	Actions []RemedySwitch `json:"actions,omitempty"`
}

// RemedySwitch switches one remedy on or off.
type RemedySwitch struct {
	// action is the remedy that is switched.
	// +required
	Action RemedyAction `json:"action,omitempty"`
	// mode is Enabled or Disabled.
	// +required
	Mode Switch `json:"mode,omitempty"`
}

// RemedyAction is something that the operator may do about a drain that does not progress.
//
//   - MirrorMissingImages proves what the waiting pods cannot pull once more and at once, and copies what is missing. It writes to the mirrors
//     only, as the rollout does anyway; nothing is undone. With spec.mirroring.mode VerifyOnly it only proves.
//   - RestartFailingPods deletes pods none of whose containers has ever run, once their images were proven after they failed, so that the
//     back-off of up to five minutes is not waited for. Their owner replaces them, maybe on another node; nothing is undone.
//   - TrustMirrorCA adds the certificates of spec.mirroring.caBundle for a mirror whose certificate nodes do not trust, as one more key of the
//     ConfigMap that image.config.openshift.io/cluster names already. All nodes trust them from then on, without a drain. The key is kept,
//     because what was pulled by it has to be pullable again; its annotation says how to take it away.
//   - Relocate cordons the updated node on which a pod cannot start and deletes the waiting pod, so that it starts on another node. The
//     cordon keeps new pods, and the next release, waiting; it is taken off when the drain is over, at the latest after five minutes.
//   - ScaleIngress gives an IngressController more replicas when its PodDisruptionBudget allows an eviction then, and its earlier number
//     when the drain is over. A load balancer may have to know the nodes of the new replicas.
//   - ScaleDeployments does the same to any other Deployment whose budget is a percentage or a minimum.
//   - RaiseMaxUnavailable gives the pool of a stuck node room for one more, so that a configuration that was corrected since reaches the
//     nodes whose pods the stuck one waits for. Two nodes of the pool are out meanwhile.
//
// +kubebuilder:validation:Enum=MirrorMissingImages;RestartFailingPods;TrustMirrorCA;Relocate;ScaleIngress;ScaleDeployments;RaiseMaxUnavailable
type RemedyAction string

// The remedies, from the least disturbing on.
const (
	MirrorMissingImages RemedyAction = "MirrorMissingImages"
	RestartFailingPods  RemedyAction = "RestartFailingPods"
	TrustMirrorCA       RemedyAction = "TrustMirrorCA"
	Relocate            RemedyAction = "Relocate"
	ScaleIngress        RemedyAction = "ScaleIngress"
	ScaleDeployments    RemedyAction = "ScaleDeployments"
	RaiseMaxUnavailable RemedyAction = "RaiseMaxUnavailable"
)

// RemedyActions are the remedies in the order in which they are tried.
func RemedyActions() []RemedyAction {
	return []RemedyAction{
		MirrorMissingImages, RestartFailingPods, TrustMirrorCA, Relocate, ScaleIngress, ScaleDeployments, RaiseMaxUnavailable,
	}
}

// Enabled tells whether the user lets the operator do this.
func (s RemediationSpec) Enabled(action RemedyAction) bool {
	for _, a := range s.Actions {
		if a.Action == action {
			return a.Mode == Enabled
		}
	}
	return action == MirrorMissingImages || action == RestartFailingPods
}

// RemedyState is how far a remedy is.
// +kubebuilder:validation:Enum=Intended;Taken;Ending;Ended
type RemedyState string

// The states of a remedy, in order.
const (
	RemedyIntended RemedyState = "Intended" // on record, and maybe carried out already
	RemedyTaken    RemedyState = "Taken"    // carried out; its effect is waited for
	RemedyEnding   RemedyState = "Ending"   // no longer wanted; what it has changed is being put back
	RemedyEnded    RemedyState = "Ended"    // nothing of it is left, but what somebody else has made of it
)

// RemedyRecord is one remedy: written before anything is changed, and kept until all of it is undone.
type RemedyRecord struct {
	// id tells it from all others; the note on the object that it changes carries it.
	// +required
	// +kubebuilder:validation:MaxLength=512
	ID string `json:"id"`
	// action says what is done.
	// +required
	Action RemedyAction `json:"action"`
	// node is the one whose drain does not progress.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node"`
	// kind, namespace, name and uid are those of the object that is changed.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Namespace string `json:"namespace,omitempty"`
	// +required
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// original is what it had, intended what it gets: a number of replicas, whether a node is cordoned, a key.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Original string `json:"original,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Intended string `json:"intended,omitempty"`
	// at is when it was decided, deadline when it is given up and undone.
	// +required
	At metav1.Time `json:"at"`
	// +required
	Deadline metav1.Time `json:"deadline"`
	// state is how far it is.
	// +required
	State RemedyState `json:"state"`
	// outcome says why it has ended: Helped, TimedOut, Impossible, Superseded; NotNeeded when what it was for had mended itself before anything
	// was done; ChangedElsewhere when somebody else has changed the object since, which is then left as it is.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Outcome string `json:"outcome,omitempty"`
	// spec identifies the spec for which it was decided.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Spec string `json:"spec,omitempty"`
}

// The outcomes of remedies.
const (
	OutcomeHelped           = "Helped"
	OutcomeTimedOut         = "TimedOut"
	OutcomeImpossible       = "Impossible"
	OutcomeSuperseded       = "Superseded"
	OutcomeNotNeeded        = "NotNeeded"
	OutcomeChangedElsewhere = "ChangedElsewhere"
)
