// Package batch is the part of `safe-mirror mirror` that decides: which images a list and the
// mirror sets ask for, where each of them goes, what became of it, and with which exit code the
// command ends. It reads no file, asks no registry and knows no clock.
//
//	image list ──ParseList──▶ lines ─┬─ToRegistry────▶ Set ──Settle──▶ images ──Job──▶ the mirror engine
//	manifests ──ParseManifests───────┴─ByMirrorSets──▶                                      │
//	                                      Report ◀── Tracker ◀── results of the engine ◀────┘
//
// A Set holds one Image for each destination, so a destination identifies an image everywhere in
// this package.
package batch
