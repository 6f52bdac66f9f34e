package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadLinesLeavesTheHalfWrittenOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pull.jsonl")
	text := `{"node":"worker-1","cached":true}` + "\n" + `{"node":"worker-2","bytes":7}` + "\n" + `{"node":"wor`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pulls, err := readLines[Pull](file)
	if err != nil || len(pulls) != 2 || !pulls[0].Cached || pulls[1].Bytes != 7 {
		t.Errorf("got %+v, %v", pulls, err)
	}
}

func TestReadLinesOfNoFileIsEmpty(t *testing.T) {
	pulls, err := readLines[Pull](filepath.Join(t.TempDir(), "none"))
	if err != nil || len(pulls) != 0 {
		t.Errorf("got %+v, %v", pulls, err)
	}
}
