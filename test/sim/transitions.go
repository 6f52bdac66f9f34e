package sim

// Transitions are the steps that the simulated Machine Config Operator takes with pools and nodes
// in all scenarios and in a hundred random ones, in the words of test/sim/trace.
func Transitions() map[string]bool {
	out := map[string]bool{}
	add := func(r Result) {
		for step := range r.Transitions {
			out[step] = true
		}
	}
	for _, s := range Scenarios() {
		add(Run(s, Fixed))
	}
	for seed := range int64(100) {
		add(Run(Generate(seed), seed))
	}
	return out
}
