// Package preview reads a cluster and says what would become of it if it had certain mirror sets:
// which pulls would change and for whom, which nodes would drain and which could be first, who
// switches at once, and what could not be seen.
//
// Everything is read through a client.Reader, be it a live API server, a cache or files, so nothing
// here can change a cluster. It composes the rooms that the operator itself uses: predict for the
// configuration of nodes, inventory for who pulls what, plan for what changes, rollout for what
// would hold a rollout back. Foresee reads, Ask asks the registries as well, and the rest is pure.
package preview
