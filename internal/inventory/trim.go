package inventory

import (
	"encoding/json"
	"slices"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mirrorPodAnnotation is on the API object of a static pod.
const mirrorPodAnnotation = corev1.MirrorPodAnnotationKey

// Trim is a transform for informers. It keeps of an object what Read, the observation of workloads
// and a forecast of drains look at: identity, owners, labels, where a pod may run, its images and
// claims, and what it waits for. It changes the object in place, which is the informer's own, and
// never fails: what it does not know loses its managed fields and nothing else. A MachineConfigPool
// keeps those too, because they tell who paused it.
//
// Read says the same of trimmed objects as of whole ones.
func Trim(object any) (any, error) {
	switch o := object.(type) {
	case *mcfgv1.MachineConfigPool:
		return object, nil
	case *unstructured.Unstructured:
		o.SetManagedFields(nil)
		for _, s := range sources {
			if s.reduce != nil && s.kind == o.GroupVersionKind() {
				return object, s.reduce(o)
			}
		}
	case *corev1.Pod:
		own := ownAnnotations(o.Annotations)
		trimMeta(&o.ObjectMeta, append(own, mirrorPodAnnotation)...)
		pruneSpec(&o.Spec, withoutEnv)
		trimPodStatus(&o.Status)
	case *corev1.Node:
		trimNode(o)
	case *corev1.ServiceAccount:
		trimMeta(&o.ObjectMeta)
		o.Secrets = nil
	default:
		trimWorkload(object)
	}
	return object, nil
}

// trimWorkload trims those that have a pod template.
func trimWorkload(object any) {
	if o, ok := object.(client.Object); ok {
		o.SetManagedFields(nil)
	}
	switch o := object.(type) {
	case *appsv1.Deployment:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Spec.Template, withImageEnv)
		o.Status.Conditions = nil
	case *appsv1.StatefulSet:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Spec.Template, withoutEnv)
		o.Spec.VolumeClaimTemplates, o.Status.Conditions = nil, nil
	case *appsv1.DaemonSet:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Spec.Template, withoutEnv)
	case *appsv1.ReplicaSet:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Spec.Template, withoutEnv)
	case *corev1.ReplicationController:
		trimMeta(&o.ObjectMeta)
		if o.Spec.Template != nil {
			pruneTemplate(o.Spec.Template, withoutEnv)
		}
	case *batchv1.Job:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Spec.Template, withoutEnv)
	case *batchv1.CronJob:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Spec.JobTemplate.Spec.Template, withoutEnv)
		o.Status.Active = nil
	case *corev1.PodTemplate:
		trimMeta(&o.ObjectMeta)
		pruneTemplate(&o.Template, withoutEnv)
	case *appsv1.ControllerRevision:
		trimMeta(&o.ObjectMeta)
		trimRevision(o)
	}
}

// ownAnnotations are those of the operator, on pods that it has started itself.
func ownAnnotations(have map[string]string) []string {
	var out []string
	for key := range have {
		if strings.HasPrefix(key, "safemirror.io/") {
			out = append(out, key)
		}
	}
	return out
}

// trimMeta keeps the named annotations.
func trimMeta(m *metav1.ObjectMeta, annotations ...string) {
	m.ManagedFields = nil
	m.Annotations = keepKeys(m.Annotations, annotations...)
}

func keepKeys(have map[string]string, keys ...string) map[string]string {
	var out map[string]string
	for _, key := range keys {
		if value, ok := have[key]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = value
		}
	}
	return out
}

// env says which variables of a container are kept.
type env bool

const (
	withoutEnv   env = false
	withImageEnv env = true // those in which an operator finds the images of its operands
)

// pruneTemplate keeps of a template's own metadata the image that Istio is told to inject.
func pruneTemplate(t *corev1.PodTemplateSpec, keep env) {
	t.ObjectMeta = metav1.ObjectMeta{Annotations: keepKeys(t.Annotations, proxyImageAnnotation)}
	pruneSpec(&t.Spec, keep)
}

// pruneSpec keeps what decides which images are pulled and where: not what runs in the containers,
// and not their configuration.
func pruneSpec(s *corev1.PodSpec, keep env) {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			pruneContainer(&list[i], keep)
		}
	}
	for i := range s.EphemeralContainers {
		c := &s.EphemeralContainers[i]
		c.EphemeralContainerCommon = corev1.EphemeralContainerCommon{Name: c.Name, Image: c.Image,
			ImagePullPolicy: c.ImagePullPolicy}
	}
	var volumes []corev1.Volume
	for i := range s.Volumes {
		v := &s.Volumes[i]
		if v.Image != nil || v.PersistentVolumeClaim != nil || v.EmptyDir != nil || v.Ephemeral != nil {
			volumes = append(volumes, *v)
		}
	}
	s.Volumes = volumes
	s.SecurityContext, s.DNSConfig, s.HostAliases = nil, nil, nil
}

func pruneContainer(c *corev1.Container, keep env) {
	var related []corev1.EnvVar
	for i := range c.Env {
		if keep == withImageEnv && namesImage(c.Env[i]) {
			related = append(related, corev1.EnvVar{Name: c.Env[i].Name, Value: c.Env[i].Value})
		}
	}
	var ports []corev1.ContainerPort
	for _, p := range c.Ports {
		if p.HostPort != 0 {
			ports = append(ports, p)
		}
	}
	*c = corev1.Container{
		Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, RestartPolicy: c.RestartPolicy, Env: related,
		Ports:     ports,
		Resources: corev1.ResourceRequirements{Requests: c.Resources.Requests},
	}
}

func trimPodStatus(s *corev1.PodStatus) {
	*s = corev1.PodStatus{
		Phase: s.Phase, Conditions: keptConditions(s.Conditions), Reason: s.Reason, Message: s.Message,
		NominatedNodeName: s.NominatedNodeName, StartTime: s.StartTime,
		InitContainerStatuses: s.InitContainerStatuses, ContainerStatuses: s.ContainerStatuses,
		EphemeralContainerStatuses: s.EphemeralContainerStatuses,
	}
	for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses,
		s.EphemeralContainerStatuses} {
		for i := range list {
			c := &list[i]
			*c = corev1.ContainerStatus{Name: c.Name, ImageID: c.ImageID, Ready: c.Ready, RestartCount: c.RestartCount,
				Started: c.Started, State: c.State}
		}
	}
}

// conditionTypes say whether a pod has a node and a sandbox there, whether it is ready, and whether
// it is being evicted.
var conditionTypes = []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodReady,
	corev1.DisruptionTarget}

func keptConditions(list []corev1.PodCondition) []corev1.PodCondition {
	out := make([]corev1.PodCondition, 0, 3)
	for _, c := range list {
		if slices.Contains(conditionTypes, c.Type) {
			out = append(out, c)
		}
	}
	return out
}

// trimNode leaves the annotations, by which the MCO's controllers and daemons talk to each other,
// and of the images on the node their sizes and digests.
func trimNode(n *corev1.Node) {
	n.ManagedFields = nil
	n.Status.VolumesInUse, n.Status.VolumesAttached = nil, nil
	for i := range n.Status.Images {
		image := &n.Status.Images[i]
		var names []string
		for _, name := range image.Names {
			if byDigest(name) {
				names = append(names, name)
			}
		}
		image.Names = names
	}
}

// trimRevision keeps the pod template of a revision. What does not decode stays, to be reported.
func trimRevision(r *appsv1.ControllerRevision) {
	data, err := revisionOf(r)
	if err != nil {
		return
	}
	r.Data.Raw, r.Data.Object = nil, nil
	if data == nil {
		return
	}
	pruneTemplate(&data.Spec.Template, withoutEnv)
	if raw, err := json.Marshal(data); err == nil {
		r.Data.Raw = raw
	}
}
