package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/nodefs"
)

// file is one file of a MachineConfig that the simulated node has.
type file struct {
	path string // absolute on the node: /etc/containers/registries.conf
	mode os.FileMode
	data []byte
}

// keptFiles are the files that anything in the lab reads. The other two hundred of a rendered
// config (kubelet units, network scripts ...) still count for the verdict, but are not written.
var keptFiles = []string{"/etc/containers/", "/etc/docker/", "/var/lib/kubelet/config.json"}

// filesOf decodes the kept files of a rendered MachineConfig.
func filesOf(config *mcfgv1.MachineConfig) ([]file, error) {
	ignition, err := ctrlcommon.ParseAndConvertConfig(config.Spec.Config.Raw)
	if err != nil {
		return nil, fmt.Errorf("parsing Ignition config of %s failed: %w", config.Name, err)
	}
	var files []file
	for _, f := range ignition.Storage.Files {
		if !isKept(f.Path) {
			continue
		}
		data, err := ctrlcommon.DecodeIgnitionFileContents(f.Contents.Source, f.Contents.Compression)
		if err != nil {
			return nil, fmt.Errorf("couldn't decode file %q: %w", f.Path, err)
		}
		mode := os.FileMode(0o644)
		if f.Mode != nil {
			mode = os.FileMode(*f.Mode).Perm()
		}
		files = append(files, file{path: filepath.Clean(f.Path), mode: mode, data: data})
	}
	return files, nil
}

func isKept(path string) bool {
	path = filepath.Clean(path)
	for _, prefix := range keptFiles {
		if path == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// onNode is where a file of the node is on this machine.
func (d *daemon) onNode(path string) string {
	return filepath.Join(nodefs.Dir(d.Root, d.NodeName), filepath.FromSlash(path))
}

func (d *daemon) writeFiles(files []file) error {
	for _, f := range files {
		if err := replaceFile(d.onNode(f.path), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// replaceFiles brings the node from one set of files to another, like Daemon.updateFiles:
// everything new is written, then what only the old config had is deleted. Registry certificates
// are never deleted here: they belong to the certificate writer.
func (d *daemon) replaceFiles(from, to []file) error {
	if err := d.writeFiles(to); err != nil {
		return err
	}
	stays := map[string]bool{}
	for _, f := range to {
		stays[f.path] = true
	}
	for _, f := range from {
		if stays[f.path] || strings.HasPrefix(f.path, "/etc/docker/certs.d/") {
			continue
		}
		if err := os.Remove(d.onNode(f.path)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// replaceFile writes through a rename, so that a pull never reads half a registries.conf.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // gone already when all went well
	_, err = temporary.Write(data)
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(temporary.Name(), mode)
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	return err
}

// validate compares the disk with a config, and words what it finds as the MCD does.
func (d *daemon) validate(config *mcfgv1.MachineConfig) error {
	files, err := filesOf(config)
	if err == nil {
		err = d.compare(files)
	}
	if err != nil {
		return fmt.Errorf("unexpected on-disk state validating against %s: %w", config.Name, err)
	}
	return nil
}

// compare is the MCD's checkFileContentsAndMode for every kept file.
func (d *daemon) compare(files []file) error {
	for _, f := range files {
		info, err := os.Lstat(d.onNode(f.path))
		if err != nil {
			return fmt.Errorf("could not stat file %q: %w", f.path, err)
		}
		if info.Mode() != f.mode {
			return fmt.Errorf("mode mismatch for file: %q; expected: %[2]v/%[2]d/%#[2]o; received: %[3]v/%[3]d/%#[3]o",
				f.path, f.mode, info.Mode())
		}
		data, err := os.ReadFile(d.onNode(f.path))
		if err != nil {
			return fmt.Errorf("could not read file %q: %w", f.path, err)
		}
		if !bytes.Equal(data, f.data) {
			return fmt.Errorf("content mismatch for file %q", f.path)
		}
	}
	return nil
}

// currentConfigFile holds the name of the config on disk. The real daemon keeps the whole
// MachineConfig there; the lab reads it again from the cluster, where rendered configs stay for
// good.
const currentConfigFile = "/etc/machine-config-daemon/currentconfig"

func (d *daemon) storeCurrentOnDisk(name string) error {
	return replaceFile(d.onNode(currentConfigFile), []byte(name), 0o644)
}

// currentOnDisk is nil on a node that was never ignited.
func (d *daemon) currentOnDisk(ctx context.Context) (*mcfgv1.MachineConfig, error) {
	name, err := os.ReadFile(d.onNode(currentConfigFile))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.machineConfig(ctx, string(name))
}

// loadRuntime makes the simulated runtime read its files again.
func (d *daemon) loadRuntime(config string) error {
	return replaceFile(nodefs.LoadedConfig(d.Root, d.NodeName), []byte(config), 0o644)
}
