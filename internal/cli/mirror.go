package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror/batch"
)

// mirrorOptions are the flags of safe-mirror mirror.
type mirrorOptions struct {
	manifests []string
	images    string
	to        string

	authfile     string
	destAuthfile string
	cas          []string
	insecure     []string

	parallel  int
	requests  float64
	bytes     string
	platforms []string
	timeout   time.Duration
	attempts  int

	dryRun     bool
	verifyOnly bool
	quiet      bool
	output     string
	failures   string
}

const mirrorLong = `Copies images to a mirror and proves every one of them, without a cluster: all manifests, configs and layers are there, in the
right size, for whoever pulls from the mirror. What is there already is not copied again, so an interrupted run is taken up by
starting it again.

What goes where:
  --images FILE --to HOST/PATH   each reference of the list goes below HOST/PATH: the registry host of the source is cut off
                                   quay.io/acme/app:v1           -> HOST/PATH/acme/app:v1
                                   quay.io/acme/app@sha256:4c1c… -> HOST/PATH/acme/app@sha256:4c1c…
  -f rollout.yaml                a SafeMirrorRollout, ImageTagMirrorSets or ImageDigestMirrorSets decide: an image goes to the first
                                 mirror that nodes will try for its reference. The images are those of --images and those of
                                 spec.inventory.additionalImages; no cluster is asked for more.

A list has one reference on each line, in full (docker.io/library/nginx:1.27, not nginx), and after it the destination where --to is not
what you want. # begins a comment. Two sources that would write different images to one destination are refused.

Exit codes:
  0    complete: every image is in the mirror and proven
  1    nothing was begun: wrong usage, an unreadable file, a target that cannot be written to
  2    partial: some images failed, or are not served by the mirror sets
  3    no image worked
  130  interrupted by SIGINT or SIGTERM
What is left after 2, 3 and 130 is in the file of --failures, with the reasons; give it to --images to try again.`

const mirrorExample = `  # everything that a rollout will need, before it is created
  safe-mirror mirror -f rollout.yaml --images images.txt

  # how much that would be
  safe-mirror mirror -f rollout.yaml --images images.txt --dry-run

  # to a registry, as fast as half of a 1 Gbit/s line
  safe-mirror mirror --images images.txt --to mirror.example.com/acme --bytes-per-second 60Mi

  # what failed there, once more; the file says where each image goes
  safe-mirror mirror --images safe-mirror-failures.txt`

// Mirror copies and proves images without a cluster.
func Mirror() *cobra.Command {
	var o mirrorOptions
	cmd := &cobra.Command{
		Use:     "mirror (-f rollout.yaml [--images FILE] | --images FILE --to HOST/PATH)",
		Short:   "Copy images to a mirror and prove them, without a cluster",
		Long:    mirrorLong,
		Example: mirrorExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run := &mirrorRun{
				mirrorOptions: o, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), status: cmd.ErrOrStderr(),
				width:  terminalWidth(cmd.ErrOrStderr()),
				getenv: os.Getenv, now: time.Now, after: afterFunc,
			}
			return run.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.manifests, "filename", "f", nil,
		"a file with a SafeMirrorRollout, ImageTagMirrorSets or ImageDigestMirrorSets, - for standard input; repeatable")
	f.StringVar(&o.images, "images", "", "a file with one reference on each line, - for standard input")
	f.StringVar(&o.to, "to", "", "the HOST/PATH below which the images of --images go")
	f.StringVar(&o.authfile, "authfile", "",
		"credentials, as podman and docker write them; all of quay.io and of quay.io/acme may be entries (default: $REGISTRY_AUTH_FILE, or else "+
			"${XDG_RUNTIME_DIR}/containers/auth.json, ~/.config/containers/auth.json and ~/.docker/config.json in this order)")
	f.StringVar(&o.destAuthfile, "dest-authfile", "",
		"credentials for the destination, where they are not in --authfile")
	f.StringArrayVar(&o.cas, "ca", nil,
		"a PEM file to trust for every registry, or a directory like /etc/containers/certs.d with HOST[:PORT]/ca.crt; repeatable")
	f.StringArrayVar(&o.insecure, "insecure", nil,
		"HOST[:PORT][/PATH] that may speak plain http or have an unverified certificate; repeatable")
	f.IntVar(&o.parallel, "parallel", 32, "how many images are in progress at the same time")
	f.Float64Var(&o.requests, "requests-per-second", 0, "the most requests to each registry host (default: no limit)")
	f.StringVar(&o.bytes, "bytes-per-second", "",
		"the most bytes to and from each registry host, such as 50Mi (default: no limit)")
	f.StringArrayVar(&o.platforms, "platform", nil,
		"copy only this platform of an index, such as linux/amd64; it has to be there; repeatable (default: the whole index)")
	f.DurationVar(&o.timeout, "timeout", 6*time.Minute,
		"how long an image may go without any progress before the attempt counts as failed")
	f.IntVar(&o.attempts, "attempts", 3,
		"how often an image is tried when it fails for a reason that may pass, such as a timeout")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what would be moved, in bytes and requests, and change nothing")
	f.BoolVar(&o.verifyOnly, "verify-only", false,
		"prove the mirrors as they are, as a node reads them, and copy nothing")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress, only the result")
	f.StringVarP(&o.output, "output", "o", "text", "text, or json: one document with every image")
	f.StringVar(&o.failures, "failures", "safe-mirror-failures.txt",
		"where a list of what is left is written, if anything is")
	return cmd
}

// check finds what is wrong with the flags by themselves.
func (o mirrorOptions) check() error {
	for _, rule := range []struct {
		broken  bool
		message string
	}{
		{len(o.manifests) == 0 && o.images == "",
			"nothing to do: give --images FILE with --to HOST/PATH, or -f FILE with a SafeMirrorRollout or mirror sets"},
		{len(o.manifests) > 0 && o.to != "",
			"-f and --to contradict each other: with -f the mirror sets say where each image goes; leave one of them out"},
		{o.dryRun && o.verifyOnly, "--dry-run and --verify-only contradict each other: the one counts what is missing, the other proves what is there; leave one of them out"},
		{o.output != "text" && o.output != "json", fmt.Sprintf("--output %s: give text or json", o.output)},
		{o.parallel < 1, fmt.Sprintf("--parallel %d: give at least 1", o.parallel)},
		{o.attempts < 1, fmt.Sprintf("--attempts %d: give at least 1", o.attempts)},
		{o.timeout <= 0, fmt.Sprintf("--timeout %s: give a time above 0, such as 5m", o.timeout)},
		{o.requests < 0, fmt.Sprintf("--requests-per-second %g: give a number above 0, or leave it out for no limit",
			o.requests)},
		{o.failures == "", "--failures is empty: give a file name"},
		{o.readsStdin() > 1, "standard input can be read once: give - to one of --images and -f"},
	} {
		if rule.broken {
			return errors.New(rule.message)
		}
	}
	for _, platform := range o.platforms {
		parts := strings.Split(platform, "/")
		if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
			return fmt.Errorf("--platform %s: give os/architecture or os/architecture/variant, such as linux/arm64",
				platform)
		}
	}
	for _, host := range o.insecure {
		if host == "" || strings.Contains(host, "://") {
			return fmt.Errorf("--insecure %q: give HOST, HOST:PORT or HOST/PATH without a scheme", host)
		}
	}
	_, err := o.bytesPerSecond()
	return err
}

func (o mirrorOptions) readsStdin() int {
	n := 0
	for _, name := range append([]string{o.images}, o.manifests...) {
		if name == "-" {
			n++
		}
	}
	return n
}

// bytesPerSecond is the limit, 0 for none.
func (o mirrorOptions) bytesPerSecond() (int64, error) {
	if o.bytes == "" {
		return 0, nil
	}
	q, err := resource.ParseQuantity(o.bytes)
	if err != nil || q.Sign() <= 0 {
		return 0, fmt.Errorf("--bytes-per-second %s: give a number of bytes above 0, such as 50Mi or 1G", o.bytes)
	}
	return q.Value(), nil
}

func (o mirrorOptions) mode() batch.Mode {
	switch {
	case o.dryRun:
		return batch.DryRun
	case o.verifyOnly:
		return batch.Verify
	default:
		return batch.Copy
	}
}

// mirrorRun is one run, with all that it touches.
type mirrorRun struct {
	mirrorOptions
	in     io.Reader
	out    io.Writer // the result
	status io.Writer // progress
	width  func() int
	getenv func(string) string
	now    func() time.Time
	after  func(d time.Duration, f func()) (stop func())
	retry  func(attempts int) time.Duration // the pause between attempts; nil for the usual one
}

func (r *mirrorRun) run(ctx context.Context) error {
	began := r.now()
	if err := r.check(); err != nil {
		return err
	}
	set, err := r.readImageSet()
	if err != nil {
		return err
	}
	if r.dryRun && len(set.Targets()) == 0 {
		return errors.New("--dry-run: spec.mirroring.mode of the rollout is VerifyOnly, so nothing would be copied; see what is missing with --verify-only")
	}
	if err := r.checkFailuresFile(); err != nil {
		return err
	}
	client, err := r.client()
	if err != nil {
		return err
	}
	rows, err := r.process(ctx, client, set)
	if err != nil {
		if ctx.Err() != nil {
			return &ExitError{Code: batch.ExitInterrupted, Text: "interrupted before anything was begun"}
		}
		return err
	}
	report := batch.NewReport(r.mode(), set, rows, r.now().Sub(began), ctx.Err() != nil)
	return r.writeResult(report)
}

// process does what is to be done with each image. An error means that nothing was begun.
func (r *mirrorRun) process(ctx context.Context, client *mirror.Client, set batch.Set) ([]batch.Row, error) {
	// Two images for one place would spoil the run half way.
	err := set.MergeDestinations(func(source string) (string, error) {
		digest, _, err := client.Digest(ctx, []string{source})
		return digest, err
	})
	if err != nil {
		return nil, err
	}
	if r.dryRun {
		return r.estimate(ctx, client, set.Images), nil
	}
	return r.copyAndVerify(ctx, client, set)
}

// checkPushAccess finds the targets that take nothing.
func (r *mirrorRun) checkPushAccess(ctx context.Context, client *mirror.Client, set batch.Set) error {
	var problems []error
	for _, repository := range set.Targets() {
		err := client.CanPush(ctx, repository)
		var failure *mirror.Error
		if errors.As(err, &failure) && failure.Class == mirror.RateLimited {
			continue // it may be written to, and later
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("cannot write to %s: %w%s", repository, err, hint(err)))
		}
	}
	return errors.Join(problems...)
}

// hint says which flag helps against a failure, or what else does.
func hint(err error) string {
	var failure *mirror.Error
	if !errors.As(err, &failure) {
		return ""
	}
	switch failure.Class {
	case mirror.Denied:
		return "; give credentials that may push there with --dest-authfile or --authfile"
	case mirror.TLS:
		return "; give the registry's CA with --ca, or allow it to be unverified with --insecure HOST"
	case mirror.Missing:
		return "; create the repository or project there first"
	case mirror.ReadOnly:
		return "; the registry takes no pushes here: choose another destination, or check what others have put there with --verify-only"
	case mirror.Timeout, mirror.Refused:
		return "; check the host name and port, and HTTPS_PROXY and NO_PROXY; a registry without TLS needs --insecure HOST"
	default:
		return ""
	}
}

func afterFunc(d time.Duration, f func()) (stop func()) {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

// terminalWidth gives the present width of the terminal that w is, nil when it is none.
func terminalWidth(w io.Writer) func() int {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}
}
