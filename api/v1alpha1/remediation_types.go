package v1alpha1

// RemediationSpec says what the operator may do by itself about a drain that does not progress. It
// never touches a PodDisruptionBudget, never deletes a pod of which a container has started, and
// never lets a node take its configuration undrained.
type RemediationSpec struct {
	// actions switches single remedies on or off; docs/remediation.md tells for each what it needs,
	// what it disturbs and how it is undone. They are tried from the least disturbing on, one at a
	// time, each once for a drain, and everything that one has changed is put back when the drain
	// is over, when its time is up, and in every end of the rollout, except where somebody else has
	// changed it since. When omitted, or for an action that is not in the list, MirrorMissingImages
	// and RestartFailingPods are Enabled and the others Disabled.
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
//   - MirrorMissingImages proves what the waiting pods cannot pull once more and at once, and
//     copies what is missing. It writes to the mirrors only, as the rollout does anyway; nothing is
//     undone. With spec.mirroring.mode VerifyOnly it only proves.
//   - RestartFailingPods deletes pods none of whose containers has ever started, once their images
//     were proven after they failed, so that the back-off of up to five minutes is not waited for.
//     Their owner replaces them, maybe on another node; nothing is undone.
//   - TrustMirrorCA adds the certificates of spec.mirroring.caBundle for a mirror whose certificate
//     nodes do not trust, as one more key of the ConfigMap that image.config.openshift.io/cluster
//     names already. All nodes trust them from then on, without a drain. The key is kept, because
//     what was pulled by it has to be pullable again; its annotation says how to take it away.
//   - Relocate cordons the updated node on which a pod cannot start and deletes the waiting pod, so
//     that it starts on another node. The cordon keeps new pods, and the next release, waiting; it
//     is taken off when the drain is over, at the latest after five minutes.
//   - ScaleIngress gives an IngressController more replicas when its PodDisruptionBudget allows an
//     eviction then, and its earlier number when the drain is over. A load balancer may have to
//     know the nodes of the new replicas.
//   - ScaleDeployments does the same to any other Deployment whose budget is a percentage or a
//     minimum.
//   - RaiseMaxUnavailable gives the pool of a stuck node room for one more, so that a configuration
//     that was corrected since reaches the nodes whose pods the stuck one waits for. Two nodes of
//     the pool are out meanwhile.
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
		MirrorMissingImages, RestartFailingPods, TrustMirrorCA, Relocate, ScaleIngress, ScaleDeployments,
		RaiseMaxUnavailable,
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
