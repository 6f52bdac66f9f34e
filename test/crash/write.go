package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// Write names one write of the operator, the same in every run: what is done to which object, for
// the how manieth time.
type Write struct {
	Verb, Resource, Subresource, Name string
	Ordinal                           int
	// About is what the write does, in a word or two, for people: it is no part of the name.
	About string
}

// Key is the name.
func (w Write) Key() string {
	resource := w.Resource
	if w.Subresource != "" {
		resource += "/" + w.Subresource
	}
	return fmt.Sprintf("%s %s %s #%d", w.Verb, resource, w.Name, w.Ordinal)
}

// String is the name with what it is about.
func (w Write) String() string {
	if w.About == "" {
		return w.Key()
	}
	return w.Key() + " (" + w.About + ")"
}

// body is of a write what names it and what tells what it is about.
type body struct {
	Metadata struct {
		Name        string         `json:"name"`
		Annotations map[string]any `json:"annotations"`
		Finalizers  *[]string      `json:"finalizers"`
	} `json:"metadata"`
	Spec struct {
		Paused *bool `json:"paused"`
	} `json:"spec"`
	Status *struct {
		Phase  *string          `json:"phase"`
		Record *json.RawMessage `json:"record"`
	} `json:"status"`
}

// read takes what it can from the body. The kinds of Kubernetes itself are sent as protobuf.
func read(content []byte) body {
	var out body
	if bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) {
		_ = json.Unmarshal(content, &out) // a body that is no object has no name
		return out
	}
	object, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(content, nil, nil)
	if err != nil {
		return out
	}
	if accessor, err := meta.Accessor(object); err == nil {
		out.Metadata.Name = accessor.GetName()
	}
	return out
}

// progress tells whether the write only says how far things are: a status without a new phase and
// without a new fact. There are as many of them as there are looks, and one more or less changes
// nothing that a later look relies on.
func (q request) progress(b body) bool {
	return q.resource == "safemirrorrollouts" && q.subresource == "status" && b.Status != nil &&
		b.Status.Phase == nil && b.Status.Record == nil
}

// hash is the end of a name that is another one in each run, because it depends on a UID.
var hash = regexp.MustCompile(`-[0-9a-f]{12,}$`)

// named makes a Write of a request; the ordinal comes from whoever counts.
func (q request) named(b body) Write {
	w := Write{Verb: q.verb, Resource: q.resource, Subresource: q.subresource, Name: q.name}
	if w.Name == "" {
		w.Name = b.Metadata.Name
	}
	w.Name = hash.ReplaceAllString(w.Name, "-…")
	w.About = describeBody(b)
	if b.restoresPool() {
		// counted separately: how often a pool is paused and unpaused before is not the same in
		// each run
		w.Name += ", restored"
	}
	return w
}

// restoresPool tells whether the write removes the pause record from a pool.
func (b body) restoresPool() bool {
	for name, value := range b.Metadata.Annotations {
		if strings.HasSuffix(name, "/pause-record") && value == nil {
			return true
		}
	}
	return false
}

func describeBody(b body) string {
	var out []string
	if p := b.Spec.Paused; p != nil {
		out = append(out, map[bool]string{true: "pause", false: "unpause"}[*p])
	}
	if b.restoresPool() {
		out = append(out, "record removed")
	}
	if b.Metadata.Finalizers != nil && b.Status == nil {
		out = append(out, "finalizer")
	}
	if s := b.Status; s != nil {
		if s.Phase != nil {
			out = append(out, "phase "+*s.Phase)
		}
		if s.Record != nil {
			out = append(out, "record")
		}
	}
	return strings.Join(out, ", ")
}
