package sim

import "slices"

// Shrink makes a scenario that breaks a rule as small as it gets while the same rule breaks: it
// drops faults one by one, then everything else that can be dropped, and then lets faults happen at
// round times. Every try is a run; at most tries are made.
func Shrink(s Scenario, seed int64, rule string, tries int) (Scenario, int64) {
	breaks := func(t Scenario, seed int64) bool {
		if tries--; tries < 0 {
			return false
		}
		v := Run(t, seed).Violations
		return len(v) > 0 && v[0].Rule == rule
	}
	for smaller := true; smaller; {
		smaller = false
		for i := range s.Faults {
			t := s
			t.Faults = slices.Delete(slices.Clone(s.Faults), i, i+1)
			if breaks(t, seed) {
				s, smaller = t, true
				break
			}
		}
	}
	for _, simpler := range simplifications {
		t := s
		t.Faults = slices.Clone(s.Faults)
		simpler(&t)
		if breaks(t, seed) {
			s = t
		}
	}
	for i := range s.Faults {
		for _, unit := range []int{60, 10} {
			t := s
			t.Faults = slices.Clone(s.Faults)
			t.Faults[i].At = t.Faults[i].At / unit * unit
			if breaks(t, seed) {
				s = t
				break
			}
		}
	}
	if breaks(s, Fixed) {
		seed = Fixed
	}
	return s, seed
}

// simplifications are what may not matter for a failure.
var simplifications = []func(*Scenario){
	func(s *Scenario) { s.Masters = 0 },
	func(s *Scenario) { s.Infra = 0 },
	func(s *Scenario) { s.MaxUnavailable = "" },
	func(s *Scenario) { s.Down = nil },
	func(s *Scenario) { s.Saturated = false },
	func(s *Scenario) { s.Replicas = 0 },
	func(s *Scenario) { s.Hosted = false },
	func(s *Scenario) { s.Spec.MaxConcurrent = 0 },
	func(s *Scenario) { s.Spec.Targeted = false },
	func(s *Scenario) { s.Spec.DrainTimeoutSeconds, s.Spec.SoakSeconds = 0, 0 },
	func(s *Scenario) { s.Spec.RollbackOnDelete, s.Spec.RollbackOnFailure = false, false },
	func(s *Scenario) { s.Spec.Mirrors = "" },
	func(s *Scenario) { s.Workers = 2 },
}
