// Package scenario stages, on a lab, the ways in which a plain mirror set deadlocks the Machine
// Config Operator, and counts what a rollout did to the nodes and pods. The end-to-end tests and
// the demo share it.
package scenario
