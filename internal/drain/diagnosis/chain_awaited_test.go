package diagnosis

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// TestAwaitedRelease: the node is drained and done, and a pod that left it cannot get its image
// where it is now.
func TestAwaitedRelease(t *testing.T) {
	intended := drainStarted.Add(-time.Minute)
	done := func(w *drainFixture) { // worker-2 is through
		n := &w.Pools[0].Nodes[1]
		n.CurrentConfig, n.State, n.DesiredDrain, n.LastAppliedDrain, n.Unschedulable = "after", "Done",
			"uncordon-after", "uncordon-after", false
	}
	waitsForImage := func(w *drainFixture) {
		done(w)
		missingAtMirror(w)
	}
	cases := map[string]struct {
		change func(*drainFixture)
		want   []string // node, hindrance, pods
	}{
		"a pod waits for its image": {waitsForImage, []string{"worker-2", "Pull", "router-a"}},
		"two do": {func(w *drainFixture) {
			waitsForImage(w)
			b := w.pods["router-b"]
			b.Status, b.CreationTimestamp = w.pods["router-a"].Status, w.pods["router-a"].CreationTimestamp
		}, []string{"worker-2", "Pull", "router-a", "router-b"}},
		"it waited before the release": {func(w *drainFixture) {
			waitsForImage(w)
			w.pods["router-a"].CreationTimestamp = metav1.NewTime(intended.Add(-time.Second))
		}, nil},
		"it is being deleted": {func(w *drainFixture) {
			waitsForImage(w)
			at := metav1.NewTime(observedAt)
			w.pods["router-a"].DeletionTimestamp = &at
		}, nil},
		"it has given up": {func(w *drainFixture) {
			waitsForImage(w)
			w.pods["router-a"].Status.Phase = corev1.PodFailed
		}, nil},
		"nobody waits": {done, nil},
		"it crashes, which is no pull": {func(w *drainFixture) {
			done(w)
			w.unready(drainStarted,
				waiting("CrashLoopBackOff", ""))
		}, nil},
		"no release is in progress":     {func(w *drainFixture) { waitsForImage(w); w.Awaited = nil }, nil},
		"the release has not begun":     {func(w *drainFixture) { waitsForImage(w); w.Awaited.Nodes = nil }, nil},
		"its drain is held and is told": {missingAtMirror, []string{"worker-2", "Pull", "router-a"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newDrainFixture(t)
			w.Awaited = &AwaitedRelease{Pool: "worker", Nodes: []string{"worker-2"}, Since: intended}
			c.change(w)
			var got []string
			for _, o := range Diagnose(&w.Snapshot, w.Evidence) {
				got = append(got, o.Node, string(o.Reason))
				for _, p := range o.Pods {
					got = append(got, p.Name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("obstacles (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("what remedies need", func(t *testing.T) {
		w := newDrainFixture(t)
		waitsForImage(w)
		w.Awaited = &AwaitedRelease{Pool: "worker", Nodes: []string{"worker-2", "worker-3"}, Since: intended}
		got := Diagnose(&w.Snapshot, w.Evidence)[0]
		p := got.Pods[0]
		if p.Owner != "Deployment/openshift-ingress/router-default" || !p.NeverStarted ||
			p.Reason != "ImagePullBackOff" || len(p.Pulls) != 1 || p.Pulls[0].Cause != rollout.PullMissing {
			t.Errorf("pod %+v", p)
		}
		if want := drainStarted.Add(12 * time.Second); got.Pool != "worker" || !got.Since.Equal(want) ||
			got.CauseChain[0].Message != "node worker-2 is drained, and its pods are not back" ||
			len(got.CauseChain) < 3 {
			t.Errorf("of %s since %s, want %s: %+v", got.Pool, got.Since, want, got.CauseChain)
		}
	})
}
