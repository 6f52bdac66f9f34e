package inventory

import "k8s.io/apimachinery/pkg/runtime/schema"

var (
	catalogSourceKind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1alpha1",
		Kind: "CatalogSource"}
	clusterCatalogKind = schema.GroupVersionKind{Group: "olm.operatorframework.io", Version: "v1",
		Kind: "ClusterCatalog"}
)

type catalogSource struct {
	Spec struct {
		Image string `json:"image,omitempty"`
	} `json:"spec"`
}

// addCatalogSource adds the index image of a catalog of OLM v0, those of the default catalogs among
// them. OLM runs it as a pod and, with a polling interval, starts another one each time, which
// pulls a tag with the policy Always and a digest when it is not there (pkg/lib/image of
// operator-lifecycle-manager).
func addCatalogSource(rd *readState, owner Owner, c *catalogSource) {
	rd.c.Add(Use{Image: c.Spec.Image, Owner: owner, Class: Blocking, AlwaysPull: c.Spec.Image != "" &&
		!byDigest(c.Spec.Image)})
}

type clusterCatalog struct {
	Spec struct {
		AvailabilityMode string `json:"availabilityMode,omitempty"`
		Source           struct {
			Image *struct {
				Ref                 string `json:"ref,omitempty"`
				PollIntervalMinutes int64  `json:"pollIntervalMinutes,omitempty"`
			} `json:"image,omitempty"`
		} `json:"source"`
	} `json:"spec"`
	Status struct {
		ResolvedSource *struct {
			Image *struct {
				Ref string `json:"ref,omitempty"`
			} `json:"image,omitempty"`
		} `json:"resolvedSource,omitempty"`
	} `json:"status"`
}

// addClusterCatalog adds the image of a catalog of OLM v1. catalogd pulls it itself, with the
// configuration of the control plane node on which it runs; no kubelet does.
func addClusterCatalog(rd *readState, owner Owner, c *clusterCatalog) {
	use := Use{Owner: owner, Class: Advisory}
	if c.Spec.AvailabilityMode == "Unavailable" {
		use.Class = Historical
	}
	if i := c.Spec.Source.Image; i != nil {
		use.Image, use.AlwaysPull = i.Ref, i.PollIntervalMinutes > 0 && !byDigest(i.Ref)
		rd.c.Add(use)
	}
	if r := c.Status.ResolvedSource; r != nil && r.Image != nil {
		use.Image, use.AlwaysPull = r.Image.Ref, false
		rd.c.Add(use)
	}
}
