package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
)

const statusLong = `Says how a SafeMirrorRollout stands, or all of them: the phase, what happens next or what somebody has to do, images and nodes, the node
in progress, and, where one makes no progress, the chain from its drain to the root cause. It tells what the operator has written into the
status; safe-mirror diagnose looks at the nodes itself.

Exit codes: 0 complete; 2 in progress, and going on by itself; 3 held, somebody has to do something; 1 an error, or there is no such rollout.`

type statusOptions struct {
	sourceOptions
	output string
	watch  time.Duration
}

// Status says how rollouts stand.
func Status() *cobra.Command {
	o := statusOptions{}
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Say how a rollout stands, what it waits for and what happens next",
		Long:  statusLong,
		Example: `  safe-mirror status
  safe-mirror status release --watch 10s
  safe-mirror status release -o json --from must-gather.local.123`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return o.run(cmd.Context(), name, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "text", "one of "+printer.DiagnosisFormats)
	f.DurationVar(&o.watch, "watch", 0,
		"look again this often, until everything is complete or held; only for a live cluster")
	o.addFlags(f)
	return cmd
}

func (o statusOptions) run(ctx context.Context, name string, out io.Writer) error {
	if o.output != "text" && o.output != "json" && o.output != "yaml" {
		return fmt.Errorf("--output %q is none of %s", o.output, printer.DiagnosisFormats)
	}
	if o.watch > 0 && o.from+o.replay+o.save != "" {
		return fmt.Errorf("--watch looks at a live cluster again and again; leave out --from, --replay and --save")
	}
	for {
		result, err := o.read(ctx, name)
		if err != nil {
			return err
		}
		if err := result.Write(out, o.output); err != nil {
			return err
		}
		if o.watch <= 0 || result.Code != printer.StatusInProgress {
			return exitWith(result.Code.ExitCode(), o.output, string(result.Code))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.watch):
		}
		if o.output == "text" {
			fmt.Fprintf(out, "\n--- %s\n", time.Now().UTC().Format(time.RFC3339))
		}
	}
}

// read reads the rollouts anew: the recorder keeps what it has read.
func (o statusOptions) read(ctx context.Context, name string) (printer.StatusReport, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	source, err := o.open(ctx)
	if err != nil {
		return printer.StatusReport{}, err
	}
	var list v1alpha1.SafeMirrorRolloutList
	if name != "" {
		one := v1alpha1.SafeMirrorRollout{}
		if err := source.Reader.Get(ctx, client.ObjectKey{Name: name}, &one); err != nil {
			return printer.StatusReport{}, err
		}
		list.Items = append(list.Items, one)
	} else if err := source.Reader.List(ctx, &list); err != nil && !meta.IsNoMatchError(err) {
		return printer.StatusReport{}, err // a cluster without the kind has no rollouts
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.SafeMirrorRollout) int { return cmp.Compare(a.Name, b.Name) })
	return printer.NewStatus(list.Items, source.Now), source.save()
}
