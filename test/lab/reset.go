package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// stateDirs hold all that the lab's processes remember on disk.
var stateDirs = []string{"etcd", "node", "registry"}

// takeSnapshot copies the state while every process stands still. A frozen process's files are what
// a killed one's would be at that instant, and etcd comes back from a kill; so nothing has to be
// stopped and started again for the copy.
func (l *Lab) takeSnapshot(context.Context) error {
	parts := l.Parts()
	for _, p := range parts {
		p.signal(syscall.SIGSTOP)
	}
	defer func() {
		for _, p := range parts {
			p.signal(syscall.SIGCONT)
		}
	}()
	for _, dir := range stateDirs {
		if err := copyTree(l.path(dir), l.path("snapshot", dir)); err != nil {
			return err
		}
	}
	return nil
}

// Snapshot makes the present state the one that Reset returns to, so that what takes long to
// stage is staged once for many runs. The cluster has to be at rest, as it is after Start.
func (l *Lab) Snapshot(ctx context.Context) error {
	if err := os.RemoveAll(l.path("snapshot")); err != nil {
		return err
	}
	if err := l.takeSnapshot(ctx); err != nil {
		return fmt.Errorf("lab: snapshot: %w", err)
	}
	return nil
}

// Reset brings the cluster back to its initial state, in about ten seconds: every process dies
// (those of Run too), etcd, the nodes and the registries get the files they had at the end of
// Start, the wire is healed, the logs begin anew, and everything starts again. Addresses and
// credentials stay as they are; caches and watches of clients made before are worthless afterwards.
func (l *Lab) Reset(ctx context.Context) error {
	l.killAll()
	l.wire.reset()
	if err := l.restore(); err != nil {
		return fmt.Errorf("lab: restoring the initial state: %w", err)
	}
	l.clearDeaths()
	if err := l.runSteps(ctx, l.resetPlan()); err != nil {
		return fmt.Errorf("lab: reset: %w", err)
	}
	return nil
}

func (l *Lab) resetPlan() []step {
	if l.options.APIOnly {
		return []step{{"etcd and API server", l.startAPI}}
	}
	return []step{
		{"registries", l.startRegistries},
		{"etcd and API server", l.startAPI},
		{"controllers", l.restartControllers},
		{"initial state", l.waitInitialState},
	}
}

// restartControllers makes each pool look unseen before the machine config controller starts: the
// pools in the snapshot are settled already, so waitInitialState would say yes before the new
// process is at work.
func (l *Lab) restartControllers(ctx context.Context) error {
	l.mapper.Reset()
	for _, pool := range []string{"master", "worker"} {
		patch := []byte(`{"status":{"observedGeneration":0}}`)
		_, err := l.dynamic.Resource(poolResource).Patch(ctx, pool, types.MergePatchType, patch, metav1.PatchOptions{},
			"status")
		if err != nil {
			return err
		}
	}
	return l.startControllers(ctx)
}

func (l *Lab) restore() error {
	for _, dir := range stateDirs {
		if err := os.RemoveAll(l.path(dir)); err != nil {
			return err
		}
		if err := copyTree(l.path("snapshot", dir), l.path(dir)); err != nil {
			return err
		}
	}
	if err := l.restoreRegistries(); err != nil {
		return err
	}
	return l.rotateLogs()
}

// rotateLogs keeps the logs of the time before the Reset, once: audit.jsonl becomes
// audit.jsonl.old.
func (l *Lab) rotateLogs() error {
	logs, err := filepath.Glob(l.path("logs", "*"))
	if err != nil {
		return err
	}
	for _, log := range logs {
		if filepath.Ext(log) == ".old" || filepath.Base(log) == SupervisorLog {
			continue
		}
		if err := os.Rename(log, log+".old"); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) clearDeaths() {
	for {
		select {
		case <-l.deaths:
		default:
			return
		}
	}
}
