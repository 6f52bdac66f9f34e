package sim

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	if os.Getenv("ONE") != "" {
		n, _ := strconv.Atoi(os.Getenv("ONE"))
		s := Generate(int64(n))
		r := Run(s, int64(n))
		fmt.Println(strings.Join(r.Story, "\n"))
		fmt.Printf("%s %+v\n%v %v %v %v %v\n", Describe(s, int64(n)), s, r.Ended, r.Settled, r.Excuse, r.Steps, r.Took)
		return
	}
	began := time.Now()
	rules := map[string]int{}
	n, _ := strconv.Atoi(os.Getenv("N"))
	from, _ := strconv.Atoi(os.Getenv("FROM"))
	steps := 0
	ended := map[string]int{}
	for i := from; i < from+n; i++ {
		s := Generate(int64(i))
		b := time.Now()
		r := Run(s, int64(i))
		steps += r.Steps
		ended[r.Ended]++
		if d := time.Since(b); d > 500*time.Millisecond {
			fmt.Println("SLOW", d, Describe(s, int64(i)), r.Ended, r.Steps, r.Took)
		}
		if len(r.Violations) > 0 {
			v := r.Violations[0]
			rules[v.Rule]++
			if rules[v.Rule] < 8 {
				fmt.Println(Describe(s, int64(i)), v)
			}
		}
	}
	fmt.Println(rules, ended, time.Since(began)/time.Duration(n), steps)
}
