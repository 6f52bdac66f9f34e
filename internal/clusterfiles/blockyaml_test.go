package clusterfiles

import (
	"encoding/json"
	"reflect"
	"testing"

	"sigs.k8s.io/yaml"
)

// platformYAML is what the platform's tools write; all of it must go the fast way.
var platformYAML = map[string]string{
	"mapping":                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n",
	"sequence at key":        "spec:\n  containers:\n  - image: a\n    name: b\n  - image: c\n",
	"sequence indented":      "spec:\n  containers:\n    - image: a\n    - image: c\n",
	"sequence in sequence":   "a:\n- - x\n  - y\n- - z\n",
	"empty values":           "a: {}\nb: []\nc: null\nd:\ne: \"\"\nf: ''\n",
	"empty sequence entry":   "a:\n-\n- b\n",
	"types":                  "a: 1\nb: true\nc: 1.5\nd: \"1\"\ne: 0x1F\nf: 1e3\ng: yes\nh: ~\ni: 010\nj: -5\nk: .5\nl: off\n",
	"text that looks like":   "a: 10.128.0.5\nb: 100m\nc: 0b8e7a30-55f5-4c1e-9a60-6a1f8b5d2c11\nd: 10.128.0.0/14\ne: 4.20.3\nf: 0a:58:0a:80:00:05\ng: 2026-11-23\nh: 16Gi\n",
	"folded plain":           "message: containers with unready status\n  of the pod\n\n  and more\nother: b\n",
	"folded single":          "message: 'containers with unready status: [a b]\n  it''s over\n\n  there'\nother: b\n",
	"folded double":          "message: \"a \\\"b\\\"\n  and \\\n  \\  c\\n\"\nother: b\n",
	"literal":                "a: |\n  first\n\n    second: x # no comment\n  \tb\nb: |-\n  x\n\n  y\nc: |+\n  x\n\nd: e\n",
	"literal in a sequence":  "args:\n- |\n  set -e\n  echo \"hi\"\n- b\n",
	"json in single quotes":  "a: '{\"default\":{\"ips\":[\"10.128.0.5/23\"]}}'\n",
	"managed fields":         "f:\n  'f:metadata':\n    f:labels:\n      .: {}\n      f:app: {}\n    k:{\"type\":\"Ready\"}: {}\n",
	"not ascii":              "name: Zürich\nx: \"\\u00e4\"\n",
	"escapes beyond JSON":    "a: \"\\e[0m\\x1b\"\n",
	"keys out of order":      "kind: Pod\napiVersion: v1\nb: 1\na: 2\n",
	"trailing spaces":        "a: b   \nc:   d\n",
	"key like f:spec":        "f:spec:\n  f:a: b\n",
	"url in a sequence":      "a:\n- http://x/y\n- b:c\n",
	"no newline at the end":  "a: b",
	"double, several spaces": "a: \"x   y\"\nb: 'x   y'\n",
}

func TestBlockYAMLPlatformFormats(t *testing.T) {
	for name, text := range platformYAML {
		t.Run(name, func(t *testing.T) {
			var c blockYAML
			if _, _, _, ok := c.convert([]byte(text), nil); !ok {
				t.Fatalf("gave up on\n%s", text)
			}
			requireSameAsLibrary(t, text)
		})
	}
}

// requireSameAsLibrary fails when the fast way gives anything that the library does not.
func requireSameAsLibrary(t *testing.T, text string) {
	t.Helper()
	var c blockYAML
	out, _, _, ok := c.convert([]byte(text), nil)
	if !ok {
		return
	}
	want, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("the library refuses it: %v\n%q\ngave %s", err, text, out)
	}
	var a, b any
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v\n%q\ngave %s", err, text, out)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("%q\nfast    %s\nlibrary %s", text, out, want)
	}
}

func FuzzBlockYAML(f *testing.F) {
	for _, text := range platformYAML {
		f.Add(text)
	}
	for _, text := range []string{"a: &x b\nc: *x\n", "a: # c\n  b\n", "a: b\n\n# c\n", "? a\n: b\n",
		"a: >\n  b\n  c\n", "a: !!str 1\n", "a: {b: c}\n", "a: b: c\n", "a: b\n c: d\n", "a:\n- b\n c\n", "a: 'b' c\n",
		"<<: a\n", "a: 0o7\n", "a:\n  - b\n - c\n", "- a\n", "a: |2\n   b\n", "a: |\n\n   \n  b\n", "---\na: b\n",
		"A: \"\n\n \\0\"", "a: \"b\n---\n c\"\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { requireSameAsLibrary(t, text) })
}
