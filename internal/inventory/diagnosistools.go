package inventory

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// diagnosisTools adds the images that oc starts to look at a cluster in trouble, which is when a
// pull that fails hurts most. oc takes them from ImageStream tags of the namespace openshift, and
// these references when a tag has no image (pkg/cli/admin/mustgather and pkg/cli/debug of oc).
func diagnosisTools(_ context.Context, rd *readState, _ client.Reader) error {
	if !rd.openShift {
		return nil
	}
	for _, tool := range []struct{ command, tag, image string }{
		{"oc adm must-gather", "openshift/must-gather:latest", "registry.redhat.io/openshift4/ose-must-gather:latest"},
		{"oc debug node", "openshift/tools:latest", "registry.redhat.io/rhel9/support-tools"},
	} {
		use := Use{Image: tool.image, Owner: Owner{Kind: "command", Name: tool.command}, Class: Advisory}
		if image := rd.tags[tool.tag]; image != "" {
			use.Image = image
		}
		rd.c.Add(use)
	}
	return nil
}
