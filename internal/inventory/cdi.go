package inventory

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	dataVolumeKind     = schema.GroupVersionKind{Group: "cdi.kubevirt.io", Version: "v1beta1", Kind: "DataVolume"}
	dataImportCronKind = schema.GroupVersionKind{Group: "cdi.kubevirt.io", Version: "v1beta1", Kind: "DataImportCron"}
)

type dataVolume struct {
	Spec   dataVolumeSpec `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status"`
}

type dataVolumeSpec struct {
	Source *struct {
		Registry *struct {
			URL        string `json:"url,omitempty"`
			PullMethod string `json:"pullMethod,omitempty"`
		} `json:"registry,omitempty"`
	} `json:"source,omitempty"`
}

type dataImportCron struct {
	Spec struct {
		Template struct {
			Spec dataVolumeSpec `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// nodeImage is the image that a node pulls for an import: one with the pull method node. By the
// other method the importer pulls with a client of its own, which knows nothing of mirrors.
func (s *dataVolumeSpec) nodeImage() string {
	if s.Source == nil || s.Source.Registry == nil || s.Source.Registry.PullMethod != "node" {
		return ""
	}
	image, ok := strings.CutPrefix(s.Source.Registry.URL, "docker://")
	if !ok {
		return ""
	}
	return image
}

func addDataVolume(rd *readState, owner Owner, v *dataVolume) {
	class := Blocking
	if v.Status.Phase == "Succeeded" {
		class = Historical
	}
	rd.c.Add(Use{Image: v.Spec.nodeImage(), Owner: owner, Class: class})
}

func addDataImportCron(rd *readState, owner Owner, c *dataImportCron) {
	rd.c.Add(Use{Image: c.Spec.Template.Spec.nodeImage(), Owner: owner, Class: Blocking})
}
