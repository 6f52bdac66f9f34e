// Package controllers is the glue to controller-runtime: watches, the reconcile loop in four verbs,
// and the guard that closes a released pool whatever becomes of the leader.
package controllers
