package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
)

// spawner starts processes that cannot outlive this one. The kernel sends the parent death signal
// when the thread that started the child ends, and Go ends threads at will; so one goroutine,
// locked to its thread, starts them all.
type spawner struct {
	starts chan func()
	// floor is the most memory this process had in use when it began a run, in bytes. No child's
	// peak can be told below that.
	floor int64
}

func newSpawner() *spawner {
	s := &spawner{starts: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for start := range s.starts {
			start()
		}
	}()
	return s
}

// close ends whatever still runs.
func (s *spawner) close() { close(s.starts) }

func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	result := make(chan error)
	s.starts <- func() { result <- cmd.Start() }
	return <-result
}

// usage is what a run cost. peak is the largest resident set of a single process, in bytes;
// processor time is the sum over all.
type usage struct {
	wall, processor time.Duration
	peak            int64
}

// run runs the commands, parallel at a time, and measures them together: what `xargs -P` would do.
// Their output goes to log. The first one that fails ends it, and its last words are in the error.
func (s *spawner) run(ctx context.Context, commands []command, parallel int, log string) (usage, error) {
	output, err := os.Create(log)
	if err != nil {
		return usage{}, err
	}
	defer output.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	queue := make(chan command, len(commands))
	for _, c := range commands {
		queue <- c
	}
	close(queue)
	var (
		mu      sync.Mutex
		total   usage
		workers sync.WaitGroup
	)
	s.floor = max(s.floor, resetOwnPeak())
	began := time.Now()
	for range min(parallel, len(commands)) {
		workers.Go(func() {
			for c := range queue {
				one, err := s.runOne(ctx, c, output)
				mu.Lock()
				total.processor += one.processor
				total.peak = max(total.peak, one.peak)
				mu.Unlock()
				if err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	total.wall = time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return total, fmt.Errorf("%w\n%s", err, lastLines(log, 8))
	}
	return total, nil
}

func (s *spawner) runOne(ctx context.Context, c command, output *os.File) (usage, error) {
	if ctx.Err() != nil {
		return usage{}, context.Cause(ctx)
	}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := s.start(cmd); err != nil {
		return usage{}, err
	}
	err := cmd.Wait()
	var used usage
	if accounting, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		used.peak = accounting.Maxrss << 10 // in KiB on Linux
		used.processor = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		return used, fmt.Errorf("%s: %w", strings.Join(c.args, " "), err)
	}
	return used, nil
}

// resetOwnPeak keeps this process' own memory out of a child's account: Linux starts the child's
// peak at the highest resident set its parent had had when the child was made. Writing 5 to
// clear_refs sets that back to what is in use now, which it returns (proc_pid_clear_refs(5),
// proc_pid_statm(5)).
func resetOwnPeak() int64 {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	var total, resident int64
	if _, err := fmt.Sscan(firstLine("/proc/self/statm"), &total, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

func lastLines(file string, n int) string {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
