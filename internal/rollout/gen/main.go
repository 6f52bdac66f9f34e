// Command gen writes docs/phases.md from the tables of package rollout.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if *out == "" {
		fmt.Fprintln(os.Stderr, "gen: -out FILE is missing")
		os.Exit(2)
	}
	if err := os.WriteFile(*out, []byte(page(current())), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
