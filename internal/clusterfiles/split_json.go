package clusterfiles

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonSplitter reads objects one after the other, and the items of lists one by one. It looks for
// where each value ends and leaves it to the decoder to say whether it is valid, so that one bad
// item costs no other.
type jsonSplitter struct {
	splitter
	r        *bufio.Reader
	offset   int64 // of what comes next
	document int

	value []byte // the last one read; incomplete when size is above the limit
	size  int
	from  int64 // where it began
	items int   // of the list being read
}

// split returns the error that ended the reading, if it was not the end of the file.
func (s *jsonSplitter) split(r *bufio.Reader) error {
	s.r = r
	for ; ; s.document++ {
		s.from = s.offset
		if _, err := s.peek(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.object(); err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// object reads one object. All but a list's items is put together again.
func (s *jsonSplitter) object() error {
	if err := s.expect('{'); err != nil {
		return err
	}
	from, size, whole := s.from, 0, []byte{'{'}
	var meta typeMeta
	s.items = 0
	err := s.elements('}', func() error {
		if err := s.read(); err != nil {
			return err
		}
		key := bytes.Clone(s.value)
		if err := s.expect(':'); err != nil {
			return err
		}
		if string(key) == `"items"` {
			return s.list(meta)
		}
		if err := s.read(); err != nil {
			return err
		}
		switch string(key) {
		case `"kind"`:
			_ = json.Unmarshal(s.value, &meta.Kind) // what is no text will be refused with the whole object
		case `"apiVersion"`:
			_ = json.Unmarshal(s.value, &meta.APIVersion)
		}
		if size += s.size; size <= s.maxObject {
			if len(whole) > 1 {
				whole = append(whole, ',')
			}
			whole = append(append(append(whole, key...), ':'), s.value...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.onDocumentEnd != nil {
		s.onDocumentEnd(meta, s.items)
	}
	if s.items == 0 {
		s.emit(append(whole, '}'), size, position{offset: from}, typeMeta{})
	}
	return nil
}

// list reads the items of a list. An "items" that is null has none.
func (s *jsonSplitter) list(meta typeMeta) error {
	if first, err := s.peek(); err != nil || first != '[' {
		if err == nil {
			err = s.read()
		}
		if err == nil && string(s.value) != "null" {
			err = fmt.Errorf("items is %.20q, not a list", s.value)
		}
		return err
	}
	if err := s.expect('['); err != nil {
		return err
	}
	hint := meta.itemHint()
	return s.elements(']', func() error {
		if err := s.read(); err != nil {
			return err
		}
		if s.items++; s.items == 1 && meta.Kind == "" && peekTypeMeta(s.value).Kind == "" && s.readAheadKind != nil {
			hint = s.readAheadKind(s.document).itemHint()
		}
		s.emit(s.value, s.size, position{offset: s.from}, hint)
		return nil
	})
}

func (s *jsonSplitter) emit(object []byte, size int, at position, hint typeMeta) {
	if size > s.maxObject {
		s.onProblem(FileProblem{Reason: TooLarge, Severity: SeverityLost,
			Message: fmt.Sprintf("an object of %d MiB, more than the limit of %d MiB, was left out", size>>20,
				s.maxObject>>20)})
		return
	}
	s.onObject(object, at, hint)
}

// elements calls one for each element up to the closing bracket.
func (s *jsonSplitter) elements(closing byte, one func() error) error {
	next, err := s.peek()
	if err != nil {
		return err
	}
	for next != closing {
		if err := one(); err != nil {
			return err
		}
		if next, err = s.peek(); err != nil {
			return err
		}
		if next == ',' {
			if err := s.expect(','); err != nil {
				return err
			}
		} else if next != closing {
			return fmt.Errorf("%q where a comma or %q should be", next, closing)
		}
	}
	return s.expect(closing)
}

// peek returns the next byte that is not white space.
func (s *jsonSplitter) peek() (byte, error) {
	for {
		b, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch b {
		case ' ', '\t', '\r', '\n':
			s.offset++
			continue
		}
		return b, s.r.UnreadByte()
	}
}

func (s *jsonSplitter) expect(want byte) error {
	got, err := s.peek()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%q where %q should be", got, want)
	}
	s.offset++
	_, err = s.r.Discard(1)
	return err
}

// read takes one value, whatever it is.
func (s *jsonSplitter) read() error {
	first, err := s.peek()
	if err != nil {
		return err
	}
	s.value, s.size, s.from = s.value[:0], 0, s.offset
	end := scalarEnd
	if first == '{' || first == '[' || first == '"' {
		end = new(valueScanner).end
	}
	for {
		if _, err := s.r.Peek(1); err != nil {
			return err
		}
		chunk, _ := s.r.Peek(s.r.Buffered()) // all of it is there
		n, done := end(chunk)
		if s.size += n; s.size <= s.maxObject {
			s.value = append(s.value, chunk[:n]...)
		}
		s.offset += int64(n)
		if _, err := s.r.Discard(n); err != nil || done {
			return err
		}
	}
}

// scalarEnd finds the end of a number, true, false or null.
func scalarEnd(chunk []byte) (n int, done bool) {
	i := bytes.IndexAny(chunk, ",]}: \t\r\n")
	if i < 0 {
		return len(chunk), false
	}
	return i, true
}

// valueScanner follows brackets and strings.
type valueScanner struct {
	depth             int
	inString, escaped bool
}

// end returns how much of the chunk belongs to the value, and whether that was all of it.
func (v *valueScanner) end(chunk []byte) (n int, done bool) {
	for n < len(chunk) {
		switch {
		case v.escaped:
			v.escaped = false
			n++
			continue
		case v.inString:
			i := quoteOrBackslash(chunk[n:])
			if i < 0 {
				return len(chunk), false
			}
			n += i
			v.inString, v.escaped = chunk[n] == '\\', chunk[n] == '\\'
		default:
			switch chunk[n] {
			case '"':
				v.inString = true
			case '{', '[':
				v.depth++
			case '}', ']':
				v.depth--
			}
		}
		if n++; v.depth <= 0 && !v.inString {
			return n, true
		}
	}
	return n, false
}

func quoteOrBackslash(text []byte) int {
	quote := bytes.IndexByte(text, '"')
	if quote < 0 {
		return bytes.IndexByte(text, '\\')
	}
	if backslash := bytes.IndexByte(text[:quote], '\\'); backslash >= 0 {
		return backslash
	}
	return quote
}

// peekTypeMeta finds what an object says it is, and reads no further than it must: both fields come
// first or nearly so.
func peekTypeMeta(object []byte) typeMeta {
	var out typeMeta
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return out
	}
	var skipped json.RawMessage
	for dec.More() && !out.complete() {
		key, err := dec.Token()
		if err != nil {
			return out
		}
		switch key {
		case "kind":
			err = dec.Decode(&out.Kind)
		case "apiVersion":
			err = dec.Decode(&out.APIVersion)
		default:
			err = dec.Decode(&skipped)
		}
		if err != nil {
			return out
		}
	}
	return out
}
