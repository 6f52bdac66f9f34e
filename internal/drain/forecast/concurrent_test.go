package forecast

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	corev1 "k8s.io/api/core/v1"
)

// concurrent lets a release of the pool take so many of its nodes, in the order n1, n2 …
func (s *clusterBuilder) concurrent(n int) *clusterBuilder {
	var next [][]string
	var names []string
	for i := range n {
		names = append(names, "n"+strconv.Itoa(i+1))
		next = append(next, names[:i+1:i+1])
	}
	return s.candidates(next...)
}

func (s *clusterBuilder) candidates(next ...[]string) *clusterBuilder {
	s.Pools[0].NextReleases = next
	return s
}

// Several nodes that are drained at the same time, each of which would be drained by itself
// (structural case 5).
func TestLargestConcurrent(t *testing.T) {
	registry := drain.CriticalService{Role: drain.RoleRegistry, Kind: "Service", Name: "mirror", Host: "mirror.shop.svc:5000"}
	own := drain.Availability{State: drain.ImageVerified, Endpoint: "mirror.shop.svc:5000/acme/mirror:v1"}
	dns := drain.CriticalService{Role: drain.RoleDNS, Kind: "Service", Name: "dns"}
	host := withAntiAffinity(corev1.LabelHostname)
	two := func(n int) *clusterBuilder {
		return workers(n).app("web", "n1 n2", host).budget("web", "max 1").app("db", "n1 n2", host).budget("db",
			"max 1").concurrent(2)
	}
	cases := map[string]struct {
		cluster *clusterBuilder
		size    int
		says    string // of the first problem
	}{
		"two kinds that need each other's node": {two(2), 1,
			"with n1 and n2 drained at the same time PDB shop/db allows 1 (2 of 2 healthy, 1 wanted, maxUnavailable 1), which is used up by the first 1 pods that leave n1 and n2: pod db-b on n2 would have to wait"},
		"and a third node takes them": {two(3), 2, ""},
		"the third is cordoned":       {two(3).cordon("n3"), 1, "pod db-b on n2 would have to wait"},
		"routers on all nodes that take them": {
			workers(3).label("router", "yes", "yes").app("web", "n1 n2", withHostPort(80),
				withNodeSelector("router", "yes")).budget("web", "max 1").concurrent(2), 1,
			"pod web-b on n2 would have to wait"},
		"a budget that lets both go": {
			workers(2).app("web", "n1 n2", host).budget("web", "max 2").concurrent(2), 2, ""},
		"one after the other, and room for both": {
			workers(3).app("web", "n1 n2").budget("web", "max 1").concurrent(2), 2, ""},
		"of three nodes two": {
			workers(5).app("web", "n1 n2 n3 n4", host).budget("web", "max 1").concurrent(3), 2,
			"with n1, n2 and n3 drained at the same time PDB shop/web"},
		"of eight nodes three": {
			workers(10).app("web", "n1 n2 n3 n4 n5 n6 n7 n8 n9", host).budget("web", "max 2").concurrent(8), 3,
			"with n1, n2, n3 and n4 drained at the same time"},
		"all that serve the DNS": {workers(2).app("dns", "n1 n2").service(dns, "dns").concurrent(2), 1,
			"Service dns is served by shop/dns-a on n1 and shop/dns-b on n2 only, which has no other node to go to"},
		"a third node takes the DNS": {workers(3).app("dns", "n1 n2").service(dns, "dns").concurrent(2), 2, ""},
		"one that serves the DNS is outside": {workers(3).cordon("n3").app("dns", "n1 n2 n3").service(dns,
			"dns").concurrent(2), 2, ""},
		"all of a mirror that serves its own image": {
			workers(3).app("mirror", "n1 n2").service(registry, "mirror").pulling("quay.io/acme/mirror:v1",
				own).concurrent(2), 1, "mirror.shop.svc:5000 is served by shop/mirror-a and shop/mirror-b only, which leave n1 and n2 with this drain"},
		"the third node has the image": {
			workers(3).app("mirror", "n1 n2").service(registry, "mirror").pulling("quay.io/acme/mirror:v1",
				own).caches("n3", "quay.io/acme/mirror:v1").concurrent(2), 2, ""},
		"it is open which the second is, and one of them is bad": {
			workers(3).label("router", "yes", "yes").app("web", "n1 n2", withHostPort(80),
				withNodeSelector("router", "yes")).budget("web", "max 1").candidates([]string{"n1"},
				[]string{"n1", "n2", "n3"}), 1, "with n1 and n2 drained"},
		"it is known that the second is a good one": {
			workers(3).label("router", "yes", "yes").app("web", "n1 n2", withHostPort(80),
				withNodeSelector("router", "yes")).budget("web", "max 1").candidates([]string{"n1"},
				[]string{"n1", "n3"}), 2, ""},
		"the change drains nothing": {func() *clusterBuilder { s := two(2); s.Pools[0].Drains = false; return s }(), 2, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.cluster.Scales = drain.NewScales(c.cluster.workloads)
			report := ForecastAll(c.cluster.Snapshot)
			for _, n := range report.Nodes {
				if n.Position == 1 && n.Result != "Safe" {
					t.Errorf("by itself %s is not safe: %s", n.Node, describeNode(n))
				}
			}
			forecast := report.Summary()
			if len(forecast.ConcurrentDrains) != 1 || forecast.ConcurrentDrains[0].Pool != "worker" {
				t.Fatalf("of the pool worker: %+v", forecast.ConcurrentDrains)
			}
			got, first := forecast.ConcurrentDrains[0], ""
			if len(got.Problems) > 0 {
				first = got.Problems[0].Message
			}
			if got.Size != c.size || !strings.Contains(first, c.says) || (c.says == "") != (first == "") {
				t.Errorf("%d at once: %q\nwant %d: %q", got.Size, first, c.size, c.says)
			}
		})
	}
	if got := ForecastAll(workers(2).Snapshot).Concurrent; got != nil {
		t.Errorf("one at a time, and together: %+v", got)
	}
}

// Which nodes a release takes is open among those of one age.
func TestNodeSets(t *testing.T) {
	many := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}
	cases := map[string]struct {
		next [][]string
		want [][]string
	}{
		"it is known":        {[][]string{{"a"}, {"a", "b"}}, [][]string{{"a", "b"}}},
		"the second is open": {[][]string{{"a"}, {"a", "b", "c"}}, [][]string{{"a", "b"}, {"a", "c"}}},
		"both are open": {[][]string{{"a", "b", "c"}, {"a", "b", "c"}},
			[][]string{{"a", "b"}, {"a", "c"}, {"b", "c"}}},
		"the last of three is open": {[][]string{{"a", "b"}, {"a", "b"}, {"a", "b", "c", "d"}},
			[][]string{{"a", "b", "c"}, {"a", "b", "d"}}},
		"too many to be tried, so all": {[][]string{many, many}, [][]string{many}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, nodeSets(c.next, len(c.next))); diff != "" {
				t.Errorf("sets (-want +got):\n%s", diff)
			}
		})
	}
}
