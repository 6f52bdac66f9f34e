// Command safe-mirror is the operator that rolls out mirror sets without a failed pull and without
// a blocked drain.
package main

import (
	"errors"
	"fmt"
	"os"
	_ "time/tzdata" // maintenance windows name time zones, and a container has no database of them

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli"
)

// version is set by the build.
var version = "devel"

func main() {
	root := &cobra.Command{
		Use:           "safe-mirror",
		Short:         "Rolls out ImageTagMirrorSets without a failed pull and without a blocked drain",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(cli.Manager(), cli.Plan(), cli.Status(), cli.Diagnose(), cli.Explain(), cli.Init(), cli.Mirror())
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		os.Exit(handleError(err))
	}
}

// handleError tells of the error, and gives the exit code: 1, or what the command documents.
func handleError(err error) int {
	var exitErr *cli.ExitError
	if !errors.As(err, &exitErr) {
		fmt.Fprintln(os.Stderr, "safe-mirror:", err)
		return 1
	}
	if exitErr.Text != "" {
		fmt.Fprintln(os.Stderr, "safe-mirror:", exitErr.Text)
	}
	return exitErr.Code
}
