package registriesconf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
)

func TestWarnings(t *testing.T) {
	type problem struct{ at, part string }
	cases := map[string]struct {
		sets Sets
		want []problem
	}{
		"none":                     {union(itms("i", from("q.io", "m.io"))), nil},
		"no sets, no image config": {Sets{}, nil},
		"no image config": {Sets{ITMSs: []configv1.ImageTagMirrorSet{itms("i", from("q.io", "m.io"))}}, []problem{
			{"Image/cluster metadata.name", "ignores every mirror set"}}},
		"payload guard": {union().blocked("docker.io", "quay.io").release("quay.io/ocp/release:1"), []problem{
			{"Image/cluster spec.registrySources.blockedRegistries[1]", `"quay.io" is ignored`}}},
		"payload guard fails": {union(idms("w",
			from("*.io", "m.local"))).blocked("quay.io").release("quay.io/ocp/release" + digest), []problem{
			{"Image/cluster spec.registrySources.blockedRegistries", "blocked and allowed registries are all ignored"},
			{"ImageDigestMirrorSet/w spec.imageDigestMirrors[0].source", "the host is lost"}}},
		"payload guard fails on a malformed scope": {union().blocked("quay.io",
			"*.x.io/p").release("quay.io/ocp/release" + digest), []problem{
			{"Image/cluster spec.registrySources.blockedRegistries", "wildcard prefix is *.domain"}}},
		"ignored sets": {union(itms("i", from("q.io"), from("r.io", "r.io"), from("s.io").with(never))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrors", `"q.io" is ignored`},
			{"ImageTagMirrorSet/i spec.imageTagMirrors[1].mirrors", `"r.io" is ignored`},
			{"ImageTagMirrorSet/i spec.imageTagMirrors[2].mirrors", "the source is not blocked"}}},
		"wildcard": {union(itms("i", from("*.x.io", "m.io/x"))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].source",
				"a.x.io/app and b.x.io/app are both pulled from m.io/x/app"}}},
		"orders contradict": {union(itms("i", from("docker.io", "m1.io", "m2.io")),
			itms("j", from("docker.io", "m2.io", "m1.io"))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrors",
				"ImageTagMirrorSet/i wants m1.io, m2.io, docker.io; ImageTagMirrorSet/j wants m2.io, m1.io, docker.io), and nodes will try docker.io, m1.io, m2.io"}}},
		"orders contradict between digest kinds": {union(idms("d", from("q.io", "a.io", "b.io")),
			icsp("p", from("q.io", "b.io", "a.io"))), []problem{
			{"ImageContentSourcePolicy/p spec.repositoryDigestMirrors[0].mirrors", "nodes will try a.io, b.io, q.io"}}},
		"a repeated mirror": {union(icsp("p", from("q.io", "a.io", "b.io", "a.io"))), []problem{
			{"ImageContentSourcePolicy/p spec.repositoryDigestMirrors[0].mirrors", "contradict"}}},
		"orders of different kinds": {union(idms("d", from("q.io", "a.io", "b.io")),
			itms("i", from("q.io", "b.io", "a.io"))), nil},
		"orders that only interleave": {union(itms("i", from("q.io", "a.io", "b.io")),
			itms("j", from("q.io", "c.io"))), nil},
		"source listed on purpose": {union(itms("i", from("q.io", "q.io", "m.io"))), nil},
		"mirror inside its own blocked source": {union(itms("i", from("q.io", "q.io/cache").with(never))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrors[0]",
				"NeverContactSource for q.io in ImageTagMirrorSet/i"}}},
		"mirror inside a blocked registry": {union(itms("i", from("q.io", "n.io", "m.io/x"))).blocked("m.io"),
			[]problem{
				{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrors[1]", "the block of m.io"}}},
		"mirror is the blocked source of another set": {union(idms("d", from("m.io", "k.io").with(never)),
			itms("i", from("q.io", "m.io"))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrors[0]",
				"NeverContactSource for m.io in ImageDigestMirrorSet/d"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []problem
			for i, p := range Warnings(tc.sets) {
				part := p.Message
				if i < len(tc.want) && strings.Contains(p.Message, tc.want[i].part) {
					part = tc.want[i].part
				}
				got = append(got, problem{p.Kind + "/" + p.Name + " " + p.Field, part})
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(problem{})); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
