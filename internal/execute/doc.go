// Package execute makes what the core has decided so. Every action is convergent: executing it
// twice, or after somebody else has done half of it, ends in the same state. What is disruptive is
// decided once more on fresh reads first.
package execute
