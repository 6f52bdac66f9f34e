// Package drain has the platform's own rules for draining nodes: which pods leave (kubectl drain),
// what a PodDisruptionBudget allows (disruption controller, eviction API), and which node is next
// (Machine Config Operator). A Snapshot holds what was read of a cluster, and when.
//
// It is pure: nothing here reads a cluster, measures time or changes anything. The package forecast
// predicts drains by these rules, the package diagnosis explains drains that make no progress.
package drain
