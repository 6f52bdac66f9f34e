package clusterfiles

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// file is one file of the directory.
type file struct {
	fsys  fs.FS
	name  string // relative to the directory
	index int    // in the order of names
	limit int64
}

var errTooLarge = errors.New("larger than the limit")

// bufferSize lets a file be read in few calls; lines and tokens longer than that still work.
const bufferSize = 256 << 10

// open unpacks what is gzipped. No more than limit bytes come out of it.
func (f *file) open() (*bufio.Reader, io.Closer, error) {
	in, err := f.fsys.Open(f.name)
	if err != nil {
		return nil, nil, err
	}
	var r io.Reader = in
	if strings.HasSuffix(f.name, ".gz") {
		if r, err = gzip.NewReader(in); err != nil {
			_ = in.Close()
			return nil, nil, err
		}
	}
	return bufio.NewReaderSize(&limitedReader{r: r, remaining: f.limit}, bufferSize), in, nil
}

// lineAt is the line of what follows an offset. It reads the file again: only findings ask for it.
func (f *file) lineAt(offset int64) int {
	r, closer, err := f.open()
	if err != nil {
		return 0
	}
	defer closer.Close()
	line, buf := 1, make([]byte, bufferSize)
	for offset > 0 {
		n, err := r.Read(buf[:min(offset, bufferSize)])
		line += bytes.Count(buf[:n], []byte("\n"))
		if offset -= int64(n); err != nil {
			return line
		}
	}
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil || bytes.IndexByte([]byte(" \t\r\n,:"), b) < 0:
			return line
		case b == '\n':
			line++
		}
	}
}

// limitedReader fails once more than left bytes have been read.
type limitedReader struct {
	r         io.Reader
	remaining int64
}

func (b *limitedReader) Read(p []byte) (int, error) {
	if b.remaining <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	return n, err
}

// contentKind is what a file begins like.
type contentKind int

const (
	contentEmpty contentKind = iota
	contentYAML
	contentJSON
	contentBinary
	contentUTF16
)

func detectContent(r *bufio.Reader) contentKind {
	if bom, _ := r.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = r.Discard(len(bom))
	}
	head, _ := r.Peek(512)
	text := bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return contentUTF16
	case bytes.IndexByte(head, 0) >= 0:
		return contentBinary
	case len(text) == 0 && len(head) < 512:
		return contentEmpty
	case len(text) > 0 && text[0] == '{':
		return contentJSON
	}
	return contentYAML
}

// mayHoldObjects tells from its name alone whether a file is worth opening. One without an
// extension is: `oc get … > pods`.
func mayHoldObjects(name string) bool {
	switch path.Ext(strings.TrimSuffix(name, ".gz")) {
	case ".yaml", ".yml", ".json":
		return true
	case "":
		return !strings.HasSuffix(name, ".gz")
	}
	return false
}

// readProblem is a finding for an error that ended the reading of a file, after n objects. Line 0:
// not known.
func (f *file) readProblem(err error, n, line int) FileProblem {
	out := FileProblem{File: f.name, Line: line, Severity: SeverityLost}
	before := fmt.Sprintf("the %d objects before it were read", n)
	if n == 0 {
		before = "nothing of it was read"
	}
	switch {
	case errors.Is(err, errTooLarge):
		out.Reason, out.Message = TooLarge,
			fmt.Sprintf("is larger than %d MiB; %s; give the kinds in files of their own", f.limit>>20, before)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		out.Reason, out.Message = Truncated, fmt.Sprintf("ends in the middle; %s; collect it again", before)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		out.Reason, out.Message = Unreadable, fmt.Sprintf("is not gzip, or is damaged (%v); %s", err, before)
	default:
		out.Reason, out.Message = Unreadable, fmt.Sprintf("cannot be read: %v; %s", err, before)
	}
	return out
}
