package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func shell(t *testing.T, scripts ...string) (dir string, commands []command) {
	t.Helper()
	dir = t.TempDir()
	for _, script := range scripts {
		commands = append(commands, command{args: []string{"/bin/sh", "-c", script}, env: environment(dir), dir: dir})
	}
	return dir, commands
}

func TestRunRunsEveryCommand(t *testing.T) {
	s := newSpawner()
	defer s.close()
	dir, commands := shell(t, "echo a >a", "echo b >b", "echo c >c", "echo d >d")
	used, err := s.run(context.Background(), commands, 3, filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("a command did not run: %v", err)
		}
	}
	if used.peak <= 0 || used.wall <= 0 {
		t.Errorf("nothing was measured: %+v", used)
	}
}

// A tool that fails is done with: what it would have copied after that is not waited for.
func TestRunStopsAtTheFirstFailure(t *testing.T) {
	s := newSpawner()
	defer s.close()
	dir, commands := shell(t, "echo denied >&2; exit 3", "echo later >later")
	_, err := s.run(context.Background(), commands, 1, filepath.Join(dir, "log"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "\ndenied") {
		t.Errorf("want the exit status and the last words, got: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "later")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the command after the failed one ran: %v", err)
	}
}

func TestToolsSeeNothingOfTheUsersSettings(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.example.com")
	t.Setenv("REGISTRY_AUTH_FILE", "/home/somebody/auth.json")
	for _, setting := range environment("/scratch/home") {
		name, value, _ := strings.Cut(setting, "=")
		switch {
		case name == "PATH", value == "/scratch/home", value == os.DevNull, name == "_CONTAINERS_ROOTLESS_UID":
		default:
			t.Errorf("%s is handed on", setting)
		}
	}
}

func TestScratchIsGoneAfterwards(t *testing.T) {
	parent := t.TempDir()
	s, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.fresh("target")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blob"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.remove()
	left, err := os.ReadDir(parent)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
