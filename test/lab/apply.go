package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

const fieldManager = "lab"

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1",
	Resource: "customresourcedefinitions"}

// Apply puts manifests on the API server by server-side apply, forced. Each argument is YAML text,
// a file, or a directory of *.yaml files (not searched deeper, and kustomization.yaml is left out).
// CRDs and namespaces go first, whatever order they come in, and Apply waits until a CRD is served.
func (l *Lab) Apply(ctx context.Context, yamlOrPath ...string) error {
	var objects []*unstructured.Unstructured
	for _, source := range yamlOrPath {
		found, err := readObjects(source)
		if err != nil {
			return err
		}
		objects = append(objects, found...)
	}
	return l.applyObjects(ctx, objects)
}

func (l *Lab) applyObjects(ctx context.Context, objects []*unstructured.Unstructured) error {
	objects = slices.Clone(objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	for _, object := range objects {
		if err := l.applyObject(ctx, object); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), objectName(object), err)
		}
	}
	return nil
}

// rank orders what others depend on first.
func rank(object *unstructured.Unstructured) int {
	switch object.GetKind() {
	case "CustomResourceDefinition":
		return 0
	case "Namespace":
		return 1
	default:
		return 2
	}
}

// applyObject applies an object and then, if it has one and the resource keeps it apart, its
// status.
func (l *Lab) applyObject(ctx context.Context, object *unstructured.Unstructured) error {
	resource, err := l.resource(ctx, object)
	if err != nil {
		return err
	}
	body, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{FieldManager: fieldManager, Force: new(true)}
	if _, err := resource.Patch(ctx, object.GetName(), types.ApplyPatchType, body, options); err != nil {
		return err
	}
	if object.GetKind() == "CustomResourceDefinition" {
		return l.waitServed(ctx, object.GetName())
	}
	if _, ok := object.Object["status"]; !ok {
		return nil
	}
	_, err = resource.Patch(ctx, object.GetName(), types.ApplyPatchType, body, options, "status")
	if apierrors.IsNotFound(err) {
		return nil // no status subresource: the first patch has written it
	}
	return err
}

// resource finds the endpoint of an object's kind. A kind whose CRD has just been made may be
// missing from the API server's discovery for a moment.
func (l *Lab) resource(ctx context.Context, object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	var mapping *meta.RESTMapping
	err := Eventually(ctx, 30*time.Second, "kind "+kind.String()+" is not served",
		func(context.Context) (bool, string, error) {
			var err error
			mapping, err = l.mapper.RESTMapping(kind.GroupKind(), kind.Version)
			if err != nil {
				l.mapper.Reset()
				return false, err.Error(), nil
			}
			return true, "", nil
		})
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := object.GetNamespace()
		if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
		return l.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return l.dynamic.Resource(mapping.Resource), nil
}

func (l *Lab) waitServed(ctx context.Context, crd string) error {
	return Eventually(ctx, 30*time.Second, "CRD "+crd+" is not established",
		func(ctx context.Context) (bool, string, error) {
			object, err := l.dynamic.Resource(crdResource).Get(ctx, crd, metav1.GetOptions{})
			if err != nil {
				return false, err.Error(), nil
			}
			return established(object), "condition Established is not True", nil
		})
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Established" && condition["status"] == "True"
	})
}

func (l *Lab) makeClients() error {
	disco, err := discovery.NewDiscoveryClientForConfig(l.config)
	if err != nil {
		return err
	}
	l.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	if l.kube, err = kubernetes.NewForConfig(l.config); err != nil {
		return err
	}
	l.dynamic, err = dynamic.NewForConfig(l.config)
	return err
}

// readObjects takes YAML text, a file or a directory. A source with a line break is text.
func readObjects(source string) ([]*unstructured.Unstructured, error) {
	if strings.Contains(source, "\n") {
		return parseObjects([]byte(source))
	}
	files := []string{source}
	if info, err := os.Stat(source); err != nil {
		return nil, err
	} else if info.IsDir() {
		files, err = filepath.Glob(filepath.Join(source, "*.yaml"))
		if err != nil {
			return nil, err
		}
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		found, err := parseObjects(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// parseObjects reads documents separated by "---"; JSON is YAML too.
func parseObjects(data []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func objectName(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}
