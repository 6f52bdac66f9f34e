package main

import (
	"fmt"
	"strings"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

const head = `# Phases

<!-- Written by internal/rollout/gen from the tables of internal/rollout. Do not edit: change a table and run make generate. -->

Every decision is made from three tables. The first guard that applies decides. If none does, the phases decide. Then come the
amendments, which are about every decision, whoever made it.

`

const beforeGuards = `
## Guards

Guards are asked in this order, before any phase. One that does not apply passes the observation on.

`

const beforePhases = `
## Phases

A rollout is in the first phase that is not satisfied. The phase is never stored: at each look the table below is walked from the
top, so a restart, a lost status or an edit by hand cannot put the operator into a state that does not match the cluster.

`

const afterDiagram = `
Any phase that is lost becomes current again. If an image vanishes from the mirror while nodes are being released, the rollout
is back in Verify, and everything below waits: no further node is released. If somebody deletes the mirror set, it is back in
Apply. A node that is updating is followed to its end all the same, and a pool that is open for one node is closed as soon as a
node has taken it or its time is up, whatever the phase.

`

const beforeAmendments = `
## Amendments

Amendments change the decision in this order.

`

// tables are what the page shows.
type tables struct {
	guards     []rollout.Rule
	phases     []rollout.PhaseInfo
	amendments []rollout.Rule
}

func current() tables {
	return tables{guards: rollout.Guards(), phases: rollout.PhaseTable(), amendments: rollout.Amendments()}
}

// page is the whole of docs/phases.md.
func page(t tables) string {
	var b strings.Builder
	b.WriteString(head)
	overview(&b, t)
	b.WriteString(beforeGuards)
	rules(&b, "guard", t.guards)
	b.WriteString(beforePhases)
	diagram(&b, t.phases)
	b.WriteString(afterDiagram)
	table(&b, t.phases)
	b.WriteString(beforeAmendments)
	rules(&b, "amendment", t.amendments)
	return b.String()
}

// overview draws the way of an observation through the three tables to a decision.
func overview(b *strings.Builder, t tables) {
	b.WriteString("```mermaid\nflowchart LR\n    observed([Observed])\n")
	b.WriteString("    subgraph guards\n        direction TB\n")
	for i, g := range t.guards {
		fmt.Fprintf(b, "        g%d[%s]\n", i, g.Name)
		if i > 0 {
			fmt.Fprintf(b, "        g%d -- does not apply --> g%d\n", i-1, i)
		}
	}
	b.WriteString("    end\n    subgraph amendments\n        direction TB\n")
	for i, a := range t.amendments {
		fmt.Fprintf(b, "        a%d[%s]\n", i, a.Name)
		if i > 0 {
			fmt.Fprintf(b, "        a%d --> a%d\n", i-1, i)
		}
	}
	fmt.Fprintf(b, "    end\n    phases[%s ... %s]\n", t.phases[0].Phase, t.phases[len(t.phases)-1].Phase)
	fmt.Fprintf(b, "    observed --> g0\n    g%d -- does not apply --> phases\n    phases --> a0\n", len(t.guards)-1)
	b.WriteString("    guards -- one applies --> a0\n")
	fmt.Fprintf(b, "    a%d --> decision([Decision])\n```\n", len(t.amendments)-1)
}

// rules lists the rows of a table of rules in their order.
func rules(b *strings.Builder, what string, list []rollout.Rule) {
	fmt.Fprintf(b, "| | %s | what it does |\n|---|---|---|\n", what)
	for i, r := range list {
		fmt.Fprintf(b, "| %d | %s | %s |\n", i+1, r.Name, r.About)
	}
}

// diagram draws one state for each row, in order, and the ways that lead around the table.
func diagram(b *strings.Builder, rows []rollout.PhaseInfo) {
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
		fmt.Fprintf(b, "    note right of %s: %s\n", r.Phase, r.Description)
	}
	b.WriteString("```\n")
}

func table(b *strings.Builder, rows []rollout.PhaseInfo) {
	b.WriteString("| phase | condition | satisfied when |\n|---|---|---|\n")
	for _, r := range rows {
		condition := "–"
		if r.Condition != "" {
			condition = "`" + r.Condition + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", r.Phase, condition, r.Description)
	}
	fmt.Fprintf(b, "| %s | `Ready` | all of the above |\n", rollout.PhaseComplete)
}
