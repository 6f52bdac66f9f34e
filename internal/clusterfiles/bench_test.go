package clusterfiles

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	benchPods  = 50_000
	benchNodes = 2_000
)

// BenchmarkOpen reads 2,000 nodes and 50,000 pods with 5,000 images. The floor is what
// encoding/json needs for the same objects, each list in one piece. Both are given as processor
// time as well, which other load on the machine does not change; x-floor is the ratio of these.
func BenchmarkOpen(b *testing.B) {
	scheme := newScheme(b)
	for _, asYAML := range []bool{false, true} {
		name := map[bool]string{false: "json", true: "yaml"}[asYAML]
		b.Run(name, func(b *testing.B) {
			dir, size, floor := benchCluster(b, asYAML)
			peak, stop := watchHeap()
			before := processorSeconds(b)
			b.ResetTimer()
			for b.Loop() {
				c, problems, err := Open(context.Background(), dir, scheme, Options{Transform: trimForBench})
				if err != nil || len(problems) > 0 {
					b.Fatal(err, problems)
				}
				if n := len(c.tables[podKind].entries); n != benchPods {
					b.Fatalf("%d pods", n)
				}
			}
			seconds := b.Elapsed().Seconds() / float64(b.N)
			processor := (processorSeconds(b) - before) / float64(b.N)
			stop()
			b.ReportMetric(float64(size)/1e6/seconds, "MB/s")
			b.ReportMetric(float64(*peak)/(1<<20), "peak-MiB")
			b.ReportMetric(processor, "cpu-s")
			b.ReportMetric(floor, "floor-cpu-s")
			b.ReportMetric(processor/floor, "x-floor")
		})
	}
}

// BenchmarkListPods is what a reader of all pods pays after Open.
func BenchmarkListPods(b *testing.B) {
	dir, _, _ := benchCluster(b, false)
	c, _, err := Open(context.Background(), dir, newScheme(b), Options{Transform: trimForBench})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var list corev1.PodList
		if err := c.List(context.Background(), &list); err != nil || len(list.Items) != benchPods {
			b.Fatal(err)
		}
	}
}

var podKind = corev1.SchemeGroupVersion.WithKind("Pod")

// benchCluster writes the files, and returns their size and the processor seconds that
// encoding/json needs for the same objects.
func benchCluster(b *testing.B, asYAML bool) (dir string, size int, floor float64) {
	b.Helper()
	dir = b.TempDir()
	extension := map[bool]string{false: "json", true: "yaml"}[asYAML]
	random := rand.New(rand.NewPCG(1, 2))
	pods := listOf(b, asYAML, benchPods, func(i int) any { return newTestPod(random, i) })
	nodes := listOf(b, asYAML, benchNodes, func(i int) any { return newTestNode(i) })
	write(b, dir, "pods."+extension, string(pods))
	write(b, dir, "nodes."+extension, string(nodes))
	size = len(pods) + len(nodes)
	if asYAML {
		random = rand.New(rand.NewPCG(1, 2))
		pods = listOf(b, false, benchPods, func(i int) any { return newTestPod(random, i) })
		nodes = listOf(b, false, benchNodes, func(i int) any { return newTestNode(i) })
	}
	runtime.GC()
	before := processorSeconds(b)
	for _, err := range []error{json.Unmarshal(pods, &corev1.PodList{}), json.Unmarshal(nodes, &corev1.NodeList{})} {
		if err != nil {
			b.Fatal(err)
		}
	}
	floor = processorSeconds(b) - before
	b.Logf("%d MB, %d bytes a pod", size/1e6, len(pods)/benchPods)
	return dir, size, floor
}

func newTestNode(i int) *corev1.Node {
	n := &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("worker-%04d.example.com", i)}}
	for j := range 50 {
		n.Status.Images = append(n.Status.Images,
			corev1.ContainerImage{Names: []string{fmt.Sprintf("quay.io/acme/app-%04d@sha256:%064d", j, i),
				fmt.Sprintf("quay.io/acme/app-%04d:v1", j)}, SizeBytes: 123456789})
	}
	return n
}

// trimForBench drops what an inventory of images does not need.
func trimForBench(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Node:
		o.Status.Images = nil
	case *corev1.Pod:
		o.ManagedFields, o.Annotations = nil, nil
		o.Spec.Volumes, o.Spec.Tolerations = nil, nil
		for i := range o.Spec.Containers {
			c := &o.Spec.Containers[i]
			*c = corev1.Container{Name: c.Name, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy}
		}
	}
	return object, nil
}

// watchHeap samples the heap until it is stopped.
func watchHeap() (peak *uint64, stop func()) {
	runtime.GC()
	peak = new(uint64)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*peak = max(*peak, m.HeapAlloc)
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return peak, func() { close(done); wait.Wait() }
}

func processorSeconds(b *testing.B) float64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

// BenchmarkYAMLToJSON compares the conversion of one pod with the library's.
func BenchmarkYAMLToJSON(b *testing.B) {
	object, err := yaml.Marshal(newTestPod(rand.New(rand.NewPCG(1, 2)), 1))
	if err != nil {
		b.Fatal(err)
	}
	var c blockYAML
	for name, convert := range map[string]func() bool{
		"own":     func() bool { _, _, _, ok := c.convert(object, nil); return ok },
		"library": func() bool { _, err := yaml.YAMLToJSONStrict(object); return err == nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(object)))
			for b.Loop() {
				if !convert() {
					b.Fatal("not converted")
				}
			}
		})
	}
}
