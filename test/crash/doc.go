// Package crash stands between the operator and the API server, as a proxy that knows every write
// of the operator by a name of its own. It can kill the operator right before a write reaches the
// server, or right after the server has answered and before the operator knows; it can also fail a
// write, delay it, send it twice, or answer that somebody else was faster.
//
// The first run, without a fault, tells which writes there are. Each of them is then a run of its
// own for each fault: what a crash leaves behind is enumerated, not sampled.
package crash
