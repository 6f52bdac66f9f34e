package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// prefix is where the images go to in the target.
const prefix = "mirror"

// bench is a run of the benchmark.
type bench struct {
	options
	scratch   *scratch
	processes *spawner

	toolsFound   []tool
	missingTools []string // tools that are not installed, for the report
	source       *registry
	corpusByName map[string]*corpus
	link         calibration
	load         float64 // of the machine before anything was started
}

func (b *bench) binary(name string) string { return filepath.Join(b.bin, name) }

// prepare finds the tools, starts the source and fills it.
func (b *bench) prepare(ctx context.Context) error {
	if b.load = load(); b.load > 0.5 {
		fmt.Printf("this machine is busy: a load average of %.1f; figures will be off, those on loopback most\n", b.load)
	}
	if err := b.findTools(); err != nil {
		return err
	}
	for _, name := range b.links {
		if name != shaped && name != loopback {
			return fmt.Errorf("-links: there is no link %q; there are %s and %s", name, shaped, loopback)
		}
	}
	var err error
	if b.source, err = b.startRegistry(ctx, "source"); err != nil {
		return err
	}
	b.corpusByName = map[string]*corpus{}
	for _, name := range b.corpora {
		spec, known := specs(b.seed, b.scale)[name]
		if !known {
			return fmt.Errorf("-corpora: there is no corpus %q; there are A and B", name)
		}
		if b.corpusByName[name], err = newPusher(b.source.address).push(ctx, spec); err != nil {
			return err
		}
		c := b.corpusByName[name]
		fmt.Printf("corpus %s: %d images, %d distinct blobs, %.1f MB with manifests\n", name, len(c.repositories),
			c.blobs, float64(c.unique)/1e6)
	}
	if slices.Contains(b.links, shaped) {
		if b.link, err = b.calibrate(ctx); err != nil {
			return err
		}
		fmt.Println(b.link)
	}
	return nil
}

// findTools makes absolute paths of the binaries; a run happens in a directory of its own.
func (b *bench) findTools() error {
	known := allTools(b.ours, b.bin)
	for _, name := range b.tools {
		at := slices.IndexFunc(known, func(t tool) bool { return t.name == name })
		if at < 0 {
			return fmt.Errorf("-tools: there is no tool %q", name)
		}
		t := known[at]
		found, err := exec.LookPath(t.binary)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			fmt.Printf("%s is not installed (looked for %s) and is left out\n", name, t.binary)
			b.missingTools = append(b.missingTools, name)
			continue
		}
		if err != nil {
			return err
		}
		if t.binary, err = filepath.Abs(found); err != nil {
			return err
		}
		b.toolsFound = append(b.toolsFound, t)
	}
	if len(b.toolsFound) == 0 {
		return errors.New("none of the tools is there; see hack/bench-mirror.sh")
	}
	_, err := os.Stat(b.binary("registry"))
	return err
}

// measurements is everything measured on one link with one corpus.
type measurements struct {
	link   string
	corpus *corpus
	tools  []toolSamples
}

// toolSamples are the rounds of one tool.
type toolSamples struct {
	tool    tool
	samples []sample
}

// all runs every tool on every link with every corpus, the loops nested so that what is compared is
// near in time.
func (b *bench) all(ctx context.Context) ([]measurements, error) {
	var results []measurements
	for _, linkName := range b.links {
		for _, corpusName := range b.corpora {
			s := measurements{link: linkName, corpus: b.corpusByName[corpusName]}
			for _, t := range b.toolsFound {
				s.tools = append(s.tools, toolSamples{tool: t})
			}
			for round := range b.rounds {
				for _, i := range order(len(s.tools), round) {
					if s.tools[i].tool.slow && round > 0 {
						continue
					}
					got, err := b.measure(ctx, s.tools[i].tool, s.corpus, linkName)
					if err != nil {
						return nil, err
					}
					s.tools[i].samples = append(s.tools[i].samples, got)
					fmt.Printf("%-8s %s  round %d/%d  %-11s  %s\n", linkName, corpusName, round+1, b.rounds,
						s.tools[i].tool.name, got)
				}
			}
			results = append(results, s)
		}
	}
	return results, nil
}

// order is in which order n tools run in a round: each round begins with another one, and every
// second goes backwards, so that none always runs after the same.
func order(n, round int) []int {
	indexes := make([]int, n)
	for i := range indexes {
		indexes[i] = (i + round) % n
	}
	if round%2 == 1 {
		slices.Reverse(indexes)
	}
	return indexes
}

// logName keeps the output of every run apart.
func (b *bench) logName(parts ...string) string {
	name := strings.Join(parts, "-")
	for n := 1; ; n++ {
		file := filepath.Join(b.scratch.logs(), fmt.Sprintf("%s-%d.log", name, n))
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return file
		}
	}
}
