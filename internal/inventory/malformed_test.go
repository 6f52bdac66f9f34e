package inventory

import (
	"encoding/json"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Custom resources with parts that are missing or of the wrong form crash nothing: each is read or
// is a gap, and says the same when it is trimmed.
func TestMalformedCustomResources(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	var seeds []*unstructured.Unstructured
	for _, o := range fullCluster().objects {
		if u, ok := o.(*unstructured.Unstructured); ok {
			seeds = append(seeds, u)
		}
	}
	understood, refused := 0, 0
	for range 4000 {
		o := seeds[random.Intn(len(seeds))].DeepCopy()
		for range 1 + random.Intn(3) {
			part := []string{"spec", "status"}[random.Intn(2)]
			o.Object[part] = mutate(random, o.Object[part])
		}
		text, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		s := sourceOf(t, o)
		whole := readOne(s, o.DeepCopy())
		if _, err := Trim(o); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, readOne(s, o)); diff != "" {
			t.Fatalf("%s (-whole +trimmed):\n%s", text, diff)
		}
		if len(whole.UnreadSources) == 0 {
			understood++
		} else {
			refused++
		}
	}
	if understood < 100 || refused < 100 {
		t.Errorf("%d were understood and %d were not: the test tells nothing", understood, refused)
	}
}

func sourceOf(t *testing.T, o *unstructured.Unstructured) source {
	t.Helper()
	for _, s := range sources {
		if s.kind == o.GroupVersionKind() {
			return s
		}
	}
	t.Fatalf("nobody reads %s", o.GroupVersionKind())
	return source{}
}

// mutate changes one place somewhere below the value.
func mutate(random *rand.Rand, value any) any {
	if random.Intn(6) > 0 {
		switch v := value.(type) {
		case map[string]any:
			keys := slices.Sorted(maps.Keys(v))
			if len(keys) == 0 {
				break
			}
			key := keys[random.Intn(len(keys))]
			v[key] = mutate(random, v[key])
			return v
		case []any:
			if len(v) > 0 {
				i := random.Intn(len(v))
				v[i] = mutate(random, v[i])
				return v
			}
		}
	}
	return []any{
		nil, true, int64(7), 1.5, "", "quay.io/acme/x:v1", "$(params.x)", []any{}, []any{nil}, []any{"a", int64(1)},
		map[string]any{},
		map[string]any{"image": nil}, map[string]any{"spec": []any{}},
		map[string]any{"containers": []any{nil, map[string]any{"image": int64(1)}}},
	}[random.Intn(14)]
}
