package inventory

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
)

var csvKind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1alpha1", Kind: "ClusterServiceVersion"}

// notCopied leaves out the copies of ClusterServiceVersions that OLM v0 puts into every namespace
// that an operator watches: there may be a hundred thousand of them, and they say nothing new
// (CopiedLabelKey of operator-framework/api).
var notCopied = func() labels.Selector {
	r, err := labels.NewRequirement("olm.copiedFrom", selection.DoesNotExist, nil)
	if err != nil {
		panic(err) // a constant
	}
	return labels.NewSelector().Add(*r)
}()

type csv struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations,omitempty"`
	} `json:"metadata"`
	Spec struct {
		Install struct {
			Spec struct {
				Deployments []csvDeployment `json:"deployments,omitempty"`
			} `json:"spec"`
		} `json:"install"`
		RelatedImages []struct {
			Image string `json:"image,omitempty"`
		} `json:"relatedImages,omitempty"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status"`
}

type csvDeployment struct {
	Spec struct {
		Replicas *int32                 `json:"replicas,omitempty"`
		Template corev1.PodTemplateSpec `json:"template"`
	} `json:"spec"`
}

// imageAnnotations name images of an operator: its own, and the one that gathers its logs.
var imageAnnotations = []string{"containerImage", "operators.openshift.io/must-gather-image"}

func (c *csv) prune() {
	for i := range c.Spec.Install.Spec.Deployments {
		pruneTemplate(&c.Spec.Install.Spec.Deployments[i].Spec.Template, withImageEnv)
	}
	for key := range c.Metadata.Annotations {
		if !slices.Contains(imageAnnotations, key) {
			delete(c.Metadata.Annotations, key)
		}
	}
}

// addCSV adds what an operator's Deployments pull, which OLM makes again when they are gone, and
// what the operator may start.
func addCSV(rd *readState, owner Owner, c *csv) {
	for i := range c.Spec.Install.Spec.Deployments {
		d := &c.Spec.Install.Spec.Deployments[i].Spec
		use := Use{Owner: owner, Class: csvClass(c.Status.Phase)}
		if use.Class == Blocking {
			use.Class = classByReplicas(d.Replicas)
		}
		rd.addTemplate(&d.Template, use)
		rd.addRelated(&d.Template.Spec, owner)
	}
	for _, r := range c.Spec.RelatedImages {
		rd.c.Add(Use{Image: r.Image, Owner: owner, Class: Advisory})
	}
	for _, key := range imageAnnotations {
		if image := c.Metadata.Annotations[key]; looksLikeImage(image) {
			rd.c.Add(Use{Image: image, Owner: owner, Class: Advisory})
		}
	}
}

// csvClass: an operator that is installed, or is being installed, has its Deployments kept by OLM.
// One that another replaces is on its way out, and one whose requirements are not met waits for
// somebody.
func csvClass(phase string) Class {
	switch phase {
	case "Succeeded", "Installing", "InstallReady":
		return Blocking
	case "Replacing", "Deleting":
		return Historical
	default:
		return Advisory
	}
}
