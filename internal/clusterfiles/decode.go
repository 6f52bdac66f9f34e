package clusterfiles

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// item is one object as text.
type item struct {
	text []byte
	yaml bool
	hint typeMeta
	at   position
	seq  int // in its file
}

// decoder makes objects out of text. Each worker has one; their yields are put together at the end.
type decoder struct {
	scheme    *runtime.Scheme
	kinds     kinds
	transform func(any) (any, error)
	yaml      blockYAML
	codecs    map[schema.GroupVersionKind]codec
	decodeResult
}

// decodeResult is what came of it.
type decodeResult struct {
	entries  map[schema.GroupVersionKind][]entry // a kind without entries: the files hold an empty list of it
	ignored  map[schema.GroupVersionKind]ignoredKind
	problems []locatedProblem
	objects  int // kept
}

// ignoredKind counts objects of one kind that are not kept.
type ignoredKind struct {
	class kindClass
	n     int
	file  *file // the first
}

func newDecoder(scheme *runtime.Scheme, k kinds, transform func(any) (any, error)) *decoder {
	return &decoder{scheme: scheme, kinds: k, transform: transform, codecs: map[schema.GroupVersionKind]codec{},
		decodeResult: decodeResult{entries: map[schema.GroupVersionKind][]entry{},
			ignored: map[schema.GroupVersionKind]ignoredKind{}}}
}

func (d *decoder) decodeItem(f *file, it item) {
	object := it.text
	if it.yaml {
		out, declared, unwanted, ok := d.yaml.convert(it.text, d.isWanted)
		if unwanted {
			d.ignore(f, declared)
			return
		}
		if object = out; !ok {
			var err error
			if object, err = yaml.YAMLToJSONStrict(it.text); err != nil {
				d.reportProblem(f, it, FileProblem{Reason: reasonOf(err), Severity: SeverityLost,
					Message: "is not YAML: " + withoutLine(err)}, lineOf(err))
				return
			}
		}
	}
	d.decodeObject(f, it, object, it.hint)
}

// isWanted lets the conversion of YAML stop early. A list is never known to be unwanted before its
// items have been seen.
func (d *decoder) isWanted(m typeMeta) bool {
	return strings.HasSuffix(m.Kind, "List") ||
		d.kinds.classify(schema.FromAPIVersionAndKind(m.APIVersion, m.Kind)) == wanted
}

func (d *decoder) decodeObject(f *file, it item, object []byte, hint typeMeta) {
	declared := hint
	if own := peekTypeMeta(object); own.Kind != "" {
		declared = own
	}
	gvk := schema.FromAPIVersionAndKind(declared.APIVersion, declared.Kind)
	switch {
	case declared.Kind == "" && !json.Valid(object):
		d.reportProblem(f, it, FileProblem{Reason: Malformed, Severity: SeverityLost,
			Message: "is not JSON and was left out"}, 0)
	case declared.Kind == "":
		d.reportProblem(f, it, FileProblem{Reason: NoKind, Severity: SeverityDoubtful,
			Message: "has no kind, and the list around it names none; it was left out"}, 0)
	case strings.HasSuffix(declared.Kind, "List") && d.kinds.classify(gvk) != wanted:
		d.decodeList(f, it, object, declared)
	case d.kinds.classify(gvk) != wanted:
		d.ignore(f, declared)
	default:
		d.keepObject(f, it, object, gvk)
	}
}

// decodeList is a list inside of a list, an empty one, or one that the splitter has not recognised,
// such as a document that is indented as a whole.
func (d *decoder) decodeList(f *file, it item, object []byte, declared typeMeta) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(object, &list); err != nil {
		d.reportProblem(f, it, FileProblem{Kind: declared.Kind, Reason: Malformed, Severity: SeverityLost,
			Message: "is not a list: " + err.Error()}, 0)
		return
	}
	for _, one := range list.Items {
		d.decodeObject(f, it, one, declared.itemHint())
	}
	if len(list.Items) > 0 {
		return
	}
	hint := declared.itemHint()
	gvk := schema.FromAPIVersionAndKind(hint.APIVersion, hint.Kind)
	if hint.Kind == "" {
		var known bool
		if gvk, known = d.kinds.guessFromPath(f.name); !known {
			d.reportProblem(f, it, FileProblem{Kind: declared.Kind, Reason: NoKind, Severity: SeverityNote,
				Message: "is empty and does not say of which kind, so it says nothing; name the file for its resource, such as pods.yaml"}, 0)
			return
		}
	}
	if d.kinds.classify(gvk) == wanted && d.entries[gvk] == nil {
		d.entries[gvk] = []entry{}
	}
}

func (d *decoder) ignore(f *file, declared typeMeta) {
	gvk := schema.FromAPIVersionAndKind(declared.APIVersion, declared.Kind)
	t := d.ignored[gvk]
	if t.file == nil || f.index < t.file.index {
		t.file = f
	}
	t.class, t.n = d.kinds.classify(gvk), t.n+1
	d.ignored[gvk] = t
}

func (d *decoder) keepObject(f *file, it item, object []byte, gvk schema.GroupVersionKind) {
	c, ok := d.codecs[gvk]
	if !ok {
		c = codecFor(d.scheme, gvk)
		d.codecs[gvk] = c
	}
	into, err := parse(c, object)
	if err != nil {
		d.reportProblem(f, it, FileProblem{Kind: gvk.Kind, Reason: reasonOf(err), Severity: SeverityLost,
			Message: "was left out: " + err.Error()}, 0)
		return
	}
	if into.GetName() == "" {
		d.reportProblem(f, it, FileProblem{Kind: gvk.Kind, Reason: Malformed, Severity: SeverityLost,
			Message: "has no metadata.name and was left out"}, 0)
		return
	}
	e, err := d.entry(c, into)
	if err != nil {
		d.reportProblem(f, it, FileProblem{Kind: gvk.Kind, Reason: Malformed, Severity: SeverityLost,
			Message: fmt.Sprintf("%s was left out: %v", client.ObjectKeyFromObject(into), err)}, 0)
		return
	}
	e.order.file, e.order.seq = f.index, it.seq
	d.entries[gvk] = append(d.entries[gvk], e)
	d.objects++
}

// parse refuses a field that is there twice: which of the two would the cluster mean?
func parse(c codec, object []byte) (client.Object, error) {
	into := c.newObject()
	target := any(into)
	if u, ok := into.(*unstructured.Unstructured); ok {
		u.Object = map[string]any{}
		target = &u.Object
	}
	strict, err := kjson.UnmarshalStrict(object, target, kjson.DisallowDuplicateFields)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	if err == nil && c.goType == nil {
		// or reading it so would fail later
		err = kjson.UnmarshalCaseSensitivePreserveInts(object, &metav1.PartialObjectMetadata{})
	}
	if err == nil {
		into.GetObjectKind().SetGroupVersionKind(c.gvk)
	}
	return into, err
}

// entry trims the object and packs it.
func (d *decoder) entry(c codec, object client.Object) (entry, error) {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64) // 0 for none, and for what is no number
	e := entry{namespace: object.GetNamespace(), name: object.GetName(), order: recency{version: version}}
	if pod, ok := object.(*corev1.Pod); ok {
		e.node = pod.Spec.NodeName
	}
	trimmed, err := transformed(object, d.transform)
	if err != nil {
		return e, err
	}
	e.data, err = c.encode(trimmed)
	return e, err
}

// transformed applies an informer's transform, which must not make another type of an object.
func transformed(object client.Object, transform func(any) (any, error)) (client.Object, error) {
	if transform == nil {
		return object, nil
	}
	out, err := transform(object)
	if err != nil {
		return nil, err
	}
	same, ok := out.(client.Object)
	if !ok || fmt.Sprintf("%T", same) != fmt.Sprintf("%T", object) {
		return nil, fmt.Errorf("the transform made %T out of %T", out, object)
	}
	return same, nil
}

// reportProblem places a finding. line is counted from the object's first, 0 for not known.
func (d *decoder) reportProblem(f *file, it item, finding FileProblem, line int) {
	finding.File = f.name
	one := locatedProblem{FileProblem: finding, file: f, offset: it.at.offset, seq: it.seq}
	if it.yaml {
		one.file, one.Line = nil, it.at.line+max(0, line-1)
	}
	d.problems = append(d.problems, one)
}

// merge adds what another worker has found.
func (y *decodeResult) merge(other *decodeResult) {
	for gvk, entries := range other.entries {
		y.entries[gvk] = append(y.entries[gvk], entries...)
		if y.entries[gvk] == nil {
			y.entries[gvk] = []entry{}
		}
	}
	for gvk, t := range other.ignored {
		mine := y.ignored[gvk]
		if mine.file == nil || t.file.index < mine.file.index {
			mine.file = t.file
		}
		mine.class, mine.n = t.class, mine.n+t.n
		y.ignored[gvk] = mine
	}
	y.problems = append(y.problems, other.problems...)
	y.objects += other.objects
}

// The library's errors begin with "yaml: line 7: ", counted from the object's first line, sometimes
// after "error converting …: ".
var yamlLine = regexp.MustCompile(`(?:error converting YAML to JSON: )?yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?`)

func lineOf(err error) int {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1]) // "" is 0: not known
		return n
	}
	return 0
}

func withoutLine(err error) string { return yamlLine.ReplaceAllString(err.Error(), "") }

func reasonOf(err error) string {
	if text := err.Error(); strings.Contains(text, "already set in map") || strings.Contains(text, "duplicate field") {
		return Duplicate
	}
	return Malformed
}

// resourceOf is the name that messages use for a kind: "pods", "deployments.apps".
func resourceOf(gvk schema.GroupVersionKind) schema.GroupResource {
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural.GroupResource()
}
