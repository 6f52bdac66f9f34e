// Package validation checks an object against its CustomResourceDefinition as the API server does
// when the object is created: the schema, lists that are sets or maps, and the rules in CEL.
package validation

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Validator checks objects of one version of a kind.
type Validator struct {
	schema *structural.Structural
	values validation.SchemaValidator
	rules  *cel.Validator
}

// New makes a Validator of the definition.
func New(crd *apiextensionsv1.CustomResourceDefinition, version string) (*Validator, error) {
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Name == version && v.Schema != nil {
			return of(v.Schema)
		}
	}
	return nil, fmt.Errorf("CustomResourceDefinition %s has no schema of version %s", crd.Name, version)
}

func of(v1 *apiextensionsv1.CustomResourceValidation) (*Validator, error) {
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v1,
		&internal, nil); err != nil {
		return nil, err
	}
	schema, err := structural.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	values, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	return &Validator{schema: schema, values: values,
		rules: cel.NewValidator(schema, true, celconfig.PerCallLimit)}, nil
}

// Create returns what the API server would refuse of the object if it were created; nil when it
// would take it. The object must be one of a cluster, without a namespace. It is not changed.
func (v *Validator) Create(ctx context.Context, object map[string]any) field.ErrorList {
	content := runtime.DeepCopyJSON(object)
	defaulting.Default(content, v.schema)
	meta := &unstructured.Unstructured{Object: content}
	errs := apivalidation.ValidateObjectMetaAccessor(meta, false, apivalidation.NameIsDNSSubdomain,
		field.NewPath("metadata"))
	errs = append(errs, validation.ValidateCustomResource(nil, content, v.values)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, v.schema, content)...)
	if len(errs) > 0 {
		return errs // rules in CEL are not asked of values that the schema refuses
	}
	rules, _ := v.rules.Validate(ctx, nil, v.schema, content, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, rules...)
}

// Object is Create for an object of Go. The error has all that is refused.
func (v *Validator) Object(ctx context.Context, object any) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return err
	}
	return Join(v.Create(ctx, content))
}

// Join makes one error of the list, a line for each; nil when it is empty.
func Join(list field.ErrorList) error {
	errs := make([]error, len(list))
	for i := range list {
		errs[i] = list[i]
	}
	return errors.Join(errs...)
}
