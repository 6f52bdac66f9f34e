//go:build race

package mirror

// raceDetector: everything takes about ten times as long.
const raceDetector = true
