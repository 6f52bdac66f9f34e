package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// Large makes an observation from a seed whose names are as long as Kubernetes lets them be, now
// and then of a cluster with as much of everything as a big one has.
func Large(seed int64) Observed {
	g := generator{rand.New(rand.NewSource(seed))}
	if g.Intn(3) == 0 {
		return stretch(g.crowd())
	}
	return stretch(g.observed())
}

// Crowd is a cluster of 24 pools of which one node is updated, in a rollout that watches each stage
// for an hour.
func Crowd() Observed {
	g := generator{rand.New(rand.NewSource(1))}
	b := &builder{g.pools(24, 12, 1)}
	return stretch(b.build())
}

// Release lets the MCO update every node of the pool that is being released.
func Release(o *Observed) {
	pools, _ := o.Pools.Get()
	for i := range pools {
		if o.Record.Release == nil || pools[i].Name != o.Record.Release.Pool {
			continue
		}
		for j := range pools[i].Nodes {
			pools[i].Nodes[j] = atStage(pools[i].Nodes[j], pools[i].Rendered, stateDone)
		}
	}
}

// pools is a rollout with so many pools of so many nodes, of which some are updated.
func (g generator) pools(n, nodes, updated int) Observed {
	b := observed().rendered()
	b.o.Rollout.Soak = time.Hour
	b.o.Record.Pools = nil
	n = max(1, n)
	var pools []Pool
	for i := range n {
		p := somePool(fmt.Sprintf("p%02d", i), nodes)
		p.Rendered, p.Registries, p.Paused, p.PausedByUs = renderedName(p.Name, planned), MatchesPlanned, true, true
		p.Generation, p.ObservedGeneration, p.PausedBy = 2, 2, "safe-mirror-operator"
		rec := v1alpha1.PoolRecord{Name: p.Name, MaxUnavailable: "10%"}
		for j := range p.Nodes {
			if j < updated {
				p.Nodes[j] = atStage(p.Nodes[j], p.Rendered, stateDone)
			}
		}
		if i < maxPools { // a pool that has been created since may be one too many
			b.o.Record.Pools = append(b.o.Record.Pools, rec)
		}
		ledger := newPauseRecord(b.o, rec)
		p.PauseRecord = &ledger
		pools = append(pools, p)
	}
	b.o.Pools = Known(pools)
	return b.o
}

// crowd is a cluster of hundreds of nodes in which much is wrong at once.
func (g generator) crowd() Observed {
	o := g.pools(1+g.Intn(40), 1+g.Intn(20), g.Intn(20))
	pools, _ := o.Pools.Get()
	if g.sometimes() {
		for i := range pools {
			pools[i].Degraded = "node cart-1 is reporting: an error"
		}
	}
	var unready []Workload
	for i := range g.Intn(600) {
		w := g.workload()
		w.Name = fmt.Sprintf("cart-%d", i)
		unready = append(unready, w)
	}
	o.Workloads = maybe(g, unready)
	if o.CanaryPulls = Known(CanaryPulls{Disabled: true}); g.Intn(3) == 0 {
		for i := range unready { // as before the release, and none of its doing
			unready[i].NewestUnreadyAt, unready[i].MissingPods, unready[i].OnNode = began.Add(-time.Hour), false, false
		}
		o.Rollout.Soak = 0
		return (&builder{o}).build()
	}
	var held []BlockedDrain
	forecast := Forecast{At: now}
	for i := range g.Intn(30) {
		p := pools[g.Intn(len(pools))]
		blocked := pullBlockedDrain()
		blocked.Pool, blocked.Node = p.Name, p.Nodes[g.Intn(len(p.Nodes))].Name
		blocked.Reason = pick(g, DrainBlockPull, DrainBlockPull, DrainBlockCrashing, DrainBlockBudgetStale,
			DrainBlockNotDraining, DrainBlockUnknown)
		for j := range g.Intn(20) {
			blocked.Pods = append(blocked.Pods,
				FailingPod{PodRef: PodRef{Namespace: "shop", Name: fmt.Sprintf("cart-%d", j), UID: "u"},
					NeverStarted: g.sometimes(),
					Pulls: []FailedPull{{Reference: fmt.Sprintf("quay.io/acme/image-%d-%d:v1", i, j),
						Cause: PullMissing}}})
			blocked.CauseChain = append(blocked.CauseChain,
				CauseLink{Kind: "Pod", Namespace: "shop", Name: "cart-1", Message: "waits"})
		}
		held = append(held, blocked)
		forecast.Nodes = append(forecast.Nodes,
			NodeForecast{Pool: p.Name, Node: blocked.Node, Result: pick(g, DrainSafe, DrainBlocked, DrainUnknown),
				Problems: []Problem{{Kind: "PodDisruptionBudget", Namespace: "shop", Name: "cart-1",
					Message: "allows 0"}}})
	}
	if len(held) > 0 {
		held[0].Reason = DrainBlockPull
		o = (&builder{o}).startsUpdate(held[0].Node, "Draining").o
	}
	o.BlockedDrains, o.Forecast = maybe(g, held), maybe(g, forecast)
	o.Rollout.Remedies = v1alpha1.RemedyActions()
	preload := Preload{Enabled: true}
	for _, p := range pools {
		one := PreloadPool{Pool: p.Name, Wanted: 400}
		for _, n := range p.Nodes {
			one.Nodes, one.Waiting = append(one.Nodes, n.Name), append(one.Waiting, n.Name)
			one.Skipped = append(one.Skipped, "image quay.io/acme/huge:v1 is too large for node "+n.Name)
		}
		preload.Pools = append(preload.Pools, one)
	}
	o.CanaryPulls = Known(CanaryPulls{Preload: preload})
	seen := Remedies{Candidates: []RemedyCandidate{trustCandidate, cordonCandidate, scaleCandidate}}
	for i := range pick(g, 0, 0, 60) {
		r := podRestartRecord
		r.ID, r.Node, r.DecidedAt, r.Deadline, r.SpecHash = fmt.Sprint("found-", i), "worker-1", *apiTime(now),
			*apiTime(now.Add(time.Hour)), "spec-1"
		seen.Unrecorded = append(seen.Unrecorded, r)
	}
	o.Remedies = maybe(g, seen)
	open := pick(g, v1alpha1.RemedyEnded, v1alpha1.RemedyTaken)
	for i := range g.Intn(maxRemedies + 1) {
		r := podRestartRecord
		r.ID, r.Node, r.DecidedAt, r.Deadline, r.SpecHash = fmt.Sprint("earlier-", i), "worker-1", *apiTime(began),
			*apiTime(now), "spec-1"
		r.State, r.Outcome = pick(g, v1alpha1.RemedyEnded, open), v1alpha1.OutcomeHelped
		o.Record.Remedies = append(o.Record.Remedies, r)
	}
	var requests []Request
	for i := range g.Intn(32) {
		requests = append(requests, Request{ID: fmt.Sprint("request-", i),
			Verb: pick(g, v1alpha1.RequestApprove, v1alpha1.RequestRetry), Gate: GateApply, PlanDigest: planDigest})
	}
	o.Rollout.Requests = requests
	if g.sometimes() {
		o.Record.AppliedPlanHash = ""
	}
	return (&builder{o}).build()
}

// stretch gives every name in the observation its greatest length, each the same wherever it
// stands.
func stretch(o Observed) Observed {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		panic(err)
	}
	text, err = json.Marshal(stretched("", value))
	if err != nil {
		panic(err)
	}
	var out Observed
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

func stretched(key string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			v[k] = stretched(k, v[k])
		}
		return v
	case []any:
		for i := range v {
			v[i] = stretched(key, v[i])
		}
		return v
	case string:
		return stretchedText(key, v)
	default:
		return v
	}
}

var (
	poolName  = regexp.MustCompile(`^(master|worker|infra|p\d+)$`)
	nodeName  = regexp.MustCompile(`^(master|worker|infra|p\d+)-\d+$`)
	podName   = regexp.MustCompile(`^(cart|till|router)(-\w+)*$`)
	rendering = regexp.MustCompile(`^rendered-(master|worker|infra|p\d+)-(\w+)$`)
	namespace = regexp.MustCompile(`^(shop|books|openshift-[a-z-]+)$`)
)

// stretchedText is the text at its greatest length. A MachineConfigPool has 210 characters at most:
// the name of what is rendered for it is longer by 43, and has 253.
func stretchedText(key, s string) string {
	switch {
	case key == "message" || key == "why":
		return s + strings.Repeat(" ä", 2000)
	case key == "id" && len(s) > 1:
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])[:63]
	case poolName.MatchString(s):
		return pad(s, 210)
	case nodeName.MatchString(s), podName.MatchString(s):
		return pad(s, 253)
	case namespace.MatchString(s):
		return pad(s, 63)
	case rendering.MatchString(s):
		part := rendering.FindStringSubmatch(s)
		return pad("rendered-"+pad(part[1], 210)+"-"+part[2], 253)
	case strings.HasPrefix(s, "quay.io/"):
		return pad(s, 1024)
	case strings.HasPrefix(s, "Deployment/"):
		parts := strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '=' })
		out := pad(parts[0], 63) + "/" + pad(parts[1], 63) + "/" + pad(parts[2], 253)
		if len(parts) > 3 {
			out += "=" + parts[3]
		}
		return out
	}
	return s
}

func pad(s string, length int) string { return s + strings.Repeat("x", max(0, length-len(s))) }
