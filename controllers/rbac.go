package controllers

// What the operator may do, and why. config/rbac/role.yaml is generated from here.
//
// Its own kind. The spec is never written; the finalizer is.
// +kubebuilder:rbac:groups=safemirror.io,resources=safemirrorrollouts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=safemirror.io,resources=safemirrorrollouts/status,verbs=patch
//
// The mirror sets that it applies. Delete is for a list that a new spec no longer has.
// +kubebuilder:rbac:groups=config.openshift.io,resources=imagetagmirrorsets;imagedigestmirrorsets,verbs=get;list;watch;create;patch;delete
//
// Pausing, releasing and restoring a pool.
// +kubebuilder:rbac:groups=machineconfiguration.openshift.io,resources=machineconfigpools,verbs=get;list;watch;patch
//
// Telling a node of a paused pool what to run: one annotation, and only with spec.release.mechanism
// Targeted.
// +kubebuilder:rbac:groups="",resources=nodes,verbs=patch
//
// Whether the control plane is at rest beside its nodes, and what else adds and removes nodes.
// +kubebuilder:rbac:groups=config.openshift.io,resources=clusteroperators,verbs=get;list;watch
// +kubebuilder:rbac:groups=machine.openshift.io,resources=machinehealthchecks,verbs=list
// +kubebuilder:rbac:groups=autoscaling.openshift.io,resources=clusterautoscalers,verbs=list
//
// The node disruption policy for registries.conf, where spec.release.disruption is Reload.
// +kubebuilder:rbac:groups=operator.openshift.io,resources=machineconfigurations,verbs=patch
//
// What the nodes run and is to run.
// +kubebuilder:rbac:groups=machineconfiguration.openshift.io,resources=machineconfigs;machineconfignodes;machineosconfigs,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=config.openshift.io,resources=images;clusterversions;infrastructures,verbs=get;list;watch
// +kubebuilder:rbac:groups=operator.openshift.io,resources=imagecontentsourcepolicies;machineconfigurations,verbs=get;list;watch
//
// The images that must keep working, and whether pods are back.
// +kubebuilder:rbac:groups="",resources=pods;replicationcontrollers;podtemplates;serviceaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets;replicasets,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=controllerrevisions,verbs=get;list;watch
//
// Images that others may start one day, or that are pulled by somebody other than a node. Each may
// be taken away: it is then a gap in the inventory, and said to be one.
// +kubebuilder:rbac:groups=apps.openshift.io,resources=deploymentconfigs,verbs=get;list;watch
// +kubebuilder:rbac:groups=image.openshift.io,resources=imagestreams,verbs=get;list;watch
// +kubebuilder:rbac:groups=build.openshift.io,resources=buildconfigs;builds,verbs=get;list;watch
// +kubebuilder:rbac:groups=operators.coreos.com,resources=clusterserviceversions;catalogsources;installplans,verbs=get;list;watch
// +kubebuilder:rbac:groups=olm.operatorframework.io,resources=clustercatalogs,verbs=get;list;watch
// +kubebuilder:rbac:groups=machineconfiguration.openshift.io,resources=controllerconfigs;pinnedimagesets,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=serving.knative.dev,resources=services;configurations;revisions,verbs=get;list;watch
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts,verbs=get;list;watch
// +kubebuilder:rbac:groups=kubevirt.io,resources=virtualmachines;virtualmachineinstances,verbs=get;list;watch
// +kubebuilder:rbac:groups=cdi.kubevirt.io,resources=datavolumes;dataimportcrons,verbs=get;list;watch
// +kubebuilder:rbac:groups=tekton.dev,resources=tasks;pipelines;taskruns;pipelineruns,verbs=get;list;watch
//
// The forecast of drains, and what the first node with the new configuration has to pull: what is
// protected, where replacements can go, and what a drain depends on. An eviction is only ever asked
// for with dryRun=All.
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create
// +kubebuilder:rbac:groups="",resources=namespaces;services;persistentvolumes;persistentvolumeclaims,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch
//
// The reports beside a rollout.
// +kubebuilder:rbac:groups=safemirror.io,resources=safemirrorreports,verbs=get;list;create;update;delete
//
// Why the drain of a node makes no progress, and why a probe cannot pull: what kubelets say of
// failed pulls, some in events alone.
// +kubebuilder:rbac:groups="",resources=events,verbs=get;list
//
// The remedy that is on when nobody says otherwise: deleting pods of which no container has ever
// run (I9). What the others need is in config/rbac/remediation_role.yaml, which is bound to nobody.
// +kubebuilder:rbac:groups="",resources=pods,verbs=delete
//
// Telling what happens.
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
//
// The rights in single namespaces are written by hand: config/rbac/secret_reader_role.yaml and
// leader_election_role.yaml.
