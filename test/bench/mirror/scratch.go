package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// memory is where registries keep their storage if there is room: they fsync every blob, and a disk's mood would be in the figures.
const (
	memory     = "/dev/shm"
	roomNeeded = 4 << 30
)

// scratch is the directory of a run. It disappears with this process, also when that is killed.
type scratch struct {
	dir    string
	reaper *exec.Cmd
	hold   io.Closer
}

// newScratch makes a directory below parent, and starts a shell that waits until this process lets go of a pipe, which it does
// however it ends, and then removes the directory.
func newScratch(parent string) (*scratch, error) {
	if parent == "" {
		parent = roomyParent()
	}
	dir, err := os.MkdirTemp(parent, "safe-mirror-bench-")
	if err != nil {
		return nil, err
	}
	s := &scratch{dir: dir}
	s.reaper = exec.Command("/bin/sh", "-c", `cat >/dev/null; until rm -rf "$0"; do sleep 1; done`, dir)
	s.reaper.Dir = "/"
	s.reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C in the terminal is not for it
	hold, err := s.reaper.StdinPipe()
	if err == nil {
		err = s.reaper.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("starting the shell that tidies up: %w", err)
	}
	s.hold = hold
	return s, os.Mkdir(s.logs(), 0o755)
}

func roomyParent() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) >= roomNeeded {
		return memory
	}
	return os.TempDir()
}

// remove lets go of the directory and waits until it is gone.
func (s *scratch) remove() {
	s.hold.Close()
	_ = s.reaper.Wait()
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
