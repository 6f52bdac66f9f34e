package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/safe-mirror/safe-mirror-operator/internal/safetext"
)

// ExitError is the end of a command that has printed its result, with an exit code of its own. main
// exits with Code; Error() is one line for standard error.
type ExitError struct {
	Code int
	Text string
}

func (e *ExitError) Error() string { return e.Text }

// HandleError prints the error to w and returns the exit code: 1, or the one that the command
// documents.
func HandleError(w io.Writer, err error) int {
	w = safetext.NewWriter(w)
	var exitErr *ExitError
	if !errors.As(err, &exitErr) {
		fmt.Fprintln(w, "safe-mirror:", err)
		return 1
	}
	if exitErr.Text != "" {
		fmt.Fprintln(w, "safe-mirror:", exitErr.Text)
	}
	return exitErr.Code
}

// exitWith ends a command with its code. Where the report is for a program, standard error has the
// verdict.
func exitWith(code int, output, verdict string) error {
	if code == 0 {
		return nil
	}
	end := &ExitError{Code: code}
	if output != "text" && output != "wide" {
		end.Text = verdict
	}
	return end
}
