// Command demo shows, on the lab, a plain mirror set deadlock the real Machine Config Operator, and
// then a SafeMirrorRollout carry the same cluster through the same change.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

func main() {
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{begun: time.Now(), scenario: scenario.All()[0], plainOutcome: "none", rolloutOutcome: "none"}
	err := d.run(ctx)
	if err != nil {
		d.logf("✗ %v", err)
	}
	fmt.Printf("RESULT raw=%s safe=%s pulls_failed=%d seconds=%.0f\n", d.plainOutcome, d.rolloutOutcome, d.failedPulls,
		time.Since(d.begun).Seconds())
	if err != nil {
		stop()
		os.Exit(1) //nolint:gocritic // exitAfterDefer: stop was just called
	}
}

type demo struct {
	begun                        time.Time
	scenario                     scenario.Scenario
	lab                          *lab.Lab
	plainOutcome, rolloutOutcome string
	failedPulls                  int
}

func (d *demo) logf(format string, args ...any) {
	fmt.Printf("%5.1fs  %s\n", time.Since(d.begun).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) title(text string) { fmt.Printf("\n──── %s\n\n", text) }

func (d *demo) run(ctx context.Context) error {
	d.title("A cluster: real API server, scheduler, Machine Config Operator controllers and registries; simulated nodes")
	l, err := lab.Start(ctx, lab.Options{Log: &lines{d: d}})
	if err != nil {
		return err
	}
	defer l.Stop()
	d.lab = l
	if err := d.runPlain(ctx); err != nil {
		return err
	}
	d.title("The same cluster once more, as it was")
	if err := l.Reset(ctx); err != nil {
		return err
	}
	return d.runRollout(ctx)
}

func (d *demo) stage(ctx context.Context, v scenario.Variant) (*scenario.Cluster, error) {
	c, err := scenario.NewCluster(d.lab)
	if err != nil {
		return nil, err
	}
	d.logf("3 ingress routers (image quay.io/acme/router:v1, by tag) run on worker-2, worker-3 and worker-4; the mirror is empty")
	return c, d.scenario.Stage(ctx, c, v)
}

// runPlain is what people do today.
func (d *demo) runPlain(ctx context.Context) error {
	d.title("The plain way: create the ImageTagMirrorSet and let the Machine Config Operator do its work")
	c, err := d.stage(ctx, scenario.Raw)
	if err != nil {
		return err
	}
	since, err := c.Rendered(ctx)
	if err != nil {
		return err
	}
	stop := d.watchProgress(ctx, c)
	defer stop()
	d.logf("$ oc apply -f itms.yaml    # quay.io/acme -> mirror.internal.example.com/acme, NeverContactSource")
	if err := d.scenario.Apply(ctx, c); err != nil {
		return err
	}
	found, err := d.scenario.AwaitDeadlock(ctx, c, since, 2*time.Minute)
	if err != nil {
		return err
	}
	stop()
	d.plainOutcome = "deadlock"
	d.logf("✗ DEADLOCK: it will stay like this for ever")
	d.logf("    node     %s is cordoned and its drain was refused %d times", found.Node, found.Refused)
	d.logf("    PDB      %s allows 0 disruptions, so pod %s may not leave", found.Budget, found.Pod)
	d.logf("    pod      %s on %s would have to become ready first", found.Stuck, found.StuckOn)
	d.logf("    image    %s: %s", found.Waiting, d.shortenMessage(found))
	d.logf("    pool     %s: %d of %d nodes have the new configuration, the others have the old one", found.Pool,
		found.Updated, found.Machines)
	return nil
}

// shortenMessage leaves of the kubelet's message what a person needs, with the path that a real
// node would name.
func (d *demo) shortenMessage(found scenario.Deadlock) string {
	message, _, _ := strings.Cut(found.Message, "; artifact err")
	real := regexp.MustCompile(regexp.QuoteMeta(d.lab.Dir()) + `[^ ]*/(registries\.conf(\.d)?)`)
	return real.ReplaceAllString(message, "/etc/containers/$1")
}

// runRollout is the product.
func (d *demo) runRollout(ctx context.Context) error {
	d.title("The safe way: declare a SafeMirrorRollout with the same mirrors")
	c, err := d.stage(ctx, scenario.Safe)
	if err != nil {
		return err
	}
	operator, err := scenario.StartOperator(ctx, d.lab)
	if err != nil {
		return err
	}
	defer operator.Kill()
	recorder, err := c.Watch(ctx)
	if err != nil {
		return err
	}
	stop := d.watchProgress(ctx, c)
	defer stop()
	r := d.scenario.Rollout()
	d.logf("$ oc apply -f rollout.yaml    # SafeMirrorRollout %s: the same source, mirror and policy", r.Name)
	if err := c.Client.Create(ctx, r); err != nil {
		return err
	}
	done, err := c.AwaitRollout(ctx, r.Name, v1alpha1.ConditionReady, metav1.ConditionTrue, 3*time.Minute)
	if err != nil {
		return err
	}
	stop()
	results, err := recorder.Results()
	if err != nil {
		return err
	}
	d.failedPulls = len(results.FailedPulls)
	if err := c.CheckRestored(ctx); err != nil {
		return err
	}
	d.rolloutOutcome = "complete"
	if !results.Clean() {
		return fmt.Errorf("the rollout completed, and not cleanly: %+v", results)
	}
	d.logf("✓ COMPLETE: %d of %d nodes have the new configuration, every pool is as it was", done.Status.Nodes.Updated,
		done.Status.Nodes.Total)
	d.logf("    %d images copied and proven before the first node; %d pulls on nodes with the new configuration",
		done.Status.Images.Copied, results.Pulls)
	d.logf("    0 failed pulls, 0 refused evictions: counted from the nodes' pull logs, the API audit log and a watch from before the start")
	return nil
}
