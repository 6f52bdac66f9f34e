package daemon

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	"k8s.io/klog/v2"
)

// driftMonitor is the MCD's config drift monitor: an edit by hand of a file that the MachineConfig
// owns degrades the node. A file that it does not own goes unseen, as on a real node:
//
//	vi etc/containers/registries.conf              -> state Degraded
//	vi etc/containers/registries.conf.d/mine.conf  -> nothing, and it wins over registries.conf
//
// The real one gets told by inotify. The lab has hundreds of nodes on one machine, which has 128
// inotify instances, so it looks at sizes and times once a second instead.
type driftMonitor struct {
	daemon *daemon

	mu              sync.Mutex
	name            string // of the config that is watched; empty: not running
	files           []file
	fingerprintSeen string // fingerprint of the last look
}

func newDriftMonitor(d *daemon) *driftMonitor { return &driftMonitor{daemon: d} }

// start watches against config; it is false when the monitor was running already.
func (m *driftMonitor) start(name string, files []file) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.name != "" {
		return false
	}
	m.name, m.files, m.fingerprintSeen = name, files, m.fingerprint(files)
	return true
}

// stop ends the watch before an update changes the files; it is false when nothing was watched.
func (m *driftMonitor) stop() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.name != ""
	m.name, m.files = "", nil
	return was
}

// run looks for changes until the daemon ends. Not more than once a second: 200 nodes of 10 files
// are 2000 stat calls.
func (m *driftMonitor) run(ctx context.Context) {
	ticker := time.NewTicker(max(time.Second, m.daemon.scaled(time.Second)))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.check(ctx)
		}
	}
}

func (m *driftMonitor) check(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.name == "" {
		return
	}
	now := m.fingerprint(m.files)
	if now == m.fingerprintSeen {
		return
	}
	m.fingerprintSeen = now
	if err := m.daemon.compare(m.files); err != nil {
		m.daemon.warn("ConfigDriftDetected", "%s", err)
		m.daemon.setFailed(ctx, err)
	}
}

// fingerprint changes whenever a file may have changed.
func (m *driftMonitor) fingerprint(files []file) string {
	sum := ""
	for _, f := range files {
		info, err := os.Lstat(m.daemon.onNode(f.path))
		if err != nil {
			sum += f.path + " missing\n"
			continue
		}
		sum += fmt.Sprintf("%s %d %v %v\n", f.path, info.Size(), info.Mode(), info.ModTime())
	}
	return sum
}

// startDriftMonitor watches what is on disk now.
func (d *daemon) startDriftMonitor(ctx context.Context) {
	config, err := d.currentOnDisk(ctx)
	if err != nil || config == nil {
		klog.Errorf("%s: could not get current config from disk: %v", d.NodeName, err)
		return
	}
	files, err := filesOf(config)
	if err != nil {
		klog.Errorf("%s: could not start Config Drift Monitor: %v", d.NodeName, err)
		return
	}
	if d.drift.start(config.Name, files) {
		d.event("ConfigDriftMonitorStarted", "Config Drift Monitor started, watching against %s", config.Name)
	}
}

func (d *daemon) stopDriftMonitor() {
	if d.drift.stop() {
		d.event("ConfigDriftMonitorStopped", "Config Drift Monitor stopped")
	}
}

// preflight refuses an update on top of files that somebody has edited.
func (d *daemon) preflight(ctx context.Context, current *mcfgv1.MachineConfig) error {
	// Two hundred files and the OS are compared on a real node, which takes about a second.
	if err := d.simulateWork(ctx, time.Second); err != nil {
		return err
	}
	if err := d.validate(current); err != nil {
		d.warn("PreflightConfigDriftCheckFailed", "%s", err)
		return err
	}
	return nil
}
