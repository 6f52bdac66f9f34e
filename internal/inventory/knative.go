package inventory

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	knativeServiceKind       = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}
	knativeConfigurationKind = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1",
		Kind: "Configuration"}
	knativeRevisionKind = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Revision"}
)

// knativeTemplate is a Service or a Configuration.
type knativeTemplate struct {
	Spec struct {
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

func (t *knativeTemplate) prune() { pruneTemplate(&t.Spec.Template, withoutEnv) }

// addKnativeTemplate adds the template of the next Revision. No node pulls it by these names:
// Knative's controller asks the registry itself what a tag stands for, without the nodes'
// registries.conf, and deploys the digest (pkg/reconciler/revision of knative/serving).
func addKnativeTemplate(rd *readState, owner Owner, t *knativeTemplate) {
	owner.Kind = "Knative " + owner.Kind
	rd.addTemplate(&t.Spec.Template, Use{Owner: owner, Class: Advisory})
}

type knativeRevision struct {
	Metadata struct {
		Labels map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Spec   corev1.PodSpec `json:"spec"`
	Status struct {
		ContainerStatuses     []knativeContainer `json:"containerStatuses,omitempty"`
		InitContainerStatuses []knativeContainer `json:"initContainerStatuses,omitempty"`
	} `json:"status"`
}

type knativeContainer struct {
	Name        string `json:"name,omitempty"`
	ImageDigest string `json:"imageDigest,omitempty"`
}

func (r *knativeRevision) prune() { pruneSpec(&r.Spec, withoutEnv) }

// addKnativeRevision adds what the pods of a Revision pull: the digest that a tag stood for, or the
// tag for a registry that Knative is told not to ask. The first request starts a pod, even though
// the Revision's Deployment is at zero, unless no route leads to it.
func addKnativeRevision(rd *readState, owner Owner, r *knativeRevision) {
	owner.Kind = "Knative " + owner.Kind
	use := Use{Owner: owner, Class: Blocking}
	if r.Metadata.Labels["serving.knative.dev/routingState"] == "reserve" {
		use.Class = Historical
	}
	spec := r.Spec
	spec.InitContainers = withDigests(spec.InitContainers, r.Status.InitContainerStatuses)
	spec.Containers = withDigests(spec.Containers, r.Status.ContainerStatuses)
	rd.addSpec(&spec, use)
}

func withDigests(containers []corev1.Container, statuses []knativeContainer) []corev1.Container {
	out := append([]corev1.Container(nil), containers...)
	for i := range out {
		for _, s := range statuses {
			if s.Name == out[i].Name && s.ImageDigest != "" {
				out[i].Image = s.ImageDigest
			}
		}
	}
	return out
}
