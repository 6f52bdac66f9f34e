package sim

import (
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// engine is the mirror engine of one process: it copies and proves references beside the loop, and knows in memory only what it has
// proven. A proof is a pull as a node with the planned configuration would make it.
type engine struct {
	p *process
	// plan is what was last asked for.
	plan enginePlan
	// engaged is the plan at work, copying whether it may write to the mirrors.
	engaged string
	copying bool
	bound   time.Time
	proofs  map[string]*proof
	jobs    int
}

type enginePlan struct {
	digest string
	refs   []string
	conf   conf
}

// proof is what is known of one reference.
type proof struct {
	at      time.Time // by the clock of the process; zero when there is none
	why     string    // the last failure
	running bool
	tries   int
	next    time.Time // after a failure, when it is tried again
	copied  bool
}

func newEngine(p *process) *engine { return &engine{p: p, proofs: map[string]*proof{}} }

// ensure engages the plan that was last observed.
func (e *engine) ensure(copying bool, notOlderThan time.Time) {
	if e.engaged != e.plan.digest || (copying && !e.copying) {
		e.engaged, e.proofs = e.plan.digest, map[string]*proof{}
		e.jobs++
	}
	e.copying = e.copying || copying
	if notOlderThan.After(e.bound) || e.bound.After(e.p.clock()) {
		e.bound = notOlderThan
	}
	e.work()
}

// again forgets how often something has failed.
func (e *engine) again() {
	for _, ref := range e.plan.refs {
		if pr := e.proofs[ref]; pr != nil {
			pr.tries, pr.next = 0, time.Time{}
		}
	}
	e.work()
}

// work starts what is to be done.
func (e *engine) work() {
	for ref := range e.proofs {
		if !slices.Contains(e.plan.refs, ref) {
			delete(e.proofs, ref)
		}
	}
	for _, ref := range e.plan.refs {
		pr := e.proofs[ref]
		if pr == nil {
			pr = &proof{}
			e.proofs[ref] = pr
		}
		if !pr.running && !e.p.w.now.Before(pr.next) && (pr.at.IsZero() || pr.at.Before(e.bound)) {
			e.start(ref, pr)
		}
	}
}

func (e *engine) start(ref string, pr *proof) {
	pr.running = true
	generation, c := e.jobs, e.plan.conf
	host, _ := split(ref)
	wait := e.p.w.between(500*time.Millisecond, 4*time.Second)
	if lists, mirrored := c.lists(host); mirrored {
		host = lists.mirror()
	}
	e.p.later(wait+e.p.w.registries.patience(host), func() {
		pr.running = false
		if generation != e.jobs {
			return
		}
		e.finish(ref, pr, c)
	})
}

// finish copies what is missing or old, and proves.
func (e *engine) finish(ref string, pr *proof, c conf) {
	regs := e.p.w.registries
	host, _ := split(ref)
	lists, mirrored := c.lists(host)
	if mirrored && e.copying && (regs.serves(lists.mirror(), rest(ref)) != "" || !regs.current(ref, lists.mirror())) && regs.copyable(ref, lists.mirror()) {
		regs.copy(ref, lists.mirror())
		pr.copied = true
	}
	pr.why = regs.pull(ref, c)
	if mirrored && pr.why == "" {
		pr.why = regs.serves(lists.mirror(), rest(ref)) // a mirror that is passed over proves nothing
	}
	if pr.why == "" {
		pr.at, pr.tries = e.p.clock(), 0
		e.p.w.check.proven(ref, c)
	} else {
		pr.at = time.Time{}
		pr.tries++
		pause := min(time.Minute, time.Second<<min(pr.tries, 10))
		pr.next = e.p.w.now.Add(pause)
		e.p.later(pause, e.work)
	}
	e.p.wake(soon)
}

func rest(ref string) string {
	_, r := split(ref)
	return r
}

// snapshot is what the loop sees of the engine.
func (e *engine) snapshot() rollout.Transfers {
	t := rollout.Transfers{Plan: e.engaged, Copying: e.copying}
	if e.engaged != e.plan.digest {
		return t
	}
	for _, ref := range e.plan.refs {
		t.Total++
		pr := e.proofs[ref]
		switch {
		case pr == nil:
			continue
		case !pr.at.IsZero():
			t.Verified++
			if t.Oldest.IsZero() || pr.at.Before(t.Oldest) {
				t.Oldest = pr.at
			}
		case pr.tries > 0 && !pr.running:
			t.Failed++
			t.Worst = append(t.Worst, rollout.Problem{Reason: v1alpha1.ReasonImagesFailed, Kind: "Image", Name: ref, Message: pr.why})
		}
		if pr.copied {
			t.Copied++
		}
	}
	return t
}

// probes are the pulls that nodes make before anything points them at the mirrors.
type probes struct {
	p       *process
	plan    string
	asked   enginePlan // what was asked for last: a look at another rollout changes what the engine has before it
	proven  bool
	left    int
	wanted  int
	pending bool
}

// ensure takes the probes one step further.
func (b *probes) ensure(digest string) {
	switch {
	case b.plan != digest:
		b.plan, b.proven, b.left, b.wanted = digest, false, 2, 2
	case b.proven:
		b.left = 0
	}
	if b.p.engine.plan.digest == digest {
		b.asked = b.p.engine.plan
	}
	if b.proven || b.pending {
		return
	}
	b.pending = true
	b.p.later(b.p.w.between(5*time.Second, 15*time.Second), func() {
		b.pending = false
		plan := b.asked
		b.proven = plan.digest == b.plan && !slices.ContainsFunc(plan.refs, func(ref string) bool {
			return b.p.w.registries.pull(ref, plan.conf) != ""
		})
		if !b.proven {
			b.ensure(b.plan)
		}
		b.p.wake(soon)
	})
}

func (b *probes) snapshot() rollout.Probes {
	s := rollout.Probes{Plan: b.plan, Nodes: 2, Wanted: b.wanted, Left: b.left}
	if b.proven {
		s.Proven = b.wanted
	}
	return s
}
