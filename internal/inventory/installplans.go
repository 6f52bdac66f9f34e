package inventory

import "k8s.io/apimachinery/pkg/runtime/schema"

var installPlanKind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1alpha1", Kind: "InstallPlan"}

type installPlan struct {
	Status struct {
		Phase         string `json:"phase,omitempty"`
		BundleLookups []struct {
			Path string `json:"path,omitempty"`
		} `json:"bundleLookups,omitempty"`
	} `json:"status"`
}

// addInstallPlan adds the bundle images that OLM v0 unpacks with a Job, whose pod pulls them. The
// Job is gone minutes later.
func addInstallPlan(rd *readState, owner Owner, p *installPlan) {
	class := Advisory // waiting for an approval
	switch p.Status.Phase {
	case "Installing", "Planning", "":
		class = Blocking
	case "Complete", "Failed":
		class = Historical
	}
	for _, l := range p.Status.BundleLookups {
		rd.c.Add(Use{Image: l.Path, Owner: owner, Class: class})
	}
}
