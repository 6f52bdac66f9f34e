package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// scenario is a whole rollout on a small cluster, turn by turn: the rollout controller, the guard,
// and the MCO.
type scenario struct {
	t       *testing.T
	client  client.Client
	clock   *clock
	rollout *Reconciler
	events  *eventRecorder
	// restartEvery is after how many turns the operator is started anew; 0 is never.
	restartEvery int
	steps        int
}

func newScenario(t *testing.T, restartEvery int) *scenario {
	ten := intstr.FromString("10%")
	objects := append(minicluster.Objects("worker-0", "worker-1", "worker-2"), minicluster.Pool("infra", "infra-0")...)
	minicluster.Edit(objects, "worker", func(p *mcfgv1.MachineConfigPool) { p.Spec.MaxUnavailable = &ten })
	s := &scenario{t: t, client: minicluster.Client(interceptor.Funcs{},
		append(objects, minicluster.Rollout("shop"))...), clock: &clock{minicluster.StartTime},
		restartEvery: restartEvery}
	s.rollout, s.events = reconciler(s.client, s.clock.Now)
	return s
}

// step lets everybody act once. One turn in three brings the updating nodes to their end.
func (s *scenario) step() {
	s.t.Helper()
	ctx := context.Background()
	s.steps++
	s.clock.advance(time.Second)
	if s.restartEvery > 0 && s.steps%s.restartEvery == 0 {
		s.rollout, _ = reconciler(s.client, s.clock.Now)
		s.rollout.Recorder = s.events
	}
	_, err := s.rollout.Reconcile(ctx, request("shop"))
	s.must(err)
	s.must(minicluster.RenderPools(ctx, s.client))
	for _, name := range []string{"infra", "worker"} {
		_, err := minicluster.StartUpdate(ctx, s.client, name)
		s.must(err)
		s.checkOneNodeAtATime()
		_, err = (&RepauseGuard{Client: s.client, Now: s.clock.Now}).Reconcile(ctx, request(name))
		s.must(err)
	}
	if s.steps%3 == 0 {
		s.must(minicluster.FinishUpdates(ctx, s.client))
	}
}

func (s *scenario) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("turn %d: %v", s.steps, err)
	}
}

// checkOneNodeAtATime: no two nodes are updating, in whatever pools.
func (s *scenario) checkOneNodeAtATime() {
	s.t.Helper()
	var nodes corev1.NodeList
	s.must(s.client.List(context.Background(), &nodes))
	var moving []string
	for _, n := range nodes.Items {
		if n.Annotations[minicluster.CurrentConfig] != n.Annotations[minicluster.DesiredConfig] {
			moving = append(moving, n.Name)
		}
	}
	if len(moving) > 1 {
		s.t.Fatalf("turn %d: %v are in progress at once", s.steps, moving)
	}
}

func (s *scenario) until(done func(*v1alpha1.SafeMirrorRollout) bool) {
	s.t.Helper()
	for range 300 {
		if done(getRollout(s.t, s.client)) {
			return
		}
		s.step()
	}
	s.t.Fatalf("not done after %d turns: %+v", s.steps, getRollout(s.t, s.client).Status)
}

func ready(r *v1alpha1.SafeMirrorRollout) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady)
}

// From an empty status to the end: the mirror sets are there, every node has them, and every pool
// is as it was before. Whether the operator is started anew on the way or not.
func TestWholeRollout(t *testing.T) {
	for name, restartEvery := range map[string]int{"one operator": 0, "one that is started anew": 4} {
		t.Run(name, func(t *testing.T) {
			s := newScenario(t, restartEvery)
			s.until(ready)
			r := getRollout(t, s.client)
			if r.Status.Nodes.Summary != "4/4" || r.Status.Phase != "Complete" {
				t.Errorf("status %+v", r.Status)
			}
			for name, want := range map[string]string{"worker": "10%", "infra": ""} {
				p := getPool(t, s.client, name)
				got := ""
				if m := p.Spec.MaxUnavailable; m != nil {
					got = m.String()
				}
				if p.Spec.Paused || got != want || p.Annotations[pool.PauseRecordAnnotation] != "" {
					t.Errorf("pool %s: paused %t, maxUnavailable %q, annotations %v", name, p.Spec.Paused, got,
						p.Annotations)
				}
			}
			s.checkEvents()
		})
	}
}

// checkEvents: each node is told of once, and no phase twice in a row.
func (s *scenario) checkEvents() {
	s.t.Helper()
	nodes, last := map[string]int{}, ""
	for _, e := range s.events.events {
		if strings.Contains(e, " NodeTaken: ") {
			nodes[e]++
		}
		if e == last {
			s.t.Errorf("told twice: %s", e)
		}
		last = e
	}
	if len(nodes) != 4 {
		s.t.Errorf("events %s", strings.Join(s.events.events, "\n"))
	}
}

// At rest nothing is written and nothing is told, however often it is looked at.
func TestCompletedRolloutIsIdle(t *testing.T) {
	s := newScenario(t, 0)
	s.until(ready)
	before, recorded := getRollout(t, s.client), len(s.events.events)
	for range 5 {
		s.step()
	}
	if diff := cmp.Diff(before, getRollout(t, s.client)); diff != "" {
		t.Errorf("rollout (-before +after):\n%s", diff)
	}
	if len(s.events.events) != recorded {
		t.Errorf("events %v", s.events.events[recorded:])
	}
}

// Another spec is another rollout, here one that frees the source in both lists: its mirror sets
// replace the previous ones.
func TestNewSpec(t *testing.T) {
	s := newScenario(t, 0)
	s.until(ready)
	r := getRollout(t, s.client)
	r.Generation = 2
	r.Spec.ImageTagMirrors[0].MirrorSourcePolicy,
		r.Spec.ImageDigestMirrors[0].MirrorSourcePolicy = v1alpha1.AllowContactingSource, ""
	s.must(s.client.Update(context.Background(), r))
	s.until(func(r *v1alpha1.SafeMirrorRollout) bool { return ready(r) && r.Status.Record.CompletedGeneration == 2 })
	tag := get(t, s.client, "shop", &configv1.ImageTagMirrorSet{}).Spec.ImageTagMirrors
	digest := get(t, s.client, "shop", &configv1.ImageDigestMirrorSet{}).Spec.ImageDigestMirrors
	if len(tag) != 1 || tag[0].MirrorSourcePolicy != configv1.AllowContactingSource || len(digest) != 1 ||
		digest[0].MirrorSourcePolicy != "" {
		t.Errorf("tag mirrors %v, digest mirrors %v", tag, digest)
	}
}

// After the end the finalizer holds nobody, and the mirror sets stay.
func TestDeletingAfterCompletion(t *testing.T) {
	ctx, s := context.Background(), newScenario(t, 0)
	s.until(ready)
	s.must(s.client.Delete(ctx, getRollout(t, s.client)))
	s.step()
	if err := s.client.Get(ctx, client.ObjectKey{Name: "shop"},
		&v1alpha1.SafeMirrorRollout{}); !apierrors.IsNotFound(err) {
		t.Errorf("the rollout is there: %v", err)
	}
	get(t, s.client, "shop", &configv1.ImageTagMirrorSet{})
	get(t, s.client, "shop", &configv1.ImageDigestMirrorSet{})
}

// Deleted half way it goes on to its end first, because half of the nodes have the mirror sets.
func TestDeletingHalfWay(t *testing.T) {
	ctx, s := context.Background(), newScenario(t, 0)
	s.until(func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Nodes.Updated == 2 })
	s.must(s.client.Delete(ctx, getRollout(t, s.client)))
	for range 300 {
		s.step()
		if err := s.client.Get(ctx, client.ObjectKey{Name: "shop"},
			&v1alpha1.SafeMirrorRollout{}); apierrors.IsNotFound(err) {
			break
		}
	}
	var nodes corev1.NodeList
	s.must(s.client.List(ctx, &nodes))
	for _, n := range nodes.Items {
		mcp := getPool(t, s.client, strings.Split(n.Name, "-")[0])
		if n.Annotations[minicluster.CurrentConfig] != mcp.Spec.Configuration.Name || mcp.Spec.Paused ||
			mcp.Annotations[pool.PauseRecordAnnotation] != "" {
			t.Errorf("node %s runs %s; pool %+v", n.Name, n.Annotations[minicluster.CurrentConfig], mcp.Spec)
		}
	}
}

// Deleted before the mirror sets are applied, the pools are restored at once.
func TestDeletingBeforeApply(t *testing.T) {
	ctx, s := context.Background(), newScenario(t, 0)
	s.until(func(r *v1alpha1.SafeMirrorRollout) bool { return getPool(t, s.client, "worker").Spec.Paused })
	s.must(s.client.Delete(ctx, getRollout(t, s.client)))
	for range 20 {
		s.step()
	}
	if err := s.client.Get(ctx, client.ObjectKey{Name: "shop"},
		&v1alpha1.SafeMirrorRollout{}); !apierrors.IsNotFound(err) {
		t.Errorf("the rollout is there: %v", err)
	}
	if p := getPool(t, s.client, "worker"); p.Spec.Paused || p.Spec.MaxUnavailable.String() != "10%" ||
		p.Annotations[pool.PauseRecordAnnotation] != "" {
		t.Errorf("pool %+v, annotations %v", p.Spec, p.Annotations)
	}
	var sets configv1.ImageTagMirrorSetList
	s.must(s.client.List(ctx, &sets))
	if len(sets.Items) > 0 {
		t.Errorf("mirror sets %v", sets.Items)
	}
}
