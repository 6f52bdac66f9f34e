package mirror

import (
	"context"
	"net/http"
	"strings"
	"sync"
)

// operationRecord remembers how one registry operation goes. regclient reports failures as text
// once its retries are used up; the status, error code and Retry-After of the answer itself are
// kept here, by the guard that saw it.
type operationRecord struct {
	mu          sync.Mutex
	lastError   *StatusError // nil when the last answer was a success, or when there was none
	wrote       bool         // something has been sent
	bodyStarted bool         // a body is being read
	// renewed: a token was refused and has been replaced, so what needed it may be tried again.
	renewed bool
}

type operationRecordKey struct{}

func withOperationRecord(ctx context.Context) (context.Context, *operationRecord) {
	record := &operationRecord{}
	return context.WithValue(ctx, operationRecordKey{}, record), record
}

func operationRecordOf(ctx context.Context) *operationRecord {
	record, _ := ctx.Value(operationRecordKey{}).(*operationRecord)
	return record
}

// recordResponse notes an answer, nil for a success, unless it tells nothing about how the
// operation goes. regclient follows the failure of an upload up with more requests, and only the
// first one says why:
//
//	PUT -> 413, PATCH -> 404, GET (how far did it get) -> 404, DELETE -> 204      the 413 stays
//	PUT -> 413, PATCH -> 202, PUT -> 201                                          all is well
func (record *operationRecord) recordResponse(method string, status *StatusError) {
	record.mu.Lock()
	defer record.mu.Unlock()
	cleanup := method == http.MethodDelete || method == http.MethodGet && record.wrote
	fallback := method == http.MethodPatch && status != nil && record.lastError != nil &&
		record.lastError.Status != http.StatusUnauthorized
	record.wrote = record.wrote || isWrite(method)
	if !cleanup && !fallback {
		record.lastError = status
	}
}

func (record *operationRecord) status() *StatusError {
	record.mu.Lock()
	defer record.mu.Unlock()
	return record.lastError
}

func (record *operationRecord) markReading() {
	record.mu.Lock()
	defer record.mu.Unlock()
	record.bodyStarted = true
}

// isReading tells whether the operation has begun to read a body before.
func (record *operationRecord) isReading() bool {
	record.mu.Lock()
	defer record.mu.Unlock()
	return record.bodyStarted
}

func (record *operationRecord) markTokenRenewed() {
	record.mu.Lock()
	defer record.mu.Unlock()
	record.renewed = true
}

func (record *operationRecord) hasNewToken() bool {
	record.mu.Lock()
	defer record.mu.Unlock()
	return record.renewed
}

// isUpload tells whether a request sends a blob or a piece of one.
func isUpload(req *http.Request) bool {
	return (req.Method == http.MethodPut || req.Method == http.MethodPatch) &&
		!strings.Contains(req.URL.Path, "/manifests/")
}
