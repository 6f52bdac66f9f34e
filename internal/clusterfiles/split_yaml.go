package clusterfiles

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// yamlSplitter finds documents and the items of lists by their lines alone:
//
//	---
//	apiVersion: v1
//	items:           ← at the left margin, and the next line begins with a dash
//	- apiVersion: v1
//	  kind: Pod      ← an item goes on while lines are indented deeper than its dash
//	  …
//	kind: List       ← the header goes on
//
// No scalar can have a line that looks like the next dash: its lines are indented deeper. Only a
// quoted scalar whose lines are not, which libraries tolerate, would be cut; then its first half
// has no closing quote and is reported.
type yamlSplitter struct {
	splitter
	lines    lineReader
	document int

	header     lineBuffer // the document less the items of its list
	headerLine int

	afterItemsKey bool // the last line was "items:"
	inItems       bool
	indent        int // of the items' dashes
	items         int // begun
	item          lineBuffer
	itemAt        int
	hint          typeMeta
}

// split returns the error that ended the reading, if it was not the end of the file.
func (s *yamlSplitter) split(r *bufio.Reader) error {
	s.lines.r = r
	for {
		line, err := s.lines.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > 0 {
			s.handleLine(line)
		}
		if err == nil {
			continue
		}
		s.finishDocument()
		if s.lines.missingNewline {
			s.onProblem(FileProblem{Line: s.lines.number, Reason: Truncated, Severity: SeverityDoubtful,
				Message: "does not end with a newline, as a file does that was cut off; its last object was read as it is"})
		}
		return nil
	}
}

func (s *yamlSplitter) handleLine(line []byte) {
	bare := bytes.TrimRight(line, " \r\n")
	if isSeparator(bare) {
		s.finishDocument()
		// What follows on the line belongs to the next document.
		if rest := bare[3:]; bare[0] == '-' && len(rest) > 0 {
			s.addToHeader(append([]byte("   "), line[3:]...))
		}
		return
	}
	text := bytes.TrimLeft(bare, " ")
	blank := len(text) == 0 || text[0] == '#'
	switch {
	case line[0] == '%' && s.header.blank():
		// a directive such as %YAML 1.1
	case s.inList(line, text, len(bare)-len(text), blank):
	default:
		s.inItems = false
		s.afterItemsKey = (s.afterItemsKey && blank) || string(bare) == "items:"
		s.addToHeader(line)
	}
}

// inList takes a line that belongs to the items of a list.
func (s *yamlSplitter) inList(line, text []byte, indent int, blank bool) bool {
	begins := !blank && isDash(text)
	switch {
	case s.afterItemsKey && begins:
		s.afterItemsKey, s.inItems, s.indent = false, true, indent
		s.beginItem(line)
	case s.inItems && begins && indent == s.indent:
		s.beginItem(line)
	case s.inItems && (blank || indent > s.indent):
		s.item.add(line, s.maxObject)
	default:
		return false
	}
	return true
}

func isSeparator(bare []byte) bool {
	return len(bare) >= 3 && (string(bare[:3]) == "---" || string(bare[:3]) == "...") &&
		(len(bare) == 3 || bare[3] == ' ')
}

func (s *yamlSplitter) addToHeader(line []byte) {
	if len(s.header.text) == 0 {
		s.headerLine = s.lines.number
	}
	s.header.add(line, s.maxObject)
}

// beginItem an item: its dash becomes a space, so that it is an object of its own. The last item of
// a list is held back until the list is known to be whole.
func (s *yamlSplitter) beginItem(line []byte) {
	s.flushItem()
	s.items++
	s.itemAt = s.lines.number
	s.item.add(line, s.maxObject)
	s.item.text[s.indent] = ' '
}

func (s *yamlSplitter) flushItem() {
	if len(s.item.text) == 0 {
		return
	}
	if s.items == 1 && s.hint.Kind == "" {
		s.hint = s.headerMeta().itemHint()
		if s.hint.Kind == "" && !namesKind(s.item.text) && s.readAheadKind != nil {
			s.hint = s.readAheadKind(s.document).itemHint()
		}
	}
	s.emit(&s.item, s.itemAt, s.hint)
}

func (s *yamlSplitter) emit(b *lineBuffer, line int, hint typeMeta) {
	if b.size > s.maxObject {
		s.onProblem(FileProblem{Line: line, Reason: TooLarge, Severity: SeverityLost,
			Message: fmt.Sprintf("an object of %d MiB, more than the limit of %d MiB, was left out", b.size>>20,
				s.maxObject>>20)})
	} else {
		s.onObject(b.text, position{line: line}, hint)
	}
	b.reset()
}

// finishDocument a document.
func (s *yamlSplitter) finishDocument() {
	defer func() {
		s.header.reset()
		s.item.reset()
		s.afterItemsKey, s.inItems, s.items, s.hint = false, false, 0, typeMeta{}
		s.document++
	}()
	switch {
	case s.items > 0:
		s.finishList()
	case !s.header.blank():
		if s.onDocumentEnd != nil {
			s.onDocumentEnd(s.headerMeta(), 0)
		}
		s.emit(&s.header, s.headerLine, typeMeta{})
	}
}

// finishList sees whether the list is whole. A list says that it is one; when that is missing, it
// stood behind the last item, and the item may be missing lines as well.
func (s *yamlSplitter) finishList() {
	meta := s.headerMeta()
	if s.onDocumentEnd != nil {
		s.onDocumentEnd(meta, s.items)
	}
	if meta.Kind != "" {
		s.flushItem()
		return
	}
	s.onProblem(FileProblem{Line: s.itemAt, Reason: Truncated, Severity: SeverityLost,
		Message: fmt.Sprintf("a list ends in its item %d, without a line \"kind: …List\" of its own; that item was left out, the %d before it were read; collect it again", s.items, s.items-1)})
}

// headerMeta is what the header says so far.
func (s *yamlSplitter) headerMeta() typeMeta {
	var out typeMeta
	if s.header.size <= s.maxObject {
		_ = yaml.Unmarshal(s.header.text, &out) // what cannot be parsed says nothing
	}
	return out
}

// namesKind reports whether an item has a line "kind:" at the indentation of its first line.
func namesKind(item []byte) bool {
	indent := len(item) - len(bytes.TrimLeft(item, " "))
	key := append(bytes.Repeat([]byte(" "), indent), "kind:"...)
	return bytes.HasPrefix(item, key) || bytes.Contains(item, append([]byte("\n"), key...))
}

// lineBuffer gathers lines up to a limit, and their size beyond.
type lineBuffer struct {
	text []byte
	size int
}

func (b *lineBuffer) add(line []byte, limit int) {
	if b.size += len(line); b.size <= limit || len(b.text) == 0 {
		b.text = append(b.text, line...)
	}
}

func (b *lineBuffer) reset() { b.text, b.size = b.text[:0], 0 }

// blank reports whether there are only blank lines and comments.
func (b *lineBuffer) blank() bool {
	for line := range bytes.Lines(b.text) {
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' {
			return false
		}
	}
	return true
}

// lineReader gives lines of any length, with their newline.
type lineReader struct {
	r              *bufio.Reader
	number         int // of the last line, from 1
	missingNewline bool
	long           []byte
}

func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			l.long = append(l.long, line...)
			line, err = l.r.ReadSlice('\n')
		}
		l.long = append(l.long, line...)
		line = l.long
	}
	if len(line) > 0 {
		l.number++
		l.missingNewline = line[len(line)-1] != '\n'
	}
	return line, err
}
