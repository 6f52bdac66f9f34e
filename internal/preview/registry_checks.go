package preview

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
)

// RegistryChecks are what the registries said of the references whose pull changes.
type RegistryChecks struct {
	// Results are by plan.Item.Key. Nil means that nobody was asked.
	Results map[string]mirror.Result
	// Unanswered is how many had not answered when the time was up.
	Unanswered int
	// Copy is what the mirrors of the spec lack.
	Copy CopyEstimate
}

// CopyEstimate is what a rollout would copy.
type CopyEstimate struct {
	Images   int
	Bytes    int64
	Requests int
	// Unknown are images of which it could not be found out what is missing.
	Unknown int
}

// maxAttempts is how often a registry that cannot be reached is asked: once is no proof of
// anything.
const maxAttempts = 3

// CheckRegistries looks at every reference whose pull changes as a node would under the planned
// configuration, and, where that fails, whether it can be pulled today. Nothing is ever written to
// a registry. When ctx ends, what is known by then is the answer.
func CheckRegistries(ctx context.Context, c *mirror.Client, p plan.Plan, workers int) RegistryChecks {
	copying := p
	p.VerifyOnly = true // its jobs have nothing to fill then
	engine := mirror.NewEngine(mirror.EngineOptions{Workers: workers,
		RetryDelay: func(n int) time.Duration { return time.Duration(n) * 300 * time.Millisecond }})
	running, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = engine.Start(running) }) // it returns nil
	defer done.Wait()
	defer stop()
	for {
		results := engine.Snapshot()
		jobs := p.Jobs(true, results)
		engine.Ensure(c, jobs, time.Time{})
		unanswered := 0
		for _, j := range jobs {
			if !isFinal(results[j.Reference]) {
				unanswered++
			}
		}
		if unanswered == 0 || ctx.Err() != nil {
			if results == nil {
				results = map[string]mirror.Result{}
			}
			return RegistryChecks{Results: results, Unanswered: unanswered, Copy: estimateCopy(ctx, c, copying)}
		}
		select {
		case <-ctx.Done():
		case <-engine.Changed():
		}
	}
}

// estimateCopy asks what the mirrors of the spec lack. A dry run reads manifests and asks for
// blobs, and writes nothing.
func estimateCopy(ctx context.Context, c *mirror.Client, p plan.Plan) CopyEstimate {
	seen := map[string]bool{} // pools that differ have items of their own for one image
	jobs := slices.DeleteFunc(p.Jobs(true, nil), func(j mirror.Job) bool {
		if len(j.Targets) == 0 || seen[j.Targets[0]] {
			return true
		}
		seen[j.Targets[0]] = true
		return false
	})
	var out CopyEstimate
	for _, e := range c.DryRun(ctx, jobs) {
		switch {
		case e.Err != nil:
			out.Unknown++
		case e.Requests > 0:
			out.Images++
			out.Bytes += e.Bytes
			out.Requests += e.Requests
		}
	}
	return out
}

// transientClasses are errors that may be gone a moment later.
var transientClasses = []mirror.ErrorClass{mirror.Timeout, mirror.Refused, mirror.RateLimited, mirror.Unknown}

func isFinal(r mirror.Result) bool {
	switch r.State {
	case mirror.Verified:
		return true
	case mirror.Failed:
		return r.Err != nil && (!slices.Contains(transientClasses, r.Err.Class) || r.Attempts >= maxAttempts)
	default:
		return false
	}
}
