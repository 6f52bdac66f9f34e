package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every tool is told the same sources, and the same destinations in its own way; what its command
// line does not say is in a file in its home.
func TestToolCommands(t *testing.T) {
	type want struct {
		args [][]string
		file string // in the home
		text string
	}
	const from, to = "127.0.0.1:1/corpus-a/app-000:v1", "127.0.0.1:2/mirror/corpus-a/app-000:v1"
	for name, w := range map[string]want{
		"safe-mirror": {
			args: [][]string{{
				"ours", "mirror", "--images", "HOME/images.txt", "--to", "127.0.0.1:2/mirror", "--insecure",
				"127.0.0.1:1", "--insecure", "127.0.0.1:2",
				"-o", "json",
			}},
			file: "images.txt", text: from + "\n",
		},
		"skopeo": {args: [][]string{{
			"skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false",
			"--dest-tls-verify=false",
			"docker://" + from, "docker://" + to,
		}}},
		"skopeo-sync": {
			args: [][]string{{
				"skopeo", "--insecure-policy", "sync", "--src", "yaml", "--dest", "docker", "--all",
				"--preserve-digests",
				"--src-tls-verify=false", "--dest-tls-verify=false", "HOME/skopeo.yaml", "127.0.0.1:2/mirror/corpus-a",
			}},
			file: "skopeo.yaml", text: "\"127.0.0.1:1\":\n  tls-verify: false\n  images:\n    corpus-a/app-000: [\"v1\"]\n",
		},
		"crane": {args: [][]string{{"peers/crane", "copy", "--insecure", from, to}}},
		"regctl": {args: [][]string{{
			"peers/regctl", "image", "copy", "--host", "reg=127.0.0.1:1,tls=disabled", "--host",
			"reg=127.0.0.1:2,tls=disabled", from, to,
		}}},
		"regsync": {
			args: [][]string{{"peers/regsync", "once", "--verbosity", "warn", "--config", "HOME/regsync.yaml"}},
			file: "regsync.yaml",
			text: "version: 1\ndefaults: {parallel: 8}\ncreds:\n- {registry: \"127.0.0.1:1\", tls: disabled}\n- {registry: \"127.0.0.1:2\", tls: disabled}\n" +
				"sync:\n- {source: \"" + from + "\", target: \"" + to + "\", type: image}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			var found tool
			for _, one := range allTools("ours", "peers") {
				if one.name == name {
					found = one
				}
			}
			job := transfer{source: "127.0.0.1:1", target: "127.0.0.1:2", prefix: prefix,
				repositories: []string{"corpus-a/app-000"}, home: home}
			got, err := found.prepare(job)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(w.args) {
				t.Fatalf("%d processes, want %d", len(got), len(w.args))
			}
			for i := range got {
				if diff := cmp.Diff(replaced(w.args[i], home), got[i].args); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
			if w.file == "" {
				return
			}
			text, err := os.ReadFile(filepath.Join(home, w.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.text, string(text)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", w.file, diff)
			}
		})
	}
}

func replaced(args []string, home string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = strings.Replace(arg, "HOME/", home+"/", 1)
	}
	return out
}
