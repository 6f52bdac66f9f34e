package v1alpha1

// ReleaseSpec says in which order, when and with which approvals the nodes get the new
// configuration.
type ReleaseSpec struct {
	// stages are gone through in order; a pool may appear more than once, first with a number of
	// canary nodes. Pools that no stage names come after the last stage. When omitted: one node of
	// each pool that is not the control plane, then the control plane (a paused control plane with
	// pending configuration makes the machine-config ClusterOperator Degraded, so that is kept
	// short), then all other nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Stages []ReleaseStage `json:"stages,omitempty"`

	// mechanism is how a node is given the new configuration. PausePulse unpauses its pool until
	// the Machine Config Operator has taken a node, and pauses it again: it uses documented fields
	// alone, and the Machine Config Operator chooses the node. Targeted keeps the pool paused and
	// names the node itself, by the annotation machineconfiguration.openshift.io/desiredConfig:
	// exact, without a moment in which the Machine Config Operator could take another one, and much
	// faster in pools of hundreds of nodes. That annotation is how the parts of the Machine Config
	// Operator talk to each other; it is not an API that is documented for others. When omitted,
	// PausePulse is used.
	// +optional
	Mechanism ReleaseMechanism `json:"mechanism,omitempty"`

	// maxUnavailable is how many nodes of a pool may be taken at the same time, never more than the
	// pool's own maxUnavailable was when the rollout began (a percentage is of the nodes that it
	// has; not set is 1). Nodes that were down or cordoned before are not counted. The next nodes
	// follow when all of them are done and their pods are back. The control plane and its arbiters
	// are always taken one at a time. When omitted, 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	MaxUnavailable *int32 `json:"maxUnavailable,omitempty"`

	// applyApproval is Required when nothing may be paused or applied before a request approves the
	// gate "apply", and, where spec.sourcePolicy is Staged, no source may be blocked before one
	// approves the gate "enforce". When omitted, NotRequired is used.
	// +optional
	ApplyApproval Approval `json:"applyApproval,omitempty"`

	// soakSeconds is how long to watch after a stage before the next begins, where the stage does
	// not say so itself. When omitted, 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	SoakSeconds *int32 `json:"soakSeconds,omitempty"`

	// disruption is Drain or Reload. Drain leaves it to the Machine Config Operator, which drains a
	// node for most changes of mirrors. Reload lets it reload CRI-O and move no pod: once the pools
	// are held, and before the mirror sets are applied, the operator writes a node disruption
	// policy for /etc/containers/registries.conf into MachineConfiguration/cluster, and restores
	// what was there when the last node is updated, however the rollout ends. Images that running
	// pods use stay on the nodes, but a pod that needs one anew meets the new mirrors without
	// having been moved. It needs OpenShift 4.17 or later, and is refused where the cluster has no
	// such policy. When omitted, Drain is used.
	// +optional
	Disruption Disruption `json:"disruption,omitempty"`

	// enforceAfterSeconds is how long to watch after the first pass of a rollout whose
	// spec.sourcePolicy is Staged, before the sources are blocked. When omitted, soakSeconds.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	EnforceAfterSeconds *int32 `json:"enforceAfterSeconds,omitempty"`

	// drainTimeoutSeconds is how long a node may be updating before the rollout is Stalled and says
	// what holds the node. Nothing is forced: the node retries, and the rollout waits for it. When
	// omitted, 3600.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// maxPauseSeconds is how long the pools may be held before the condition PauseLimitExceeded
	// says so: a pool that is paused gets no other change either, rotated certificates among them.
	// When omitted, 86400.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=2592000
	MaxPauseSeconds *int32 `json:"maxPauseSeconds,omitempty"`

	// windows are the times in which pools may be paused, mirror sets applied and nodes released.
	// Outside of them a node that is updating finishes, and copying and verifying go on. When
	// omitted, at any time.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Windows []MaintenanceWindow `json:"windows,omitempty"`

	// forecast is Advisory when a node may be released although its drain is forecast to be
	// refused, or the forecast is unknown: it is then only reported in status.forecast. With
	// Required a release waits until each node that may be next can be drained, and nothing is
	// paused before the first ones can. When omitted, Required is used.
	// +optional
	Forecast ForecastPolicy `json:"forecast,omitempty"`

	// preload is UpdatedNodes when every node that has the new configuration is given the images of
	// the pods that a PodDisruptionBudget protects or that hold a port of their node, as far as
	// such a pod may come to it and its pulls change, before any other node is released: then no
	// pod that a drain moves to such a node waits for a pull. Short-lived pods pull them, as those
	// of spec.mirroring.verification.afterFirstNode do, under the names that the workloads use;
	// what a node has already is not pulled again. At most 40 images and 4 GiB for each node,
	// within its free disk; what does not fit is named in status.preload, and no release waits for
	// it. A pull that fails holds the rollout. When omitted, Disabled is used: then one node of
	// each pool and architecture pulls them, and the others when their pods come.
	// +optional
	Preload PreloadPolicy `json:"preload,omitempty"`
}

// ReleaseMechanism is a way to give nodes the new configuration.
// +kubebuilder:validation:Enum=PausePulse;Targeted
type ReleaseMechanism string

// The mechanisms.
const (
	// MechanismPausePulse unpauses the pool until the Machine Config Operator has taken a node.
	MechanismPausePulse ReleaseMechanism = "PausePulse"
	// MechanismTargeted names the node while the pool stays paused.
	MechanismTargeted ReleaseMechanism = "Targeted"
)

// Approval says whether a person has to agree first.
// +kubebuilder:validation:Enum=Required;NotRequired
type Approval string

// The kinds of approval.
const (
	ApprovalRequired    Approval = "Required"
	ApprovalNotRequired Approval = "NotRequired"
)

// ReleaseStage is done when so many nodes of a pool run the planned configuration and their pods
// are back.
type ReleaseStage struct {
	// name is that of the stage's gate, by which a request approves it. When omitted, the pool and
	// a number: worker-1 for the first stage of the pool worker, worker-2 for its second. A number
	// whose name another stage has is passed over.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// pool is the name of a MachineConfigPool.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool,omitempty"`

	// nodes is how many nodes of the pool this stage brings to the planned configuration, counted
	// from the pool's start. When omitted, all of them.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Nodes *int32 `json:"nodes,omitempty"`

	// soakSeconds is how long to watch after this stage before the next begins. When omitted,
	// spec.release.soakSeconds.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	SoakSeconds *int32 `json:"soakSeconds,omitempty"`

	// approval is Required when this stage may begin only after a request approves its gate. When
	// omitted, NotRequired is used.
	// +optional
	Approval Approval `json:"approval,omitempty"`
}

// MaintenanceWindow opens again and again.
type MaintenanceWindow struct {
	// schedule is when it opens, as cron has it: minute, hour, day of the month, month, day of the
	// week. "0 22 * * 1-5" is ten in the evening from Monday to Friday.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule,omitempty"`

	// durationSeconds is how long it stays open.
	// +required
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	DurationSeconds int32 `json:"durationSeconds,omitempty"`

	// timeZone is that of the schedule, by its IANA name, such as Europe/Berlin. When omitted, UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// RequestAction is what a request asks for.
//
//   - Approve opens a gate, for the plan that the request names.
//   - Retry repeats at once what has failed and waits to be repeated.
//   - Abort stops the rollout while no node has the new configuration: the mirror sets are removed
//     and the pools are restored. Once a node has it, Abort holds the rollout for as long as the
//     request is there; what comes next is a choice between going on and Rollback.
//   - Rollback brings the cluster to the mirror sets before the rollout. It is final: removing the
//     request does not stop it.
//
// +kubebuilder:validation:Enum=Approve;Retry;Abort;Rollback
type RequestAction string

// The actions of requests.
const (
	RequestApprove  RequestAction = "Approve"
	RequestRetry    RequestAction = "Retry"
	RequestAbort    RequestAction = "Abort"
	RequestRollback RequestAction = "Rollback"
)

// Request asks the rollout for something.
//
// +kubebuilder:validation:XValidation:rule="self.action != 'Approve' || (has(self.gate) && has(self.planHash))",message="an Approve needs gate (apply, or the name of a stage) and planHash, the value of status.planHash that was reviewed: another plan needs another approval"
type Request struct {
	// id tells requests apart. A new request needs a new id.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ID string `json:"id,omitempty"`

	// action is what to do: Approve, Retry, Abort or Rollback.
	// +required
	Action RequestAction `json:"action,omitempty"`

	// gate is what an Approve opens: apply, enforce, or the name of a stage. When omitted, the
	// request is about the whole rollout.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=260
	Gate string `json:"gate,omitempty"`

	// planHash is the plan that is approved, as status.planHash shows it. When omitted, the request
	// holds for any plan; an Approve may not omit it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	PlanHash string `json:"planHash,omitempty"`
}
