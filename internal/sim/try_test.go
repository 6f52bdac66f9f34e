package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestTry(t *testing.T) {
	s, err := Load(os.Getenv("F"))
	if err != nil { t.Fatal(err) }
	r := Run(s.Scenario, s.Seed)
	fmt.Println(strings.Join(r.Story, "\n"))
	fmt.Println(r.Ended, r.Settled, r.Excuse, r.Steps, r.Took)
}
