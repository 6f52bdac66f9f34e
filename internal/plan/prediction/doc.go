// Package prediction reads a cluster and says what its nodes' registries configuration is without a
// rollout's mirror sets, and what it would be with them.
//
// It only reads, by type: everything goes through a client.Reader, be it the manager's cache, a
// live API server, or files of a must-gather.
package prediction
