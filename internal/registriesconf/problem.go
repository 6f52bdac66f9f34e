package registriesconf

import "strings"

// Problem is one thing wrong with, or surprising about, the mirror configuration of a cluster.
type Problem struct {
	// Kind and Name are the object at fault, e.g. ImageTagMirrorSet and acme.
	Kind, Name string
	// Field is the path inside the object, e.g. spec.imageTagMirrors[0].source.
	Field string
	// Message says what is wrong, what it leads to and what to do about it.
	Message string
}

// String is the one-line form for logs, conditions and terminals.
func (p Problem) String() string {
	return p.Kind + "/" + p.Name + " " + p.Field + ": " + p.Message
}

// InvalidError is the answer of Render for Sets which the MCO refuses. It refuses them as a
// whole, silently: no object gets a condition, and every registries and policy change of
// the cluster stays undone until the object at fault is repaired.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return "the machine-config-operator would reject these mirror sets: " + strings.Join(lines, "; ")
}
