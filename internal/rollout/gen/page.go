package main

import (
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

const head = `# Phases

<!-- Written by internal/rollout/gen from the phase table. Do not edit: change the table and run make generate. -->

A rollout is in the first phase that is not satisfied. The phase is never stored: at each look the table below is walked from the
top, so a restart, a lost status or an edit by hand cannot put the operator into a state that does not match the cluster.

`

const afterDiagram = `
Any phase that is lost becomes current again. If an image vanishes from the mirror while nodes are being released, the rollout
is back in Verify, and everything below waits: no further node is released. If somebody deletes the mirror set, it is back in
Apply. A node that is under way is followed to its end all the same, and a pool that is open for one node is closed as soon as a
node has taken it or its time is up, whatever the phase.

`

// page is the whole of docs/phases.md.
func page(rows []rollout.Row) string {
	var b strings.Builder
	b.WriteString(head)
	diagram(&b, rows)
	b.WriteString(afterDiagram)
	table(&b, rows)
	return b.String()
}

// diagram draws one state for each row, in order, and the ways that lead around the table.
func diagram(b *strings.Builder, rows []rollout.Row) {
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	before := "[*]"
	for _, r := range rows {
		fmt.Fprintf(b, "    %s --> %s\n", before, r.Phase)
		before = string(r.Phase)
	}
	first := rows[0].Phase
	fmt.Fprintf(b, "    %s --> %s\n", before, rollout.PhaseComplete)
	fmt.Fprintf(b, "    %s --> %s: the spec has changed\n", rollout.PhaseComplete, first)
	fmt.Fprintf(b, "    %s --> [*]: deleted\n", rollout.PhaseComplete)
	for _, r := range rows {
		fmt.Fprintf(b, "    note right of %s: %s\n", r.Phase, r.About)
	}
	b.WriteString("```\n")
}

func table(b *strings.Builder, rows []rollout.Row) {
	b.WriteString("| phase | condition | satisfied when |\n|---|---|---|\n")
	for _, r := range rows {
		condition := "–"
		if r.Condition != "" {
			condition = "`" + r.Condition + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", r.Phase, condition, r.About)
	}
	fmt.Fprintf(b, "| %s | `Ready` | all of the above |\n", rollout.PhaseComplete)
}
