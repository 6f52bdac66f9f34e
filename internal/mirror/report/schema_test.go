package report

import (
	"testing"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/config/crd"
	"github.com/safe-mirror/safe-mirror-operator/config/crd/validation"
)

// Whatever goes into a report, the API server takes it: it is held against the
// CustomResourceDefinition by the API server's own code.
func TestReportsMeetTheSchema(t *testing.T) {
	definition, err := crd.Reports()
	if err != nil {
		t.Fatal(err)
	}
	v, err := validation.New(definition, v1alpha1.GroupVersion.Version)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(6) {
		for _, part := range randomFixture(seed, 200).reports(began) {
			part.APIVersion, part.Kind = v1alpha1.GroupVersion.String(), "SafeMirrorReport"
			if err := v.Object(t.Context(), &part); err != nil {
				t.Errorf("seed %d, %s: %v", seed, part.Name, err)
			}
		}
	}
}
