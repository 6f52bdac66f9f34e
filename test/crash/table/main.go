// Command table writes the outcomes of the crash runs into the document, between its two marks, and
// prints the RESULT line. It exits with 1 when a run has not converged.
//
//	go run ./test/crash/table -kept .lab/crash.jsonl -doc docs/crashes.md
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/test/crash"
)

// The marks between which the document is generated.
const (
	begin = "<!-- runs: written by hack/crash.sh -->\n"
	end   = "<!-- end of runs -->\n"
)

func main() {
	kept := flag.String("kept", "", "the outcomes, one to a line")
	doc := flag.String("doc", "", "the document; empty writes none")
	flag.Parse()
	if err := run(*kept, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(kept, doc string) error {
	outcomes, err := crash.ReadOutcomes(kept)
	if err != nil {
		return err
	}
	if doc != "" {
		if err := write(doc, "\n"+crash.Table(outcomes)+"\n"+"`"+crash.Summary(outcomes)+"`\n\n"); err != nil {
			return err
		}
	}
	fmt.Println(crash.Summary(outcomes))
	for trial, o := range outcomes {
		if len(o.Failures) > 0 {
			return fmt.Errorf("%s: %s", trial, strings.Join(o.Failures, "; "))
		}
	}
	return nil
}

func write(doc, text string) error {
	old, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q", doc, begin, end)
	}
	return os.WriteFile(doc, []byte(before+begin+text+end+after), 0o600)
}
