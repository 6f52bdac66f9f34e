package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

func optionFlags(flags *pflag.FlagSet) *lab.Options {
	o := &lab.Options{}
	flags.IntVar(&o.Workers, "workers", 4, "number of workers")
	flags.IntVar(&o.Masters, "masters", 3, "number of masters")
	flags.BoolVar(&o.Stock, "stock", false, "run the unmodified machine-config-controller, with its own delays")
	flags.Float64Var(&o.Scale, "scale", 0.05, "factor on every delay of a simulated node")
	flags.BoolVar(&o.OpenMirror, "open-mirror", false, "the mirror registries ask for no password")
	flags.StringVar(&o.BinDir, "bin-dir", "",
		"directory of the lab's parts (default: $SAFE_MIRROR_LAB_BIN, else where this command is, else bin/lab)")
	return o
}

func upCommand(dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a lab and leave it running",
		Args:  cobra.NoArgs,
	}
	options := optionFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return up(cmd.Context(), *dir, *options, cmd.OutOrStdout())
	}
	return cmd
}

// up starts the supervisor, a process of its own session that outlives this one: the parts die with
// whoever started them, and the wire to the registries is in it. Then it shows the supervisor's
// progress until the lab is ready.
func up(ctx context.Context, dir string, o lab.Options, out io.Writer) error {
	c := control{dir: dir}
	if _, err := c.state(ctx); err == nil {
		return fmt.Errorf("a lab is up in %s already: lab status, lab reset, lab down", dir)
	}
	if err := lab.Remove(dir); err != nil { // what a killed supervisor has left
		return err
	}
	log := c.logFile()
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return err
	}
	supervisor, err := startSupervisor(dir, log, o)
	if err != nil {
		return err
	}
	state, err := awaitReady(ctx, c, supervisor, out)
	if err != nil {
		return errors.Join(err, lab.Remove(dir))
	}
	fmt.Fprintf(out, "\nThe lab is up. To reach it:\n\n  export KUBECONFIG=%s\n\n", state.Kubeconfig)
	fmt.Fprintf(out, "A process that talks to the lab's registries also needs:\n\n  export %s\n",
		strings.Join(state.Env, " "))
	return nil
}

func startSupervisor(dir, log string, o lab.Options) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	args := []string{"serve", "--dir=" + dir,
		fmt.Sprintf("--workers=%d", o.Workers), fmt.Sprintf("--masters=%d", o.Masters),
		fmt.Sprintf("--scale=%g", o.Scale),
		fmt.Sprintf("--stock=%t", o.Stock), fmt.Sprintf("--open-mirror=%t", o.OpenMirror), "--bin-dir=" +
			binDir(o.BinDir, self),
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}

// binDir: make lab puts this command among the parts.
func binDir(given, self string) string {
	beside := filepath.Dir(self)
	if given != "" || os.Getenv("SAFE_MIRROR_LAB_BIN") != "" {
		return given
	}
	if _, err := os.Stat(filepath.Join(beside, "kube-apiserver")); err == nil {
		return beside
	}
	return ""
}

// awaitReady shows what the supervisor prints meanwhile. Ctrl-C gives the start up.
func awaitReady(ctx context.Context, c control, supervisor *exec.Cmd, out io.Writer) (state, error) {
	ended := make(chan struct{})
	go func() {
		_ = supervisor.Wait() // it has told the log why
		close(ended)
	}()
	progress, err := os.Open(c.logFile())
	if err != nil {
		return state{}, err
	}
	defer progress.Close()
	for {
		_, _ = io.Copy(out, progress) // from where the last copy ended
		if s, err := c.state(ctx); err == nil && s.Ready {
			return s, nil
		}
		select {
		case <-ctx.Done():
			_ = supervisor.Process.Signal(syscall.SIGTERM)
			<-ended
			return state{}, ctx.Err()
		case <-ended:
			_, _ = io.Copy(out, progress)
			return state{}, errors.New("the lab did not start")
		case <-time.After(200 * time.Millisecond):
		}
	}
}
