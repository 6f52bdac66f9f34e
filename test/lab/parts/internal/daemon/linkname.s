// Empty on purpose: a Go package may declare a function without a body (linkname.go) only when it has
// an assembly file that could hold the body.
