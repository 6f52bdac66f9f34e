package safetext

import (
	"io"
	"slices"
	"sync"
	"unicode/utf8"
)

// Writer cleans what is written to another writer. It may be used by several goroutines.
type Writer struct {
	mu sync.Mutex
	to io.Writer
	// rest is the beginning of a character whose other bytes come with the next write.
	rest []byte
}

// NewWriter returns a writer that cleans text and passes it on to w. Each write goes on at once,
// except for the bytes of a character that is not complete yet.
func NewWriter(w io.Writer) *Writer { return &Writer{to: w} }

// Write reports the length of p when all of it was taken, however long its escapes are.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := slices.Concat(w.rest, p)
	end := len(text) - incompleteSuffix(text)
	if end > 0 {
		if _, err := io.WriteString(w.to, Clean(string(text[:end]))); err != nil {
			return 0, err
		}
	}
	w.rest = slices.Clone(text[end:])
	return len(p), nil
}

// incompleteSuffix is how many bytes at the end begin a character and do not complete it.
func incompleteSuffix(p []byte) int {
	for n := 1; n <= min(len(p), utf8.UTFMax-1); n++ {
		if utf8.RuneStart(p[len(p)-n]) {
			if utf8.FullRune(p[len(p)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
