package v1alpha1

// MirroringMode says who fills the mirrors.
// +kubebuilder:validation:Enum=CopyAndVerify;VerifyOnly
type MirroringMode string

// The mirroring modes.
const (
	CopyAndVerify MirroringMode = "CopyAndVerify"
	VerifyOnly    MirroringMode = "VerifyOnly"
)

// MirroringSpec says who fills the mirrors, with which credentials, how gently, and how the result
// is proven.
type MirroringSpec struct {
	// mode is CopyAndVerify, or VerifyOnly when something else fills the mirrors: then nothing is
	// ever pushed, and what is missing holds the rollout until it is there. When omitted,
	// CopyAndVerify is used.
	// +optional
	Mode MirroringMode `json:"mode,omitempty"`

	// targets are the locations that are filled, each of them one of the mirrors above or a path
	// below one. Every other mirror that a node would try has to hold an image completely or not at
	// all, and is checked for it. When omitted, the first mirror of each source is filled.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Targets []string `json:"targets,omitempty"`

	// pushSecret names a Secret of type kubernetes.io/dockerconfigjson in the operator's namespace,
	// used to write to the mirrors. When omitted, the cluster's global pull secret is used.
	// +optional
	PushSecret SecretName `json:"pushSecret,omitzero"`

	// sourceSecrets name Secrets of type kubernetes.io/dockerconfigjson in the operator's
	// namespace, tried before the cluster's global pull secret when reading from the sources. When
	// omitted, only the global pull secret is used.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	SourceSecrets []SecretName `json:"sourceSecrets,omitempty"`

	// workloadPullSecrets is Enabled when the pull secrets of the workloads that use an image may
	// be read to copy it from a private source. It needs the ClusterRole
	// safe-mirror-workload-secrets, which is not bound by default because it reads the Secrets of
	// every namespace; a blocker says so while it is missing. When omitted, Disabled is used.
	// +optional
	WorkloadPullSecrets Switch `json:"workloadPullSecrets,omitempty"`

	// caBundle names a ConfigMap in the operator's namespace whose key ca-bundle.crt holds PEM
	// certificates that the operator trusts, for sources above all. Nodes do not have them: whether
	// they trust a mirror is decided by image.config.openshift.io/cluster spec.additionalTrustedCA,
	// and that is what proofs are taken with. When omitted, the system's roots and
	// additionalTrustedCA are trusted.
	// +optional
	CABundle ConfigMapName `json:"caBundle,omitzero"`

	// platforms limits what is copied of an image for several platforms, for example linux/amd64.
	// The index is kept whole, so its digest stays the same, and the other children are missing in
	// the mirror: a node of another architecture that joins later cannot pull. Every platform of
	// the cluster's nodes has to be among them. When omitted, images are copied whole.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`
	Platforms []string `json:"platforms,omitempty"`

	// attachments says what is copied along with an image: Signatures are what nodes look for when
	// a ClusterImagePolicy or ImagePolicy asks for them, All is every referrer and every tag made
	// from the image's digest. When omitted, Signatures is used.
	// +optional
	Attachments Attachments `json:"attachments,omitempty"`

	// limits keep the load on each registry low. When omitted, the defaults below apply.
	// +optional
	Limits RegistryLimits `json:"limits,omitzero"`

	// tagDrift says what to do when a tag has moved at its source since the running pods pulled it:
	// Hold waits for a decision, UseRunning mirrors what runs, UseSource mirrors what the tag
	// stands for now. When omitted, Hold is used.
	// +optional
	TagDrift TagDrift `json:"tagDrift,omitempty"`

	// verification says how the content of the mirrors is proven. When omitted, the defaults below
	// apply.
	// +optional
	Verification VerificationSpec `json:"verification,omitzero"`
}

// Switch turns something on or off.
// +kubebuilder:validation:Enum=Enabled;Disabled
type Switch string

// The positions of a switch.
const (
	Enabled  Switch = "Enabled"
	Disabled Switch = "Disabled"
)

// Attachments says what is copied along with an image.
// +kubebuilder:validation:Enum=Signatures;All
type Attachments string

// The kinds of attachments.
const (
	AttachSignatures Attachments = "Signatures"
	AttachAll        Attachments = "All"
)

// TagDrift says what to do about a tag that has moved.
// +kubebuilder:validation:Enum=Hold;UseRunning;UseSource
type TagDrift string

// The ways to deal with a tag that has moved.
const (
	TagDriftHold       TagDrift = "Hold"
	TagDriftUseRunning TagDrift = "UseRunning"
	TagDriftUseSource  TagDrift = "UseSource"
)

// RegistryLimits apply to each registry host by itself.
type RegistryLimits struct {
	// images is how many images are copied or verified at the same time, over all registries.
	// When omitted, the operator's --mirror-workers (32) is used.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Images int32 `json:"images,omitempty"`

	// concurrentRequests is how many requests a registry serves at the same time, reads and writes
	// counted apart. When omitted, 60.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	ConcurrentRequests int32 `json:"concurrentRequests,omitempty"`

	// requestsPerSecond is how many requests a registry is sent per second. When omitted, no limit
	// but what the registry itself asks for.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	RequestsPerSecond int32 `json:"requestsPerSecond,omitempty"`

	// mebibytesPerSecond is how much is read from a registry, and written to it, per second. When
	// omitted, no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MebibytesPerSecond int32 `json:"mebibytesPerSecond,omitempty"`
}

// VerificationSpec says how the content of the mirrors is proven.
type VerificationSpec struct {
	// download says how much is downloaded beyond asking whether it is there: None, a Sample, or
	// All of it. Manifests are always read and their digests computed. When omitted, None is used.
	// +optional
	Download Download `json:"download,omitempty"`

	// caches are the mirrors, or locations below them, that are pull-through caches. They hold only
	// what was pulled through them, and asking for everything at once would start a storm at their
	// source: they are proven by pulling, one request at a time. When omitted, every mirror is
	// taken for a registry.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Caches []string `json:"caches,omitempty"`

	// fromNodes is Enabled when mirrors are also proven from the nodes before the mirror sets are
	// applied: a short-lived pod on one node of each pool, architecture and zone pulls from each
	// mirror by digest, with the node's own credentials, CAs, DNS, proxy and network. When omitted,
	// Enabled is used.
	// +optional
	FromNodes Switch `json:"fromNodes,omitempty"`

	// afterFirstNode is Enabled when, as soon as the first node of a pool and architecture runs the
	// new configuration, that node is made to pull the critical images under it, before any other
	// node of any pool is released: short-lived pods on it name the images as their workloads do,
	// those of pods that a PodDisruptionBudget protects or that hold a port of their node, and what
	// a new node needs to be born. At most 40 images and 4 GiB for each such node. A pull that
	// fails holds the rollout there, with one node changed. When omitted, Enabled is used.
	// +optional
	AfterFirstNode Switch `json:"afterFirstNode,omitempty"`

	// mebibytesPerNode bounds what the proofs from nodes before the mirror sets exist pull onto
	// each node. When omitted, 300.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MebibytesPerNode int32 `json:"mebibytesPerNode,omitempty"`
}

// Download says how much of the content is downloaded to prove it.
// +kubebuilder:validation:Enum=None;Sample;All
type Download string

// How much is downloaded.
const (
	DownloadNone   Download = "None"
	DownloadSample Download = "Sample"
	DownloadAll    Download = "All"
)

// SecretName names a Secret in the operator's namespace.
type SecretName struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// ConfigMapName names a ConfigMap in the operator's namespace.
type ConfigMapName struct {
	// name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}
