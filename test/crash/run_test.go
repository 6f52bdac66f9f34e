//go:build lab

package crash

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// runTimeout is far longer than a run takes.
const runTimeout = 3 * time.Minute

// run lets a rollout go through from the staged state, with the fault, and judges it. The writes
// are those that the proxy has seen.
func run(ctx context.Context, t FaultRun) (out Outcome, err error) {
	out = Outcome{At: t.At, Fault: t.Fault}
	ctx, cancel := context.WithTimeout(ctx, 3*runTimeout)
	defer cancel()
	c, err := scenario.NewCluster(env.lab)
	if err != nil {
		return out, err
	}
	begun := time.Now()
	recorder, err := c.Watch(ctx)
	if err != nil {
		return out, err
	}
	watcher, err := watchAll(ctx, c)
	if err != nil {
		return out, err
	}
	o := &restartingOperator{cluster: c, process: scenario.NewOperator(env.lab, env.kubeconfig)}
	env.proxy.Kill = func() { o.killAndRestart(ctx) }
	env.proxy.Arm(t.At, t.Fault)
	if err := o.process.Start(); err != nil {
		return out, err
	}
	defer o.end()
	if err := c.Client.Create(ctx, newRollout()); err != nil {
		return out, err
	}
	out.Failures = converge(ctx, c)
	out.Seconds = time.Since(begun).Seconds()
	out.Injected = len(env.proxy.Injected())
	out.Failures = slices.Concat(out.Failures, o.errors(), watcher.violations(), checkEndState(ctx, c, recorder))
	for _, r := range env.proxy.Denied() {
		out.Failures = append(out.Failures, "not granted: "+r.String())
	}
	return out, nil
}

// converge waits for the end.
func converge(ctx context.Context, c *scenario.Cluster) (failures []string) {
	r := &v1alpha1.SafeMirrorRollout{}
	for end := time.Now().Add(runTimeout); time.Now().Before(end); {
		if err := c.Client.Get(ctx, client.ObjectKey{Name: newRollout().Name}, r); err != nil {
			return []string{err.Error()}
		}
		if r.Status.ObservedGeneration == r.Generation &&
			meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return []string{"not complete after " + runTimeout.String() + ": " + scenario.Describe(r)}
}

// checkEndState looks at what is left, and asks the witness.
func checkEndState(ctx context.Context, c *scenario.Cluster, recorder *scenario.Recorder) (failures []string) {
	results, err := recorder.Results()
	switch {
	case err != nil:
		failures = append(failures, err.Error())
	case !results.Clean():
		failures = append(failures, fmt.Sprintf("not clean: %+v", results))
	case results.Pulls == 0:
		failures = append(failures, "no node pulled anything with the new configuration: this run proves nothing")
	}
	if err := c.CheckRestored(ctx); err != nil {
		failures = append(failures, err.Error())
	}
	return failures
}

// restartingOperator is an operator that is started again whenever it was killed.
type restartingOperator struct {
	cluster *scenario.Cluster
	process *scenario.Operator

	mu   sync.Mutex
	errs []string
}

// killAndRestart kills the process, and starts the next one when it is gone. The lease goes with
// it: its holder is known to be dead, and waiting for it to run out would be most of the run.
func (m *restartingOperator) killAndRestart(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process.Kill()
	err := m.cluster.Client.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace("safe-mirror-operator"))
	if err == nil {
		err = m.process.Start()
	}
	if err != nil {
		m.errs = append(m.errs, "starting the operator again: "+err.Error())
	}
}

// end kills it for good.
func (m *restartingOperator) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process.Kill()
}

func (m *restartingOperator) errors() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.errs
}
