package mirror

import (
	"errors"
	"io"
	"sync"

	regblob "github.com/regclient/regclient/types/blob"
)

// sourceReader is a blob on its way from the source. The download begins with the first Read: when
// the target turns out to have the blob, nobody reads. It counts what passes, and remembers if
// reading, not writing, was what failed.
type sourceReader struct {
	open     func() (regblob.Reader, error)
	progress *jobProgress

	mu     sync.Mutex // an upload that has been given up may still read for a moment
	body   regblob.Reader
	read   int64
	failed error
	closed bool
}

var errClosed = errors.New("the upload has ended")

// Read implements io.Reader.
func (i *sourceReader) Read(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.begin(); err != nil {
		return 0, err
	}
	n, err := i.body.Read(p)
	i.count(int64(n))
	if err != nil && err != io.EOF { //nolint:errorlint // a wrong digest at the end of a blob wraps io.EOF
		i.failed = err
	}
	return n, err
}

func (i *sourceReader) begin() error {
	if i.closed {
		return errClosed
	}
	if i.body == nil && i.failed == nil {
		i.body, i.failed = i.open()
	}
	return i.failed
}

func (i *sourceReader) count(n int64) {
	i.read += n
	i.progress.addUploaded(n)
}

// Seek lets regclient start over with a chunked upload where a registry, or a proxy before it, does
// not take the blob in one piece.
func (i *sourceReader) Seek(offset int64, whence int) (int64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.begin(); err != nil {
		return 0, err
	}
	at, err := i.body.Seek(offset, whence)
	if err == nil {
		i.count(at - i.read)
	}
	return at, err
}

// finish ends the download and tells how many bytes of it were taken, and what it failed with. What
// a failed upload has taken counts for nothing.
func (i *sourceReader) finish(taken bool) (read int64, failed error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.body != nil {
		_ = i.body.Close()
	}
	if !taken {
		i.count(-i.read)
	}
	return i.read, i.failed
}
