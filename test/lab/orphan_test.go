//go:build lab

package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const helperDir = "SAFE_MIRROR_LAB_TEST_HELPER_DIR"

// TestMain is a second program: the starter that TestKilledStarterLeavesNoProcess kills.
func TestMain(m *testing.M) {
	dir := os.Getenv(helperDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := startAndWait(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func startAndWait(dir string) error {
	l, err := Start(context.Background(), Options{APIOnly: true, Dir: dir})
	if err != nil {
		return err
	}
	guest, err := l.Run("guest", exec.Command("sleep", "1000"))
	if err != nil {
		return err
	}
	for _, p := range append(l.Parts(), guest) {
		fmt.Println("pid", p.Pid())
	}
	fmt.Println("ready")
	select {}
}

// The starter is killed as the kernel's memory killer or an impatient user would: it has no chance
// to clean up.
func TestKilledStarterLeavesNoProcess(t *testing.T) {
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperDir+"="+t.TempDir())
	output, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	pids := readPids(t, bufio.NewScanner(output))
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()
	if len(pids) != 3 {
		t.Fatalf("the helper started %v, want etcd, kube-apiserver and a guest", pids)
	}
	for _, pid := range pids {
		if err := Eventually(t.Context(), 5*time.Second, "process "+pid+" is there",
			func(context.Context) (bool, string, error) {
				state := processState(pid)
				return state == "", state, nil
			}); err != nil {
			t.Error(err)
		}
	}
}

func readPids(t *testing.T, lines *bufio.Scanner) []string {
	t.Helper()
	var pids []string
	for lines.Scan() {
		if pid, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pids = append(pids, pid)
		}
		if lines.Text() == "ready" {
			return pids
		}
	}
	t.Fatalf("the helper ended early: %v", lines.Err())
	return nil
}

// processState is empty for a process that is gone. A zombie is gone too: who takes in the orphans
// of a container does not always bury them.
func processState(pid string) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%s/status", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(status)) {
		if state, ok := strings.CutPrefix(line, "State:"); ok && !strings.Contains(state, "Z") {
			return strings.TrimSpace(state)
		}
	}
	return ""
}
