package main

import "testing"

// Each mutant still has its place in the code, once: one that has none would be counted as killed by nobody.
func TestEveryMutantHasItsPlace(t *testing.T) {
	t.Chdir("../../..")
	for _, m := range mutants {
		t.Run(m.about, func(t *testing.T) {
			if _, err := m.overlay(t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
}
