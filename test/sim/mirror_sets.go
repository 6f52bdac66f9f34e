package sim

import (
	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// A rollout may have digest mirrors beside its tag mirrors: an ImageDigestMirrorSet of the same
// name, for the same source. All references of the model are tags, so it mirrors none of them. It
// matters all the same: a source that it blocks is blocked for tags, too, and the MCO takes no
// mirror set at all while the two give one source different policies.

// idmsName is where the ImageDigestMirrorSet of that name is among the sets.
func idmsName(name string) string { return name + "/digests" }

// mergedConf is what all mirror sets say together about tags.
func mergedConf(sets []*mirrorSet) registriesConf {
	var c registriesConf
	for _, s := range sets {
		if s.digest {
			continue
		}
		l := s.mirrors
		if sourceIsBlocked(sets, s.source) && !l.sourceBlocked() {
			l += "!"
		}
		c = c.with(s.source, l)
	}
	for _, s := range sets {
		if _, mirrored := c.mirrorsOf(s.source); s.digest && !mirrored && s.mirrors.sourceBlocked() {
			c = c.with(s.source, "!") // blocked, and without a mirror
		}
	}
	return c
}

func sourceIsBlocked(sets []*mirrorSet, source string) bool {
	for _, s := range sets {
		if s.digest && s.source == source && s.mirrors.sourceBlocked() {
			return true
		}
	}
	return false
}

// conflictingSource is a source to which two sets give different policies; empty when the MCO takes
// them all.
func conflictingSource(sets []*mirrorSet) string {
	never := map[string]bool{}
	for _, s := range sets {
		if n, known := never[s.source]; known && n != s.mirrors.sourceBlocked() {
			return s.source
		}
		never[s.source] = s.mirrors.sourceBlocked()
	}
	return ""
}

// withFallback is what the first pass of a staged rollout wants. What was blocked before stays
// blocked.
func withFallback(l, previous MirrorSpec) MirrorSpec {
	if l.sourceBlocked() && !previous.sourceBlocked() {
		return l[:len(l)-1]
	}
	return l
}

// ownSet is the set of the rollout under that name, nil when there is none.
func ownSet(c *rolloutObject, from *objects, name string) *mirrorSet {
	if s, there := from.sets.get(name); there && s.owner == c.spec.Name {
		return s
	}
	return nil
}

// desiredSets is what the rollout wants to be in the cluster, and in which pass. On the way back
// that is what the record remembers, or, before anything was applied, what is there. previous is
// what was there before, as far as it can be told.
func (p *process) desiredSets(c *rolloutObject, from *objects) (wanted, previous MirrorSpec, pass v1alpha1.Pass) {
	rec := c.status.Record
	previous = setsBefore(c, from)
	if rec.AppliedPlanHash != "" {
		previous = previousOf(rec)
	}
	if rec.Rollback != nil {
		return previous, previous, ""
	}
	fallback := withFallback(c.mirrors, previous)
	if !c.staged || fallback == c.mirrors {
		return c.mirrors, previous, ""
	}
	if pass = currentPass(c, from); pass == v1alpha1.PassAllow {
		return fallback, previous, pass
	}
	return c.mirrors, previous, pass
}

// revisionOf names the ControllerRevision of the lists, nil when there are none. The hash of the
// model is the lists themselves.
func revisionOf(rolloutName string, l MirrorSpec) *v1alpha1.PreviousMirrorSets {
	if l == "" {
		return nil
	}
	return &v1alpha1.PreviousMirrorSets{Name: rolloutName + "-" + string(l), DataHash: string(l)}
}

// previousOf is what the record says of the time before the rollout.
func previousOf(r v1alpha1.Record) MirrorSpec {
	if r.Previous == nil {
		return ""
	}
	return MirrorSpec(r.Previous.DataHash)
}

// savePrevious is the creation of the ControllerRevision, after which the process may die.
func (p *process) savePrevious(c *rolloutObject, a rollout.SavePrevious) error {
	now := setsBefore(c, &p.sim.apiServer.live)
	if ref := revisionOf(c.spec.Name, now); ref == nil || ref.Name != a.Revision {
		return &actionRefused{"the mirror sets have changed since"}
	}
	return p.write(func() error {
		if p.sim.apiServer.revisions == nil {
			p.sim.apiServer.revisions = map[string]MirrorSpec{}
		}
		p.sim.apiServer.revisions[a.Revision] = now
		p.sim.markChanged()
		p.sim.logf(p.name, "saves the previous mirror sets in ControllerRevision %s", a.Revision)
		return nil
	})
}

// saved: what a record names is there (I4).
func (c *checker) saved(r *rolloutObject) {
	if ref := r.status.Record.Previous; ref != nil && c.sim.apiServer.revisions[ref.Name] != MirrorSpec(ref.DataHash) {
		c.violate("I4", "the record of SafeMirrorRollout %s names ControllerRevision %s, which does not exist",
			r.spec.Name, ref.Name)
	}
}

// setsBefore is what was there before the rollout, as far as the sets tell.
func setsBefore(c *rolloutObject, from *objects) MirrorSpec {
	s := ownSet(c, from, c.spec.Name)
	if s == nil && c.digests {
		s = ownSet(c, from, idmsName(c.spec.Name))
	}
	switch {
	case s == nil:
		return ""
	case c.status.Record.AppliedPlanHash == "" &&
		(s.mirrors == c.mirrors || (c.staged && s.mirrors == withFallback(c.mirrors, s.previous))):
		return s.previous // the record was lost after the set was written, which tells itself what was there before
	}
	return s.mirrors
}

// currentPass is the pass of a staged rollout: by its record, or by the sets when that is lost or
// about other lists.
func currentPass(c *rolloutObject, from *objects) v1alpha1.Pass {
	rec := c.status.Record
	tag, digest := itmsState(c, from, c.mirrors), idmsState(c, from, c.mirrors)
	equal := tag == rollout.SetEqual && (digest == rollout.SetEqual || !c.digests)
	switch {
	case rec.Pass != nil && rec.Pass.MirrorsHash == string(c.mirrors):
		return rec.Pass.Pass
	case equal, rec.AppliedPlanHash == "" && (tag == rollout.SetEqual || digest == rollout.SetEqual):
		return v1alpha1.PassEnforce
	}
	return v1alpha1.PassAllow
}

// observeSets compares what is wanted with what is there.
func (p *process) observeSets(c *rolloutObject, from *objects) (sets rollout.MirrorSets, wanted MirrorSpec) {
	wanted, previous, pass := p.desiredSets(c, from)
	ref := revisionOf(c.spec.Name, previous)
	sets = rollout.MirrorSets{IDMS: idmsState(c, from, wanted), ITMS: itmsState(c, from, wanted), Previous: ref,
		Pass: pass, ListsHash: string(c.mirrors), DesiredHash: string(wanted)}
	sets.PreviousSaved = ref == nil || p.sim.apiServer.revisions[ref.Name] == previous
	if s := ownSet(c, from, c.spec.Name); s != nil {
		sets.PresentITMSHash = string(s.mirrors)
	}
	if s := ownSet(c, from, idmsName(c.spec.Name)); s != nil {
		sets.PresentIDMSHash = string(s.mirrors)
	}
	return sets, wanted
}

func idmsState(c *rolloutObject, from *objects, wanted MirrorSpec) rollout.SetState {
	if !c.digests {
		return rollout.SetNotWanted
	}
	s := ownSet(c, from, idmsName(c.spec.Name))
	switch {
	case s == nil && wanted == "":
		return rollout.SetNotWanted
	case s == nil:
		return rollout.SetMissing
	case wanted == "":
		return rollout.SetLeftOver
	case s.mirrors == wanted:
		return rollout.SetEqual
	default:
		return rollout.SetDiffers
	}
}

// writeSets writes and removes in the order of internal/execute/mirrorsets.go: digest mirrors are
// written first and removed last, and what would not go together with them is taken away before.
// The process may die after each write.
func (p *process) writeSets(c *rolloutObject, wanted MirrorSpec, sets rollout.MirrorSets) error {
	tag := ownSet(c, &p.sim.apiServer.live, c.spec.Name)
	conflict := c.digests && tag != nil && wanted != "" && tag.mirrors.sourceBlocked() != wanted.sourceBlocked()
	steps := []func() error{
		func() error { return p.writeOne(c, wanted, true, sets.IDMS) },
		func() error { return p.removeOne(c, false, sets.ITMS) },
		func() error { return p.writeOne(c, wanted, false, sets.ITMS) },
		func() error { return p.removeOne(c, true, sets.IDMS) },
	}
	if conflict {
		steps[0], steps[1] = func() error { return p.removeOne(c, false, rollout.SetLeftOver) }, steps[0]
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

var mirrorSetKind = map[bool]string{true: "ImageDigestMirrorSet", false: "ImageTagMirrorSet"}

func (p *process) writeOne(c *rolloutObject, wanted MirrorSpec, digest bool, state rollout.SetState) error {
	if state != rollout.SetMissing && state != rollout.SetDiffers {
		return nil
	}
	name := c.spec.Name
	if digest {
		name = idmsName(name)
	}
	return p.writeOrCrash(func() {
		p.sim.logf(p.name, "writes %s %s: %s from %s", mirrorSetKind[digest], c.spec.Name, c.source, wanted)
		p.sim.apiServer.writeMirrorSet(mirrorSet{name: name, source: c.source, mirrors: wanted, digest: digest,
			owner: c.spec.Name, previous: previousOf(c.status.Record)})
	})
}

func (p *process) removeOne(c *rolloutObject, digest bool, state rollout.SetState) error {
	if state != rollout.SetLeftOver {
		return nil
	}
	name := c.spec.Name
	if digest {
		name = idmsName(name)
	}
	return p.writeOrCrash(func() {
		p.sim.logf(p.name, "removes %s %s", mirrorSetKind[digest], c.spec.Name)
		p.sim.apiServer.deleteMirrorSet(name)
	})
}

// writeOrCrash is one write of a mirror set, after which the process may die.
func (p *process) writeOrCrash(do func()) error {
	err := p.write(func() error {
		do()
		p.sim.checker.checkSetsValid()
		return nil
	})
	if err == nil && p.faults.crashAfterWrites > 0 {
		if p.faults.crashAfterWrites--; p.faults.crashAfterWrites == 0 {
			p.crash("between two writes", p.sim.between(3e9, 40e9))
			return errDown
		}
	}
	return err
}

// valid: the union of all sets is valid at every instant (I13), as far as it is our doing.
func (c *checker) checkSetsValid() {
	if source := conflictingSource(c.sim.apiServer.live.sets.list()); source != "" &&
		c.sim.faults.happened["set-edited"] == 0 {
		c.violate("I13", "the mirror sets give %s different policies", source)
	}
}

// unfinished: a source of the rollout is blocked and has mirrors of one kind only, because somebody
// died between two writes, and something else is done first (I13).
func (c *checker) checkPartialWrite(what string) {
	if c.sim.faults.happened["set-deleted"]+c.sim.faults.happened["gitops-reverts"]+
		c.sim.faults.happened["set-edited"] > 0 || c.recent(c.setChanged) {
		return
	}
	for _, r := range c.sim.apiServer.rollouts.list() {
		digest := ownSet(r, &c.sim.apiServer.live, idmsName(r.spec.Name))
		if _, lost := c.statusLost[r.spec.Name]; digest != nil && digest.mirrors.sourceBlocked() &&
			ownSet(r, &c.sim.apiServer.live, r.spec.Name) == nil && !lost {
			c.violate("I13", "%s while source %s is blocked and has no tag mirrors", what, r.source)
		}
	}
}
