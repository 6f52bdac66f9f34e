package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// safeMirrorName is the tool that is measured against the others.
const safeMirrorName = "safe-mirror"

// concurrency is how many images the peers are told to copy at a time, where they have no such
// setting of their own by default. It is what safe-mirror does by default.
const concurrency = 8

// transfer is what a tool has to do: copy every image from one registry to the other, below prefix.
type transfer struct {
	source, target string // host and port, plain HTTP
	prefix         string
	repositories   []string
	// home is a directory for the tool's configuration and caches. It is empty at the first run and
	// kept for the second.
	home string
}

func (t transfer) from(repository string) string { return t.source + "/" + repository + ":" + tag }
func (t transfer) to(repository string) string {
	return t.target + "/" + t.prefix + "/" + repository + ":" + tag
}

// command is one process.
type command struct {
	args, env []string
	dir       string
}

// tool is one way to copy a list of images. commands are run parallel at a time.
type tool struct {
	name, binary string
	how          string // for the report
	parallel     int
	// slow tools run in the first round only.
	slow     bool
	commands func(binary string, t transfer) ([][]string, error)
}

var perImage = fmt.Sprintf(", a process per image, %d at a time, as with `xargs -P`", concurrency)

func allTools(ours, peers string) []tool {
	return []tool{
		{name: safeMirrorName, binary: ours, how: "`safe-mirror mirror --images FILE --to HOST/PATH`", parallel: 1,
			commands: safeMirrorCommand},
		{name: "skopeo", binary: "skopeo", how: "`skopeo copy --all --preserve-digests`" + perImage,
			parallel: concurrency, commands: skopeoCommands},
		{name: "skopeo-sync", binary: "skopeo",
			how:      "`skopeo sync --all --preserve-digests` of a YAML list, one image after the other; first round only",
			parallel: 1, slow: true, commands: skopeoSyncCommand},
		{name: "crane", binary: filepath.Join(peers, "crane"), how: "`crane copy`" + perImage, parallel: concurrency,
			commands: craneCommands},
		{name: "regctl", binary: filepath.Join(peers, "regctl"), how: "`regctl image copy`" + perImage,
			parallel: concurrency, commands: regctlCommands},
		{name: "regsync", binary: filepath.Join(peers, "regsync"),
			how:      fmt.Sprintf("`regsync once` with `parallel: %d`", concurrency),
			parallel: 1, commands: regsyncCommand},
	}
}

// prepare gives the processes of one run.
func (t tool) prepare(job transfer) ([]command, error) {
	lines, err := t.commands(t.binary, job)
	if err != nil {
		return nil, err
	}
	commands := make([]command, len(lines))
	for i, args := range lines {
		commands[i] = command{args: args, env: environment(job.home), dir: job.home}
	}
	return commands, nil
}

// environment keeps the user's credentials, proxies and caches out of it. skopeo run by root would
// keep what it knows of blobs under /var/lib, from one run to the next, unless it takes itself for
// another user.
func environment(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "XDG_RUNTIME_DIR=" + home,
		"XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_CACHE_HOME=" + home, "DOCKER_CONFIG=" + home,
		"CONTAINERS_REGISTRIES_CONF=" + os.DevNull, "_CONTAINERS_ROOTLESS_UID=65534",
	}
}

func safeMirrorCommand(binary string, t transfer) ([][]string, error) {
	var list bytes.Buffer
	for _, repository := range t.repositories {
		fmt.Fprintln(&list, t.from(repository))
	}
	file := filepath.Join(t.home, "images.txt")
	return [][]string{{
		binary, "mirror", "--images", file, "--to", t.target + "/" + t.prefix,
		"--insecure", t.source, "--insecure", t.target, "-o", "json",
	}}, os.WriteFile(file, list.Bytes(), 0o600)
}

func skopeoCommands(binary string, t transfer) (lines [][]string, err error) {
	for _, repository := range t.repositories {
		lines = append(lines, []string{
			binary, "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false",
			"--dest-tls-verify=false",
			"docker://" + t.from(repository), "docker://" + t.to(repository),
		})
	}
	return lines, nil
}

// skopeoSyncCommand relies on skopeo's rule that sync puts an image at DESTINATION/<last part of
// its repository>.
func skopeoSyncCommand(binary string, t transfer) ([][]string, error) {
	var list bytes.Buffer
	fmt.Fprintf(&list, "%q:\n  tls-verify: false\n  images:\n", t.source)
	for _, repository := range t.repositories {
		fmt.Fprintf(&list, "    %s: [%q]\n", repository, tag)
	}
	file := filepath.Join(t.home, "skopeo.yaml")
	destination := t.target + "/" + t.prefix + "/" + path.Dir(t.repositories[0])
	return [][]string{{
		binary, "--insecure-policy", "sync", "--src", "yaml", "--dest", "docker", "--all", "--preserve-digests",
		"--src-tls-verify=false", "--dest-tls-verify=false", file, destination,
	}}, os.WriteFile(file, list.Bytes(), 0o600)
}

func craneCommands(binary string, t transfer) (lines [][]string, err error) {
	for _, repository := range t.repositories {
		lines = append(lines, []string{binary, "copy", "--insecure", t.from(repository), t.to(repository)})
	}
	return lines, nil
}

func regctlCommands(binary string, t transfer) (lines [][]string, err error) {
	for _, repository := range t.repositories {
		lines = append(lines, []string{
			binary, "image", "copy", "--host", "reg=" + t.source + ",tls=disabled", "--host", "reg=" + t.target +
				",tls=disabled",
			t.from(repository), t.to(repository),
		})
	}
	return lines, nil
}

func regsyncCommand(binary string, t transfer) ([][]string, error) {
	var list bytes.Buffer
	fmt.Fprintf(&list, "version: 1\ndefaults: {parallel: %d}\ncreds:\n", concurrency)
	for _, host := range []string{t.source, t.target} {
		fmt.Fprintf(&list, "- {registry: %q, tls: disabled}\n", host)
	}
	fmt.Fprintln(&list, "sync:")
	for _, repository := range t.repositories {
		fmt.Fprintf(&list, "- {source: %q, target: %q, type: image}\n", t.from(repository), t.to(repository))
	}
	file := filepath.Join(t.home, "regsync.yaml")
	return [][]string{{binary, "once", "--verbosity", "warn", "--config", file}},
		os.WriteFile(file, list.Bytes(), 0o600)
}

// version asks the binary itself: what Go has noted in it, or what it prints.
func (t tool) version(ctx context.Context) string {
	if info, err := buildinfo.ReadFile(t.binary); err == nil {
		if strings.HasPrefix(info.Main.Version, "v") {
			return info.Main.Version
		}
	}
	output, err := exec.CommandContext(ctx, t.binary, "--version").Output()
	words := strings.Fields(string(output))
	if err != nil || len(words) == 0 {
		return "unknown version"
	}
	return words[len(words)-1]
}
