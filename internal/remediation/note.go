package remediation

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Annotation is where an object carries the note of the remedy that has changed it.
const Annotation = "safemirror.io/remedy"

// Note is what a person reads in oc describe, and what the operator finds the remedy by when its
// record was lost.
type Note struct {
	// Rollout is the SafeMirrorRollout on whose behalf the object was changed.
	Rollout string `json:"rollout"`
	Why     string `json:"why"`
	Until   string `json:"until"`
	Undo    string `json:"undo"`
	// Remedy is the record of it.
	Remedy v1alpha1.RemedyRecord `json:"remedy"`
}

// NewNote is the note that the object of the remedy gets.
func NewNote(rollout string, r v1alpha1.RemedyRecord) Note {
	r.State = v1alpha1.RemedyTaken
	return Note{
		Rollout: rollout,
		Why: fmt.Sprintf("%s by safe-mirror-operator, because the drain of node %s does not progress", r.Action,
			r.Node),
		Until: r.Deadline.UTC().Format(time.RFC3339), Undo: undoCommand(r), Remedy: r,
	}
}

// undoCommand tells a person how to take it back without the operator.
func undoCommand(r v1alpha1.RemedyRecord) string {
	removeNote := fmt.Sprintf("oc annotate %s %s %s-", resourceName(r.Kind), objectArguments(r), Annotation)
	switch r.Kind {
	case "Node":
		return fmt.Sprintf("oc adm uncordon %s && %s", r.Name, removeNote)
	case "ConfigMap":
		return fmt.Sprintf(`kept on purpose; without it: oc patch configmap %s --type=merge -p '{"data":{%q:null}}' && %s`, objectArguments(r), r.IntendedValue, removeNote)
	default:
		return fmt.Sprintf("oc scale %s %s --replicas=%s && %s", resourceName(r.Kind), objectArguments(r),
			r.OriginalValue, removeNote)
	}
}

func resourceName(kind string) string {
	return map[string]string{"Node": "node", "ConfigMap": "configmap", "IngressController": "ingresscontroller",
		"Deployment": "deployment"}[kind]
}

func objectArguments(r v1alpha1.RemedyRecord) string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Name + " -n " + r.Namespace
}

// String is the note as the annotation holds it.
func (n Note) String() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic(fmt.Sprintf("a note of strings and times is no JSON: %v", err)) // it has no type that could not be
	}
	return string(text)
}

// IsAbout reports whether the object is the one that the remedy of the note names, with the same
// UID: a note that was copied to another object, or written there by somebody else, does not count.
func (n Note) IsAbout(o client.Object) bool {
	return reflect.TypeOf(NewObject(n.Remedy)) == reflect.TypeOf(o) && n.Remedy.Namespace == o.GetNamespace() &&
		n.Remedy.Name == o.GetName() && n.Remedy.UID != "" && n.Remedy.UID == string(o.GetUID())
}

// ReadNote returns the note on the object; ok is false when there is none that can be read.
func ReadNote(o client.Object) (note Note, ok bool) {
	text, there := o.GetAnnotations()[Annotation]
	if !there {
		return Note{}, false
	}
	if err := json.Unmarshal([]byte(text), &note); err != nil {
		return Note{}, false
	}
	return note, true
}
