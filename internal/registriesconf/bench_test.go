package registriesconf

import (
	"fmt"
	"testing"
)

// BenchmarkCompare is the size of a big cluster: 5000 references, each resolved under two
// configurations of 200 sources and compared. The aim is less than 100 ms for all of them.
func BenchmarkCompare(b *testing.B) {
	var digests, tags []item
	for i := range 200 {
		source := fmt.Sprintf("registry%d.example.com/team%d", i%20, i)
		if i%2 == 0 {
			digests = append(digests, from(source, "mirror.local/digests", "mirror2.local/digests"))
		}
		tags = append(tags, from(source, fmt.Sprintf("mirror.local/tags/team%d", i)))
	}
	before := union(idms("d", digests...)).insecure("mirror2.local", "*.dev.local")
	with := itms("t", tags...)
	old, new := configOf(b, before), configOf(b, before.With(nil, &with))
	refs := make([]string, 5000)
	for i := range refs {
		refs[i] = fmt.Sprintf("registry%d.example.com/team%d/group/app-%d:v1.%d", i%20, i%400, i, i%7)
		if i%3 > 0 {
			refs[i] = fmt.Sprintf("registry%d.example.com/team%d/group/app-%d%s", i%20, i%400, i, digest)
		}
	}
	counts := map[Change]int{}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for _, ref := range refs {
			named, err := ParseReference(ref)
			if err != nil {
				b.Fatal(err)
			}
			counts[Compare(old.ResolveNamed(named), new.ResolveNamed(named))]++
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/cluster")
	if counts[GainsMirror] == 0 || counts[Unchanged] == 0 {
		b.Fatalf("the cluster is too dull: %v", counts)
	}
}
