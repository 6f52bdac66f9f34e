package report

import (
	"context"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// 5,000 references that are all mirrored and proven.
func largeFixture() *fixture {
	w := shop().withMirrored(images(5000)...)
	for _, i := range images(5000) {
		w.withProof(i, began)
	}
	return w.withParts(32)
}

func BenchmarkBuild(b *testing.B) {
	w := largeFixture()
	b.ReportAllocs()
	for b.Loop() {
		w.reports(began)
	}
}

// What a look costs when nothing has changed.
func BenchmarkWriteOfTheSame(b *testing.B) {
	c := minicluster.Client(interceptor.Funcs{})
	writer, reports := &Writer{Client: c, API: c, Now: func() time.Time { return began }}, largeFixture().reports(began)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := writer.Write(context.Background(), reports); err != nil {
			b.Fatal(err)
		}
	}
}
