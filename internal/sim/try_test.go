package sim

import (
	"fmt"
	"strings"
	"testing"
)

func TestTry(t *testing.T) {
	for _, at := range []int{20, 38, 45} {
	r := Run(Scenario{Name: "x", Workers: 3, Replicas: 2, Faults: []Fault{{Kind: "registry-down", Target: "m1", Phase: "Release", At: at}, {Kind: "rollback", Phase: "Release", At: 4500}}}, Fixed)
	fmt.Println(strings.Join(r.Story[20:], "\n"))
	fmt.Println(r.Ended, r.Settled, r.Excuse, r.Steps, r.Took)
	}
}
