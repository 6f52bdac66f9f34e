// Command safe-mirror is the operator that rolls out mirror sets without a failed pull and without
// a blocked drain.
package main

import (
	"os"
	_ "time/tzdata" // maintenance windows name time zones, and a container has no database of them

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli"
)

// version is set by the build.
var version = "devel"

func main() {
	cli.LogSafely(os.Stderr)
	if err := cli.Root(version, os.Stdout).ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		os.Exit(cli.HandleError(os.Stderr, err))
	}
}
