package v1alpha1

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestSamplesAreValid decodes every sample strictly: a field that the types do not have, a key
// given twice or a value of the wrong type fails. What only the API server can tell (CEL, patterns,
// bounds) is checked by the API tests.
func TestSamplesAreValid(t *testing.T) {
	const dir = "../../config/samples"
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	listed := listedSamples(t, filepath.Join(dir, "kustomization.yaml"))
	names := map[string]string{}
	for _, file := range files {
		base := filepath.Base(file)
		if base == "kustomization.yaml" {
			continue
		}
		t.Run(base, func(t *testing.T) {
			if !listed[base] {
				t.Errorf("%s is not in the resources of kustomization.yaml", base)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var smr SafeMirrorRollout
			if err := yaml.UnmarshalStrict(data, &smr); err != nil {
				t.Fatalf("strict decode: %v", err)
			}
			if got, want := smr.GroupVersionKind(), GroupVersion.WithKind("SafeMirrorRollout"); got != want {
				t.Errorf("is a %v, want %v", got, want)
			}
			if smr.Namespace != "" {
				t.Errorf("has namespace %q; the kind is cluster-scoped", smr.Namespace)
			}
			if len(smr.Spec.ImageTagMirrors)+len(smr.Spec.ImageDigestMirrors) == 0 {
				t.Error("declares no mirrors")
			}
			if other, ok := names[smr.Name]; ok {
				t.Errorf("has the name %q of %s", smr.Name, other)
			}
			names[smr.Name] = base
		})
	}
	if len(names) != len(listed) {
		t.Errorf("%d samples read, %d listed in kustomization.yaml", len(names), len(listed))
	}
}

func listedSamples(t *testing.T, file string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(data, &kustomization); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, name := range kustomization.Resources {
		listed[name] = true
	}
	return listed
}
