package clusterfiles

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var ctx = context.Background()

const (
	pod     = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  namespace: acme\nspec:\n  containers:\n  - image: quay.io/acme/app:v1\n    name: app\n"
	podItem = "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: %s\n    namespace: acme\n  spec:\n    containers:\n    - image: quay.io/acme/app:v1\n      name: app\n"
)

// mustGather is laid out as `oc adm must-gather` does it.
func mustGather(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := "must-gather.local.1/quay-io-openshift-release-dev/"
	write(t, dir, "must-gather.local.1/must-gather.log", "gathering")
	write(t, dir, root+"cluster-scoped-resources/core/namespaces.yaml",
		"---\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: acme\n- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: secretive\nkind: NamespaceList\n")
	write(t, dir, root+"cluster-scoped-resources/config.openshift.io/imagetagmirrorsets.yaml",
		"---\napiVersion: config.openshift.io/v1\nitems:\n- metadata:\n    name: acme\n  spec:\n    imageTagMirrors:\n    - mirrors:\n      - mirror.example.com/acme\n      source: quay.io/acme\nkind: ImageTagMirrorSetList\n")
	write(t, dir, root+"cluster-scoped-resources/core/nodes/worker-0.yaml",
		"---\napiVersion: v1\nkind: Node\nmetadata:\n  name: worker-0\n  labels:\n    node-role.kubernetes.io/worker: \"\"\n")
	write(t, dir, root+"namespaces/acme/core/pods.yaml", "---\napiVersion: v1\nitems:\n"+fmt.Sprintf(podItem, "a")+
		fmt.Sprintf(podItem, "b")+"kind: PodList\nmetadata:\n  resourceVersion: \"7\"\n")
	write(t, dir, root+"namespaces/acme/pods/a/a.yaml", "---\n"+fmt.Sprintf(pod, "a"))
	write(t, dir, root+"namespaces/acme/core/events.yaml",
		"---\napiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Event\n  metadata:\n    name: x\n    namespace: acme\nkind: EventList\n")
	write(t, dir, root+"namespaces/acme/core/secrets.yaml",
		"---\napiVersion: v1\nitems:\n- apiVersion: v1\n  data:\n    password: aHVudGVyMg==\n  kind: Secret\n  metadata:\n    name: s\n    namespace: acme\nkind: SecretList\n")
	write(t, dir, root+"namespaces/acme/apps/deployments.yaml",
		"---\napiVersion: apps/v1\nitems: []\nkind: DeploymentList\n")
	write(t, dir, root+"namespaces/acme/operators.coreos.com/clusterserviceversions/x.yaml",
		"---\napiVersion: operators.coreos.com/v1alpha1\nkind: ClusterServiceVersion\nmetadata:\n  name: x.v1\n  namespace: acme\n  labels:\n    olm.copiedFrom: z\nspec:\n  relatedImages:\n  - image: quay.io/acme/op@sha256:1\n    name: op\n")
	return dir
}

var csvKind = schema.GroupVersionKind{Group: "operators.coreos.com", Version: "v1alpha1", Kind: "ClusterServiceVersion"}

func testKinds() []schema.GroupVersionKind {
	out := []schema.GroupVersionKind{csvKind, configv1.GroupVersion.WithKind("ImageTagMirrorSet"),
		appsv1.SchemeGroupVersion.WithKind("Deployment"), appsv1.SchemeGroupVersion.WithKind("DaemonSet")}
	for _, kind := range []string{"Pod", "Node", "Namespace"} {
		out = append(out, corev1.SchemeGroupVersion.WithKind(kind))
	}
	return out
}

func names[T any, P interface {
	*T
	client.Object
}](items []T) []string {
	out := []string{}
	for i := range items {
		out = append(out, P(&items[i]).GetName())
	}
	return out
}

func TestOpenMustGather(t *testing.T) {
	c, problems, err := Open(ctx, mustGather(t), newScheme(t), Options{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	var pods corev1.PodList
	var mirrors configv1.ImageTagMirrorSetList
	var deployments appsv1.DeploymentList
	for _, list := range []client.ObjectList{&pods, &mirrors, &deployments} {
		if err := c.List(ctx, list); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, names(pods.Items)); diff != "" {
		t.Error(diff)
	}
	if got := mirrors.Items[0].Spec.ImageTagMirrors[0].Source; got != "quay.io/acme" {
		t.Errorf("source %q", got)
	}
	if len(deployments.Items) != 0 {
		t.Errorf("%d deployments", len(deployments.Items))
	}
	want := []string{
		"NotCollected Lost Namespace: 1 of 2 were not collected, and nothing is known of what runs in them (secretive); `oc adm inspect ns/NAME` collects one",
		"OtherFiles Note 1 files that are not .yaml, .yml or .json were not opened",
		"OtherKinds Note 1 objects of 1 other kinds were not read (Event 1)",
		"OtherKinds Note Secret: 1 objects were not read",
	}
	// The pod a is there twice and none of the two has a resourceVersion.
	want = append([]string{"Duplicate Doubtful Pod: 1 objects are there in several states; none says how new it is, so the first was taken, e.g. acme/a in must-gather.local.1/quay-io-openshift-release-dev/namespaces/acme/core/pods.yaml and not in must-gather.local.1/quay-io-openshift-release-dev/namespaces/acme/pods/a/a.yaml"}, want...)
	if diff := cmp.Diff(want, lines(problems)); diff != "" {
		t.Error(diff)
	}
}

func lines(problems FileProblems) []string {
	out := []string{}
	for _, f := range problems {
		out = append(out, fmt.Sprintf("%s %s %s", f.Reason, f.Severity, f))
	}
	return out
}

func TestReaderErrorsMatchAPIServer(t *testing.T) {
	c, _, err := Open(ctx, mustGather(t), newScheme(t), Options{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("an object that is not there", func(t *testing.T) {
		err := c.Get(ctx, client.ObjectKey{Namespace: "acme", Name: "z"}, &corev1.Pod{})
		if !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	t.Run("a kind of which no file says anything", func(t *testing.T) {
		for _, err := range []error{c.List(ctx, &appsv1.DaemonSetList{}),
			c.Get(ctx, client.ObjectKey{Name: "z"}, &corev1.ConfigMap{})} {
			if !meta.IsNoMatchError(err) {
				t.Error(err)
			}
		}
		if c.Has(appsv1.SchemeGroupVersion.WithKind("DaemonSet")) ||
			!c.Has(appsv1.SchemeGroupVersion.WithKind("Deployment")) {
			t.Error("Has does not tell an empty list from none")
		}
	})
}

func TestReadUnstructured(t *testing.T) {
	c, _, err := Open(ctx, mustGather(t), newScheme(t), Options{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("unstructured of a typed kind", func(t *testing.T) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(podKind)
		if err := c.Get(ctx, client.ObjectKey{Namespace: "acme", Name: "a"}, u); err != nil {
			t.Fatal(err)
		}
		if nodes, _, _ := unstructured.NestedSlice(u.Object, "spec", "containers"); len(nodes) != 1 ||
			u.GetKind() != "Pod" || u.GetAPIVersion() != "v1" {
			t.Errorf("%v", u.Object)
		}
	})
	t.Run("a kind that the scheme does not know", func(t *testing.T) {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(csvKind.GroupVersion().WithKind("ClusterServiceVersionList"))
		if err := c.List(ctx, &list); err != nil || len(list.Items) != 1 || list.Items[0].GetName() != "x.v1" {
			t.Errorf("%v %v", list.Items, err)
		}
		if err := c.List(ctx, &list, client.HasLabels{"x"}); err != nil || len(list.Items) != 0 {
			t.Errorf("%v %v", list.Items, err)
		}
	})
}

func TestReadPartialMetadata(t *testing.T) {
	c, _, err := Open(ctx, mustGather(t), newScheme(t), Options{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("listed", func(t *testing.T) {
		for _, gvk := range []schema.GroupVersionKind{podKind, csvKind} {
			var list metav1.PartialObjectMetadataList
			list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
			if err := c.List(ctx, &list); err != nil || len(list.Items) == 0 || list.Items[0].Name == "" ||
				list.Items[0].Kind != gvk.Kind {
				t.Errorf("%v %v", list.Items, err)
			}
		}
	})
}

func TestListReturnsCopies(t *testing.T) {
	c, _, err := Open(ctx, mustGather(t), newScheme(t), Options{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	var first, second corev1.PodList
	if err := c.List(ctx, &first); err != nil {
		t.Fatal(err)
	}
	first.Items[0].Spec.Containers[0].Image = "changed"
	if err := c.List(ctx, &second); err != nil || second.Items[0].Spec.Containers[0].Image == "changed" {
		t.Error("a caller can change the view", err)
	}
}

func TestListOptions(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(3, 4))
	pods := map[string]*corev1.Pod{}
	write(t, dir, "pods.json", string(listOf(t, false, 30, func(i int) any {
		p := newTestPod(random, i)
		p.Name, p.Namespace, p.Spec.NodeName = fmt.Sprintf("p%02d", i), fmt.Sprintf("ns%d", i%3),
			fmt.Sprintf("node%d", i%5)
		p.Labels = map[string]string{"even": fmt.Sprint(i%2 == 0)}
		pods[p.Name] = p
		return p
	})))
	c, _, err := Open(ctx, dir, newScheme(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		opts []client.ListOption
		want func(*corev1.Pod) bool
	}{
		"all": {nil, func(*corev1.Pod) bool { return true }},
		"namespace": {[]client.ListOption{client.InNamespace("ns1")},
			func(p *corev1.Pod) bool { return p.Namespace == "ns1" }},
		"no such namespace": {[]client.ListOption{client.InNamespace("ns")}, func(*corev1.Pod) bool { return false }},
		"labels": {[]client.ListOption{client.MatchingLabels{"even": "true"}},
			func(p *corev1.Pod) bool { return p.Labels["even"] == "true" }},
		"node": {[]client.ListOption{client.MatchingFields{"spec.nodeName": "node3"}},
			func(p *corev1.Pod) bool { return p.Spec.NodeName == "node3" }},
		"node and namespace": {[]client.ListOption{client.MatchingFields{"spec.nodeName": "node3"},
			client.InNamespace("ns2")}, func(p *corev1.Pod) bool {
			return p.Spec.NodeName == "node3" &&
				p.Namespace == "ns2"
		}},
		"name": {[]client.ListOption{client.MatchingFields{"metadata.name": "p07"}},
			func(p *corev1.Pod) bool { return p.Name == "p07" }},
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{}
			for _, p := range pods {
				if row.want(p) {
					want = append(want, p.Name)
				}
			}
			slices.SortFunc(want, func(a, b string) int {
				return strings.Compare(pods[a].Namespace+a,
					pods[b].Namespace+b)
			})
			var list corev1.PodList
			if err := c.List(ctx, &list, row.opts...); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, names(list.Items)); diff != "" {
				t.Error(diff)
			}
			paged := []string{}
			for token := ""; ; token = list.Continue {
				if err := c.List(ctx, &list, append(slices.Clone(row.opts), client.Limit(4),
					client.Continue(token))...); err != nil {
					t.Fatal(err)
				}
				if paged = append(paged, names(list.Items)...); list.Continue == "" {
					break
				}
			}
			if diff := cmp.Diff(want, paged); diff != "" {
				t.Error("in pages:", diff)
			}
		})
	}
	for name, opt := range map[string]client.ListOption{"unknown field": client.MatchingFields{"status.phase": "Running"}, "foreign token": client.Continue("abc")} {
		if err := c.List(ctx, &corev1.PodList{}, opt); !apierrors.IsBadRequest(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEquivalentListFormats reads the same pods from every notation.
func TestEquivalentListFormats(t *testing.T) {
	make := func() (func(int) any, map[string]*corev1.Pod) {
		random, all := rand.New(rand.NewPCG(5, 6)), map[string]*corev1.Pod{}
		return func(i int) any { p := newTestPod(random, i); all[p.Name] = p; return p }, all
	}
	object, want := make()
	asJSON := string(listOf(t, false, 50, object))
	object, _ = make()
	asYAML := string(listOf(t, true, 50, object))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(asYAML)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	untyped := strings.NewReplacer(`"kind":"Pod","apiVersion":"v1",`, "", `"kind":"List"`, `"kind":"PodList"`)
	items := strings.TrimPrefix(strings.Split(asYAML, "kind: List\n")[0], "apiVersion: v1\nitems:\n")
	for name, row := range map[string]struct{ file, text string }{
		"JSON list":                  {"pods.json", asJSON},
		"YAML list":                  {"pods.yaml", asYAML},
		"gzipped":                    {"pods.yaml.gz", zipped.String()},
		"no extension":               {"pods", asYAML},
		"JSON in a file named YAML":  {"pods.yaml", asJSON},
		"YAML with carriage returns": {"pods.yaml", strings.ReplaceAll(asYAML, "\n", "\r\n")},
		"byte order mark":            {"pods.yaml", "\xef\xbb\xbf" + asYAML},
		"items indented": {"pods.yaml", "apiVersion: v1\nitems:\n  " +
			strings.ReplaceAll(strings.TrimSuffix(items, "\n"), "\n", "\n  ") + "\nkind: List\n"},
		"all indented": {"pods.yaml", "  " +
			strings.TrimSuffix(strings.ReplaceAll(asYAML, "\n", "\n  "), "  ")},
		"items without kind, kind last": {"pods.json", untyped.Replace(asJSON)},
		"items without kind, in YAML": {"pods.yaml",
			strings.NewReplacer("- apiVersion: v1\n  kind: Pod\n  metadata", "- metadata", "kind: List",
				"kind: PodList").Replace(asYAML)},
		"list in a list": {"all.json", `{"kind":"List","apiVersion":"v1","items":[` + asJSON + `]}`},
		"two documents": {"pods.yaml", "# a comment\n---\n" + asYAML +
			"---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n"},
		"a document each": {"pods.yaml",
			strings.ReplaceAll(strings.ReplaceAll("\n"+items, "\n- ", "\n---\n  "), "\n  ", "\n")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, row.file, row.text)
			c, problems, err := Open(ctx, dir, newScheme(t), Options{})
			if err != nil || len(problems) > 0 {
				t.Fatal(err, lines(problems))
			}
			var list corev1.PodList
			if err := c.List(ctx, &list); err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(slices.Values(names(list.Items))); !slices.Equal(got,
				slices.Sorted(maps.Keys(want))) {
				t.Fatalf("%d pods of %d: %v", len(got), len(want), got)
			}
			for i := range list.Items {
				got := &list.Items[i]
				if !equality.Semantic.DeepEqual(got, want[got.Name]) {
					t.Fatal(cmp.Diff(want[got.Name], got))
				}
			}
		})
	}
}

func TestMalformedInputIsReported(t *testing.T) {
	two := fmt.Sprintf(podItem, "x") + fmt.Sprintf(podItem, "z")
	whole := "apiVersion: v1\nitems:\n" + two + "kind: List\n"
	object := func(name string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"acme"}}`, name)
	}
	for name, row := range map[string]struct {
		file, text string
		want       string   // "Reason Severity file:line"
		says       string   // part of the message
		pods       []string // besides "good"
	}{
		"YAML list cut off between lines": {"bad.yaml", whole[:strings.LastIndex(whole, "    containers:")],
			"Truncated Lost bad.yaml:12", "item 2", []string{"x"}},
		"YAML list cut off in a line": {"bad.yaml", whole[:len(whole)-30], "Truncated Lost bad.yaml:12",
			"the 1 before it were read", []string{"x"}},
		"YAML object without final newline": {"bad.yaml", strings.TrimSuffix(fmt.Sprintf(pod, "x"), "\n"),
			"Truncated Doubtful bad.yaml:9", "newline", []string{"x"}},
		"YAML cut off in a quoted scalar": {"bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"x\n",
			"Malformed Lost bad.yaml:", "is not YAML", nil},
		"JSON list cut off": {"bad.json", `{"kind":"List","items":[` + object("x") + ",\n" +
			object("z")[:40], "Truncated Lost bad.json:2", "the 1 objects before it were read", []string{"x"}},
		"JSON with a mistake": {"bad.json", `{"kind":"List","items":[` + object("x") + ",\n" +
			`{"a" 1},` + object("z") + `]}`, "Malformed Lost bad.json:2", "is not JSON", []string{"x", "z"}},
		"JSON list with a mistake": {"bad.json", `{"kind":"List","items":[` + object("x") + " \n" +
			object("z") + `]}`, "Malformed Lost bad.json:2", "'{' where a comma", []string{"x"}},
		"JSON with a bracket too many": {"bad.json", object("x") + "\n}", "Malformed Lost bad.json:2",
			"'}' where '{' should be", []string{"x"}},
		"JSON items that are no list": {"bad.json", `{"kind":"List","items":{}}`, "Malformed Lost bad.json:1",
			"items is \"{}\"", nil},
		"gzip cut off": {"bad.json.gz", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xaaV",
			"Truncated Lost bad.json.gz", "ends in the middle", nil},
		"not gzip": {"bad.yaml.gz", whole, "Unreadable Lost bad.yaml.gz", "is not gzip", nil},
		"tabs": {"bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n",
			"Malformed Lost bad.yaml:4", "is not YAML: found character that cannot start any token", nil},
		"one bad item": {"bad.yaml", "apiVersion: v1\nitems:\n- a: b: c\n" + two + "kind: List\n",
			"Malformed Lost bad.yaml:3", "is not YAML", []string{"x", "z"}},
		"binary": {"bad.yaml", "\x7fELF\x00\x01", "NotText Lost bad.yaml", "binary", nil},
		"UTF-16": {"bad.yaml", "\xff\xfea\x00p\x00", "NotText Lost bad.yaml",
			"UTF-16", nil},
		"empty": {"bad.yaml", "", "Truncated Doubtful bad.yaml", "empty", nil},
		"a kind of another group": {"bad.yaml",
			"apiVersion: example.com/v1\nkind: Pod\nmetadata:\n  name: x\n", "OtherKinds Note ",
			"1 objects of 1 other kinds were not read (Pod 1)", nil},
		"another version of a kind": {"bad.yaml",
			"apiVersion: apps/v1beta1\nkind: Deployment\nmetadata:\n  name: x\n", "OtherVersion Lost bad.yaml",
			"in version apps/v1beta1 and were left out; v1 is read: collect deployments.apps", nil},
		"a field twice, in YAML": {"bad.yaml",
			"apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec: {}\nspec: {}\n", "Duplicate Lost bad.yaml:6",
			`"spec" already set`, nil},
		"a field twice, in JSON": {"bad.json",
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{},"spec":{}}`, "Duplicate Lost bad.json:1",
			`duplicate field "spec"`, nil},
		"an object in two states": {"bad.yaml",
			strings.Replace(fmt.Sprintf(pod, "good"), "name: good", "name: good\n  resourceVersion: \"5\"", 1),
			"Duplicate Doubtful ", "e.g. 9 of acme/good in good.yaml and not 5 in bad.yaml", nil},
		"the wrong shape": {"bad.yaml",
			"apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  containers: none\n", "Malformed Lost bad.yaml:1",
			"spec.containers", nil},
		"no name": {"bad.yaml", "apiVersion: v1\nkind: Pod\n", "Malformed Lost bad.yaml:1",
			"metadata.name", nil},
		"no kind": {"bad.yaml", "a: b\n", "NoKind Doubtful bad.yaml:1", "has no kind", nil},
		"not an object": {"bad.yaml", "just some text\n", "NoKind Doubtful bad.yaml:1",
			"has no kind", nil},
		"an empty list of nothing": {"bad.yaml", "apiVersion: v1\nitems: []\nkind: List\n",
			"NoKind Note bad.yaml:1", "does not say of which kind", nil},
		"an object over the limit": {"bad.yaml", "apiVersion: v1\nitems:\n" + fmt.Sprintf(podItem, "x") +
			"- a: " + strings.Repeat("b", 3<<20) + "\n" + fmt.Sprintf(podItem, "z") + "kind: List\n",
			"TooLarge Lost bad.yaml:12", "an object of 3 MiB", []string{"x", "z"}},
		"an object over the limit, in JSON": {"bad.json", `{"kind":"List","items":[` + object("x") + `,{"a":"` +
			strings.Repeat("b", 3<<20) + `"},` + object("z") + `]}`, "TooLarge Lost bad.json", "an object of 3 MiB",
			[]string{"x", "z"}},
		"one large object, in JSON": {"bad.json", `{"kind":"Pod","a":"` + strings.Repeat("b", 1500<<10) +
			`","c":"` + strings.Repeat("d", 1500<<10) + `"}` + object("x"), "TooLarge Lost bad.json",
			"an object of 2 MiB", []string{"x"}},
		"every object of a long list": {"bad.json", `{"kind":"List","items":[` +
			strings.Repeat(`{"a":1},`, 5000) + object("x") + `]}`, "NoKind Doubtful bad.json",
			"4990 more findings like", []string{"x"}},
		"a file over the limit": {"bad.yaml", "apiVersion: v1\nitems:\n" + fmt.Sprintf(podItem, "x") +
			strings.Repeat("# comment\n", 500_000), "TooLarge Lost bad.yaml:", "is larger than 4 MiB", nil},
		"an alias to another item": {"bad.yaml",
			"apiVersion: v1\nitems:\n- &a\n  apiVersion: v1\n  kind: Pod\n  metadata:\n    name: x\n    namespace: acme\n- *a\nkind: List\n", "Malformed Lost bad.yaml:9", "unknown anchor", []string{"x"}},
		"a scalar that looks like two items": {"bad.yaml", "apiVersion: v1\nitems:\n- a: \"b\n- c\"\nkind: List\n",
			"Malformed Lost bad.yaml:4", "is not YAML", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, row.file, row.text)
			write(t, dir, "good.yaml", strings.Replace(fmt.Sprintf(pod, "good"), "name: good",
				"name: good\n  resourceVersion: \"9\"", 1))
			c, problems, err := Open(ctx, dir, newScheme(t), Options{MaxObject: 2 << 20, MaxFile: 4 << 20})
			if err != nil {
				t.Fatal(err, lines(problems))
			}
			found := slices.ContainsFunc(problems, func(f FileProblem) bool {
				where := f.File
				if f.Line > 0 {
					where = fmt.Sprintf("%s:%d", f.File, f.Line)
				}
				return strings.HasPrefix(fmt.Sprintf("%s %s %s", f.Reason, f.Severity, where), row.want) &&
					strings.Contains(f.Message, row.says)
			})
			if !found {
				t.Errorf("no finding %q with %q in\n%s", row.want, row.says, strings.Join(lines(problems), "\n"))
			}
			var list corev1.PodList
			if err := c.List(ctx, &list); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]string{"good"}, row.pods...), names(list.Items)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEmptyListByFileName(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pods.yaml", "apiVersion: v1\nitems: []\nkind: List\n")
	write(t, dir, "apps/daemonsets.json", `{"apiVersion":"v1","items":[],"kind":"List"}`)
	c, problems, err := Open(ctx, dir, newScheme(t), Options{Kinds: testKinds()})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, lines(problems))
	}
	if !c.Has(podKind) || !c.Has(appsv1.SchemeGroupVersion.WithKind("DaemonSet")) ||
		c.Has(appsv1.SchemeGroupVersion.WithKind("Deployment")) {
		t.Error("an empty list is not seen, or is taken for another kind's")
	}
}

func TestSymlinksInsideDirectoryOnly(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "pod.yaml", fmt.Sprintf(pod, "outside"))
	dir := t.TempDir()
	write(t, dir, "data/pod", fmt.Sprintf(pod, "inside"))
	for name, target := range map[string]string{"inside.yaml": "data/pod",
		"outside.yaml": filepath.Join(outside, "pod.yaml"), "loop.yaml": "loop.yaml", "up": ".",
		"dead.yaml": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, problems, err := Open(ctx, dir, newScheme(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var list corev1.PodList
	if err := c.List(ctx, &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"inside"}, names(list.Items)); diff != "" {
		t.Error(diff)
	}
	got := map[string]Severity{}
	for _, f := range problems {
		got[f.File] = f.Severity
	}
	want := map[string]Severity{"outside.yaml": SeverityLost, "loop.yaml": SeverityLost, "dead.yaml": SeverityLost,
		"up": SeverityNote, "": SeverityDoubtful}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// deniedFS is a directory of which some names may not be opened.
type deniedFS struct {
	fstest.MapFS
	names []string
}

func (d deniedFS) Open(name string) (fs.File, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.Open(name)
}

func (d deniedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return d.MapFS.ReadDir(name)
}

func TestPermissionDeniedIsReported(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"good", "closed", "dir/pod"} {
		files[name+".yaml"] = &fstest.MapFile{Data: []byte(fmt.Sprintf(pod, filepath.Base(name)))}
	}
	c, problems, err := open(ctx, deniedFS{files, []string{"closed.yaml", "dir"}}, ".", newScheme(t), Options{})
	if err != nil || !c.Has(podKind) {
		t.Fatal(err)
	}
	want := []string{
		"Unreadable Lost closed.yaml: cannot be read: open closed.yaml: permission denied; nothing of it was read",
		"Unreadable Lost dir: cannot be read: open dir: permission denied",
	}
	if diff := cmp.Diff(want, lines(problems)); diff != "" {
		t.Error(diff)
	}
	if _, _, err := open(ctx, deniedFS{files, []string{"."}}, ".", newScheme(t), Options{}); !errors.Is(err,
		fs.ErrPermission) {
		t.Error(err)
	}
}

func TestOpenWithoutObjects(t *testing.T) {
	for name, prepare := range map[string]func(dir string) string{
		"no such directory": func(dir string) string { return filepath.Join(dir, "no") },
		"empty":             func(dir string) string { return dir },
		"only other files":  func(dir string) string { write(t, dir, "a.log", "x"); return dir },
		"only other kinds": func(dir string) string {
			write(t, dir, "a.yaml",
				"apiVersion: example.com/v1\nkind: X\n")
			return dir
		},
		"only rubbish": func(dir string) string { write(t, dir, "a.yaml", "\x00"); return dir },
	} {
		t.Run(name, func(t *testing.T) {
			if c, _, err := Open(ctx, prepare(t.TempDir()), newScheme(t), Options{}); err == nil || c != nil {
				t.Error("no error")
			}
		})
	}
}

func TestOpenSingleFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.txt", fmt.Sprintf(pod, "x"))
	write(t, dir, "y.yaml", fmt.Sprintf(pod, "y"))
	c, problems, err := Open(ctx, filepath.Join(dir, "x.txt"), newScheme(t), Options{})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: "acme", Name: "x"}, &corev1.Pod{}); err != nil {
		t.Error(err)
	}
}

func TestTransformAndSecrets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "all.yaml", fmt.Sprintf(pod, "a")+"---\n"+fmt.Sprintf(pod, "bad")+
		"---\napiVersion: v1\ndata:\n  password: aHVudGVyMg==\nkind: Secret\nmetadata:\n  name: s\n  namespace: acme\n")
	transform := func(object any) (any, error) {
		if p, ok := object.(*corev1.Pod); ok {
			if p.Name == "bad" {
				return nil, errors.New("too bad")
			}
			p.Spec.Containers = nil
		}
		return object, nil
	}
	c, problems, err := Open(ctx, dir, newScheme(t), Options{Transform: transform, Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	var p corev1.Pod
	if err := c.Get(ctx, client.ObjectKey{Namespace: "acme", Name: "a"}, &p); err != nil || p.Spec.Containers != nil {
		t.Error(err, p.Spec.Containers)
	}
	if diff := cmp.Diff([]string{"Malformed Lost all.yaml:11: Pod: acme/bad was left out: too bad"},
		lines(problems)); diff != "" {
		t.Error(diff)
	}
	var s corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: "acme", Name: "s"}, &s); err != nil ||
		string(s.Data["password"]) != "hunter2" {
		t.Error(err)
	}
	if c, _, err = Open(ctx, dir, newScheme(t), Options{}); err != nil ||
		c.Has(corev1.SchemeGroupVersion.WithKind("Secret")) {
		t.Error("Secrets are read without being asked for", err)
	}
}

func TestOpenCancelled(t *testing.T) {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := Open(cancelled, mustGather(t), newScheme(t), Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConcurrentReaders(t *testing.T) {
	c, _, err := Open(ctx, mustGather(t), newScheme(t), Options{Kinds: testKinds()})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecorder(c, newScheme(t), nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, from := range []client.Reader{c, r} {
				var list corev1.PodList
				if err := from.List(ctx, &list); err != nil || len(list.Items) != 2 {
					t.Error(err, len(list.Items))
				}
				list.Items[0].Spec.Containers[0].Image = "changed"
				if err := from.Get(ctx, client.ObjectKey{Name: "none", Namespace: "x"},
					&corev1.Pod{}); !apierrors.IsNotFound(err) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
