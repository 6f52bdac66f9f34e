// Package evidence reads a cluster as far as it takes to say why the drain of a node makes no
// progress: a live one, the manager's caches, or files of a must-gather. What follows from what it
// reads is for internal/drain, which is pure.
//
// While no node is updating it reads pools and nodes, and nothing else.
package evidence
