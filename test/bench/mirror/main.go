// The mirror benchmark runs `safe-mirror mirror` against skopeo, crane, regctl and regsync, in one
// run and in turn: the same images, from a real registry into a fresh empty one, over a link with
// latency and a bandwidth and over plain loopback. It prints wall time, bytes, requests and memory,
// holds them against the project's targets, and ends with a RESULT line.
//
// hack/bench-mirror.sh builds what it needs and starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-mirror:", err)
		os.Exit(1)
	}
}

// options are the flags. A run with other than the defaults is for working on the benchmark; its
// figures are not comparable.
type options struct {
	ours, bin  string
	scratch    string
	tools      []string
	links      []string
	corpora    []string
	rounds     int
	seed       uint64
	scale      float64
	linkSpec   linkSpec
	timeout    time.Duration
	markdown   string
	doc        string
	logsOnExit string
}

func parseFlags(args []string) (options, error) {
	var o options
	var tools, links, corpora string
	var mbit float64
	f := flag.NewFlagSet("bench-mirror", flag.ContinueOnError)
	f.StringVar(&o.ours, "ours", "bin/safe-mirror", "the safe-mirror `binary` to measure")
	f.StringVar(&o.bin, "bin", "bin/bench", "`directory` with the peers and the registry")
	f.StringVar(&o.scratch, "scratch", "",
		"`directory` for the registries' storage; default: memory (/dev/shm) with 4 GiB free, else the temporary directory")
	f.StringVar(&tools, "tools", "safe-mirror,skopeo,skopeo-sync,crane,regctl,regsync",
		"comma-separated `list` of what to run")
	f.StringVar(&links, "links", "shaped,loopback", "comma-separated `list` of links")
	f.StringVar(&corpora, "corpora", "A,B", "comma-separated `list` of corpora")
	f.IntVar(&o.rounds, "rounds", 3, "`number` of rounds; the medians count")
	f.Uint64Var(&o.seed, "seed", 1, "`seed` of the corpora")
	f.Float64Var(&o.scale, "scale", 1, "`factor` on the sizes of layers")
	f.Float64Var(&mbit, "mbit", 400, "bandwidth of the shaped link, in Mbit/s each way")
	f.DurationVar(&o.linkSpec.roundTrip, "rtt", 20*time.Millisecond, "round trip of the shaped link")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "bound on one run of one tool")
	f.StringVar(&o.markdown, "markdown", "", "write the report to this `file`, too")
	f.StringVar(&o.doc, "doc", "", "replace the generated part of this Markdown `file` with the report")
	f.StringVar(&o.logsOnExit, "keep-logs", "", "copy what the tools printed into this `directory`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("-rounds %d: at least one round has to be run", o.rounds)
	}
	if o.linkSpec.bytesPerSecond = mbit * 1e6 / 8; o.linkSpec.bytesPerSecond <= 0 || o.linkSpec.roundTrip < 0 {
		return o, errors.New("-mbit must be more than 0 and -rtt not negative")
	}
	o.tools, o.links, o.corpora = strings.Split(tools, ","), strings.Split(links, ","), strings.Split(corpora, ",")
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	scratch, err := newScratch(o.scratch)
	if err != nil {
		return err
	}
	defer scratch.remove()
	if o.logsOnExit != "" {
		defer func() { _ = os.CopyFS(o.logsOnExit, os.DirFS(scratch.logs())) }()
	}
	processes := newSpawner()
	defer processes.close()

	b := &bench{options: o, scratch: scratch, processes: processes}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	results, err := b.all(ctx)
	if err != nil {
		return err
	}
	return b.publish(ctx, results)
}

// publish prints the report, writes the files that were asked for, and ends with the RESULT line. A
// target that is missed is no error; images that safe-mirror did not copy, or not right, are.
func (b *bench) publish(ctx context.Context, results []measurements) error {
	r := report{setting: b.setting(ctx), series: results, rounds: b.rounds}
	markdown := r.markdown()
	fmt.Println()
	fmt.Println(markdown)
	if b.markdown != "" {
		if err := os.MkdirAll(filepath.Dir(b.markdown), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(b.markdown, []byte(markdown), 0o644); err != nil {
			return err
		}
	}
	if b.doc != "" {
		if err := replaceGenerated(b.doc, markdown); err != nil {
			return err
		}
	}
	for _, line := range r.resultLines() {
		fmt.Println(line)
	}
	return r.ourFailure()
}
