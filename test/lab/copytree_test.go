package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	mixed := append(make([]byte, 3*len(zeros)+5), "end"...) // a hole with something after it
	holes := make([]byte, 2*len(zeros)+1)                   // nothing but a hole
	for name, data := range map[string][]byte{"mixed": mixed, "holes": holes, "empty": nil} {
		if err := os.WriteFile(filepath.Join(from, name), data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("mixed", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"mixed": mixed, "link": mixed, "holes": holes, "empty": nil} {
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs: %d bytes, want %d, %v", name, len(got), len(want), err)
		}
	}
}
