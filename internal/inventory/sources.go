package inventory

import (
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kinds whose types are in the scheme.
var (
	core  = corev1.SchemeGroupVersion.WithKind
	apps  = appsv1.SchemeGroupVersion.WithKind
	batch = batchv1.SchemeGroupVersion.WithKind
	mco   = mcfgv1.GroupVersion.WithKind

	clusterVersionKind = configv1.GroupVersion.WithKind("ClusterVersion")
	webhookKind        = admissionregistrationv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration")
)

// sources are all there is, in the order in which they are read: nodes, ServiceAccounts, pools and
// ImageStreams before those who need to know them.
//
// The essential ones hold pods or start them. Every other one may be absent, forbidden or broken,
// which is then a gap.
var sources = []source{
	essential(core("Node"), &corev1.Node{}, &corev1.NodeList{}, addNode),
	listed("pull secrets of ServiceAccounts", core("ServiceAccount"), &corev1.ServiceAccount{},
		&corev1.ServiceAccountList{}, addServiceAccount),
	essential(core("Pod"), &corev1.Pod{}, &corev1.PodList{}, addPod),

	essential(apps("Deployment"), &appsv1.Deployment{}, &appsv1.DeploymentList{}, addDeployment),
	essential(apps("StatefulSet"), &appsv1.StatefulSet{}, &appsv1.StatefulSetList{}, addStatefulSet),
	essential(apps("DaemonSet"), &appsv1.DaemonSet{}, &appsv1.DaemonSetList{}, addDaemonSet),
	essential(apps("ReplicaSet"), &appsv1.ReplicaSet{}, &appsv1.ReplicaSetList{}, addReplicaSet),
	essential(core("ReplicationController"), &corev1.ReplicationController{}, &corev1.ReplicationControllerList{},
		addReplicationController),
	essential(batch("Job"), &batchv1.Job{}, &batchv1.JobList{}, addJob),
	essential(batch("CronJob"), &batchv1.CronJob{}, &batchv1.CronJobList{}, addCronJob),
	listed("old revisions", apps("ControllerRevision"), &appsv1.ControllerRevision{}, &appsv1.ControllerRevisionList{},
		addControllerRevision),
	listed("pod templates", core("PodTemplate"), &corev1.PodTemplate{}, &corev1.PodTemplateList{}, addPodTemplate),
	decoded("deployment configurations", deploymentConfigKind, nil, addDeploymentConfig),

	listed(nodeSoftware, mco("MachineConfigPool"), &mcfgv1.MachineConfigPool{}, &mcfgv1.MachineConfigPoolList{},
		addPool),
	{name: nodeSoftware, kind: mco("MachineConfig"), byName: true, read: renderedConfigs},
	listed("operating system images built in the cluster", mco("MachineOSConfig"), &mcfgv1.MachineOSConfig{},
		&mcfgv1.MachineOSConfigList{}, addMachineOSConfig),
	listed("pinned images", mco("PinnedImageSet"), &mcfgv1.PinnedImageSet{}, &mcfgv1.PinnedImageSetList{},
		addPinnedImageSet),
	{name: operatorImagesName, kind: mco("ControllerConfig"), byName: true, read: controllerConfig},
	{name: operatorImagesName, kind: core("ConfigMap"), byName: true, read: operatorImages},

	decoded("image streams", imageStreamKind, nil, addImageStream),
	decoded("builds", buildConfigKind, nil, addBuildConfig),
	decoded("builds", buildKind, nil, addBuild),
	{name: "release payload", kind: clusterVersionKind, object: &configv1.ClusterVersion{}, read: clusterVersion},
	{name: "diagnosis tools", kind: schema.GroupVersionKind{Kind: "command"}, read: diagnosisTools},
	{name: "sidecar injectors", kind: webhookKind, object: &admissionregistrationv1.MutatingWebhookConfiguration{},
		read: injectors},

	decoded("operators", csvKind, notCopied, addCSV),
	decoded("operator catalogs", catalogSourceKind, nil, addCatalogSource),
	decoded("operator bundles", installPlanKind, nil, addInstallPlan),
	decoded("operator catalogs", clusterCatalogKind, nil, addClusterCatalog),

	decoded("Knative", knativeServiceKind, nil, addKnativeTemplate),
	decoded("Knative", knativeConfigurationKind, nil, addKnativeTemplate),
	decoded("Knative", knativeRevisionKind, nil, addKnativeRevision),
	decoded("Argo Rollouts", argoRolloutKind, nil, addArgoRollout),
	decoded("KubeVirt", virtualMachineKind, nil, addVirtualMachine),
	decoded("KubeVirt", virtualMachineInstanceKind, nil, addVirtualMachineInstance),
	decoded("Containerized Data Importer", dataVolumeKind, nil, addDataVolume),
	decoded("Containerized Data Importer", dataImportCronKind, nil, addDataImportCron),
	decoded("Tekton", tektonTaskKind, nil, addTektonTask),
	decoded("Tekton", tektonPipelineKind, nil, addTektonPipeline),
	decoded("Tekton", tektonTaskRunKind, nil, addTektonTaskRun),
	decoded("Tekton", tektonPipelineRunKind, nil, addTektonPipelineRun),
}
