// Package sim is a cluster in memory with a virtual clock, in which the production decision core
// carries rollouts through while things go wrong: rollout.Decide, the patches and views of
// internal/openshift/pool, and the status of internal/status are the real ones; everything around
// them is a model, one actor a file.
//
// A run is a function of its scenario and its seed: there are no goroutines, one queue ordered by
// (time, sequence number), one source of random numbers, and no map is walked unsorted. So a
// failure is repeated by its name.
//
// After every event the state of the world is held against the invariants I1 to I14 of
// docs/architecture.md. A run ends when its rollouts are settled, or when nothing happens any more;
// then something in the scenario has to account for that.
//
// What the model leaves out, and how it is held against a real Machine Config Operator, is in
// docs/simulator.md.
package sim
