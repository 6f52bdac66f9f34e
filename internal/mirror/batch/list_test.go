package batch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
)

func TestParseList(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []Line
	}{
		"one on each line": {
			text: "quay.io/acme/app:v1\nquay.io/acme/app@" + digestA + "\n",
			want: []Line{{Position: "l:1", Source: "quay.io/acme/app:v1"},
				{Position: "l:2", Source: "quay.io/acme/app@" + digestA}},
		},
		"comments, empty lines, blanks and Windows line ends": {
			text: "# all of it\r\n\r\n  quay.io/acme/app:v1 # the app\r\n\tquay.io/acme/tool:v2\t# and the tool\r\n",
			want: []Line{{Position: "l:3", Source: "quay.io/acme/app:v1"},
				{Position: "l:4", Source: "quay.io/acme/tool:v2"}},
		},
		"names are completed as a node completes them": {
			text: "docker.io/nginx\nquay.io/acme/app",
			want: []Line{{Position: "l:1", Source: "docker.io/library/nginx:latest"},
				{Position: "l:2", Source: "quay.io/acme/app:latest"}},
		},
		"of a tag with a digest the digest counts": {
			text: "quay.io/acme/app:v1@" + digestA,
			want: []Line{{Position: "l:1", Source: "quay.io/acme/app@" + digestA}},
		},
		"a destination of its own": {
			text: "quay.io/acme/app:v1 m.example.com/x/app:stable",
			want: []Line{{Position: "l:1", Source: "quay.io/acme/app:v1", Destination: "m.example.com/x/app:stable"}},
		},
		"a destination without tag takes the source's": {
			text: "quay.io/acme/app:v1 m.example.com/x/app\nquay.io/acme/app@" + digestA + " m.example.com/x/app",
			want: []Line{
				{Position: "l:1", Source: "quay.io/acme/app:v1", Destination: "m.example.com/x/app:v1"},
				{Position: "l:2", Source: "quay.io/acme/app@" + digestA, Destination: "m.example.com/x/app@" + digestA},
			},
		},
		"a digest under a tag": {
			text: "quay.io/acme/app@" + digestA + " m.example.com/x/app:v1",
			want: []Line{{Position: "l:1", Source: "quay.io/acme/app@" + digestA,
				Destination: "m.example.com/x/app:v1"}},
		},
		"nothing": {text: "# nothing\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseList("l", strings.NewReader(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseListNamesEveryBadLine(t *testing.T) {
	text := strings.Join([]string{
		"quay.io/acme/good:v1",
		"nginx:1.27",
		"quay.io/Acme/app:v1",
		"quay.io/acme/app:v1 m.example.com/app:v1 what",
		"quay.io/acme/app:v1 app:v1",
		"quay.io/acme/app@" + digestA + " m.example.com/app@" + digestB,
	}, "\n")
	_, err := ParseList("images.txt", strings.NewReader(text))
	if err == nil {
		t.Fatal("no error")
	}
	for i, want := range []string{
		`images.txt:2: "nginx:1.27" names no registry: write it in full`,
		`images.txt:3: image reference "quay.io/Acme/app:v1"`,
		`images.txt:4: 3 words`,
		`images.txt:5: destination: "app:v1" names no registry`,
		`images.txt:6: destination m.example.com/app@` + digestB + ` has another digest`,
	} {
		if line := strings.Split(err.Error(), "\n")[i]; !strings.HasPrefix(line, want) {
			t.Errorf("line %d of the message is %q, want %q…", i+1, line, want)
		}
	}
}

func TestParseListStopsListingProblemsAtTen(t *testing.T) {
	_, err := ParseList("l", strings.NewReader(strings.Repeat("nginx\n", 25)))
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 11 || lines[10] != "and 15 more" {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

func TestParseListRefusesALineThatIsNoText(t *testing.T) {
	_, err := ParseList("l", strings.NewReader("quay.io/acme/app:v1\n"+strings.Repeat("x", 1<<20)))
	if err == nil || !strings.HasPrefix(err.Error(), "l:2: ") {
		t.Errorf("%v", err)
	}
}
