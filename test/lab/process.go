package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is one process under the lab's supervision. It dies with the lab.
type Process struct {
	Name string
	// Log is the file its output goes to.
	Log string

	cmd    *exec.Cmd
	output *os.File
	done   chan struct{}
	err    error // why it ended; read only after done
}

// Run starts cmd under the lab's supervision: it is killed when the lab stops or is Reset, or when
// the process that started the lab dies in whatever way. What it prints goes to
// <Dir>/logs/<name>.log unless cmd says otherwise. The operator under test is run like this.
func (l *Lab) Run(name string, cmd *exec.Cmd) (*Process, error) {
	p, err := l.spawn(name, cmd)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extraProcesses = append(l.extraProcesses, p)
	return p, nil
}

func (l *Lab) spawn(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, Log: l.logFile(name), cmd: cmd, done: make(chan struct{})}
	output, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p.output = output
	if cmd.Stdout == nil {
		cmd.Stdout = output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = output
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = 5 * time.Second // do not wait for ever for a grandchild that holds a pipe
	}
	if err := l.spawner.start(cmd); err != nil {
		output.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go p.wait()
	return p, nil
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	p.output.Close()
	close(p.done)
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill sends SIGKILL to the process and whatever it started, and waits until it is gone: a crash.
func (p *Process) Kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop sends SIGTERM and waits until the process is gone; one that is not after half a minute is
// killed.
func (p *Process) Stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.Kill()
	}
}

// signal reaches the process group. A process that has ended has no group; that is not an error.
// The check of done matters: its number may belong to a stranger by now.
func (p *Process) signal(signal syscall.Signal) {
	if p.running() {
		_ = syscall.Kill(-p.Pid(), signal)
	}
}

func (p *Process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// failure describes a process that ended although it should run: how, and its last words.
func (p *Process) failure() error {
	ending := "exited without an error"
	if p.err != nil {
		ending = p.err.Error()
	}
	return fmt.Errorf("%s ended (%s); the last lines of %s:\n%s", p.Name, ending, p.Log, lastLines(p.Log, 6))
}

func lastLines(file string, n int) string {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (l *Lab) logFile(name string) string {
	return filepath.Join(l.dir, "logs", name+".log")
}
