// Package clusterfiles is a cluster made of files: a must-gather, or what `oc get … -o yaml|json`
// has written. It can be read like a live one, and it cannot be written.
//
// The second half of it keeps what was read from a cluster in one file (Recorder) and answers the
// same questions from it again (Replay).
//
// Files are streamed and their objects decoded in parallel, so that what is held is bounded by what
// is kept, not by the size of a file. What is kept is kept encoded: a pod that takes 4.5 KB as a Go
// structure takes 1.2 KB so.
package clusterfiles
