package crash

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// recorded is what the run without a fault has written, a write on each line, in order.
//
//go:embed testdata/writes.txt
var recorded string

// Recorded are the names of the writes of a rollout of two nodes, in order, with what each is
// about.
func Recorded() []string {
	return strings.Split(strings.TrimSpace(recorded), "\n")
}

// writeKey takes what the write is about off its name.
func writeKey(line string) string {
	key, _, _ := strings.Cut(line, " (")
	return key
}

// EveryWrite is in the place of the name of a write: the fault strikes every sort of write of every
// object the first time, so that what is tried again gets through.
const EveryWrite = "*"

// FaultRun is one run: a fault at one write. Without either it is the recording.
type FaultRun struct {
	At    string
	Fault Fault
}

// String is the name of the run.
func (t FaultRun) String() string {
	switch t.At {
	case "":
		return "no fault"
	case EveryWrite:
		return fmt.Sprintf("each write once: %s", t.Fault)
	}
	return fmt.Sprintf("%s: %s", t.At, t.Fault)
}

// FaultRuns are all runs with these faults, in the order of the writes, and those that strike
// everywhere at the end.
func FaultRuns(faults ...Fault) []FaultRun {
	var out []FaultRun
	for _, line := range Recorded() {
		for _, f := range faults {
			out = append(out, FaultRun{writeKey(line), f})
		}
	}
	for _, f := range faults {
		out = append(out, FaultRun{EveryWrite, f})
	}
	return out
}

// Sample are n of the trials, others for each shard i of so many: in successive commits they all
// come up.
func Sample(all []FaultRun, n, i, shards int) []FaultRun {
	var out []FaultRun
	for k := range n {
		at := (i + k*shards/n) * len(all) / shards % len(all)
		if !slices.Contains(out, all[at]) {
			out = append(out, all[at])
		}
	}
	return out
}
