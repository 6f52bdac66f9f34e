package printer

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// Write writes the report as text, wide, json, yaml or name. name is one reference on a line, the
// worst first, for other programs.
func (r PlanReport) Write(w io.Writer, format string) error {
	switch format {
	case "", "text":
		return r.Text(w, false)
	case "wide":
		return r.Text(w, true)
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "yaml":
		out, err := safetext.MarshalYAML(r)
		if err != nil {
			return err
		}
		_, err = w.Write(out)
		return err
	case "name":
		var err error
		r.items(func(i ReferenceChange) {
			if _, failed := fmt.Fprintln(w, i.Reference); failed != nil {
				err = failed
			}
		})
		return err
	}
	return fmt.Errorf("output %q is none of %s", format, PlanFormats)
}

// PlanFormats are those of Write.
const PlanFormats = "text, wide, json, yaml, name"
