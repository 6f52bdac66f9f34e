// Package nodedisruption is MachineConfiguration/cluster as far as a rollout is concerned: the node
// disruption policy for registries.conf, which says whether a node that gets new mirrors is
// drained, and the note that the operator leaves beside its own.
package nodedisruption
