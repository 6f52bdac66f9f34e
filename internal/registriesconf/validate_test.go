package registriesconf

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	const release = "quay.io/ocp/release" + digest
	type problem struct{ at, part string } // Kind/Name Field, and a part of the message
	cases := map[string]struct {
		sets Sets
		want []problem
	}{
		"nothing": {Sets{}, nil},
		"all is well": {
			union(idms("d", from("quay.io", "m.io").with(never)),
				itms("i", from("quay.io", "m.io/t").with(never), from("*.x.io", "m.io/x"))).
				insecure("*.local", "m.io").blocked("docker.io").release(release), nil},
		"malformed source": {union(itms("i", from("quay.io/Acme", "m.io"))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].source", `"quay.io/Acme"`}}},
		"malformed mirrors": {union(icsp("p", from("quay.io", "m.io", "*.m.io", "m.io/x:v1"))), []problem{
			{"ImageContentSourcePolicy/p spec.repositoryDigestMirrors[0].mirrors[1]", `"*.m.io"`},
			{"ImageContentSourcePolicy/p spec.repositoryDigestMirrors[0].mirrors[2]", `"m.io/x:v1"`}}},
		"policies of two kinds": {
			union(idms("site", from("quay.io", "m.io")),
				itms("acme", from("docker.io", "m.io"), from("quay.io", "m.io").with(never))), []problem{
				{"ImageTagMirrorSet/acme spec.imageTagMirrors[1].mirrorSourcePolicy",
					"ImageDigestMirrorSet/site spec.imageDigestMirrors[0] (AllowContactingSource)"}}},
		"policy against an old digest set": {
			union(icsp("old", from("quay.io", "m.io")), itms("acme", from("quay.io", "m.io").with(never))), []problem{
				{"ImageTagMirrorSet/acme spec.imageTagMirrors[0].mirrorSourcePolicy", "ImageContentSourcePolicy/old"}}},
		"policies within one object": {
			union(itms("acme", from("quay.io", "m.io").with(allow), from("quay.io", "n.io").with(never))), []problem{
				{"ImageTagMirrorSet/acme spec.imageTagMirrors[1].mirrorSourcePolicy",
					"ImageTagMirrorSet/acme spec.imageTagMirrors[0]"}}},
		"one against two": {
			union(itms("a", from("q.io", "m.io")), itms("b", from("q.io", "m.io")),
				itms("c", from("q.io", "m.io").with(never))), []problem{
				{"ImageTagMirrorSet/c spec.imageTagMirrors[0].mirrorSourcePolicy",
					"ImageTagMirrorSet/a spec.imageTagMirrors[0] (AllowContactingSource), ImageTagMirrorSet/b"}}},
		"even a set that is ignored counts": {
			union(idms("d", from("q.io").with(never)), itms("i", from("q.io", "m.io"))), []problem{
				{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrorSourcePolicy", "ImageDigestMirrorSet/d"}}},
		"parent and child may differ": {
			union(idms("d", from("q.io", "m.io").with(never)), itms("i", from("q.io/app", "m.io").with(allow))), nil},
		"unset is the same as allow": {
			union(idms("d", from("q.io", "m.io").with(allow)), itms("i", from("q.io", "m.io"))), nil},
		"never contacted, yet a mirror": {union(itms("i", from("q.io", "m.io", "q.io").with(never))), []problem{
			{"ImageTagMirrorSet/i spec.imageTagMirrors[0].mirrors[1]", "NeverContactSource"}}},
		"bad scopes": {union().insecure("ok.io", "*.x.io/y").blocked("", "a.*.io").allowed("*"), []problem{
			{"Image/cluster spec.registrySources.insecureRegistries[1]", `"*.x.io/y"`},
			{"Image/cluster spec.registrySources.blockedRegistries[0]", `""`},
			{"Image/cluster spec.registrySources.blockedRegistries[1]", `"a.*.io"`},
			{"Image/cluster spec.registrySources.allowedRegistries[0]", `"*"`},
			{"Image/cluster spec.registrySources.allowedRegistries", "together with blockedRegistries"}}},
		"allowing the payload beside a block": {
			union().allowed("quay.io/ocp/release").blocked("docker.io").release(release), nil},
		"unreadable release image": {union().release("release:4.20"), []problem{
			{"ClusterVersion/version status.desired.image", `"release:4.20"`}}},
		"wildcard above an insecure host": {union(itms("w", from("*.x.io", "m.io"))).insecure("a.x.io"), []problem{
			{"ImageTagMirrorSet/w spec.imageTagMirrors[0].source", `"a.x.io" of Image/cluster insecureRegistries`}}},
		"wildcard above a blocked wildcard": {union(idms("w", from("*.io", "m.io"))).blocked("*.x.io"), []problem{
			{"ImageDigestMirrorSet/w spec.imageDigestMirrors[0].source",
				`"*.x.io" of Image/cluster blockedRegistries`}}},
		"wildcard above a mirrored host": {union(itms("w", from("*.x.io", "m.io"),
			from("a.x.io", "n.io"))).insecure("a.x.io"), nil},
		"wildcard above a host that inherits from a digest set": {
			union(itms("w", from("*.x.io", "m.io")), idms("d", from("a.x.io", "n.io"))).insecure("a.x.io/b"), nil},
		"wildcard of a digest set comes first": {
			union(idms("w", from("*.x.io", "m.io")), itms("i", from("a.x.io", "n.io"))).insecure("a.x.io/b"), []problem{
				{"ImageDigestMirrorSet/w spec.imageDigestMirrors[0].source", "a.x.io/b"}}},
		"wildcard above itself":    {union(itms("w", from("*.x.io", "m.io"))).insecure("*.x.io"), nil},
		"wildcard that is ignored": {union(itms("w", from("*.x.io"))).insecure("a.x.io"), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []problem
			for i, p := range Validate(tc.sets) {
				at := p.Kind + "/" + p.Name + " " + p.Field
				part := p.Message
				if i < len(tc.want) && strings.Contains(p.Message, tc.want[i].part) {
					part = tc.want[i].part
				}
				got = append(got, problem{at, part})
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(problem{})); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			_, err := Render([]byte(base), tc.sets)
			if (err != nil) != (len(tc.want) > 0) {
				t.Errorf("Render gives %v with %d problems", err, len(tc.want))
			}
		})
	}
}

// TestNameFormats compares the composed patterns with those of the custom resource
// definitions, as published in openshift/api.
func TestNameFormats(t *testing.T) {
	published := regexp.MustCompile(`^\*(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+$|^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$`)
	random := rand.New(rand.NewPCG(3, 4))
	parts := []string{"a", "B", "0", ".", "-", "_", "__", "/", ":", "5000", "*.", "@", "quay.io", "app", ""}
	accepted := 0
	for range 20000 {
		var name strings.Builder
		for range 1 + random.IntN(7) {
			name.WriteString(parts[random.IntN(len(parts))])
		}
		s := name.String()
		want := published.MatchString(s)
		if got := sourceFormat.MatchString(s); got != want {
			t.Fatalf("source %q: got %t, want %t", s, got, want)
		}
		if got := mirrorFormat.MatchString(s); got != (want && !strings.HasPrefix(s, "*")) {
			t.Fatalf("mirror %q: got %t", s, got)
		}
		if want {
			accepted++
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d of the names were valid: the test is too weak", accepted)
	}
}

func TestValidateIgnoresObjectOrder(t *testing.T) {
	a, b := itms("a", from("q.io", "m.io")), itms("b", from("q.io", "m.io").with(never), from("Bad/Name", "x:y:z"))
	if diff := cmp.Diff(Validate(union(a, b)), Validate(union(b, a))); diff != "" {
		t.Errorf("problems depend on the order of objects:\n%s", diff)
	}
}
