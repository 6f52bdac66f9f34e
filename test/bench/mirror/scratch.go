package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// memoryDir is where registries keep their storage if there is room: they fsync every blob, and a
// disk's mood would be in the figures.
const (
	memoryDir    = "/dev/shm"
	minFreeBytes = 4 << 30
)

// scratch is the directory of a run. It disappears with this process, also when that is killed.
type scratch struct {
	dir          string
	cleaner      *exec.Cmd
	cleanerInput io.Closer
}

// newScratch makes a directory below parent, and starts a shell that waits until this process lets
// go of a pipe, which it does however it ends, and then removes the directory.
func newScratch(parent string) (*scratch, error) {
	if parent == "" {
		parent = defaultParent()
	}
	dir, err := os.MkdirTemp(parent, "safe-mirror-bench-")
	if err != nil {
		return nil, err
	}
	s := &scratch{dir: dir}
	s.cleaner = exec.Command("/bin/sh", "-c", `cat >/dev/null; until rm -rf "$0"; do sleep 1; done`, dir)
	s.cleaner.Dir = "/"
	s.cleaner.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C in the terminal is not for it
	hold, err := s.cleaner.StdinPipe()
	if err == nil {
		err = s.cleaner.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting the shell that tidies up: %w", err)
	}
	s.cleanerInput = hold
	return s, os.Mkdir(s.logs(), 0o755)
}

func defaultParent() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memoryDir, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) >= minFreeBytes {
		return memoryDir
	}
	return os.TempDir()
}

// remove lets go of the directory and waits until it is gone.
func (s *scratch) remove() {
	s.cleanerInput.Close()
	_ = s.cleaner.Wait()
}

func (s *scratch) logs() string { return filepath.Join(s.dir, "logs") }

// fresh makes an empty directory of that name, whatever was there before.
func (s *scratch) fresh(name string) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}
