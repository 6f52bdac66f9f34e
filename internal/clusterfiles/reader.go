package clusterfiles

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
	findings []locatedProblem
	kinds    []typeMeta // of the file's documents, once read ahead
}

// read returns what is to be said about the file. The error is the context's.
func (r *reader) read() ([]locatedProblem, error) {
	in, closer, err := r.file.open()
	if err != nil {
		r.reportProblem(r.file.readProblem(err, 0, 0))
		return r.findings, nil
	}
	defer closer.Close()
	var yaml bool
	s := splitter{maxObject: r.maxObject, onProblem: r.reportProblem, readAheadKind: r.readAheadKind}
	s.onObject = func(text []byte, at position,
		hint typeMeta) {
		r.add(item{text: text, yaml: yaml, hint: hint, at: at})
	}
	switch detectContent(in) {
	case contentEmpty:
		r.reportProblem(FileProblem{Reason: Truncated, Severity: SeverityDoubtful, Message: "is empty"})
	case contentBinary:
		r.reportProblem(FileProblem{Reason: NotText, Severity: SeverityLost,
			Message: "is binary, neither YAML nor JSON"})
	case contentUTF16:
		r.reportProblem(FileProblem{Reason: NotText, Severity: SeverityLost,
			Message: "is UTF-16, as some shells write it; convert it to UTF-8"})
	case contentYAML:
		yaml = true
		y := &yamlSplitter{splitter: s}
		if err := y.split(in); err != nil {
			r.reportProblem(r.file.readProblem(err, r.objects, y.lines.number))
		}
	case contentJSON:
		j := &jsonSplitter{splitter: s}
		if err := j.split(in); err != nil {
			r.reportProblem(r.explainJSON(err, j))
		}
	}
	r.send()
	return r.findings, r.ctx.Err()
}

func (r *reader) explainJSON(err error, j *jsonSplitter) FileProblem {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errTooLarge) || errors.Is(err, gzip.ErrChecksum) {
		return r.file.readProblem(err, r.objects, r.file.lineAt(j.from))
	}
	return FileProblem{File: r.file.name, Line: r.file.lineAt(j.offset), Reason: Malformed, Severity: SeverityLost,
		Message: fmt.Sprintf("is not JSON: %v; the %d objects before it were read and none behind it", err, r.objects)}
}

func (r *reader) reportProblem(f FileProblem) {
	f.File = r.file.name
	r.findings = append(r.findings, locatedProblem{FileProblem: f, seq: r.objects})
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

// readAheadKind reads the whole file ahead, once, for what its lists will say at their ends.
func (r *reader) readAheadKind(document int) typeMeta {
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
	s := splitter{maxObject: maxObject, onProblem: func(FileProblem) {}, onObject: func([]byte, position, typeMeta) {}}
	s.onDocumentEnd = func(m typeMeta, _ int) { out = append(out, m) }
	if detectContent(in) == contentJSON {
		_ = (&jsonSplitter{splitter: s}).split(in) // the real reading reports it
		return out
	}
	_ = (&yamlSplitter{splitter: s}).split(in) // the real reading reports it
	return out
}
