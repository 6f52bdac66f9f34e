package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli/manifest"
)

const initLong = `Prints a SafeMirrorRollout that has the items of ImageTagMirrorSets and ImageDigestMirrorSets, such as oc-mirror writes, in their order, with
comments on what may be set besides. Items of one kind and source become one, which a comment says. A source with two policies is an error:
the Machine Config Operator refuses such mirror sets.`

type initOptions struct {
	files []string
	name  string
}

// Init prints a rollout made of mirror sets.
func Init() *cobra.Command {
	o := initOptions{}
	cmd := &cobra.Command{
		Use:     "init -f FILE",
		Short:   "Print a SafeMirrorRollout made of mirror sets",
		Long:    initLong,
		Example: "  safe-mirror init -f itms-oc-mirror.yaml -f idms-oc-mirror.yaml --name release > rollout.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.InOrStdin(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil,
		"ImageTagMirrorSets and ImageDigestMirrorSets: a file, or - for standard input; may be given several times")
	f.StringVar(&o.name, "name", "",
		"the name of the rollout (default: that of the sets when they have one, or mirrors)")
	return cmd
}

func (o initOptions) run(in io.Reader, out io.Writer) error {
	if len(o.files) == 0 {
		return errors.New("--filename is missing: give mirror sets with -f FILE")
	}
	files, err := readManifests(o.files, in)
	if err != nil {
		return err
	}
	objects, err := manifest.Read(files...)
	if err != nil {
		return err
	}
	text, err := manifest.Init(objects, o.name, strings.Join(o.files, ", "))
	if err != nil {
		return fmt.Errorf("making a rollout of %s: %w", strings.Join(o.files, ", "), err)
	}
	_, err = io.WriteString(out, text)
	return err
}
