//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keepLogs prints the end of the relevant logs into the output of a failed test.
func keepLogs(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared.Dir(), "logs", "*.log"))
	if err != nil {
		t.Errorf("finding the logs: %v", err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		if !strings.HasPrefix(name, "operator") && !strings.HasPrefix(name, "node") && !strings.HasPrefix(name, "mcc") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Logf("== %s cannot be read: %v", name, err)
			continue
		}
		t.Logf("== end of %s\n%s", name, tail(string(data), 30))
	}
}

// tail returns the last lines of a log without the feature gate lines, each cut to 400 characters.
func tail(s string, lines int) string {
	var kept []string
	for _, line := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		if !strings.Contains(line, "FeatureGates initialized") {
			kept = append(kept, line[:min(len(line), 400)])
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "\n")
}
