//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keepLogs shows the end of the logs that matter: quiet while all is well, and enough to go by when
// it is not.
func keepLogs(t *testing.T) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(shared.Dir(), "logs", "*.log"))
	for _, f := range files {
		name := filepath.Base(f)
		if !strings.HasPrefix(name, "operator") && !strings.HasPrefix(name, "node") && !strings.HasPrefix(name, "mcc") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		t.Logf("== end of %s\n%s", name, tail(string(data), 30))
	}
}

// tail is the end of a log, without the lines that are always the same, and each line cut to what a
// screen holds.
func tail(s string, lines int) string {
	var kept []string
	for _, line := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		if !strings.Contains(line, "FeatureGates initialized") {
			kept = append(kept, line[:min(len(line), 400)])
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "\n")
}
