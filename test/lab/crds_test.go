package lab

import (
	"strings"
	"testing"
)

func TestReadCRDsOfAnIncompleteModule(t *testing.T) {
	dir := t.TempDir()
	_, err := readCRDs(dir)
	if err == nil {
		t.Fatal("no error for a directory without CRDs")
	}
	for _, want := range []string{dir, crdFiles[0], "make lab"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not contain %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "%!") {
		t.Errorf("%q has a broken format", err)
	}
}
