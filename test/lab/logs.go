package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Pull is one line of the nodes' pull log: an attempt of a simulated kubelet to have an image.
type Pull struct {
	Time      time.Time `json:"time"`
	Node      string    `json:"node"`
	Config    string    `json:"config"` // the rendered MachineConfig the node ran at that moment
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	Container string    `json:"container"`
	Reference string    `json:"reference"`
	Policy    string    `json:"policy"`   // IfNotPresent, Always, Never
	Cached    bool      `json:"cached"`   // was on the node already: no registry was asked
	Shared    bool      `json:"shared"`   // waited for the same pull of another container
	Endpoint  string    `json:"endpoint"` // whose top manifest was taken: a mirror's or the source's location
	Tried     []string  `json:"tried"`    // every location that was asked, in order
	Bytes     int64     `json:"bytes"`    // of config and layers that came over the wire
	Digest    string    `json:"digest"`   // of the top manifest
	Error     string    `json:"error"`

	DurationMs int64 `json:"durationMs"`
}

// PullLog returns every pull since Start or the last Reset, oldest first.
func (l *Lab) PullLog() ([]Pull, error) {
	return readLines[Pull](l.pullLogFile())
}

// AuditEvent is one answered write request to the API server.
type AuditEvent struct {
	Time        time.Time
	Verb        string
	User        string
	Resource    string
	Subresource string
	Namespace   string
	Name        string
	Code        int
	Message     string // of a refusal, e.g. "Cannot evict pod as it would violate the pod's disruption budget."
}

// Audit returns the writes since Start or the last Reset, oldest first. Leases and events are left
// out. A refused eviction, for example, is {Verb: create, Resource: pods, Subresource: eviction,
// Code: 429}.
func (l *Lab) Audit() ([]AuditEvent, error) {
	lines, err := readLines[auditLine](l.auditFile())
	if err != nil {
		return nil, err
	}
	events := make([]AuditEvent, 0, len(lines))
	for _, line := range lines {
		events = append(events, line.event())
	}
	return events, nil
}

type auditLine struct {
	StageTimestamp time.Time `json:"stageTimestamp"`
	Verb           string    `json:"verb"`
	User           struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
}

func (a auditLine) event() AuditEvent {
	return AuditEvent{
		Time:        a.StageTimestamp,
		Verb:        a.Verb,
		User:        a.User.Username,
		Resource:    a.ObjectRef.Resource,
		Subresource: a.ObjectRef.Subresource,
		Namespace:   a.ObjectRef.Namespace,
		Name:        a.ObjectRef.Name,
		Code:        a.ResponseStatus.Code,
		Message:     a.ResponseStatus.Message,
	}
}

// readLines parses one JSON value per line. An incomplete last line is left for the next
// read. A log that does not exist yet is empty.
func readLines[T any](file string) ([]T, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var values []T
	for {
		line, rest, complete := bytes.Cut(data, []byte("\n"))
		if !complete {
			return values, nil
		}
		var value T
		if err := json.Unmarshal(line, &value); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, len(values)+1, err)
		}
		values = append(values, value)
		data = rest
	}
}

func (l *Lab) pullLogFile() string { return l.path("logs", "pull.jsonl") }
func (l *Lab) auditFile() string   { return l.path("logs", "audit.jsonl") }
