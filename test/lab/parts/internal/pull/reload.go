package pull

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// ErrNotLoaded says that the node's daemon has not loaded a first configuration yet.
var ErrNotLoaded = errors.New("no registries configuration is loaded on this node yet")

// configuration is the registries configuration of one reload.
type configuration struct {
	name string // of the rendered MachineConfig
	dir  string // the snapshot
}

func (c configuration) registries() string    { return filepath.Join(c.dir, "registries.conf") }
func (c configuration) registriesDir() string { return filepath.Join(c.dir, "registries.conf.d") }
func (c configuration) aliases() string       { return filepath.Join(c.dir, "short-name-aliases.conf") }

// reloads copies registries.conf and its drop-ins at each reload into a directory of its own.
//
// A pull must not see a file that is written but not reloaded: the daemon writes registries.conf,
// then rewrites the file that names the loaded configuration, and only from then on the new mirrors
// count. The fresh directory also gets around the cache of sysregistriesv2, which keeps a parsed
// file by its path for ever.
type reloads struct {
	root, node string

	mu      sync.Mutex
	stamp   string // identifies the reload that current was taken at
	current configuration
	number  int
}

// currentConfig returns the configuration in force, after taking a snapshot if there was a reload.
func (r *reloads) currentConfig() (configuration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, stamp, err := loaded(r.root, r.node)
	if err != nil || stamp == r.stamp {
		return r.inForce(err)
	}
	next, err := r.snapshot(name, stamp)
	if err != nil {
		return configuration{}, err
	}
	r.stamp = stamp
	// CRI-O keeps the registries that it has when the new ones cannot be parsed, and logs it.
	if err := parse(next); err != nil && r.current.dir != "" {
		klog.Errorf("node %s: reload of %s: %v; keeping the registries of %s", r.node, name, err, r.current.name)
		next = configuration{name: name, dir: r.current.dir}
	}
	r.current = next
	return r.current, nil
}

// inForce is the configuration when the file says nothing new. The file may be empty or
// away for a moment while the daemon rewrites it: that changes nothing.
func (r *reloads) inForce(err error) (configuration, error) {
	switch {
	case r.current.dir != "":
		return r.current, nil
	case err != nil:
		return configuration{}, err
	default:
		return configuration{}, ErrNotLoaded
	}
}

// loaded reads what the runtime has been told to load, and a stamp which differs after each
// rewrite, even one with the same name.
func loaded(root, node string) (name, stamp string, err error) {
	path := nodefs.LoadedConfig(root, node)
	info, err := os.Stat(path)
	if err != nil {
		return "", "", ErrNotLoaded
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", "", ErrNotLoaded
	}
	name = strings.TrimSpace(string(content))
	if name == "" {
		return "", "", ErrNotLoaded
	}
	return name, fmt.Sprintf("%d %s", info.ModTime().UnixNano(), name), nil
}

// snapshot returns the directory of a reload: the newest one if it was taken at this very reload
// (the lab was restarted), else a new one.
func (r *reloads) snapshot(name, stamp string) (configuration, error) {
	base := nodefs.Snapshots(r.root, r.node)
	if r.number == 0 {
		r.number = newest(base)
		dir := filepath.Join(base, strconv.Itoa(r.number))
		if kept, err := os.ReadFile(filepath.Join(dir, "loaded")); err == nil && string(kept) == stamp {
			return configuration{name: name, dir: dir}, nil
		}
	}
	r.number++
	next := configuration{name: name, dir: filepath.Join(base, strconv.Itoa(r.number))}
	if err := r.fill(next); err != nil {
		return configuration{}, fmt.Errorf("reload of node %s: %w", r.node, err)
	}
	return next, os.WriteFile(filepath.Join(next.dir, "loaded"), []byte(stamp), 0o644)
}

func (r *reloads) fill(next configuration) error {
	if err := os.MkdirAll(next.registriesDir(), 0o755); err != nil {
		return err
	}
	if err := copyFile(nodefs.Registries(r.root, r.node), next.registries()); err != nil {
		return err
	}
	dropIns, err := filepath.Glob(filepath.Join(nodefs.RegistriesDir(r.root, r.node), "*.conf"))
	if err != nil {
		return err
	}
	for _, path := range dropIns {
		if err := copyFile(path, filepath.Join(next.registriesDir(), filepath.Base(path))); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file; a missing one becomes an empty one, because the library
// refuses a named registries.conf that does not exist.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

func parse(c configuration) error {
	_, err := sysregistriesv2.GetRegistries(&types.SystemContext{
		SystemRegistriesConfPath:    c.registries(),
		SystemRegistriesConfDirPath: c.registriesDir(),
	})
	return err
}

func newest(base string) int {
	highest := 0
	entries, _ := os.ReadDir(base)
	for _, entry := range entries {
		if number, err := strconv.Atoi(entry.Name()); err == nil {
			highest = max(highest, number)
		}
	}
	return highest
}
