package cli

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// Root is the command safe-mirror with its sub-commands. Names and messages of the cluster and of
// registries appear in what they print, so the output passes through safetext. Standard error is
// not set: mirror draws its progress bar there, and cleans what others have written by itself.
func Root(version string, out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "safe-mirror",
		Short:         "Rolls out ImageTagMirrorSets without a failed pull and without a blocked drain",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(safetext.NewWriter(out))
	root.AddCommand(Manager(), Plan(), Status(), Diagnose(), Explain(), Init(), Mirror())
	return root
}

// LogSafely sends the log lines of the Kubernetes client library, warnings of the API server among
// them, to w through safetext.
func LogSafely(w io.Writer) {
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(safetext.NewWriter(w)))))
}
