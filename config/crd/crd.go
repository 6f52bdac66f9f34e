// Package crd holds the CustomResourceDefinitions of the operator, as they are installed. Whoever
// checks an object without an API server checks it against these, so that no rule of theirs is
// written down twice.
package crd

import (
	"embed"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var bases embed.FS

// Rollouts is the definition of SafeMirrorRollout.
func Rollouts() (*apiextensionsv1.CustomResourceDefinition, error) {
	return read("safemirror.io_safemirrorrollouts.yaml")
}

// Reports is the definition of SafeMirrorReport.
func Reports() (*apiextensionsv1.CustomResourceDefinition, error) {
	return read("safemirror.io_safemirrorreports.yaml")
}

func read(name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	text, err := bases.ReadFile("bases/" + name)
	if err != nil {
		return nil, err
	}
	out := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, out); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}
