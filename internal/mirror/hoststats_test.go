package mirror

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTotals: what is counted is what the registries saw, credentials that change meanwhile
// included.
func TestTotals(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	one, two := multiArch("one"), multiArch("two")
	source.seed(t, "one", "v1", one)
	source.seed(t, "two", "v1", two)
	access := plainHTTP()
	c := NewClient(Accesses{Source: access, Push: access, Node: access})
	if _, err := c.Copy(context.Background(), []string{source.host + "/one:v1"}, target.host+"/one:v1",
		""); err != nil {
		t.Fatal(err)
	}
	access = withLogins(t, target.host, "acme")
	c = c.WithAccesses(Accesses{Source: access, Push: access, Node: access})
	if _, err := c.Copy(context.Background(), []string{source.host + "/two:v1"}, target.host+"/two:v1",
		""); err != nil {
		t.Fatal(err)
	}
	totals := c.HostStats()
	for name, g := range map[string]*testRegistry{"source": source, "target": target} {
		seen := map[string]int64{}
		for _, line := range g.requests("") {
			method, _, _ := strings.Cut(line, " ")
			seen[method]++
		}
		if diff := cmp.Diff(seen, totals[g.host].Requests); diff != "" {
			t.Errorf("%s (-seen +counted):\n%s", name, diff)
		}
	}
	var blobs, manifests int64
	for _, img := range []image{one, two} {
		_, size := img.bytes()
		blobs += size
		for _, m := range append(img.children, img.top) {
			manifests += int64(len(m.raw))
		}
	}
	if got := totals[target.host].Sent; got != blobs+manifests {
		t.Errorf("sent %d bytes, want %d of blobs and %d of manifests", got, blobs, manifests)
	}
	if got := totals[source.host].Received; got < blobs+manifests {
		t.Errorf("received %d bytes, want %d of blobs and %d of manifests at least", got, blobs, manifests)
	}
	if got := totals[source.host].Sent; got != 0 {
		t.Errorf("sent %d bytes to the source", got)
	}
}
