package pullcheck

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
)

// The marks of a probe. The name is not the operator's own: its PodDisruptionBudget and its
// Deployment select by that.
const (
	LabelName = "app.kubernetes.io/name"
	AppName   = "safe-mirror-probe"

	annotationImage = "safemirror.io/probe-image"
	containerName   = "probe"
)

// What has to exist in the operator's namespace and in the cluster before a probe can be created.
const (
	// ServiceAccount is what probes run as. It has no rights and its token is not mounted.
	ServiceAccount = "safe-mirror-probe"
	// PriorityClass is below that of all workloads and never preempts: a probe takes nobody's
	// place, and the cluster autoscaler, which ignores pods below -10, adds no node for it.
	PriorityClass = "safe-mirror-probe"
)

// absentSecret is the name of a pull secret that does not exist. A pod that names none gets those
// of its ServiceAccount, and OpenShift gives every ServiceAccount one; then the pod's credentials
// would be tried and not only the node's. A kubelet passes over a missing one.
const absentSecret = "safe-mirror-probe-no-credentials"

// Owner is the SafeMirrorRollout that a probe is for.
type Owner struct {
	Name string
	UID  types.UID
}

// IsCheckPod tells whether the pod is a probe of any rollout. Such pods are no workloads: nobody
// has to keep them running.
func IsCheckPod(pod *corev1.Pod) bool {
	return pod.Labels[LabelName] == AppName || pod.Labels[LabelName] == CanaryName
}

// labels are those of all that the operator makes, with the name that says what the pod is for.
func labels(name, rollout string) map[string]string {
	out := mirrorset.Labels(rollout)
	out[LabelName] = name
	return out
}

// NewPod is the pod of a probe. It goes through the scheduler, with an affinity to its node as pods
// of a DaemonSet have one: then taints, the cordon and the node's resources are respected, which
// spec.nodeName would bypass. deadline is how long the operator waits for it; should the operator
// be gone by then, the kubelet ends the pod a little later.
func NewPod(p Check, owner Owner, namespace string, deadline time.Duration) *corev1.Pod {
	life := 2 * deadline
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      p.Name,
			Labels:    labels(AppName, owner.Name),
			Annotations: map[string]string{
				mirrorset.AnnotationUID:   string(owner.UID),
				mirrorset.AnnotationAbout: description(p, owner, namespace, life),
				annotationImage:           p.Image,
				// OpenShift would otherwise be free to choose another constraint that is open to
				// the ServiceAccount.
				"openshift.io/required-scc": "restricted-v2",
				// A pod without a workload behind it would keep the cluster autoscaler from
				// removing the node.
				"cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
			},
			// Named as its controller, so that `oc adm drain` does not stop at a pod that nobody
			// manages. The rollout's deletion does not wait for the pod.
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "SafeMirrorRollout", Name: owner.Name, UID: owner.UID,
				Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{
			Affinity:           nodeAffinity(p.Node),
			Tolerations:        p.Tolerations,
			ServiceAccountName: ServiceAccount, AutomountServiceAccountToken: new(false),
			EnableServiceLinks: new(false),
			ImagePullSecrets:   []corev1.LocalObjectReference{{Name: absentSecret}},
			PriorityClassName:  PriorityClass,
			RestartPolicy:      corev1.RestartPolicyNever,
			// Not 0: the API server would forget the pod at once, while its node may still be
			// pulling.
			TerminationGracePeriodSeconds: new(int64(1)),
			ActiveDeadlineSeconds:         new(int64(life.Seconds())),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{container(p.Image)},
		},
	}
	if p.Config != "" {
		pod.Labels[LabelName] = CanaryName
		pod.Annotations[annotationConfig], pod.Annotations[annotationEndpoint] = p.Config, p.Endpoint
		pod.Annotations[annotationFresh] = strconv.FormatBool(p.ImageAbsent)
	}
	return pod
}

func container(image string) corev1.Container {
	return corev1.Container{
		Name: containerName, Image: image,
		// An image that is there already proves nothing.
		ImagePullPolicy: corev1.PullAlways,
		// Not the image's own program. Where there is no such file the container fails to start,
		// after the pull.
		Command: []string{"/bin/true"},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"),
				corev1.ResourceMemory: resource.MustParse("1Mi")},
			Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"),
				corev1.ResourceMemory: resource.MustParse("32Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

func nodeAffinity(name string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
			Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{name},
		}}}},
	}}}
}

// nodeOf is the node that the pod is on or is to go to.
func nodeOf(pod *corev1.Pod) string {
	if pod.Spec.NodeName != "" {
		return pod.Spec.NodeName
	}
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil ||
		affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, f := range term.MatchFields {
			if f.Key == metav1.ObjectNameField && len(f.Values) == 1 {
				return f.Values[0]
			}
		}
	}
	return ""
}

func description(p Check, owner Owner, namespace string, life time.Duration) string {
	purpose := "can pull this image from the mirror before any node is told to"
	if p.Config != "" {
		purpose = "can pull this image now that it runs " + p.Config + ", before any other node gets that configuration"
	}
	return fmt.Sprintf("Created by safe-mirror-operator for SafeMirrorRollout %s, to prove that node %s %s. Whether it runs does not matter. The operator deletes it as soon as the pull is decided; it ends by itself %s "+
		"after it has reached the node. It may be deleted at any time: oc delete pod -n %s %s", owner.Name, p.Node,
		purpose, life, namespace, p.Name)
}
