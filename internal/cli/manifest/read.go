// Package manifest reads what somebody wishes for out of files: a SafeMirrorRollout, or mirror sets
// as oc-mirror and oc write them.
//
// It is strict, because a misspelt field that is passed over is a mirror set that does something
// else: an error names the file, the line and the field.
package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	configv1 "github.com/openshift/api/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/yaml"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// File is the content of a file, and what messages call it.
type File struct {
	Name string
	Data []byte
}

// Object is one object of a file: exactly one of the kinds is set.
type Object struct {
	// At says where it begins: its file and line.
	At      string
	Rollout *v1alpha1.SafeMirrorRollout
	Digest  *configv1.ImageDigestMirrorSet
	Tag     *configv1.ImageTagMirrorSet
}

// description names the object in messages.
func (o Object) description() string {
	switch {
	case o.Rollout != nil:
		return "SafeMirrorRollout " + o.Rollout.Name
	case o.Digest != nil:
		return "ImageDigestMirrorSet " + o.Digest.Name
	default:
		return "ImageTagMirrorSet " + o.Tag.Name
	}
}

const kindsRead = "SafeMirrorRollout (safemirror.io/v1alpha1), ImageTagMirrorSet and ImageDigestMirrorSet (config.openshift.io/v1)"

// Read reads every document of the files. The error has a line for each that cannot be read.
func Read(files ...File) ([]Object, error) {
	var out []Object
	var errs []error
	for _, f := range files {
		found, failed := f.read()
		out, errs = append(out, found...), append(errs, failed...)
		if len(found)+len(failed) == 0 {
			errs = append(errs, fmt.Errorf("%s: holds no object; give %s", f.Name, kindsRead))
		}
	}
	if err := errors.Join(append(errs, duplicateErrors(out)...)...); err != nil {
		return nil, err
	}
	return out, nil
}

func (f File) read() (out []Object, errs []error) {
	for _, d := range documents(f.Data) {
		found, err := d.objects(f.Name)
		out, errs = append(out, found...), append(errs, err...)
	}
	return out, errs
}

// duplicateErrors refuses a second object of the same name: in a cluster it would replace the
// first.
func duplicateErrors(objects []Object) []error {
	var errs []error
	seen := map[string]string{}
	for _, o := range objects {
		if where, ok := seen[o.description()]; ok {
			errs = append(errs, fmt.Errorf("%s: %s is at %s already, and in a cluster the second would replace the first", o.At, o.description(), where))
		}
		seen[o.description()] = o.At
	}
	return errs
}

// document is one part of a file that lines of --- divide.
type document struct {
	line int // on which it begins to say something, from 1
	// with as many empty lines before it as the file has, so that the lines of YAML errors are
	// those of the file
	text []byte
}

func documents(data []byte) []document {
	var out []document
	lines, start := bytes.SplitAfter(data, []byte("\n")), 0
	for i := 0; i <= len(lines); i++ {
		if i < len(lines) && !isSeparator(lines[i]) {
			continue
		}
		for j, line := range lines[start:i] {
			if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
				text := append(bytes.Repeat([]byte("\n"), start), bytes.Join(lines[start:i], nil)...)
				out = append(out, document{line: start + j + 1, text: text})
				break
			}
		}
		start = i + 1
	}
	return out
}

// isSeparator takes "---", and "--- # comment".
func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	rest = bytes.TrimSpace(rest)
	return ok && (len(rest) == 0 || rest[0] == '#')
}

// objects are those of the document: one, or the items of a List as oc get prints it.
func (d document) objects(file string) ([]Object, []error) {
	at := fmt.Sprintf("%s:%d", file, d.line)
	var list struct {
		metav1.TypeMeta
		Items []runtime.RawExtension `json:"items"`
	}
	if err := yaml.Unmarshal(d.text, &list); err != nil {
		return nil, []error{fmt.Errorf("%s: is not YAML of an object: %s", at, d.reason(err))}
	}
	if list.Kind != "List" {
		o, err := d.object(list.TypeMeta, d.text)
		if err != nil {
			return nil, []error{fmt.Errorf("%s: %w", cmp.Or(d.locate(file, err), at), err)}
		}
		o.At = at
		return []Object{o}, nil
	}
	var out []Object
	var errs []error
	for i, item := range list.Items {
		var meta metav1.TypeMeta
		err := yaml.Unmarshal(item.Raw, &meta)
		var o Object
		if err == nil {
			o, err = d.object(meta, item.Raw)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: items[%d]: %w", at, i, err))
			continue
		}
		o.At = fmt.Sprintf("%s items[%d]", at, i)
		out = append(out, o)
	}
	return out, errs
}

// object decodes one object of a kind that is read, and checks what can be told from it alone.
func (d document) object(meta metav1.TypeMeta, text []byte) (o Object, err error) {
	var into runtime.Object
	switch meta.Kind {
	case "SafeMirrorRollout":
		o.Rollout = &v1alpha1.SafeMirrorRollout{}
		into = o.Rollout
		err = checkAPIVersion(meta, v1alpha1.GroupVersion.String())
	case "ImageTagMirrorSet":
		o.Tag = &configv1.ImageTagMirrorSet{}
		into = o.Tag
		err = checkAPIVersion(meta, configv1.GroupVersion.String())
	case "ImageDigestMirrorSet":
		o.Digest = &configv1.ImageDigestMirrorSet{}
		into = o.Digest
		err = checkAPIVersion(meta, configv1.GroupVersion.String())
	case "ImageContentSourcePolicy":
		return o, errors.New("ImageContentSourcePolicy is not read: turn it into an ImageDigestMirrorSet with oc adm migrate icsp")
	default:
		return o, fmt.Errorf("kind %q of apiVersion %q is none of %s", meta.Kind, meta.APIVersion, kindsRead)
	}
	if err != nil {
		return o, err
	}
	if _, _, err := strict().Decode(text, nil, into); err != nil {
		return o, fmt.Errorf("%s: %s", meta.Kind, d.reason(err))
	}
	return o, checkText(o, text)
}

// strict decodes as the API server does for a request with fieldValidation=Strict: its errors have
// the path of the field.
var strict = sync.OnceValue(func() *json.Serializer {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{configv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // the kinds are what this program is made of
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme,
		json.SerializerOptions{Yaml: true, Strict: true})
})

func checkAPIVersion(meta metav1.TypeMeta, want string) error {
	if meta.APIVersion == want {
		return nil
	}
	return fmt.Errorf("apiVersion %q of kind %s is not known: write %s", meta.APIVersion, meta.Kind, want)
}

// reason is what the decoder says without its own prefixes.
func (d document) reason(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{"error converting YAML to JSON: ", "error unmarshaling JSON: ",
		"while decoding JSON: ", "strict decoding error: ", "yaml: ", "json: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// fieldInError finds the field in `unknown field "spec.imageTagMirrors[0].sorce"` and in
// `spec.imageTagMirrors[2]: …`.
var fieldInError = regexp.MustCompile(`(?:^|unknown field ")((?:metadata|spec|status)[.a-zA-Z0-9\[\]]*)`)

// locate finds the line of the field that an error names; empty when it names none, or the text has
// it more than once.
func (d document) locate(file string, err error) string {
	m := fieldInError.FindStringSubmatch(err.Error())
	if m == nil {
		return ""
	}
	last := m[1][strings.LastIndex(m[1], ".")+1:]
	if i := strings.IndexByte(last, '['); i >= 0 {
		last = last[:i]
	}
	key := regexp.MustCompile(`^[\s\-{]*["']?` + regexp.QuoteMeta(last) + `["']?\s*:`)
	lines := strings.Split(string(d.text), "\n")
	first := slices.IndexFunc(lines, key.MatchString)
	if first < 0 || slices.ContainsFunc(lines[first+1:], key.MatchString) {
		return ""
	}
	return fmt.Sprintf("%s:%d", file, first+1)
}
