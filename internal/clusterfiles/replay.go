package clusterfiles

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxRecording bounds what a recording unpacks to.
const maxRecording = 8 << 30

// Replay reads what Save has written, and returns the extra values by name. The Cluster gives the
// answers of that time, absences and refusals included. Beyond these questions it answers those
// about a kind of which all objects were asked for. To any other it answers with an error that
// names the question; nothing is guessed.
func Replay(r io.Reader, scheme *runtime.Scheme) (*Cluster, map[string]json.RawMessage, error) {
	zipped, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, nil, fmt.Errorf("the recording is not gzip, or is damaged: %w", err)
	}
	lines := json.NewDecoder(&limitedReader{r: zipped, remaining: maxRecording})
	var header recordingHeader
	if err := lines.Decode(&header); err != nil || header.Format != recordingFormat {
		return nil, nil, fmt.Errorf("this is no recording: its first line does not say %q", recordingFormat)
	}
	if header.Version != recordingVersion {
		return nil, nil, fmt.Errorf("the recording is of format version %d, and this program reads %d: use the version it was made with", header.Version, recordingVersion)
	}
	c := &Cluster{scheme: scheme, tables: map[schema.GroupVersionKind]*table{}, responses: map[request]*response{},
		notServed: map[schema.GroupVersionKind]bool{}}
	for lines.More() {
		if err := c.replayResponse(lines); err != nil {
			return nil, nil, fmt.Errorf("the recording is damaged after %d answers: %w", len(c.responses), err)
		}
	}
	// More is false at a damaged end as well; reading on tells the two apart.
	if _, err := lines.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("the recording is damaged after %d answers: %w", len(c.responses), err)
	}
	return c, header.Extra, nil
}

func (c *Cluster) replayResponse(lines *json.Decoder) error {
	var line responseHeader
	if err := lines.Decode(&line); err != nil {
		return err
	}
	q := line.Request
	if q.Verb == verbGet && line.Error == nil && line.Objects != 1 {
		return fmt.Errorf("%s has %d objects", q, line.Objects)
	}
	a := &response{codec: q.codec(c.scheme), err: line.Error}
	if q.Form == formTyped && a.goType == nil {
		return fmt.Errorf("%s: this version does not know the kind", q)
	}
	var entries []entry
	for seq := range line.Objects {
		var raw json.RawMessage
		if err := lines.Decode(&raw); err != nil {
			return fmt.Errorf("%s, object %d of %d: %w", q, seq+1, line.Objects, err)
		}
		e, err := a.replayObject(raw)
		if err != nil {
			return fmt.Errorf("%s, object %d of %d: %w", q, seq+1, line.Objects, err)
		}
		e.order.seq = seq
		a.objects = append(a.objects, e.data)
		entries = append(entries, e)
	}
	c.responses[q] = a
	switch {
	case a.err != nil && a.err.NoMatch:
		c.notServed[q.gvk()] = true
	case a.err == nil && q.wholeKind() && c.tables[q.gvk()] == nil:
		c.tables[q.gvk()], _ = newTable(a.codec, entries)
	}
	return nil
}

func (a *response) replayObject(raw []byte) (entry, error) {
	object, err := parse(a.codec, raw)
	if err != nil {
		return entry{}, err
	}
	e := entry{namespace: object.GetNamespace(), name: object.GetName()}
	if pod, ok := object.(*corev1.Pod); ok {
		e.node = pod.Spec.NodeName
	}
	e.data, err = a.encode(object)
	return e, err
}
