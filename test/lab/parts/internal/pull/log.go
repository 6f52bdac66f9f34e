package pull

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Record is one line of the pull log: one request of a container for its image.
type Record struct {
	Time      time.Time `json:"time"`
	Node      string    `json:"node"`
	Config    string    `json:"config"`    // the rendered MachineConfig which the runtime had loaded
	Namespace string    `json:"namespace"` // empty for a preloaded cache
	Pod       string    `json:"pod"`
	Container string    `json:"container"`
	Reference string    `json:"reference"` // as the pod spells it
	Policy    string    `json:"policy"`
	Cached    bool      `json:"cached"`           // present by name, so that no registry was asked
	Shared    bool      `json:"shared,omitempty"` // waited for the same pull of another container
	// Endpoint is the location whose top manifest was taken, mirror or source. It is set when a
	// later part was missing there, and empty when no endpoint had the manifest.
	Endpoint string `json:"endpoint"`
	// every location in order, a blocked one too, which is refused before any request
	Tried    []string `json:"tried,omitempty"`
	Bytes    int64    `json:"bytes"`  // of config and layers that came over the wire
	Digest   string   `json:"digest"` // of the top manifest: what the tag meant
	Error    string   `json:"error"`
	Duration int64    `json:"durationMs"`
}

// Log appends records to a file, one line and one write each, so that several processes may append
// and a reader never sees half a line of another.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// OpenLog opens the log for appending; an empty path gives a log that keeps nothing.
func OpenLog(path string) (*Log, error) {
	if path == "" {
		return &Log{}, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the pull log: %w", err)
	}
	return &Log{file: file}, nil
}

// Write appends one record.
func (l *Log) Write(record Record) {
	if l == nil || l.file == nil {
		return
	}
	line, err := json.Marshal(record)
	if err != nil {
		return // cannot happen: the record holds only strings and numbers
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		fmt.Fprintf(os.Stderr, "pull log: %v\n", err)
	}
}

// Close closes the file.
func (l *Log) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}
