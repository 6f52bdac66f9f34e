package inventory

import (
	"cmp"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var imageStreamKind = schema.GroupVersionKind{Group: "image.openshift.io", Version: "v1", Kind: "ImageStream"}

const dockerImage = "DockerImage"

type imageStream struct {
	Spec struct {
		Tags []struct {
			Name         string       `json:"name"`
			From         *imageSource `json:"from,omitempty"`
			ImportPolicy struct {
				Scheduled bool `json:"scheduled,omitempty"`
			} `json:"importPolicy"`
			ReferencePolicy struct {
				Type string `json:"type,omitempty"`
			} `json:"referencePolicy"`
		} `json:"tags,omitempty"`
	} `json:"spec"`
	Status struct {
		Tags []streamTag `json:"tags,omitempty"`
	} `json:"status"`
}

type streamTag struct {
	Tag   string `json:"tag"`
	Items []struct {
		DockerImageReference string `json:"dockerImageReference,omitempty"`
	} `json:"items,omitempty"`
}

// imageSource is an object reference: an image by its name, or an ImageStream tag.
type imageSource struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// prune keeps the newest image of each tag.
func (s *imageStream) prune() {
	for i := range s.Status.Tags {
		t := &s.Status.Tags[i]
		t.Items = t.Items[:min(len(t.Items), 1)]
	}
}

// addImageStream adds the sources of the tags, which the OpenShift API server imports through the
// mirror sets as they are in the API, and what they were resolved to: a trigger writes that into
// workloads. Tags that builds push have no source.
func addImageStream(rd *readState, owner Owner, s *imageStream) {
	newest := map[string]string{}
	for _, t := range s.Status.Tags {
		if len(t.Items) > 0 && t.Items[0].DockerImageReference != "" {
			newest[t.Tag] = t.Items[0].DockerImageReference
			rd.tags[owner.Namespace+"/"+owner.Name+":"+t.Tag] = newest[t.Tag]
		}
	}
	pulled := map[string][]string{}
	for _, t := range s.Spec.Tags {
		if t.From == nil || t.From.Kind != dockerImage || t.From.Name == "" {
			continue
		}
		by := ByImport
		if t.ImportPolicy.Scheduled {
			by = ByScheduledImport
		}
		pulled[by] = append(pulled[by], t.From.Name)
		if t.ReferencePolicy.Type == "Local" {
			pulled[ByPullThrough] = append(pulled[ByPullThrough], cmp.Or(newest[t.Name], t.From.Name))
		}
		rd.c.Add(Use{Image: t.From.Name, Owner: owner, Class: Advisory})
		rd.c.Add(Use{Image: newest[t.Name], Owner: owner, Class: Advisory})
	}
	for by, images := range pulled {
		rd.immediateConsumers = append(rd.immediateConsumers, ImmediateConsumer{By: by, Owner: owner, Images: images})
	}
}
