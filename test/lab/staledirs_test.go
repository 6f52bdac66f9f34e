package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRemoveStaleDirs(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	old := time.Now().Add(-time.Hour)
	dirs := map[string]string{}
	for _, name := range []string{"used", "left", "fresh"} {
		dirs[name] = filepath.Join(temp, tempPattern+name)
		if err := os.Mkdir(dirs[name], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := tryLock(filepath.Join(dirs["used"], "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for _, name := range []string{"used", "left"} {
		if err := os.Chtimes(dirs[name], old, old); err != nil {
			t.Fatal(err)
		}
	}
	removeStaleDirs()
	for name, want := range map[string]bool{"used": true, "left": false, "fresh": true} {
		if _, err := os.Stat(dirs[name]); (err == nil) != want {
			t.Errorf("%s: there is %t, want %t", name, err == nil, want)
		}
	}
}
