package inventory

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"sigs.k8s.io/yaml"
)

// FuzzThirdParties reads an object of any form as each of the decoded kinds: nothing crashes, what
// does not decode is a gap, and trimming changes nothing that is said.
func FuzzThirdParties(f *testing.F) {
	for _, o := range append(fullCluster().objects, brokenObjects()...) {
		if u, ok := o.(*unstructured.Unstructured); ok {
			text, err := json.Marshal(u.Object)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add(`{"metadata":{"labels":{"a":1},"annotations":7},"spec":{"template":{"spec":{"containers":[null,{"image":null}]}}}}`)
	f.Add(`{"spec":{"tags":[{"from":{"kind":"DockerImage","name":""}}],"strategy":null},"status":[]}`)
	f.Add(`{"metadata":7}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range sources {
			if s.reduce == nil {
				continue
			}
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil || o.Object == nil {
				return
			}
			o.SetGroupVersionKind(s.kind)
			if _, ok := o.Object["metadata"].(map[string]any); !ok {
				o.Object["metadata"] = map[string]any{} // the API server hands out no others
			}
			whole := readOne(s, o.DeepCopy())
			trimmed := o.DeepCopy()
			if _, err := Trim(trimmed); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole, readOne(s, trimmed)); diff != "" {
				t.Fatalf("%s (-whole +trimmed):\n%s", s.kind.Kind, diff)
			}
			if len(whole.References) > 0 && len(whole.UnreadSources) > 1 {
				t.Fatalf("%s is read and not understood: %+v", s.kind.Kind, whole)
			}
		}
	})
}

// readOne reads a single object as the source does.
func readOne(s source, o *unstructured.Unstructured) Inventory {
	rd := &readState{tags: map[string]string{}}
	err := s.read(context.Background(), rd, singleObject{o})
	if err != nil {
		panic(err)
	}
	return rd.inventory()
}

// FuzzStaticPods reads any Ignition configuration.
func FuzzStaticPods(f *testing.F) {
	f.Add([]byte(ignition("/etc/kubernetes/manifests/a.yaml", staticPod, false)))
	f.Add([]byte(ignition("/etc/kubernetes/manifests/a.yaml", staticPod, true)))
	f.Add([]byte(`{"storage":{"files":[{"path":"/etc/kubernetes/manifests/a","contents":{"source":"data:,%7B%7D"}}]}}`))
	f.Add([]byte(`{"storage":{"files":[{"path":"/etc/kubernetes/manifests/a","contents":{"source":"http://x","compression":"xz"}}]}}`))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		rd := &readState{}
		pods, err := staticPods(raw)
		if err != nil {
			rd.addMalformed(nodeSoftware, Owner{Kind: "MachineConfig"}, err)
		}
		for i := range pods {
			rd.addSpec(&pods[i].Spec, Use{Class: Blocking})
		}
		rd.inventory()
	})
}

func FuzzDockerfile(f *testing.F) {
	f.Add("FROM a AS b\nFROM b\nFROM --platform=x c\n")
	f.Add("from \t scratch\r\nFROM")
	f.Fuzz(func(t *testing.T, text string) {
		b := build{}
		b.Spec.Source.Dockerfile = text
		want := baseImages(text)
		b.prune()
		if diff := cmp.Diff(want, baseImages(b.Spec.Source.Dockerfile)); diff != "" {
			t.Errorf("images (-whole +trimmed):\n%s", diff)
		}
		if (text == "") != (b.Spec.Source.Dockerfile == "") {
			t.Error("a Dockerfile that is there is elsewhere once trimmed")
		}
	})
}
