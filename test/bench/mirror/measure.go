package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The links.
const (
	shaped   = "shaped"
	loopback = "loopback"
)

// sample is one round of one tool: a run into an empty registry and another one against the result.
type sample struct {
	cold, warm phase
	// failed says why the round does not count: the tool failed, or images were missing or
	// different after the cold run.
	failed error
}

// phase is one run.
type phase struct {
	usage
	source, target counts // requests
	// uploaded is what went over the link to the target, headers and all. Only a shaped link
	// counts.
	uploaded int64
}

func (p phase) requests() int { return p.source.total() + p.target.total() }

func (s sample) String() string {
	if s.failed != nil {
		return "FAILED, does not count: " + s.failed.Error()
	}
	return fmt.Sprintf("cold %6.2f s %5d requests %4.0f MiB   warm %6.2f s %5d requests",
		s.cold.wall.Seconds(), s.cold.requests(), float64(s.cold.peak)/(1<<20), s.warm.wall.Seconds(),
		s.warm.requests())
}

// route is how a tool reaches the two registries.
type route struct {
	source, target     *registry
	toSource, toTarget *link // nil on loopback
}

// openRoute lays the line of that name to the source and to a target.
func (b *bench) openRoute(name string, target *registry) (*route, error) {
	l := &route{source: b.source, target: target}
	if name == loopback {
		return l, nil
	}
	var err error
	if l.toSource, err = newLink(b.linkSpec, b.source.address); err != nil {
		return nil, err
	}
	if l.toTarget, err = newLink(b.linkSpec, target.address); err != nil {
		l.toSource.close()
		return nil, err
	}
	return l, nil
}

func (l *route) addresses() (source, target string) {
	if l.toSource == nil {
		return l.source.address, l.target.address
	}
	return l.toSource.address(), l.toTarget.address()
}

func (l *route) close() {
	if l.toSource != nil {
		l.toSource.close()
		l.toTarget.close()
	}
}

// counters are the counters of a line before or after a run.
func (l *route) counters(ctx context.Context) (p phase, err error) {
	if p.source, err = l.source.requests(ctx); err != nil {
		return p, err
	}
	if p.target, err = l.target.requests(ctx); err != nil {
		return p, err
	}
	if l.toTarget != nil {
		p.uploaded = l.toTarget.up.bytes.Load()
	}
	return p, nil
}

// measure runs a tool twice against a fresh target. The error is about the benchmark; what is about
// the tool is in the sample.
func (b *bench) measure(ctx context.Context, t tool, c *corpus, linkName string) (s sample, err error) {
	target, err := b.startRegistry(ctx, "target")
	if err != nil {
		return s, err
	}
	defer target.stop()
	route, err := b.openRoute(linkName, target)
	if err != nil {
		return s, err
	}
	defer route.close()
	home, err := b.scratch.fresh("home")
	if err != nil {
		return s, err
	}
	job := transfer{prefix: prefix, repositories: c.repositories, home: home}
	job.source, job.target = route.addresses()
	commands, err := t.prepare(job)
	if err != nil {
		return s, err
	}
	once := func(temperature string) phase {
		var p phase
		if err == nil && s.failed == nil {
			p, s.failed, err = b.runOnce(ctx, t, commands, route, b.logName(linkName, c.name, t.name, temperature))
		}
		return p
	}
	s.cold = once("cold")
	if err == nil && s.failed == nil {
		s.failed = c.complete(ctx, target.address, prefix)
	}
	s.warm = once("warm")
	return s, err
}

// runOnce runs the commands of a tool and takes the difference of the counters.
func (b *bench) runOnce(ctx context.Context, t tool, commands []command, l *route, log string) (p phase, failed,
	err error) {
	before, err := l.counters(ctx)
	if err != nil {
		return p, nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	used, failed := b.processes.run(bounded, commands, t.parallel, log)
	if ctx.Err() != nil {
		return p, nil, context.Cause(ctx)
	}
	p, err = l.counters(ctx)
	p.usage = used
	p.source, p.target, p.uploaded = p.source.minus(before.source), p.target.minus(before.target),
		p.uploaded-before.uploaded
	return p, failed, err
}

// calibration is what the shaped link really does, measured with plain GETs.
type calibration struct {
	linkSpec
	measuredTrip time.Duration
	measuredRate float64 // bytes per second
}

func (c calibration) String() string {
	return fmt.Sprintf("link: %.0f Mbit/s each way and %d ms round trip; measured on it: %.0f Mbit/s and %.1f ms",
		c.bytesPerSecond*8/1e6, c.roundTrip.Milliseconds(), c.measuredRate*8/1e6,
		float64(c.measuredTrip.Microseconds())/1e3)
}

// calibrate measures a link to the source: the median time of a small request, and the rate of the
// largest blob.
func (b *bench) calibrate(ctx context.Context) (calibration, error) {
	c := calibration{linkSpec: b.linkSpec}
	l, err := newLink(b.linkSpec, b.source.address)
	if err != nil {
		return c, err
	}
	defer l.close()
	var trips []time.Duration
	for range 11 { // the first one opens the connection
		began := time.Now()
		if err := get(ctx, "http://"+l.address()+"/v2/", discard); err != nil {
			return c, err
		}
		trips = append(trips, time.Since(began))
	}
	c.measuredTrip = median(trips[1:])
	biggest := b.corpusByName[b.corpora[0]]
	began := time.Now()
	if err := get(ctx, fmt.Sprintf("http://%s/v2/%s/blobs/%s", l.address(), biggest.home, biggest.largest.Digest),
		discard); err != nil {
		return c, err
	}
	c.measuredRate = float64(biggest.largest.Size) / (time.Since(began) - c.measuredTrip).Seconds()
	return c, nil
}

func discard(body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}

// environmentInfo is what the figures depend on besides the code.
type environmentInfo struct {
	machine, storage, date string
	versions               []string
	missingTools           []string
	link                   string
	load                   float64 // before the first run
	floor                  float64 // MiB; see spawner
}

func (b *bench) setting(ctx context.Context) environmentInfo {
	s := environmentInfo{machine: machine(), storage: "disk", date: time.Now().UTC().Format(time.DateOnly),
		missingTools: slices.Clone(b.missingTools)}
	s.load = b.load
	s.floor = float64(b.processes.floor) / (1 << 20)
	if strings.HasPrefix(b.scratch.dir, memoryDir+string(filepath.Separator)) {
		s.storage = "memory (" + memoryDir + ")"
	}
	if b.link.roundTrip > 0 || b.link.bytesPerSecond > 0 {
		s.link = b.link.String()
	}
	registry := tool{binary: b.binary("registry")}
	s.versions = append(s.versions, "registry: Distribution "+registry.version(ctx))
	for _, t := range b.toolsFound {
		s.versions = append(s.versions, fmt.Sprintf("%s %s: %s", t.name, t.version(ctx), t.how))
	}
	return s
}
