package rollout

import (
	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// The two mirror sets cannot be changed in one write, and between two writes lies a state that
// nobody has asked for. Example: a source is in both, and becomes blocked. One set must say so
// first. If the other still allows the source, the MCO takes no mirror set of the whole cluster any
// more; so the source is taken out of the other first, and then the union is valid at every instant
// (I13). But for a moment the source is blocked and has mirrors of one kind only: builds and
// imports by tag fail, and so would a new machine. There is no order without either
// (docs/adr/0011). So the writes follow each other at once, what they are to lead to is on record
// before the first, and whoever comes after a death between them finishes them before anything
// else: whether the rollout is held, a window is closed or a proof is too old matters less than a
// source without mirrors.

// needsTwoWrites tells whether both sets have to be written.
func (m MirrorSets) needsTwoWrites() bool { return !m.IDMS.upToDate() && !m.ITMS.upToDate() }

// partiallyWritten tells whether the mirror sets are half written: one kind is as it is to be and
// was not before, and the other is not. What somebody else may have done by hand to sets that were
// not touched yet does not look like that.
func (m MirrorSets) partiallyWritten(w *v1alpha1.PendingWriteRecord) bool {
	if w == nil || w.TargetHash != m.DesiredHash || m.upToDate() {
		return false
	}
	return (m.IDMS.upToDate() && m.PresentIDMSHash != w.DigestMirrorsHash) ||
		(m.ITMS.upToDate() && m.PresentITMSHash != w.TagMirrorsHash)
}

// finishWriting comes before every guard and phase.
func finishWriting(o Observed) Step {
	if o.Record.PendingWrite == nil {
		return nil
	}
	sets, ok := o.Sets.Get()
	switch {
	case !ok:
		return waitForRead("ImageTagMirrorSet", o.Sets.Why())
	case !sets.partiallyWritten(o.Record.PendingWrite) || sets.Conflict != "" ||
		len(foreignSets(o.Rollout.Name, sets)) > 0:
		return nil // nothing to finish, or what would be finished is not valid: the phases say why
	}
	return Do{
		Actions: []Action{FinishMirrorSets{}},
		Why:     "the mirror sets are half written, because the operator died in the middle: finishing them before anything else",
	}
}
