package whatif

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
)

// Answers are what the registries said of the references whose pull changes.
type Answers struct {
	// Results are by plan.Item.Key. Nil means that nobody was asked.
	Results map[string]mirror.Result
	// Late is how many had not answered when the time was up.
	Late int
	// Copy is what the mirrors of the spec lack.
	Copy Copy
}

// Copy is what a rollout would copy.
type Copy struct {
	Images   int
	Bytes    int64
	Requests int
	// Unknown are images of which it could not be found out what is missing.
	Unknown int
}

// attempts is how often a registry that cannot be reached is asked: once is no proof of anything.
const attempts = 3

// Ask looks at every reference whose pull changes as a node would under the planned configuration, and, where that fails, whether it can
// be pulled today. Nothing is ever written to a registry. When ctx ends, what is known by then is the answer.
func Ask(ctx context.Context, c *mirror.Client, p plan.Plan, workers int) Answers {
	copying := p
	p.VerifyOnly = true // its jobs have nothing to fill then
	engine := mirror.NewEngine(mirror.EngineOptions{Workers: workers, Retry: func(n int) time.Duration { return time.Duration(n) * 300 * time.Millisecond }})
	running, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = engine.Start(running) }) // it returns nil
	defer done.Wait()
	defer stop()
	for {
		results := engine.Snapshot()
		jobs := p.Jobs(true, results)
		engine.Ensure(c, jobs, time.Time{})
		late := 0
		for _, j := range jobs {
			if !final(results[j.Reference]) {
				late++
			}
		}
		if late == 0 || ctx.Err() != nil {
			if results == nil {
				results = map[string]mirror.Result{}
			}
			return Answers{Results: results, Late: late, Copy: missing(ctx, c, copying)}
		}
		select {
		case <-ctx.Done():
		case <-engine.Changed():
		}
	}
}

// missing asks what the mirrors of the spec lack. A dry run reads manifests and asks for blobs, and writes nothing.
func missing(ctx context.Context, c *mirror.Client, p plan.Plan) Copy {
	seen := map[string]bool{} // pools that differ have items of their own for one image
	jobs := slices.DeleteFunc(p.Jobs(true, nil), func(j mirror.Job) bool {
		if len(j.Fill) == 0 || seen[j.Fill[0]] {
			return true
		}
		seen[j.Fill[0]] = true
		return false
	})
	var out Copy
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

// passing are errors that may be gone a moment later.
var passing = []mirror.ErrorClass{mirror.Timeout, mirror.Refused, mirror.RateLimited, mirror.Unknown}

func final(r mirror.Result) bool {
	switch r.State {
	case mirror.Verified:
		return true
	case mirror.Failed:
		return r.Err != nil && (!slices.Contains(passing, r.Err.Class) || r.Attempts >= attempts)
	default:
		return false
	}
}
