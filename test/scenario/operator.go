package scenario

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// Operator is the operator as a process of its own. It uses the token of its ServiceAccount and so
// has exactly the permissions that config/rbac grants.
type Operator struct {
	lab        *lab.Lab
	kubeconfig string
	process    *lab.Process
	starts     int
}

// root is the directory of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Install applies the manifests that a user would install, the Deployment aside.
func Install(ctx context.Context, l *lab.Lab) error {
	var files []string
	for _, f := range []string{
		"config/crd/bases/safemirror.io_safemirrorrollouts.yaml",
		"config/crd/bases/safemirror.io_safemirrorreports.yaml",
		"config/manager/namespace.yaml",
		"config/rbac/service_account.yaml", "config/rbac/role.yaml", "config/rbac/role_binding.yaml",
		"config/rbac/leader_election_role.yaml", "config/rbac/leader_election_role_binding.yaml",
		"config/rbac/secret_reader_role.yaml", "config/rbac/secret_reader_role_binding.yaml", "config/rbac/probe.yaml",
	} {
		files = append(files, filepath.Join(root(), f))
	}
	if err := l.Apply(ctx, files...); err != nil {
		return fmt.Errorf("installing the operator's manifests: %w", err)
	}
	return nil
}

// StartOperator installs the manifests and starts the operator.
func StartOperator(ctx context.Context, l *lab.Lab) (*Operator, error) {
	if err := Install(ctx, l); err != nil {
		return nil, err
	}
	kubeconfig, err := l.ServiceAccountKubeconfig(ctx, "safe-mirror-operator", "safe-mirror-operator")
	if err != nil {
		return nil, err
	}
	o := NewOperator(l, kubeconfig)
	return o, o.Start()
}

// NewOperator returns the operator, not started, with the given kubeconfig: one that points to a
// proxy, for example. The manifests must be installed.
func NewOperator(l *lab.Lab, kubeconfig string) *Operator {
	return &Operator{lab: l, kubeconfig: kubeconfig}
}

// Start starts the process, also again after Kill. The lease is short, like all durations of the
// lab.
func (o *Operator) Start() error {
	cmd := exec.Command(filepath.Join(root(), "bin", "safe-mirror"), "manager", "--kubeconfig", o.kubeconfig,
		"--namespace", "safe-mirror-operator", "--health-probe-bind-address", "0", "--pod-quiet-period", "200ms",
		"--leader-elect", "--leader-elect-lease-duration", "8s", "--leader-elect-renew-deadline", "6s",
		"--leader-elect-retry-period", "500ms")
	cmd.Env = o.lab.Env()
	o.starts++
	process, err := o.lab.Run(fmt.Sprintf("operator-%d", o.starts), cmd)
	if err != nil {
		return fmt.Errorf("starting the operator (make build): %w", err)
	}
	o.process = process
	return nil
}

// Kill ends the process with SIGKILL: it cannot release its lease or finish a write.
func (o *Operator) Kill() { o.process.Kill() }
