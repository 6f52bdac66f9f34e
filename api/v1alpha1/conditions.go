package v1alpha1

// Condition types. Ready, Reconciling and Stalled are the summary that kstatus, kubectl wait and
// Argo CD read; of Reconciling and Stalled at most one is True. Each other condition is about one
// step, and True once that is done.
const (
	// ConditionReady is True when the mirror sets are on every node and every pool has its earlier
	// values.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the rollout makes progress or waits for something that is
	// expected to pass.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when the rollout cannot continue until a person changes something.
	ConditionStalled = "Stalled"
	// ConditionPreflightPassed is True when nothing about the cluster or the spec forbids the
	// rollout.
	ConditionPreflightPassed = "PreflightPassed"
	// ConditionPlanned is True when every reference is either unaffected, or can be made pullable,
	// or is accepted as lost.
	ConditionPlanned = "Planned"
	// ConditionImagesVerified is True when every changed reference is proven pullable under the
	// planned configuration.
	ConditionImagesVerified = "ImagesVerified"
	// ConditionNodePullsVerified is True when nodes of each kind have pulled from the mirrors, or
	// need not.
	ConditionNodePullsVerified = "NodePullsVerified"
	// ConditionPoolsPaused is True once every pool was paused before the mirror sets changed; it
	// stays True to the end.
	ConditionPoolsPaused = "PoolsPaused"
	// ConditionMirrorSetsApplied is True when the mirror sets exist as declared and every pool's
	// rendered configuration means what was planned.
	ConditionMirrorSetsApplied = "MirrorSetsApplied"
	// ConditionPauseLimitExceeded is True when the pools have been paused for longer than
	// spec.release.maxPauseSeconds. It is absent otherwise.
	ConditionPauseLimitExceeded = "PauseLimitExceeded"
	// ConditionStatusIncomplete is True when the API server refused parts of the status, which are
	// left out of it. It is absent otherwise.
	ConditionStatusIncomplete = "StatusIncomplete"
	// ConditionNodesUpdated is True when every node of every pool runs the planned configuration.
	ConditionNodesUpdated = "NodesUpdated"
)

// ConditionReason is the reason of a condition. A condition holds it as a string.
type ConditionReason string

// Reasons of conditions. Each is one word that stays the same; the message beside it carries names
// and numbers.
const (
	// ReasonComplete surfaces when the rollout has ended well.
	ReasonComplete ConditionReason = "Complete"
	// ReasonProgressing surfaces while a step is being taken.
	ReasonProgressing ConditionReason = "Progressing"
	// ReasonWaiting surfaces while something named in status.blockers holds the rollout and is
	// expected to pass.
	ReasonWaiting ConditionReason = "Waiting"
	// ReasonHeld surfaces while spec.state is Held.
	ReasonHeld ConditionReason = "Held"
	// ReasonPending surfaces on the condition of a step that has not been reached.
	ReasonPending ConditionReason = "Pending"
	// ReasonDone surfaces on the condition of a step that is satisfied.
	ReasonDone ConditionReason = "Done"
	// ReasonUnsupportedTopology surfaces where no Machine Config Operator updates nodes:
	// HyperShift, MicroShift, plain Kubernetes.
	ReasonUnsupportedTopology ConditionReason = "UnsupportedTopology"
	// ReasonInvalidMirrorSets surfaces when the mirror sets of the cluster and this spec together
	// are not valid.
	ReasonInvalidMirrorSets ConditionReason = "InvalidMirrorSets"
	// ReasonManagedElsewhere surfaces when a mirror set of this name exists and is not this
	// rollout's.
	ReasonManagedElsewhere ConditionReason = "ManagedElsewhere"
	// ReasonPoolNotFound surfaces when spec.release.stages names a pool that does not exist.
	ReasonPoolNotFound ConditionReason = "PoolNotFound"
	// ReasonPoolNotReady surfaces when a pool is degraded, layered, updating or paused by another
	// client.
	ReasonPoolNotReady ConditionReason = "PoolNotReady"
	// ReasonUpgrading surfaces while the cluster is being upgraded.
	ReasonUpgrading ConditionReason = "Upgrading"
	// ReasonImagesLost surfaces when references would not be pullable any more.
	ReasonImagesLost ConditionReason = "ImagesLost"
	// ReasonMirrorUnreachable surfaces when a mirror does not answer, or refuses what the operator
	// must do there.
	ReasonMirrorUnreachable ConditionReason = "MirrorUnreachable"
	// ReasonImagesFailed surfaces when images could not be copied or proven.
	ReasonImagesFailed ConditionReason = "ImagesFailed"
	// ReasonNodesCannotPull surfaces when a node could not pull from a mirror, whatever the
	// operator itself can.
	ReasonNodesCannotPull ConditionReason = "NodesCannotPull"
	// ReasonTagsDrifted surfaces when tags have moved at their source since the running pods pulled
	// them.
	ReasonTagsDrifted ConditionReason = "TagsDrifted"
	// ReasonApprovalRequired surfaces while a gate waits for a request that approves it.
	ReasonApprovalRequired ConditionReason = "ApprovalRequired"
	// ReasonOutsideWindow surfaces outside the maintenance windows of the spec.
	ReasonOutsideWindow ConditionReason = "OutsideWindow"
	// ReasonSoaking surfaces while a stage is watched before the next begins.
	ReasonSoaking ConditionReason = "Soaking"
	// ReasonReloadImpossible surfaces when spec.release.disruption is Reload and the nodes would be
	// drained all the same.
	ReasonReloadImpossible ConditionReason = "ReloadImpossible"
	// ReasonInvalidSpec surfaces when a field of the spec cannot be meant.
	ReasonInvalidSpec ConditionReason = "InvalidSpec"
	// ReasonAborted surfaces when the user has stopped the rollout and nodes have the new
	// configuration already.
	ReasonAborted ConditionReason = "Aborted"
	// ReasonRollingBack surfaces while the cluster is brought back to the mirror sets before the
	// rollout.
	ReasonRollingBack ConditionReason = "RollingBack"
	// ReasonRolledBack surfaces when every node has the mirror sets before the rollout again.
	ReasonRolledBack ConditionReason = "RolledBack"
	// ReasonDrainTimedOut surfaces when a node is updating for longer than
	// spec.release.drainTimeoutSeconds.
	ReasonDrainTimedOut ConditionReason = "DrainTimedOut"
	// ReasonDrainBlocked surfaces when a drain does not progress and no remedy is left that the
	// user lets the operator try.
	ReasonDrainBlocked ConditionReason = "DrainBlocked"
	// ReasonSecretInvalid surfaces when a Secret that the spec names is missing or is not a docker
	// configuration.
	ReasonSecretInvalid ConditionReason = "SecretInvalid"
	// ReasonOtherRollout surfaces while another SafeMirrorRollout is in progress.
	ReasonOtherRollout ConditionReason = "OtherRollout"
	// ReasonPauseConflict surfaces when another client keeps unpausing a pool.
	ReasonPauseConflict ConditionReason = "PauseConflict"
	// ReasonDrifted surfaces when, after the end, a mirror set is no longer what the rollout
	// applied.
	ReasonDrifted ConditionReason = "Drifted"
	// ReasonDrainForecast surfaces while a node that may be next could not be drained, or it is
	// unknown whether it could.
	ReasonDrainForecast ConditionReason = "DrainForecast"
	// ReasonFieldsRefused surfaces on StatusIncomplete: the API server refused fields of the
	// status.
	ReasonFieldsRefused ConditionReason = "FieldsRefused"
	// ReasonRollbackImpossible surfaces when the ControllerRevision with the earlier mirror sets is
	// missing, or holds something else.
	ReasonRollbackImpossible ConditionReason = "RollbackImpossible"
	// ReasonUnreadable surfaces when something could not be read; nothing is disrupted meanwhile.
	ReasonUnreadable ConditionReason = "Unreadable"
)
