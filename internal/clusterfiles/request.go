package clusterfiles

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// request is one call of a client.Reader, as far as it decides the answer.
type request struct {
	Verb      verb   `json:"verb"`
	Form      form   `json:"form"`
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Labels    string `json:"labels,omitempty"`
	Fields    string `json:"fields,omitempty"`
}

type verb string

const (
	verbGet  verb = "get"
	verbList verb = "list"
)

// form is how the answer was wanted: a metadata-only answer cannot stand for a whole object.
type form string

const (
	formTyped        form = "typed"
	formUnstructured form = "unstructured"
	formMetadata     form = "metadata"
)

func formOf(object runtime.Object) form {
	switch object.(type) {
	case *unstructured.Unstructured, *unstructured.UnstructuredList:
		return formUnstructured
	case *metav1.PartialObjectMetadata, *metav1.PartialObjectMetadataList:
		return formMetadata
	}
	return formTyped
}

func getRequest(gvk schema.GroupVersionKind, object client.Object, key client.ObjectKey) request {
	return request{Verb: verbGet, Form: formOf(object), Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind,
		Namespace: key.Namespace, Name: key.Name}
}

func listRequest(gvk schema.GroupVersionKind, list client.ObjectList, o client.ListOptions) request {
	q := request{Verb: verbList, Form: formOf(list), Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind,
		Namespace: o.Namespace}
	if o.LabelSelector != nil {
		q.Labels = o.LabelSelector.String()
	}
	if o.FieldSelector != nil {
		q.Fields = o.FieldSelector.String()
	}
	return q
}

func (q request) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: q.Group, Version: q.Version, Kind: q.Kind}
}

// wholeKind reports whether the question is for all objects of a kind, whole.
func (q request) wholeKind() bool {
	return q.Verb == verbList && q.Form != formMetadata && q.Namespace == "" && q.Labels == "" && q.Fields == ""
}

func (q request) String() string {
	out := fmt.Sprintf("%s %s %s", q.Verb, q.Form, q.gvk())
	for _, part := range []struct{ label, value string }{{"namespace", q.Namespace}, {"name", q.Name},
		{"labels", q.Labels}, {"fields", q.Fields}} {
		if part.value != "" {
			out += fmt.Sprintf(", %s %s", part.label, part.value)
		}
	}
	return out
}

// codec keeps objects in the form in which they were asked for.
func (q request) codec(scheme *runtime.Scheme) codec {
	switch q.Form {
	case formTyped:
		return codecFor(scheme, q.gvk())
	case formMetadata:
		return codec{gvk: q.gvk(), goType: reflect.TypeFor[metav1.PartialObjectMetadata]()}
	case formUnstructured:
	}
	return codec{gvk: q.gvk()}
}

// response is what came back: objects, or a refusal.
type response struct {
	codec
	objects [][]byte
	err     *recordedError
}

// recordedError is an error in a form that can be written down.
type recordedError struct {
	// NoMatch: the cluster does not serve the kind.
	NoMatch bool `json:"noMatch,omitempty"`
	// Status is the API server's answer, such as NotFound or Forbidden.
	Status *metav1.Status `json:"status,omitempty"`
	// Text of any other error.
	Text string `json:"text,omitempty"`
}

func newRecordedError(err error) *recordedError {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return &recordedError{NoMatch: true}
	case errors.As(err, &status):
		s := status.Status()
		return &recordedError{Status: &s}
	}
	return &recordedError{Text: err.Error()}
}

func (r *recordedError) toError(gvk schema.GroupVersionKind) error {
	switch {
	case r.NoMatch:
		return &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	case r.Status != nil:
		return &apierrors.StatusError{ErrStatus: *r.Status}
	}
	return errors.New(r.Text)
}

func (a *response) fillObject(into client.Object) error {
	if a.err != nil {
		return a.err.toError(a.gvk)
	}
	return a.decode(a.objects[0], into)
}

func (a *response) fillList(list client.ObjectList, limit int64, token string) error {
	if a.err != nil {
		return a.err.toError(a.gvk)
	}
	from := 0
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 0 || from > len(a.objects) {
			return apierrors.NewBadRequest(fmt.Sprintf("continue token %q is not one of this reader", token))
		}
	}
	to := len(a.objects)
	if limit > 0 {
		to = min(to, from+int(limit))
	}
	items, element, err := itemsOf(list)
	if err != nil {
		return err
	}
	out := reflect.MakeSlice(items.Type(), 0, to-from)
	for _, data := range a.objects[from:to] {
		one := reflect.New(element)
		if err := a.decode(data, one.Interface().(client.Object)); err != nil { //nolint:forcetypeassert // itemsOf takes nothing else
			return err
		}
		out = reflect.Append(out, one.Elem())
	}
	items.Set(out)
	list.SetContinue("")
	if to < len(a.objects) {
		list.SetContinue(strconv.Itoa(to))
	}
	return nil
}

// order of questions in a file.
func (q request) compare(other request) int { return strings.Compare(q.String(), other.String()) }
