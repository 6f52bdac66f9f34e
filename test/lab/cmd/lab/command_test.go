//go:build lab

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// TestMain is the supervisor too: up runs its own executable again, and in this test that is the
// test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := newCommand()
	command.SetOut(&out)
	command.SetArgs(args)
	err := command.ExecuteContext(t.Context())
	t.Logf("lab %s\n%s", strings.Join(args, " "), out.String())
	return out.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUpStatusResetDown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	at := "--dir=" + dir
	defer func() { _ = down(context.WithoutCancel(t.Context()), dir) }()

	up := mustRun(t, "up", at, "--workers=1", "--masters=1")
	if !strings.Contains(up, "export KUBECONFIG="+dir) {
		t.Error("up does not say how to reach the lab")
	}
	if _, err := run(t, "up", at); err == nil || !strings.Contains(err.Error(), "is up") {
		t.Errorf("a second up: %v, want a refusal", err)
	}
	status := mustRun(t, "status", at)
	for _, want := range []string{"kube-apiserver", "worker-1", "master-1", "1 of 1"} {
		if !strings.Contains(status, want) {
			t.Errorf("status does not show %s", want)
		}
	}
	mustRun(t, "reset", at)
	if logs := mustRun(t, "logs", at, "supervisor"); strings.Count(logs, "initial state") != 2 {
		t.Error("the supervisor's log does not show the start and the reset")
	}

	state, err := control{dir: dir}.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, "down", at)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("down has left %s: %v", dir, err)
	}
	for _, p := range append(state.Parts, part{Name: "supervisor", Pid: state.Pid}) {
		if err := lab.Eventually(t.Context(), 5*time.Second, p.Name+" is there after down",
			processEnded(p.Pid)); err != nil {
			t.Error(err)
		}
	}
}

func TestStatusWithoutALab(t *testing.T) {
	_, err := run(t, "status", "--dir="+t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "lab up") {
		t.Errorf("got %v, want a hint", err)
	}
}
