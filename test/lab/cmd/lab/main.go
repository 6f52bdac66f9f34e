// Command lab keeps a lab running between commands: a real OpenShift control plane with simulated
// nodes and registries, on this machine only. See the package test/lab for what it is made of.
//
//	lab up                 start one in ./.lab and print how to reach it
//	lab status             its processes, pools and nodes
//	lab reset              back to the state after "up", in about ten seconds
//	lab logs [NAME]        what a part has printed
//	lab down               end it and leave nothing
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", strings.TrimPrefix(err.Error(), "lab: "))
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "A real OpenShift control plane on this machine, with simulated nodes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	dir := root.PersistentFlags().String("dir", ".lab", "directory the lab lives in")
	root.AddCommand(upCommand(dir), serveCommand(dir), statusCommand(dir), resetCommand(dir), logsCommand(dir),
		downCommand(dir))
	return root
}
