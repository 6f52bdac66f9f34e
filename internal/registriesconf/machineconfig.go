package registriesconf

import (
	"fmt"
	"path"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
)

const (
	// RegistriesPath is the file the MCO renders the mirror sets into.
	RegistriesPath = "/etc/containers/registries.conf"
	// DropInDir holds the files that add to it and override it.
	DropInDir = "/etc/containers/registries.conf.d"
)

// Files is the registries configuration a MachineConfig writes to a node.
type Files struct {
	// Main is the content of RegistriesPath; nil when the MachineConfig does not write it.
	Main []byte
	// DropIns are the files directly in DropInDir, by file name.
	DropIns map[string][]byte
}

// FromMachineConfig reads the files out of mc. Given a rendered MachineConfig it is the only
// proof that a mirror set has reached a pool: mirror sets have no status, and a
// MachineConfig of an administrator that sorts later silently replaces the file.
func FromMachineConfig(mc *mcfgv1.MachineConfig) (Files, error) {
	config, err := parseIgnition(mc)
	if err != nil {
		return Files{}, err
	}
	out := Files{DropIns: map[string][]byte{}}
	for _, file := range config.Storage.Files {
		isMain, isDropIn := file.Path == RegistriesPath, path.Dir(file.Path) == DropInDir
		if !isMain && !isDropIn {
			continue
		}
		content, err := file.Contents.decode()
		if err != nil {
			return Files{}, fmt.Errorf("MachineConfig/%s spec.config %s: %w", mc.Name, file.Path, err)
		}
		if isMain {
			out.Main = content
		} else {
			out.DropIns[path.Base(file.Path)] = content
		}
	}
	return out, nil
}

// Config parses the files.
func (f Files) Config() (Config, error) { return Parse(f.Main, f.DropIns) }
