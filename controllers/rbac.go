package controllers

// What the operator may do, and why. config/rbac/role.yaml is generated from here.
//
// Its own kind. The spec is never written; the finalizer is.
// +kubebuilder:rbac:groups=safemirror.io,resources=safemirrorrollouts,verbs=get;list;watch;patch;update
// +kubebuilder:rbac:groups=safemirror.io,resources=safemirrorrollouts/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=safemirror.io,resources=safemirrorrollouts/finalizers,verbs=update
//
// The mirror sets that it applies. Delete is for a list that a new spec no longer has.
// +kubebuilder:rbac:groups=config.openshift.io,resources=imagetagmirrorsets;imagedigestmirrorsets,verbs=get;list;watch;create;patch;update;delete
//
// Pausing, releasing and giving back a pool.
// +kubebuilder:rbac:groups=machineconfiguration.openshift.io,resources=machineconfigpools,verbs=get;list;watch;patch
//
// What the nodes run and shall run.
// +kubebuilder:rbac:groups=machineconfiguration.openshift.io,resources=machineconfigs;machineconfignodes;machineosconfigs,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=config.openshift.io,resources=images;clusterversions;infrastructures,verbs=get;list;watch
// +kubebuilder:rbac:groups=operator.openshift.io,resources=imagecontentsourcepolicies;machineconfigurations,verbs=get;list;watch
//
// The images that must keep working, and whether pods are back.
// +kubebuilder:rbac:groups="",resources=pods;replicationcontrollers,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets;replicasets,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get;list;watch
//
// Telling what happens.
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
//
// The rights in single namespaces are written by hand: config/rbac/secret_reader_role.yaml and leader_election_role.yaml.
