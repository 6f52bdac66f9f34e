package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/evidence"
	"github.com/safe-mirror/safe-mirror-operator/internal/dryrun"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan/prediction"
)

const diagnoseLong = `Says why nodes that the Machine Config Operator updates make no progress: one chain for each, from the drain over the
PodDisruptionBudget that refuses and the pods that keep it from allowing more, to the registry that does not serve their image. What
passes by itself is told from what does not, and with each comes what helps and what does not.

It needs no operator and no rollout: a plain ImageTagMirrorSet that has locked a cluster is what it is for. It only reads; the ClusterRole
safe-mirror-plan-viewer has the rights. With --try-evictions it also asks the API server, as a dry run, what it says to the evictions of
pods of which nothing else tells why they stay; that takes the right to create pods/eviction.

Exit codes: 0 nothing is stuck; 2 something is slow, and passes by itself; 3 something is stuck; 1 an error, or the cluster could not be read.`

type diagnoseOptions struct {
	sourceOptions
	output       string
	tryEvictions bool
}

// Diagnose says what holds the nodes of a cluster.
func Diagnose() *cobra.Command {
	o := diagnoseOptions{}
	cmd := &cobra.Command{
		Use:   "diagnose",
		Short: "Say why the drain of a node makes no progress, down to the root cause, and what helps",
		Long:  diagnoseLong,
		Example: `  safe-mirror diagnose
  safe-mirror diagnose --from must-gather.local.123
  safe-mirror diagnose -o json | jq -r '.obstacles[].line'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "text", "one of "+printer.DiagnosisFormats)
	f.BoolVar(&o.tryEvictions, "try-evictions", false,
		"also try evictions as a dry run, where nothing else says why a pod stays")
	o.addFlags(f)
	o.extraKinds = []client.Object{&corev1.Event{}}
	return cmd
}

func (o diagnoseOptions) run(ctx context.Context, out io.Writer) error {
	if o.output != "text" && o.output != "json" && o.output != "yaml" {
		return fmt.Errorf("--output %q is none of %s", o.output, printer.DiagnosisFormats)
	}
	if o.tryEvictions && o.from+o.replay != "" {
		return errors.New("--try-evictions asks a live cluster, and there is none with --from and --replay")
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	source, err := o.open(ctx)
	if err != nil {
		return err
	}
	from := evidence.Source{Reader: source.Reader, API: source.Reader, Predictor: &prediction.Predictor{},
		Now: source.Now, Partial: source.Partial}
	if o.tryEvictions {
		c, err := o.client(source.Scheme)
		if err != nil {
			return err
		}
		from.DryRunEvict = evidence.DryRun(dryrun.New(c))
	}
	pools, err := from.Pools(ctx)
	if err != nil {
		return err
	}
	result, err := from.Diagnose(ctx, pools)
	if err != nil {
		return err
	}
	for _, g := range source.gaps {
		result.UnreadKinds = append(result.UnreadKinds, evidence.UnreadKind{Kind: g.Source, Why: g.Why})
	}
	if err := source.save(); err != nil {
		return err
	}
	d := printer.NewDiagnosis(result)
	if err := d.Write(out, o.output); err != nil {
		return err
	}
	return exitWith(d.Verdict.ExitCode(), o.output, string(d.Verdict)+": "+d.Message)
}
