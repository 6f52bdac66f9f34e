// Package inventory finds the image references that a cluster's nodes pull, with who needs each of them.
//
// One file holds one kind of source. A source that is read says what it found; what a reference means for the rollout
// (does its pull change, must it be proven) is decided elsewhere.
package inventory
