package clusterfiles

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

// splitAndConvert takes text apart line by line. ok is false when anything was found wrong with it.
func splitAndConvert(t *testing.T, text string) (objects []any, ok bool) {
	t.Helper()
	ok = true
	s := &yamlSplitter{splitter: splitter{maxObject: 1 << 20,
		onProblem: func(f FileProblem) { ok = ok && f.Severity != SeverityLost }}}
	var c blockYAML
	s.onObject = func(text []byte, _ position, _ typeMeta) {
		out, _, _, fast := c.convert(text, nil)
		if !fast {
			var err error
			if out, err = yaml.YAMLToJSONStrict(text); err != nil {
				ok = false
				return
			}
		}
		objects = append(objects, listItems(t, out)...)
	}
	if err := s.split(bufio.NewReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	return objects, ok
}

// libraryObjects has the library find the documents. ok is false when it refuses any, and for
// objects that have items without being lists: no kind has such a field.
func libraryObjects(t *testing.T, text string) (objects []any, ok bool) {
	t.Helper()
	documents := goyaml.NewDecoder(strings.NewReader(text))
	documents.SetStrict(true)
	for {
		var document any
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects, true
		}
		if err != nil {
			return nil, false
		}
		again, err := goyaml.Marshal(document)
		if err != nil {
			return nil, false
		}
		out, err := yaml.YAMLToJSON(again)
		if err != nil {
			return nil, false
		}
		var fields any
		if err := json.Unmarshal(out, &fields); err != nil {
			t.Fatal(err)
		}
		if list, isObject := fields.(map[string]any); isObject {
			kind, _ := list["kind"].(string)
			if items, _ := list["items"].([]any); len(items) > 0 && !strings.HasSuffix(kind, "List") {
				return nil, false
			}
		}
		objects = append(objects, listItems(t, out)...)
	}
}

// listItems is a list's items, or else the object itself. Nothing, as between two separators, is no
// object.
func listItems(t *testing.T, object []byte) []any {
	t.Helper()
	var fields any
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatalf("%v in %s", err, object)
	}
	list, isObject := fields.(map[string]any)
	if fields == nil {
		return nil
	}
	if items, _ := list["items"].([]any); isObject && len(items) > 0 {
		return slices.DeleteFunc(items, func(one any) bool { return one == nil })
	}
	return []any{fields}
}

func FuzzYAMLSplitter(f *testing.F) {
	for _, text := range []string{
		"apiVersion: v1\nitems:\n- a: 1\n  b:\n  - c\n- d\nkind: List\n",
		"kind: PodList\nitems:\n  - a: 1\n\n  # c\n  - b: |\n      - x\n\n      y\n",
		"a: b\n---\nc: d\n...\n---\n# x\n---\ne: f",
		"%YAML 1.1\n---\na: b\n", "items: []\nkind: List\n", "items:\nkind: List\n",
		"items:\n- a: \"b\n- c\"\nkind: List\n", "items:\n-\n- null\nkind: List\n", "--- {a: b}\n--- # c\nd: e\n",
		"  kind: List\n  items:\n  - a: b\n", "a: |\n  ---\n  b\n",
		"items:\n- a: 'b\n\n  c'\n- - d\nkind: XList\nmetadata: {}\n", "\xef\xbb\xbfa: b\n",
		"items: # c\n- a\nkind: List\n", "items:\n  a: b\nkind: List\n",
		"items:\n- a\nitems:\n- b\nkind: List\n", "kind: List\nitems:\n- a: b\n c: d\n",
		"items:\n- ? a\n  : b\nkind: List\n", "items:\r\n- a: b\r\nkind: List\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ours, whole := splitAndConvert(t, text)
		if !whole {
			return
		}
		want, accepted := libraryObjects(t, text)
		if accepted && !reflect.DeepEqual(ours, want) {
			t.Fatalf("%q\nours    %v\nlibrary %v", text, ours, want)
		}
	})
}

func TestYAMLSplitterComplete(t *testing.T) {
	for name, text := range map[string]string{
		"list":                   "apiVersion: v1\nitems:\n- a: 1\n  b:\n  - c\n- d: e\nkind: List\n",
		"indented list":          "kind: PodList\nitems:\n  - a: 1\n\n  # c\n  - b: |\n      - x\n\n      y\n",
		"documents":              "a: b\n---\nc: d\n...\n---\n# x\n---\ne: f\n",
		"directive":              "%YAML 1.1\n---\na: b\n",
		"separator in a literal": "a: |\n  ---\n  - b\n",
		"long lines":             "a: " + strings.Repeat("x", 3*bufferSize) + "\nb: c\n",
	} {
		t.Run(name, func(t *testing.T) {
			ours, whole := splitAndConvert(t, text)
			want, accepted := libraryObjects(t, text)
			if !whole || !accepted || !reflect.DeepEqual(ours, want) {
				t.Errorf("ours %v %v\nlibrary %v %v", ours, whole, want, accepted)
			}
		})
	}
}

func FuzzJSONSplitter(f *testing.F) {
	for _, text := range []string{
		`{"kind":"List","items":[{"a":1},{"b":[2,{"c":"}]\\\""}]}],"metadata":{}}`, `{"a":1}` + "\n" + `{"b":null}`,
		`{"items":[],"kind":"List"}`, `{"items":null}`, `{"items":{}}`, `{}`, `[]`, `{"a":"\u00e4\\"}`,
		`{"items":[1,2`, `{"items":[{"a":1},]}`, `{"items":[{"items":[{"a":1}]}]}`, `{"items":[true,-1.5e3,"x"]}`,
		`{"a":1,}`, `{"a"}`, `{"\u0069tems":[1]}`, `{"a":1}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var ours []any
		s := &jsonSplitter{splitter: splitter{maxObject: 1 << 20, onProblem: func(FileProblem) {}}}
		valid := true
		s.onObject = func(text []byte, _ position, _ typeMeta) {
			var object any
			valid = valid && json.Unmarshal(text, &object) == nil
			ours = append(ours, object)
		}
		err := s.split(bufio.NewReaderSize(strings.NewReader(text), 16))
		want, accepted := encodingJSONObjects(text)
		if accepted && (err != nil || !valid || !reflect.DeepEqual(ours, want)) {
			t.Fatalf("%q: %v\nours    %v\nlibrary %v", text, err, ours, want)
		}
	})
}

// encodingJSONObjects is the objects of a text, lists taken apart. ok is false for what is not a
// sequence of objects, for a field that is there twice, and for names with escapes, which no tool
// writes.
func encodingJSONObjects(text string) (objects []any, ok bool) {
	documents := json.NewDecoder(strings.NewReader(text))
	for {
		var raw json.RawMessage
		err := documents.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return objects, !strings.Contains(text, `\u`)
		}
		var fields map[string]any
		if err != nil || json.Unmarshal(raw, &fields) != nil || fields == nil {
			return nil, false
		}
		if strict, err := kjson.UnmarshalStrict(raw, &map[string]any{}, kjson.DisallowDuplicateFields); err != nil ||
			len(strict) > 0 {
			return nil, false
		}
		switch items := fields["items"].(type) {
		case []any:
			if len(items) > 0 {
				objects = append(objects, items...)
				continue
			}
		case nil:
		default:
			return nil, false
		}
		delete(fields, "items")
		objects = append(objects, fields)
	}
}
