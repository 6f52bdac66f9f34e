package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podsOf makes pods as an API server serves them: every one with strings of its own.
func podsOf(b *testing.B, n int, trimmed bool) []apiruntime.Object {
	b.Helper()
	like := richPod("app", "worker-0")
	like.ManagedFields = managed(like).GetManagedFields()
	like.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:` + strings.Repeat("x", 1500) +
		`":{}}}}`)
	out := make([]apiruntime.Object, 0, n)
	for i := range n {
		like.Name, like.Spec.NodeName = fmt.Sprintf("app-%05d", i), fmt.Sprintf("worker-%d", i%2000)
		like.Spec.Containers[0].Image = fmt.Sprintf("quay.io/acme/app-%d:v1", i%5000)
		text, err := json.Marshal(like)
		if err != nil {
			b.Fatal(err)
		}
		p := &corev1.Pod{}
		if err := json.Unmarshal(text, p); err != nil {
			b.Fatal(err)
		}
		if trimmed {
			if _, err := Trim(p); err != nil {
				b.Fatal(err)
			}
		}
		out = append(out, p)
	}
	return out
}

// BenchmarkMemory measures what 10,000 pods hold, as they come and trimmed.
func BenchmarkMemory(b *testing.B) {
	for name, trimmed := range map[string]bool{"whole": false, "trimmed": true} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				pods := podsOf(b, 10_000, trimmed)
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(pods)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB/10k-pods")
		})
	}
}

// cachedPods hands out its pods as a cache does that is told not to copy.
type cachedPods []apiruntime.Object

func (cachedPods) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return &meta.NoKindMatchError{}
}

func (c cachedPods) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if _, ok := list.(*corev1.PodList); ok {
		return meta.SetList(list, c)
	}
	return nil
}

// BenchmarkRead reads 50,000 pods with 5,000 distinct images and four more that all have.
func BenchmarkRead(b *testing.B) {
	reader := cachedPods(podsOf(b, 50_000, true))
	b.ReportAllocs()
	for b.Loop() {
		got, err := Read(context.Background(), reader, Options{})
		if err != nil || len(got.References) != 5003 {
			b.Fatal(len(got.References), err)
		}
	}
}

func BenchmarkTrim(b *testing.B) {
	like := richPod("app", "worker-0")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Trim(like.DeepCopy()); err != nil {
			b.Fatal(err)
		}
	}
}
