package clusterfiles

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Recorder reads a cluster and remembers every answer, absences and refusals included.
//
// A question is put to the cluster once; asked again, it is answered from memory. So whoever reads
// through the recorder has seen exactly what a replay will show, also when the cluster changes
// meanwhile. Two things are asked anew each time: what failed on the way (a lost connection), and
// Secrets, which are remembered without their content.
//
// It is safe for concurrent use.
type Recorder struct {
	reader    client.Reader
	scheme    *runtime.Scheme
	transform func(any) (any, error)

	mu        sync.Mutex
	responses map[request]*response
}

var _ client.Reader = (*Recorder)(nil)

// NewRecorder reads through r. transform trims each object before it is remembered and handed on,
// and may be nil.
func NewRecorder(r client.Reader, scheme *runtime.Scheme, transform func(any) (any, error)) *Recorder {
	return &Recorder{reader: r, scheme: scheme, transform: transform, responses: map[request]*response{}}
}

// Get is as the reader's.
func (r *Recorder) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(obj, r.scheme)
	if err != nil {
		return err
	}
	q := getRequest(gvk, obj, key)
	if a := r.lookup(q); a != nil {
		return a.fillObject(obj)
	}
	err = r.reader.Get(ctx, key, obj, opts...)
	if isContextError(err) {
		return err
	}
	a := &response{codec: q.codec(r.scheme), err: newRecordedError(err)}
	if err == nil {
		if err := r.appendObject(a, obj); err != nil {
			return err
		}
	}
	a = r.store(q, a)
	if gvk.GroupKind() == secretKind {
		return err
	}
	return a.fillObject(obj)
}

// List is as the reader's. A list that is asked for in pages is read to its end at once, in pages
// of that size, so that all pages are of one moment.
func (r *Recorder) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := listKind(list, r.scheme)
	if err != nil {
		return err
	}
	if gvk.GroupKind() == secretKind {
		return errors.New("a recorder does not list Secrets: get those that are needed by name")
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	q := listRequest(gvk, list, o)
	limit, token := o.Limit, o.Continue
	a := r.lookup(q)
	if a == nil {
		o.Continue = ""
		if a, err = r.readAll(ctx, q, list, o); err != nil {
			return err
		}
	}
	return a.fillList(list, limit, token)
}

// readAll lists every page. The error is one that is not an answer.
func (r *Recorder) readAll(ctx context.Context, q request, like client.ObjectList, o client.ListOptions) (*response,
	error) {
	a := &response{codec: q.codec(r.scheme)}
	for {
		page := reflect.New(reflect.TypeOf(like).Elem()).Interface().(client.ObjectList) //nolint:forcetypeassert // as like is
		page.GetObjectKind().SetGroupVersionKind(like.GetObjectKind().GroupVersionKind())
		if err := r.reader.List(ctx, page, &o); err != nil {
			if isContextError(err) {
				return nil, err
			}
			return r.store(q, &response{codec: a.codec, err: newRecordedError(err)}), nil
		}
		items, _, err := itemsOf(page)
		if err != nil {
			return nil, err
		}
		for i := range items.Len() {
			if err := r.appendObject(a, items.Index(i).Addr().Interface().(client.Object)); err != nil { //nolint:forcetypeassert // itemsOf takes nothing else
				return nil, err
			}
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return r.store(q, a), nil
		}
	}
}

// isContextError reports whether the caller has stopped waiting: that is no answer.
func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (r *Recorder) lookup(q request) *response {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.responses[q]
	if a == nil || (a.err != nil && a.err.Text != "") || q.gvk().GroupKind() == secretKind {
		return nil
	}
	return a
}

// store the first answer, unless that was a failure on the way.
func (r *Recorder) store(q request, a *response) *response {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.responses[q]; before != nil && (before.err == nil || before.err.Text == "") {
		return before
	}
	r.responses[q] = a
	return a
}

func (r *Recorder) appendObject(a *response, object client.Object) error {
	object = object.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy of one
	object.GetObjectKind().SetGroupVersionKind(a.gvk)
	object, err := transformed(object, r.transform)
	if err != nil {
		return err
	}
	if object, err = redacted(object, a.gvk); err != nil {
		return fmt.Errorf("removing what is confidential from %s %s: %w", a.gvk.Kind,
			client.ObjectKeyFromObject(object), err)
	}
	data, err := a.encode(object)
	a.objects = append(a.objects, data)
	return err
}

const (
	recordingFormat  = "safe-mirror-recording"
	recordingVersion = 1
)

type recordingHeader struct {
	Format  string                     `json:"format"`
	Version int                        `json:"version"`
	Extra   map[string]json.RawMessage `json:"extra,omitempty"`
}

// responseHeader comes before its objects.
type responseHeader struct {
	Request request        `json:"question"`
	Error   *recordedError `json:"refusal,omitempty"`
	Objects int            `json:"objects,omitempty"`
}

// Save writes every answer so far, with extra beside it: gzipped JSON documents, one a line. The
// first is a header with the version of the format; then follows, for each question in order, a
// document that says how many objects answer it, and these. The same answers give the same bytes.
//
// Secrets are written without their data, and of MachineConfigs only the files are legible that
// decide where images are pulled from; see redacted. What pods have in their environment and
// arguments is written as far as the transform has left it.
func (r *Recorder) Save(w io.Writer, extra map[string]any) error {
	r.mu.Lock()
	answers := maps.Clone(r.responses)
	r.mu.Unlock()
	header := recordingHeader{Format: recordingFormat, Version: recordingVersion, Extra: map[string]json.RawMessage{}}
	for name, value := range extra {
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("saving %s: %w", name, err)
		}
		header.Extra[name] = raw
	}
	zipped := gzip.NewWriter(w)
	out := bufio.NewWriter(zipped)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(header); err != nil {
		return err
	}
	for _, q := range slices.SortedFunc(maps.Keys(answers), request.compare) {
		a := answers[q]
		if err := lines.Encode(responseHeader{Request: q, Error: a.err, Objects: len(a.objects)}); err != nil {
			return err
		}
		for _, data := range a.objects {
			object := a.newObject()
			if err := a.decode(data, object); err != nil {
				return err
			}
			if err := lines.Encode(object); err != nil {
				return err
			}
		}
	}
	return errors.Join(out.Flush(), zipped.Close())
}
