// Package remediation knows the objects that remedies change: what they have now, whether it is
// still the operator's doing, and the note on them that tells who has changed them, why, until when
// and how to undo it (R17). What to do about them is decided in package rollout.
package remediation
