package crash

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Fault is what happens to one write.
type Fault string

// The faults.
const (
	// KillBefore kills the operator when the write has left it and has not reached the server.
	KillBefore Fault = "killed before"
	// KillAfter kills the operator when the server has answered and the answer has not reached the
	// operator.
	KillAfter Fault = "killed after"
	// Fail answers with an internal error in the server's place.
	Fail Fault = "failed"
	// Conflict answers that somebody else was faster, in the server's place.
	Conflict Fault = "conflict"
	// SentTwice sends the write twice, as whoever lost the answer does; the operator gets the
	// second answer.
	SentTwice Fault = "sent twice"
	// Delayed keeps the write back for the proxy's Delay.
	Delayed Fault = "late"
)

// Faults are all of them: the two crashes first.
func Faults() []Fault { return []Fault{KillBefore, KillAfter, Fail, Conflict, SentTwice, Delayed} }

// inject does to the write what the fault says.
func (p *Proxy) inject(w http.ResponseWriter, r *http.Request, q request, content []byte, f Fault) {
	switch f {
	case KillBefore:
		p.Kill()
		panic(http.ErrAbortHandler) // no client is left to answer
	case KillAfter:
		p.send(r, content)
		p.Kill()
		panic(http.ErrAbortHandler)
	case Fail:
		refuse(w, apierrors.NewInternalError(io.ErrUnexpectedEOF))
	case Conflict:
		refuse(w, apierrors.NewConflict(schema.GroupResource{Group: q.group, Resource: q.resource}, q.name,
			io.ErrUnexpectedEOF))
	case SentTwice:
		p.send(r, content)
		pass(w, p.send(r, content))
	case Delayed:
		select {
		case <-time.After(p.Delay):
		case <-r.Context().Done():
		}
		pass(w, p.send(r, content))
	}
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	w.Header().Set("Content-Type", "application/json")
	status := err.Status()
	status.Kind, status.APIVersion = "Status", "v1"
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status) // who does not listen any more needs no answer
}

func pass(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// Kills tells whether the operator is dead after it.
func (f Fault) Kills() bool { return slices.Contains([]Fault{KillBefore, KillAfter}, f) }
