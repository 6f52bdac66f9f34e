package batch

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func parse(t *testing.T, lines ...string) []Line {
	t.Helper()
	out, err := ParseList("l", strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func destinations(s Set) []string {
	var out []string
	for _, image := range s.Images {
		out = append(out, strings.Join(image.Sources, "|")+" -> "+image.Destination)
	}
	return out
}

func TestToRegistryCutsOffTheSourcesHost(t *testing.T) {
	lines := parse(t, "quay.io/acme/app:v1", "quay.io/acme/app@"+digestA, "docker.io/nginx", "localhost:5000/a/b/c:v1",
		"quay.io/acme/app:v1",
		"quay.io/acme/tool:v1 other.example.com/tool")
	for _, prefix := range []string{"m.example.com:5000/site", "m.example.com:5000/site/"} {
		got, err := ToRegistry(lines, prefix)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"quay.io/acme/app:v1 -> m.example.com:5000/site/acme/app:v1",
			"quay.io/acme/app@" + digestA + " -> m.example.com:5000/site/acme/app@" + digestA,
			"docker.io/library/nginx:latest -> m.example.com:5000/site/library/nginx:latest",
			"localhost:5000/a/b/c:v1 -> m.example.com:5000/site/a/b/c:v1",
			"quay.io/acme/tool:v1 -> other.example.com/tool:v1",
		}
		if diff := cmp.Diff(want, destinations(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", prefix, diff)
		}
		if diff := cmp.Diff([]string{"m.example.com:5000/site/acme/app", "other.example.com/tool"},
			got.Targets()); diff != "" {
			t.Errorf("targets (-want +got):\n%s", diff)
		}
	}
}

func TestToRegistryRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ line, prefix, want string }{
		"a scheme": {"quay.io/acme/app:v1", "https://m.example.com/acme",
			"--to https://m.example.com/acme: give a registry host"},
		"a tag": {"quay.io/acme/app:v1", "m.example.com/acme:v1",
			"--to m.example.com/acme:v1: give"},
		"upper case": {"quay.io/acme/app:v1", "m.example.com/Acme", "--to m.example.com/Acme: give"},
		"no host":    {"quay.io/acme/app:v1", "acme/app", "--to acme/app: give"},
		"no destination at all": {"quay.io/acme/app:v1", "",
			"l:1: quay.io/acme/app:v1 has no destination: give --to HOST/PATH"},
		"a name that gets too long": {"quay.io/acme/" + strings.Repeat("a", 200) + ":v1", "m.example.com/" +
			strings.Repeat("b", 60), "l:1: quay.io/acme/aaa"},
		"Docker Hub without a space": {"quay.io/acme/app:v1", "docker.io", "--to docker.io: give"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ToRegistry(parse(t, tc.line), tc.prefix)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s…", err, tc.want)
			}
		})
	}
}

func TestMergeDestinations(t *testing.T) {
	now := map[string]string{
		"quay.io/acme/app:v1": digestA, "docker.io/acme/app:v1": digestA, "gcr.io/acme/app:v1": digestB,
	}
	ask := func(source string) (string, error) {
		if d, ok := now[source]; ok {
			return d, nil
		}
		return "", errors.New("HTTP 404")
	}
	for name, tc := range map[string]struct {
		lines      []string
		want       []string
		wantDigest string
		wantErr    string
	}{
		"the same under two tags is one image": {
			lines:      []string{"quay.io/acme/app:v1", "docker.io/acme/app:v1"},
			want:       []string{"quay.io/acme/app:v1|docker.io/acme/app:v1 -> m.example.com/acme/app:v1"},
			wantDigest: digestA,
		},
		"a digest is the same everywhere": {
			lines: []string{"quay.io/acme/app@" + digestA, "nowhere.example.com/acme/app@" + digestA},
			want: []string{"quay.io/acme/app@" + digestA + "|nowhere.example.com/acme/app@" + digestA +
				" -> m.example.com/acme/app@" + digestA},
			wantDigest: digestA,
		},
		"another image": {
			lines: []string{"quay.io/acme/app:v1", "gcr.io/acme/app:v1"},
			wantErr: "quay.io/acme/app:v1 (l:1, now " + digestA + ") and gcr.io/acme/app:v1 (l:2, now " + digestB +
				") would both be written to m.example.com/acme/app:v1: give one of them another destination",
		},
		"another digest under a tag": {
			lines: []string{"quay.io/acme/app:v1 m.example.com/x:v1", "quay.io/acme/app@" + digestB +
				" m.example.com/x:v1"},
			wantErr: "quay.io/acme/app:v1 (l:1, now " + digestA + ") and quay.io/acme/app@" + digestB +
				" (l:2) would both be written to m.example.com/x:v1",
		},
		"one that cannot be asked": {
			lines:   []string{"quay.io/acme/app:v1", "gone.example.com/acme/app:v1"},
			wantErr: "gone.example.com/acme/app:v1 (l:2) goes to m.example.com/acme/app:v1, as another source does",
		},
		"no collision, nobody asked": {
			lines: []string{"gone.example.com/acme/app:v1", "gone.example.com/acme/app:v2"},
			want: []string{
				"gone.example.com/acme/app:v1 -> m.example.com/acme/app:v1",
				"gone.example.com/acme/app:v2 -> m.example.com/acme/app:v2",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ToRegistry(parse(t, tc.lines...), "m.example.com")
			if err != nil {
				t.Fatal(err)
			}
			err = set.MergeDestinations(ask)
			if tc.wantErr != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tc.wantErr) {
					t.Fatalf("got %v, want %s…", err, tc.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tc.want, destinations(set)); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if set.Images[0].Digest != tc.wantDigest {
				t.Errorf("digest %q, want %q", set.Images[0].Digest, tc.wantDigest)
			}
		})
	}
}

func TestAnImagesJob(t *testing.T) {
	platforms := []string{"linux/amd64"}
	set, err := ToRegistry(parse(t, "quay.io/acme/app:v1", "quay.io/acme/app@"+digestA+
		" m.example.com/acme/app:pinned"), "m.example.com")
	if err != nil {
		t.Fatal(err)
	}
	const tag, pinned = "m.example.com/acme/app:v1", "m.example.com/acme/app:pinned"
	for name, tc := range map[string]struct{ got, want mirror.Job }{
		"copied": {set.Images[0].Job(true, platforms),
			mirror.Job{Reference: tag, Sources: []string{"quay.io/acme/app:v1"}, Targets: []string{tag},
				PullEndpoints: []string{tag}, RequiredPlatforms: platforms, Platforms: platforms}},
		"only verified": {set.Images[0].Job(false, nil), mirror.Job{Reference: tag, PullEndpoints: []string{tag}}},
		"by digest": {set.Images[1].Job(true, nil), mirror.Job{
			Reference: pinned, Digest: digestA, Sources: []string{"quay.io/acme/app@" + digestA},
			Targets: []string{pinned}, PullEndpoints: []string{pinned},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(fmt.Sprintf("%+v", tc.want), fmt.Sprintf("%+v", tc.got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
