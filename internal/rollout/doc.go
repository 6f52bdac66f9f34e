// Package rollout is the decision core: it looks at what was observed of the cluster and says what
// to do next.
//
// It is pure. Decide takes a struct and returns a struct; there is no client, no clock, no logger
// and no randomness in here, so the live reconciler, an offline plan and a simulator can drive the
// very same code. The current phase is never stored: it is the first row of the phase table that is
// not satisfied.
//
// The invariants that the comments name (I1 to I14) are listed in docs/architecture.md.
package rollout

//go:generate go run ./gen -out ../../docs/phases.md
