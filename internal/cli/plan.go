package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/safe-mirror/safe-mirror-operator/internal/cli/manifest"
	"github.com/safe-mirror/safe-mirror-operator/internal/cli/printer"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
)

const planLong = `Says what would happen if the cluster had certain mirror sets, and changes nothing: which pulls change and for whom, what would break
and what to add, what drains and which nodes can be first, who switches at once, and what could not be seen.

FILE is a SafeMirrorRollout, or ImageTagMirrorSets and ImageDigestMirrorSets as oc-mirror writes them; these are planned as if a
SafeMirrorRollout carried them, in place of the ones of the same names that the cluster has.

The cluster is the one of the kubeconfig, or files: a must-gather, or what oc get -o yaml or -o json has written, with --from. It needs
no operator and no rights but to read; the ClusterRole safe-mirror-plan-viewer has them all, and what may not be read is reported.

Exit codes: 0 nothing to do; 2 changes, safe as far as seen; 3 blocked: something would break, or is refused, or a rollout could not
begin now; 1 an error, such as a file that the API server would not take, or it cannot be told.`

type planOptions struct {
	sourceOptions
	files           []string
	output          string
	askRegistries   bool
	authfile        string
	workers         int
	registryTimeout time.Duration
}

// Plan says what a mirror set would do.
func Plan() *cobra.Command {
	o := planOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Say what mirror sets would change, break and disturb, before they exist",
		Long:  planLong,
		Example: `  safe-mirror plan -f rollout.yaml
  safe-mirror plan -f itms-oc-mirror.yaml -f idms-oc-mirror.yaml --ask-registries
  safe-mirror plan -f rollout.yaml --from must-gather.local.123 -o wide
  safe-mirror plan -f rollout.yaml --save seen.gz && safe-mirror plan -f other.yaml --replay seen.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil,
		"what to plan: a file, or - for standard input; may be given several times")
	f.StringVarP(&o.output, "output", "o", "text", "one of "+printer.PlanFormats+"; wide names all of every list")
	f.BoolVar(&o.askRegistries, "ask-registries", false,
		"ask the mirrors and the sources, too: what is missing at the mirror, and whether what is left can be pulled")
	f.StringVar(&o.authfile, "authfile", "",
		"credentials for --ask-registries, as podman login writes them (default: the cluster's pull secret)")
	f.DurationVar(&o.registryTimeout, "registry-timeout", 5*time.Minute,
		"how long all registries together may take to answer")
	f.IntVar(&o.workers, "registry-workers", 8, "how many images are looked at, at the same time")
	o.addFlags(f)
	return cmd
}

func (o planOptions) run(ctx context.Context, in io.Reader, out io.Writer) error {
	if !knownFormat(o.output) {
		return fmt.Errorf("--output %q is none of %s", o.output, printer.PlanFormats)
	}
	if len(o.files) == 0 {
		return errors.New("--filename is missing: give a SafeMirrorRollout, or mirror sets, with -f FILE")
	}
	change, err := readProposedChange(o.files, in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	source, err := o.open(ctx)
	if err != nil {
		return err
	}
	var checker *registryChecker
	if o.askRegistries {
		if checker, err = o.newRegistryChecker(ctx, source); err != nil {
			return err
		}
		source.ReleaseComponents = checker.payloadComponents
	}
	f, err := preview.Compute(ctx, source.Source, change)
	if err != nil {
		return err
	}
	f.AddGaps(source.gaps...)
	var checks preview.RegistryChecks
	if checker != nil {
		checks = checker.check(ctx, o, f)
	}
	if err := source.save(); err != nil {
		return err
	}
	return o.writeReport(printer.NewPlanReport(f, checks), out)
}

// writeReport prints the report and ends with its exit code. Where the report is for a program,
// standard error has the verdict.
func (o planOptions) writeReport(r printer.PlanReport, out io.Writer) error {
	if err := r.Write(out, o.output); err != nil {
		return err
	}
	return exitWith(r.Verdict.Code.ExitCode(), o.output, string(r.Verdict.Code)+": "+r.Verdict.Message)
}

func knownFormat(format string) bool {
	switch format {
	case "text", "wide", "json", "yaml", "name":
		return true
	}
	return false
}

// readProposedChange reads the files; - is standard input.
func readProposedChange(names []string, in io.Reader) (preview.ProposedChange, error) {
	files, err := readManifests(names, in)
	if err != nil {
		return preview.ProposedChange{}, err
	}
	objects, err := manifest.Read(files...)
	if err != nil {
		return preview.ProposedChange{}, err
	}
	return manifest.ProposedChange(objects)
}

// maxManifest bounds a file of manifests: a mistaken name may be a disk image.
const maxManifest = 16 << 20

func readManifests(names []string, in io.Reader) ([]manifest.File, error) {
	var out []manifest.File
	for _, name := range names {
		file := manifest.File{Name: name}
		from := in
		if name == "-" {
			file.Name = "standard input"
		} else {
			opened, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("--filename: %w", err)
			}
			defer opened.Close()
			from = opened
		}
		var err error
		if file.Data, err = io.ReadAll(io.LimitReader(from, maxManifest+1)); err != nil {
			return nil, fmt.Errorf("--filename: reading %s: %w", file.Name, err)
		}
		if len(file.Data) > maxManifest {
			return nil, fmt.Errorf("--filename: %s has more than %d bytes, so it is no manifest", file.Name,
				maxManifest)
		}
		out = append(out, file)
	}
	return out, nil
}
