package offline

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// reader takes one file apart into batches.
type reader struct {
	ctx       context.Context //nolint:containedctx // lives as long as one call of read
	file      *file
	maxObject int
	pool      *sync.Pool
	to        chan<- *batch

	current  *batch
	objects  int
	findings []located
	kinds    []typeMeta // of the file's documents, once read ahead
}

// read returns what is to be said about the file. The error is the context's.
func (r *reader) read() ([]located, error) {
	in, closer, err := r.file.open()
	if err != nil {
		r.report(r.file.explain(err, 0, 0))
		return r.findings, nil
	}
	defer closer.Close()
	var yaml bool
	s := splitter{maxObject: r.maxObject, report: r.report, listKind: r.listKind}
	s.found = func(text []byte, at position, hint typeMeta) { r.add(item{text: text, yaml: yaml, hint: hint, at: at}) }
	switch sniff(in) {
	case empty:
		r.report(Finding{Reason: Truncated, Severity: Doubtful, Message: "is empty"})
	case binary:
		r.report(Finding{Reason: NotText, Severity: Lost, Message: "is binary, neither YAML nor JSON"})
	case utf16:
		r.report(Finding{Reason: NotText, Severity: Lost, Message: "is UTF-16, as some shells write it; convert it to UTF-8"})
	case asYAML:
		yaml = true
		y := &yamlSplitter{splitter: s}
		if err := y.split(in); err != nil {
			r.report(r.file.explain(err, r.objects, y.lines.number))
		}
	case asJSON:
		j := &jsonSplitter{splitter: s}
		if err := j.split(in); err != nil {
			r.report(r.explainJSON(err, j))
		}
	}
	r.send()
	return r.findings, r.ctx.Err()
}

func (r *reader) explainJSON(err error, j *jsonSplitter) Finding {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errTooLarge) || errors.Is(err, gzip.ErrChecksum) {
		return r.file.explain(err, r.objects, r.file.lineAt(j.from))
	}
	return Finding{File: r.file.name, Line: r.file.lineAt(j.offset), Reason: Malformed, Severity: Lost,
		Message: fmt.Sprintf("is not JSON: %v; the %d objects before it were read and none behind it", err, r.objects)}
}

func (r *reader) report(f Finding) {
	f.File = r.file.name
	r.findings = append(r.findings, located{Finding: f, seq: r.objects})
}

// add copies the text, which is the splitter's.
func (r *reader) add(it item) {
	if r.current == nil {
		b := r.pool.Get().(*batch) //nolint:forcetypeassert // nothing else is put there
		b.file, b.text, b.ends, b.items = r.file, b.text[:0], b.ends[:0], b.items[:0]
		r.current = b
	}
	b := r.current
	b.text = append(b.text, it.text...)
	b.ends = append(b.ends, len(b.text))
	it.text, it.seq = nil, r.objects
	b.items = append(b.items, it)
	if r.objects++; len(b.text) >= batchSize {
		r.send()
	}
}

func (r *reader) send() {
	if r.current == nil {
		return
	}
	select {
	case r.to <- r.current:
	case <-r.ctx.Done():
	}
	r.current = nil
}

// listKind reads the whole file ahead, once, for what its lists will say at their ends.
func (r *reader) listKind(document int) typeMeta {
	if r.kinds == nil {
		r.kinds = r.file.headers(r.maxObject)
	}
	if document < len(r.kinds) {
		return r.kinds[document]
	}
	return typeMeta{}
}

// headers are what each document of the file says it is.
func (f *file) headers(maxObject int) []typeMeta {
	out := []typeMeta{}
	in, closer, err := f.open()
	if err != nil {
		return out
	}
	defer closer.Close()
	s := splitter{maxObject: maxObject, report: func(Finding) {}, found: func([]byte, position, typeMeta) {}}
	s.ended = func(m typeMeta, _ int) { out = append(out, m) }
	if sniff(in) == asJSON {
		_ = (&jsonSplitter{splitter: s}).split(in) // the real reading reports it
		return out
	}
	_ = (&yamlSplitter{splitter: s}).split(in) // the real reading reports it
	return out
}
