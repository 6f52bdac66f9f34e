package lab

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// spawner starts processes that cannot outlive this one, whatever kills it.
//
// The kernel sends a child its "parent death signal" when the *thread* that started it ends, and Go
// moves goroutines between threads and ends idle ones. So one goroutine, locked to its thread for
// as long as the lab lives, starts every child. When this process dies, by kill -9 as well, that
// thread dies and takes the children along; when the lab is stopped, close does the same.
type spawner struct {
	starts chan func()
	closed chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{starts: make(chan func()), closed: make(chan struct{})}
	go s.serve()
	return s
}

func (s *spawner) serve() {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for {
		select {
		case start := <-s.starts:
			start()
		case <-s.closed:
			return
		}
	}
}

// start starts cmd in a process group of its own, so that Ctrl-C in a terminal reaches the lab,
// which then stops its parts in order, and not the parts directly.
func (s *spawner) start(cmd *exec.Cmd) error {
	attr := &syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		*attr = *cmd.SysProcAttr
	}
	attr.Pdeathsig = syscall.SIGKILL
	attr.Setpgid = true
	cmd.SysProcAttr = attr

	result := make(chan error)
	select {
	case s.starts <- func() { result <- cmd.Start() }:
		return <-result
	case <-s.closed:
		return errors.New("the lab is stopped")
	}
}

func (s *spawner) close() {
	close(s.closed)
}
