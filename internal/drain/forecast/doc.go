// Package forecast predicts from a Snapshot whether nodes can be drained: it simulates the
// evictions and where the scheduler can place the replacements. It is pure.
package forecast
