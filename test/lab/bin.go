package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	rootModule = "github.com/safe-mirror/safe-mirror-operator"
	apiModule  = "github.com/openshift/api"
	mcoModule  = "github.com/openshift/machine-config-operator"
)

// findBinDir says where the parts are, and fails at once when one that will be needed is missing:
// better than a lab that dies half-way up.
func findBinDir(o Options) (string, error) {
	dir := o.BinDir
	if dir == "" {
		dir = os.Getenv("SAFE_MIRROR_LAB_BIN")
	}
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "bin", "lab")
	}
	for _, name := range neededParts(o) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("the lab's part %q is not in %s: run make lab", name, dir)
		}
	}
	return filepath.Abs(dir)
}

func neededParts(o Options) []string {
	parts := []string{"etcd", "kube-apiserver"}
	if o.APIOnly {
		return parts
	}
	mcc := "mcc"
	if o.Stock {
		mcc = "mcc-stock"
	}
	return append(parts, "kube-controller-manager", "kube-scheduler", "registry", "node", mcc)
}

// moduleRoot walks up from the working directory to this repository's go.mod. The nested module of
// the parts has a go.mod too, so the module line is compared, not only the file's presence.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && declaresModule(data, rootModule) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the safe-mirror-operator repository: set SAFE_MIRROR_LAB_BIN to the directory of the lab's parts")
		}
		dir = parent
	}
}

func declaresModule(gomod []byte, module string) bool {
	for line := range strings.Lines(string(gomod)) {
		if strings.TrimSpace(line) == "module "+module {
			return true
		}
	}
	return false
}

// sources are the module directories the lab reads at run time: CRDs and feature gates come from
// one, machine config templates from the other.
type sources struct {
	api, mco string
}

// findSources asks the file make lab left beside the parts, and the go command (a third of a
// second) only when there is none.
func findSources(binDir string) (sources, error) {
	dirs, err := readModuleDirs(filepath.Join(binDir, "moddirs.json"))
	if err != nil {
		root, rootErr := moduleRoot()
		if rootErr != nil {
			return sources{}, fmt.Errorf("the lab cannot find the sources of its parts: run make lab (%w)", err)
		}
		dirs, err = listModuleDirs(filepath.Join(root, "test", "lab", "parts"))
	}
	return sources{api: dirs[apiModule], mco: dirs[mcoModule]}, err
}

// readModuleDirs reads {"module path": "directory"}. A stale file (module cache cleaned) counts as
// absent.
func readModuleDirs(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{}
	if err := json.Unmarshal(data, &dirs); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return dirs, checkModuleDirs(dirs)
}

func listModuleDirs(parts string) (map[string]string, error) {
	cmd := exec.CommandContext(context.Background(), "go", "-C", parts, "list", "-mod=mod", "-m", "-f",
		"{{.Path}} {{.Dir}}", apiModule, mcoModule)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("finding the modules of the lab's parts: %w: %s", err, stderr.String())
	}
	dirs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		dirs[path] = dir
	}
	return dirs, checkModuleDirs(dirs)
}

func checkModuleDirs(dirs map[string]string) error {
	for _, module := range []string{apiModule, mcoModule} {
		if _, err := os.Stat(dirs[module]); dirs[module] == "" || err != nil {
			return fmt.Errorf("module %s is not in the module cache: run make lab", module)
		}
	}
	return nil
}
