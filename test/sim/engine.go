package sim

import (
	"slices"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// engine is the mirror engine of one process: it copies and proves references beside the loop, and
// knows in memory only what it has proven. A proof is a pull as a node with the planned
// configuration would make it.
type engine struct {
	p *process
	// plan is what was last asked for.
	plan enginePlan
	// activePlan is the plan at work, copying whether it may write to the mirrors.
	activePlan   string
	copying      bool
	notOlderThan time.Time
	proofs       map[string]*proof
	generation   int
}

type enginePlan struct {
	digest string
	refs   []string
	conf   registriesConf
}

// proof is what is known of one reference.
type proof struct {
	provenAt time.Time // by the clock of the process; zero when there is none
	failure  string    // the last failure
	running  bool
	failures int
	retryAt  time.Time // after a failure, when it is tried again
	copied   bool
}

func newEngine(p *process) *engine { return &engine{p: p, proofs: map[string]*proof{}} }

// ensure engages the plan that was last observed.
func (e *engine) ensure(copying bool, notOlderThan time.Time) {
	if e.activePlan != e.plan.digest || (copying && !e.copying) {
		e.activePlan, e.proofs = e.plan.digest, map[string]*proof{}
		e.generation++
	}
	e.copying = e.copying || copying
	if notOlderThan.After(e.notOlderThan) || e.notOlderThan.After(e.p.clock()) {
		e.notOlderThan = notOlderThan
	}
	e.startDue()
}

// retryFailed forgets how often something has failed.
func (e *engine) retryFailed() {
	for _, ref := range e.plan.refs {
		if pr := e.proofs[ref]; pr != nil {
			pr.failures, pr.retryAt = 0, time.Time{}
		}
	}
	e.startDue()
}

// startDue starts what is to be done.
func (e *engine) startDue() {
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
		if !pr.running && !e.p.sim.now.Before(pr.retryAt) &&
			(pr.provenAt.IsZero() || pr.provenAt.Before(e.notOlderThan)) {
			e.start(ref, pr)
		}
	}
}

func (e *engine) start(ref string, pr *proof) {
	pr.running = true
	generation, c := e.generation, e.plan.conf
	host, _ := splitReference(ref)
	wait := e.p.sim.between(500*time.Millisecond, 4*time.Second)
	if lists, mirrored := c.mirrorsOf(host); mirrored {
		host = lists.mirror()
	}
	e.p.later(wait+e.p.sim.registries.latency(host), func() {
		pr.running = false
		if generation != e.generation {
			return
		}
		e.finish(ref, pr, c)
	})
}

// finish copies what is missing or old, and proves.
func (e *engine) finish(ref string, pr *proof, c registriesConf) {
	regs := e.p.sim.registries
	host, _ := splitReference(ref)
	lists, mirrored := c.mirrorsOf(host)
	if mirrored && e.copying && (regs.serveError(lists.mirror(), imageOf(ref)) != "" ||
		!regs.upToDate(ref, lists.mirror())) && regs.copyable(ref, lists.mirror()) {
		regs.copy(ref, lists.mirror())
		pr.copied = true
	}
	pr.failure = regs.pullError(ref, c)
	if mirrored && pr.failure == "" {
		pr.failure = regs.serveError(lists.mirror(), imageOf(ref)) // a mirror that is passed over proves nothing
	}
	if pr.failure == "" {
		pr.provenAt, pr.failures = e.p.clock(), 0
		e.p.sim.checker.recordProof(ref, c)
	} else {
		pr.provenAt = time.Time{}
		pr.failures++
		pause := min(time.Minute, time.Second<<min(pr.failures, 10))
		pr.retryAt = e.p.sim.now.Add(pause)
		e.p.later(pause, e.startDue)
	}
	e.p.wake(minRequeue)
}

func imageOf(ref string) string {
	_, r := splitReference(ref)
	return r
}

// summary is what the loop sees of the engine.
func (e *engine) summary() rollout.Transfers {
	t := rollout.Transfers{PlanDigest: e.activePlan, Copying: e.copying}
	if e.activePlan != e.plan.digest {
		return t
	}
	for _, ref := range e.plan.refs {
		t.Total++
		pr := e.proofs[ref]
		switch {
		case pr == nil:
			continue
		case !pr.provenAt.IsZero():
			t.Verified++
			if t.OldestProof.IsZero() || pr.provenAt.Before(t.OldestProof) {
				t.OldestProof = pr.provenAt
			}
		case pr.failures > 0 && !pr.running:
			t.Failed++
			t.Problems = append(t.Problems,
				rollout.Problem{Reason: v1alpha1.ReasonImagesFailed, Kind: "Image", Name: ref, Message: pr.failure})
		}
		if pr.copied {
			t.Copied++
		}
	}
	return t
}

// pullChecks are the pulls that nodes make before anything points them at the mirrors.
type pullChecks struct {
	p           *process
	plan        string
	checkedPlan enginePlan // what was asked for last: a look at another rollout changes what the engine has before it
	proven      bool
	podsLeft    int
	wanted      int
	pending     bool
}

// ensure takes the probes one step further.
func (b *pullChecks) ensure(digest string) {
	switch {
	case b.plan != digest:
		b.plan, b.proven, b.podsLeft, b.wanted = digest, false, 2, 2
	case b.proven:
		b.podsLeft = 0
	}
	if b.p.engine.plan.digest == digest {
		b.checkedPlan = b.p.engine.plan
	}
	if b.proven || b.pending {
		return
	}
	b.pending = true
	b.p.later(b.p.sim.between(5*time.Second, 15*time.Second), func() {
		b.pending = false
		plan := b.checkedPlan
		b.proven = plan.digest == b.plan && !slices.ContainsFunc(plan.refs, func(ref string) bool {
			return b.p.sim.registries.pullError(ref, plan.conf) != ""
		})
		if !b.proven {
			b.ensure(b.plan)
		}
		b.p.wake(minRequeue)
	})
}

func (b *pullChecks) summary() rollout.PullChecks {
	s := rollout.PullChecks{PlanDigest: b.plan, Nodes: 2, Wanted: b.wanted, PodsLeft: b.podsLeft}
	if b.proven {
		s.Proven = b.wanted
	}
	return s
}
