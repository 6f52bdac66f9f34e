// Package observe reads the cluster and the registries into the plain struct that the core decides
// on.
//
// A part that cannot be read becomes unknown, with the reason in words, and the rest is still
// observed: what depends on the unknown part waits, and everything else, closing a released pool
// above all, goes on.
package observe
