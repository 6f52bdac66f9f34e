package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// What the lab command keeps in a lab's directory: its socket, and among the logs its own, which
// goes on through a Reset.
const (
	ControlSocket = "lab.sock"
	SupervisorLog = "supervisor.log"
)

// Remove removes what a lab has left in a directory that was given in the Options, and then the
// directory if nothing else is in it. The lab must be down.
func Remove(dir string) error {
	for _, name := range append([]string{"certs", "kubeconfigs", "logs", "snapshot", "lock", ControlSocket},
		stateDirs...) {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(entries) > 0 {
		return err
	}
	return os.Remove(dir)
}
