// Package snapshot reads of a cluster what a forecast of drains is made from: pods, nodes, budgets,
// who wants how many pods, volumes, admission webhooks and the services that a drain depends on.
//
// Everything goes through a client.Reader: the manager's caches, a live API server, or files. What
// the forecast cannot do without, and could not be read, is in the Snapshot as unseen, so that
// nothing is called safe on the strength of it.
package snapshot
