package batch

import (
	"fmt"
	"io"
	"strings"
)

// WriteFailures writes what is left of a run as an image list: each reference after a comment with
// its reason, so that the list can be given to the next run as it is. again is the command for
// that. Destinations are written when the list was not sent by mirror sets.
//
//	# Denied: mirror.example.com/acme/app:v1: push: Denied: HTTP 403 Forbidden
//	quay.io/acme/app:v1 mirror.example.com/acme/app:v1
func (r Report) WriteFailures(w io.Writer, retryCommand string, destinations bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# What is left: %s.\n", r.Totals.Shortfall())
	fmt.Fprintf(&b, "# Once the reasons are dealt with:  %s\n", retryCommand)
	for _, row := range r.Images {
		if row.Result != Failed && row.Result != Unfinished {
			continue
		}
		fmt.Fprintf(&b, "\n# %s\n%s", row.Message, row.Source)
		if destinations {
			b.WriteString(" " + row.Destination)
		}
		b.WriteString("\n")
	}
	for _, n := range r.NotServed {
		fmt.Fprintf(&b, "\n# %s\n%s\n", n.Reason, n.Source)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// HasFailures tells whether there is anything for WriteFailures to write.
func (r Report) HasFailures() bool { return r.Totals.Shortfall() != "" }
