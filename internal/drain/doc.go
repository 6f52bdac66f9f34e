// Package drain forecasts whether a node can be drained, and says of a drain that is stuck what
// holds it.
//
// It is pure: a Snapshot goes in, with everything that was seen of the cluster and the time of the
// look, and words and numbers come out. Nothing here reads a cluster, keeps time or changes
// anything. What the platform decides is decided here by the platform's own rules: which pods leave
// by those of kubectl's drain, what a PodDisruptionBudget allows by those of the disruption
// controller and of the eviction API, where a pod can go by those of the scheduler, and which node
// is next by those of the Machine Config Operator.
package drain
