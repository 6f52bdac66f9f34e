package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
)

const explainLong = `Says where an image reference is pulled from, step by step: which candidates a short name stands for, which entry of registries.conf
applies and which mirror set it comes from, each place that is asked, and what follows when that place does not have the image.

Nodes are grouped by the configuration that they really run, which is that of their current rendered MachineConfig. With -f it also says
what would be with the mirror sets of the file.`

type explainOptions struct {
	sourceOptions
	files  []string
	output string
}

// Explain says where one reference is pulled from.
func Explain() *cobra.Command {
	o := explainOptions{}
	cmd := &cobra.Command{
		Use:   "explain REFERENCE",
		Short: "Say where an image is pulled from, on which node, step by step",
		Long:  explainLong,
		Example: `  safe-mirror explain quay.io/acme/shop:v1
  safe-mirror explain nginx -f rollout.yaml --from must-gather.local.123`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil,
		"a SafeMirrorRollout or mirror sets to compare with: a file, or - for standard input; may be given several times")
	f.StringVarP(&o.output, "output", "o", "text", "one of text, wide, json, yaml; wide names every node")
	o.addFlags(f)
	return cmd
}

func (o explainOptions) run(ctx context.Context, ref string, in io.Reader, out io.Writer) error {
	if !knownFormat(o.output) || o.output == "name" {
		return fmt.Errorf("--output %q is none of text, wide, json, yaml", o.output)
	}
	var change preview.ProposedChange
	if len(o.files) > 0 {
		var err error
		if change, err = readProposedChange(o.files, in); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	source, err := o.open(ctx)
	if err != nil {
		return err
	}
	f, err := preview.Compute(ctx, source.Source, change)
	if err != nil {
		return err
	}
	if err := source.save(); err != nil {
		return err
	}
	explanation, err := f.Explain(ref)
	if err != nil {
		return err
	}
	return printer.NewExplanation(explanation).Write(out, o.output)
}
