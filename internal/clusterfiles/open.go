package clusterfiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"

	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"
)

// Options of Open. The zero value reads every kind of the scheme whole, except Secrets.
type Options struct {
	// Kinds are what is kept, in these versions; those the scheme does not know are kept
	// unstructured. Empty: every kind of the scheme, in the version it prefers. All others are
	// counted and not decoded.
	Kinds []schema.GroupVersionKind
	// Transform trims an object before it is kept, as an informer's transform does. It gets typed
	// objects for kinds of the scheme and unstructured ones for others, and must return the same
	// type.
	Transform func(any) (any, error)
	// Secrets are kept when set. Otherwise their data is not even parsed.
	Secrets bool
	// MaxFile bounds what is read of one file, unpacked, in bytes; 0 is 4 GiB.
	MaxFile int64
	// MaxObject bounds one object's text in bytes; 0 is 16 MiB. An API server takes no more than
	// 1.5 MiB.
	MaxObject int
}

func (o Options) withDefaults() Options {
	if o.MaxFile == 0 {
		o.MaxFile = 4 << 30
	}
	if o.MaxObject == 0 {
		o.MaxObject = 16 << 20
	}
	return o
}

// Open reads the files below dir, or the one file that dir is: a must-gather, or YAML and JSON as
// `oc get` writes it, gzipped or not, in any layout. A file that cannot be read becomes a finding
// and the rest still works. The error is for a directory that cannot be read at all, or that holds
// not a single object, or empty list, of a kind that is asked for; the findings then say why.
//
// Links are followed inside of dir and never out of it; linked directories are not entered.
func Open(ctx context.Context, dir string, scheme *apiruntime.Scheme, o Options) (*Cluster, FileProblems, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the cluster from files: %w", err)
	}
	start, only := dir, "."
	if !info.IsDir() {
		start, only = filepath.Dir(dir), filepath.Base(dir)
	}
	root, err := os.OpenRoot(start)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the cluster from files: %w", err)
	}
	defer root.Close()
	cluster, problems, err := open(ctx, root.FS(), only, scheme, o)
	if err != nil {
		return nil, problems, fmt.Errorf("reading the cluster from the files in %s: %w", dir, err)
	}
	return cluster, problems, nil
}

func open(ctx context.Context, fsys fs.FS, only string, scheme *apiruntime.Scheme, o Options) (*Cluster, FileProblems,
	error) {
	o = o.withDefaults()
	found, err := findFiles(fsys, only, o.MaxFile)
	if err != nil {
		return nil, nil, err
	}
	if len(found.files) == 0 {
		return nil, found.findings, errors.New("there is no .yaml, .yml or .json file (each may be gzipped)")
	}
	known := newKinds(scheme, o)
	result, err := decodeAll(ctx, found.files, o, func() *decoder { return newDecoder(scheme, known, o.Transform) })
	if err != nil {
		return nil, nil, err
	}
	cluster := &Cluster{scheme: scheme, tables: map[schema.GroupVersionKind]*table{}}
	problems := append(found.findings, summarizeProblems(result.problems)...)
	for gvk, entries := range result.entries {
		t, older := newTable(codecFor(scheme, gvk), entries)
		cluster.tables[gvk] = t
		problems = append(problems, duplicateProblems(gvk, t, older, found.files)...)
	}
	problems = append(problems, ignoredProblems(result.ignored, known)...)
	problems = append(problems, uncollectedNamespaces(cluster, found.namespaces)...)
	problems.sort()
	if len(cluster.tables) == 0 {
		return nil, problems, fmt.Errorf("the %d files hold no object of the kinds asked for; is it the directory into which a must-gather was written?", len(found.files))
	}
	return cluster, problems, nil
}

// directoryContent is what a directory holds.
type directoryContent struct {
	files      []*file
	namespaces map[string]bool // those that have a directory namespaces/<name>
	findings   FileProblems
}

func findFiles(fsys fs.FS, only string, limit int64) (directoryContent, error) {
	out := directoryContent{namespaces: map[string]bool{}}
	others := 0
	err := fs.WalkDir(fsys, only, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == only:
			return err
		case err != nil:
			out.findings = append(out.findings,
				FileProblem{File: name, Reason: Unreadable, Severity: SeverityLost,
					Message: fmt.Sprintf("cannot be read: %v", err)})
			return nil
		case d.IsDir():
			if dir, base := path.Split(name); path.Base(dir) == "namespaces" {
				out.namespaces[base] = true
			}
			return nil
		case name != only && !mayHoldObjects(name):
			others++
			return nil
		}
		if finding, ok := checkRegularFile(fsys, name); !ok {
			out.findings = append(out.findings, finding)
			return nil
		}
		out.files = append(out.files, &file{fsys: fsys, name: name, index: len(out.files), limit: limit})
		return nil
	})
	if others > 0 {
		out.findings = append(out.findings,
			FileProblem{Reason: OtherFiles, Severity: SeverityNote,
				Message: fmt.Sprintf("%d files that are not .yaml, .yml or .json were not opened", others)})
	}
	return out, err
}

// checkRegularFile follows a link. Opening a pipe or a device would wait for ever.
func checkRegularFile(fsys fs.FS, name string) (FileProblem, bool) {
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return FileProblem{File: name, Reason: Unreadable, Severity: SeverityLost,
			Message: fmt.Sprintf("cannot be read: %v", err)}, false
	case info.IsDir():
		return FileProblem{File: name, Reason: OtherFiles, Severity: SeverityNote,
			Message: "is a link to a directory, which is not entered"}, false
	case !info.Mode().IsRegular():
		return FileProblem{File: name, Reason: OtherFiles, Severity: SeverityNote,
			Message: fmt.Sprintf("is not a file (%s) and was not opened", info.Mode().Type())}, false
	}
	return FileProblem{}, true
}

// batch is some items of one file. Its text is one piece of memory that is used again.
type batch struct {
	file  *file
	text  []byte
	ends  []int
	items []item
}

const batchSize = 128 << 10

// decodeAll has as many files open, and as many objects decoded, at a time as there are processors:
// a thousand small files and one big one both keep them busy.
func decodeAll(ctx context.Context, files []*file, o Options, newDecoder func() *decoder) (*decodeResult, error) {
	workers := runtime.GOMAXPROCS(0)
	batches, queue := make(chan *batch, workers), make(chan *file)
	pool := &sync.Pool{New: func() any { return new(batch) }}
	result := newDecoder()
	var mu sync.Mutex
	readers, ctx := errgroup.WithContext(ctx)
	readers.Go(func() error {
		defer close(queue)
		for _, f := range files {
			select {
			case queue <- f:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		readers.Go(func() error {
			for f := range queue {
				problems, err := (&reader{ctx: ctx, file: f, maxObject: o.MaxObject, pool: pool, to: batches}).read()
				if err != nil {
					return err
				}
				mu.Lock()
				result.problems = append(result.problems, problems...)
				mu.Unlock()
			}
			return nil
		})
	}
	var decoders sync.WaitGroup
	for range workers {
		decoders.Go(func() {
			d := newDecoder()
			for b := range batches {
				d.decodeBatch(b)
				pool.Put(b)
			}
			mu.Lock()
			defer mu.Unlock()
			result.merge(&d.decodeResult)
		})
	}
	err := readers.Wait()
	close(batches)
	decoders.Wait()
	return &result.decodeResult, err
}

func (d *decoder) decodeBatch(b *batch) {
	from := 0
	for i, it := range b.items {
		it.text = b.text[from:b.ends[i]]
		from = b.ends[i]
		d.decodeItem(b.file, it)
	}
}
