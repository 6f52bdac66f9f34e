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

// limit is far longer than a run takes.
const limit = 3 * time.Minute

// run lets a rollout go through from the staged state, with the fault, and judges it. The writes are those that the proxy has seen.
func run(ctx context.Context, t Trial) (out Outcome, err error) {
	out = Outcome{At: t.At, Fault: t.Fault}
	ctx, cancel := context.WithTimeout(ctx, 3*limit)
	defer cancel()
	c, err := scenario.NewCluster(stand.lab)
	if err != nil {
		return out, err
	}
	begun := time.Now()
	witness, err := c.Watch(ctx)
	if err != nil {
		return out, err
	}
	watcher, err := watchAll(ctx, c)
	if err != nil {
		return out, err
	}
	o := &mortal{cluster: c, process: scenario.NewOperator(stand.lab, stand.kubeconfig)}
	stand.proxy.Kill = func() { o.die(ctx) }
	stand.proxy.Arm(t.At, t.Fault)
	if err := o.process.Start(); err != nil {
		return out, err
	}
	defer o.end()
	if err := c.Client.Create(ctx, wish()); err != nil {
		return out, err
	}
	out.Wrongs = converge(ctx, c)
	out.Seconds = time.Since(begun).Seconds()
	out.Struck = len(stand.proxy.Struck())
	out.Wrongs = slices.Concat(out.Wrongs, o.wrongs(), watcher.verdict(), judge(ctx, c, witness))
	for _, r := range stand.proxy.Denied() {
		out.Wrongs = append(out.Wrongs, "not granted: "+r.String())
	}
	return out, nil
}

// converge waits for the end.
func converge(ctx context.Context, c *scenario.Cluster) (wrongs []string) {
	r := &v1alpha1.SafeMirrorRollout{}
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if err := c.Client.Get(ctx, client.ObjectKey{Name: wish().Name}, r); err != nil {
			return []string{err.Error()}
		}
		if r.Status.ObservedGeneration == r.Generation && meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	return []string{"not complete after " + limit.String() + ": " + scenario.Describe(r)}
}

// judge looks at what is left, and asks the witness.
func judge(ctx context.Context, c *scenario.Cluster, witness *scenario.Witness) (wrongs []string) {
	testimony, err := witness.Testify()
	switch {
	case err != nil:
		wrongs = append(wrongs, err.Error())
	case !testimony.Clean():
		wrongs = append(wrongs, fmt.Sprintf("not clean: %+v", testimony))
	case testimony.Pulls == 0:
		wrongs = append(wrongs, "no node pulled anything with the new configuration: this run proves nothing")
	}
	if err := c.Restored(ctx); err != nil {
		wrongs = append(wrongs, err.Error())
	}
	return wrongs
}

// mortal is an operator that is started again whenever it was killed.
type mortal struct {
	cluster *scenario.Cluster
	process *scenario.Operator

	mu   sync.Mutex
	errs []string
}

// die kills the process, and starts the next one when it is gone. The lease goes with it: its holder is known to be dead, and waiting
// for it to run out would be most of the run.
func (m *mortal) die(ctx context.Context) {
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
func (m *mortal) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.process.Kill()
}

func (m *mortal) wrongs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.errs
}
