package sim

import (
	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// A rollout may have digest mirrors beside its tag mirrors: an ImageDigestMirrorSet of the same name, for the same source. All references of
// the model are tags, so it mirrors none of them. It matters all the same: a source that it blocks is blocked for tags, too, and the MCO
// takes no mirror set at all while the two give one source different policies.

// digestName is where the ImageDigestMirrorSet of that name is among the sets.
func digestName(name string) string { return name + "/digests" }

// union is what all mirror sets say together about tags.
func union(sets []*mirrorSet) conf {
	var c conf
	for _, s := range sets {
		if s.digest {
			continue
		}
		l := s.lists
		if blockedFor(sets, s.source) && !l.never() {
			l += "!"
		}
		c = c.with(s.source, l)
	}
	for _, s := range sets {
		if _, mirrored := c.lists(s.source); s.digest && !mirrored && s.lists.never() {
			c = c.with(s.source, "!") // blocked, and without a mirror
		}
	}
	return c
}

func blockedFor(sets []*mirrorSet, source string) bool {
	for _, s := range sets {
		if s.digest && s.source == source && s.lists.never() {
			return true
		}
	}
	return false
}

// clashing is a source to which two sets give different policies; empty when the MCO takes them all.
func clashing(sets []*mirrorSet) string {
	never := map[string]bool{}
	for _, s := range sets {
		if n, known := never[s.source]; known && n != s.lists.never() {
			return s.source
		}
		never[s.source] = s.lists.never()
	}
	return ""
}

// soften is what the first pass of a staged rollout wants. What was blocked before stays blocked.
func soften(l, previous Lists) Lists {
	if l.never() && !previous.never() {
		return l[:len(l)-1]
	}
	return l
}

// ours is the set of the rollout under that name, nil when there is none.
func ours(c *custom, from *objects, name string) *mirrorSet {
	if s, there := from.sets.get(name); there && s.owner == c.view.Name {
		return s
	}
	return nil
}

// aim is what the rollout wants to be in the cluster, and in which pass. On the way back that is what the record remembers, or, before
// anything was applied, what is there. previous is what was there before, as far as it can be told.
func (p *process) aim(c *custom, from *objects) (wanted, previous Lists, pass v1alpha1.Pass) {
	rec := c.status.Record
	previous = remembered(c, from)
	if rec.AppliedPlanHash != "" {
		previous = previousOf(rec)
	}
	if rec.Rollback != nil {
		return previous, previous, ""
	}
	soft := soften(c.lists, previous)
	if !c.staged || soft == c.lists {
		return c.lists, previous, ""
	}
	if pass = passOf(c, from); pass == v1alpha1.PassAllow {
		return soft, previous, pass
	}
	return c.lists, previous, pass
}

// revisionOf names the ControllerRevision of the lists, nil when there are none. The hash of the model is the lists themselves.
func revisionOf(rolloutName string, l Lists) *v1alpha1.PreviousMirrorSets {
	if l == "" {
		return nil
	}
	return &v1alpha1.PreviousMirrorSets{Name: rolloutName + "-" + string(l), DataHash: string(l)}
}

// previousOf is what the record says of the time before the rollout.
func previousOf(r v1alpha1.Record) Lists {
	if r.Previous == nil {
		return ""
	}
	return Lists(r.Previous.DataHash)
}

// savePrevious is the creation of the ControllerRevision, after which the process may die.
func (p *process) savePrevious(c *custom, a rollout.SavePrevious) error {
	now := remembered(c, &p.w.api.live)
	if ref := revisionOf(c.view.Name, now); ref == nil || ref.Name != a.Revision {
		return &refused{"the mirror sets have changed since"}
	}
	return p.write(func() error {
		if p.w.api.revisions == nil {
			p.w.api.revisions = map[string]Lists{}
		}
		p.w.api.revisions[a.Revision] = now
		p.w.stirs()
		p.w.tell(p.name, "saves the mirror sets of before in ControllerRevision %s", a.Revision)
		return nil
	})
}

// saved: what a record names is there (I4).
func (c *checker) saved(r *custom) {
	if ref := r.status.Record.Previous; ref != nil && c.w.api.revisions[ref.Name] != Lists(ref.DataHash) {
		c.violate("I4", "the record of SafeMirrorRollout %s names ControllerRevision %s, which does not exist", r.view.Name, ref.Name)
	}
}

// remembered is what was there before the rollout, as far as the sets tell.
func remembered(c *custom, from *objects) Lists {
	s := ours(c, from, c.view.Name)
	if s == nil && c.digests {
		s = ours(c, from, digestName(c.view.Name))
	}
	switch {
	case s == nil:
		return ""
	case c.status.Record.AppliedPlanHash == "" && (s.lists == c.lists || (c.staged && s.lists == soften(c.lists, s.previous))):
		return s.previous // the record was lost after the set was written, which tells itself what was there before
	}
	return s.lists
}

// passOf is the pass of a staged rollout: by its record, or by the sets when that is lost or about other lists.
func passOf(c *custom, from *objects) v1alpha1.Pass {
	rec := c.status.Record
	tag, digest := setState(c, from, c.lists), digestState(c, from, c.lists)
	equal := tag == rollout.SetEqual && (digest == rollout.SetEqual || !c.digests)
	switch {
	case rec.Pass != nil && rec.Pass.MirrorsHash == string(c.lists):
		return rec.Pass.Pass
	case equal, rec.AppliedPlanHash == "" && (tag == rollout.SetEqual || digest == rollout.SetEqual):
		return v1alpha1.PassEnforce
	}
	return v1alpha1.PassAllow
}

// setsOf compares what is wanted with what is there.
func (p *process) setsOf(c *custom, from *objects) (sets rollout.MirrorSets, wanted Lists) {
	wanted, previous, pass := p.aim(c, from)
	ref := revisionOf(c.view.Name, previous)
	sets = rollout.MirrorSets{Digest: digestState(c, from, wanted), Tag: setState(c, from, wanted), Previous: ref, Pass: pass, Lists: string(c.lists), To: string(wanted)}
	sets.PreviousSaved = ref == nil || p.w.api.revisions[ref.Name] == previous
	if s := ours(c, from, c.view.Name); s != nil {
		sets.HaveTag = string(s.lists)
	}
	if s := ours(c, from, digestName(c.view.Name)); s != nil {
		sets.HaveDigest = string(s.lists)
	}
	return sets, wanted
}

func digestState(c *custom, from *objects, wanted Lists) rollout.SetState {
	if !c.digests {
		return rollout.SetNotWanted
	}
	s := ours(c, from, digestName(c.view.Name))
	switch {
	case s == nil && wanted == "":
		return rollout.SetNotWanted
	case s == nil:
		return rollout.SetMissing
	case wanted == "":
		return rollout.SetLeftOver
	case s.lists == wanted:
		return rollout.SetEqual
	default:
		return rollout.SetDiffers
	}
}

// writeSets writes and removes in the order of internal/execute/mirrorsets.go: digest mirrors are written first and removed last, and what
// would not go together with them is taken away before. The process may die after each write.
func (p *process) writeSets(c *custom, wanted Lists, sets rollout.MirrorSets) error {
	tag := ours(c, &p.w.api.live, c.view.Name)
	clash := c.digests && tag != nil && wanted != "" && tag.lists.never() != wanted.never()
	steps := []func() error{
		func() error { return p.writeOne(c, wanted, true, sets.Digest) },
		func() error { return p.removeOne(c, false, sets.Tag) },
		func() error { return p.writeOne(c, wanted, false, sets.Tag) },
		func() error { return p.removeOne(c, true, sets.Digest) },
	}
	if clash {
		steps[0], steps[1] = func() error { return p.removeOne(c, false, rollout.SetLeftOver) }, steps[0]
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

var setKind = map[bool]string{true: "ImageDigestMirrorSet", false: "ImageTagMirrorSet"}

func (p *process) writeOne(c *custom, wanted Lists, digest bool, state rollout.SetState) error {
	if state != rollout.SetMissing && state != rollout.SetDiffers {
		return nil
	}
	name := c.view.Name
	if digest {
		name = digestName(name)
	}
	return p.writing(func() {
		p.w.tell(p.name, "writes %s %s: %s from %s", setKind[digest], c.view.Name, c.source, wanted)
		p.w.api.writeSet(mirrorSet{name: name, source: c.source, lists: wanted, digest: digest, owner: c.view.Name, previous: previousOf(c.status.Record)})
	})
}

func (p *process) removeOne(c *custom, digest bool, state rollout.SetState) error {
	if state != rollout.SetLeftOver {
		return nil
	}
	name := c.view.Name
	if digest {
		name = digestName(name)
	}
	return p.writing(func() {
		p.w.tell(p.name, "removes %s %s", setKind[digest], c.view.Name)
		p.w.api.deleteSet(name)
	})
}

// writing is one write of a mirror set, after which the process may die.
func (p *process) writing(do func()) error {
	err := p.write(func() error {
		do()
		p.w.check.valid()
		return nil
	})
	if err == nil && p.ills.writes > 0 {
		if p.ills.writes--; p.ills.writes == 0 {
			p.crash("between two writes", p.w.between(3e9, 40e9))
			return errDown
		}
	}
	return err
}

// valid: the union of all sets is valid at every instant (I13), as far as it is our doing.
func (c *checker) valid() {
	if source := clashing(c.w.api.live.sets.list()); source != "" && c.w.faults.hit["set-edited"] == 0 {
		c.violate("I13", "the mirror sets give %s different policies", source)
	}
}

// unfinished: a source of the rollout is blocked and has mirrors of one kind only, because somebody died between two writes, and something
// else is done first (I13).
func (c *checker) unfinished(what string) {
	if c.w.faults.hit["set-deleted"]+c.w.faults.hit["gitops-reverts"]+c.w.faults.hit["set-edited"] > 0 || c.recent(c.setChanged) {
		return
	}
	for _, r := range c.w.api.customs.list() {
		digest := ours(r, &c.w.api.live, digestName(r.view.Name))
		if _, lost := c.lost[r.view.Name]; digest != nil && digest.lists.never() && ours(r, &c.w.api.live, r.view.Name) == nil && !lost {
			c.violate("I13", "%s while source %s is blocked and has no tag mirrors", what, r.source)
		}
	}
}
