package evidence

import (
	"context"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// 5,000 references that are all mirrored and proven.
func large() *world {
	w := shop().mirrors(images(5000)...)
	for _, i := range images(5000) {
		w.proven(i, began)
	}
	return w.had(32)
}

func BenchmarkBuild(b *testing.B) {
	w := large()
	b.ReportAllocs()
	for b.Loop() {
		w.reports(began)
	}
}

// What a look costs when nothing has changed.
func BenchmarkWriteOfTheSame(b *testing.B) {
	c := minicluster.Client(interceptor.Funcs{})
	writer, reports := &Writer{Client: c, API: c, Now: func() time.Time { return began }}, large().reports(began)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := writer.Write(context.Background(), reports); err != nil {
			b.Fatal(err)
		}
	}
}
