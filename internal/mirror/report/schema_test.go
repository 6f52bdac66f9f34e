package report

import (
	"fmt"
	"os"
	"testing"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Whatever goes into a report, the API server takes it: it is held against the bounds of the
// CustomResourceDefinition.
func TestReportsMeetTheSchema(t *testing.T) {
	schema := reportSchema(t)
	for seed := range uint64(6) {
		for _, part := range randomFixture(seed, 200).reports(began) {
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&part)
			if err != nil {
				t.Fatal(err)
			}
			delete(object, "metadata")
			for _, e := range violations(part.Name, object, schema) {
				t.Errorf("seed %d: %s", seed, e)
			}
		}
	}
}

// violations are what is unknown, missing, too long or too many.
func violations(path string, value any, schema *apiextensionsv1.JSONSchemaProps) []string {
	var out []string
	switch v := value.(type) {
	case string:
		if n := utf8.RuneCountInString(v); schema.MaxLength != nil && int64(n) > *schema.MaxLength ||
			!utf8.ValidString(v) {
			out = append(out, fmt.Sprintf("%s has %d characters, valid UTF-8 %t", path, n, utf8.ValidString(v)))
		}
	case []any:
		if schema.MaxItems != nil && int64(len(v)) > *schema.MaxItems {
			out = append(out, fmt.Sprintf("%s has %d members, more than %d", path, len(v), *schema.MaxItems))
		}
		for i, member := range v {
			out = append(out, violations(fmt.Sprintf("%s[%d]", path, i), member, schema.Items.Schema)...)
		}
	case map[string]any:
		for _, name := range schema.Required {
			if v[name] == nil {
				out = append(out, fmt.Sprintf("%s.%s is missing", path, name))
			}
		}
		for name, member := range v {
			field, ok := schema.Properties[name]
			if !ok {
				out = append(out, fmt.Sprintf("%s.%s is unknown", path, name))
				continue
			}
			out = append(out, violations(path+"."+name, member, &field)...)
		}
	}
	return out
}

func reportSchema(t *testing.T) *apiextensionsv1.JSONSchemaProps {
	t.Helper()
	text, err := os.ReadFile("../../../config/crd/bases/safemirror.io_safemirrorreports.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &crd); err != nil {
		t.Fatal(err)
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}
