//go:build lab

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
)

// TestPreload: with spec.release.preload every worker that has the new configuration has the
// router's image before the next node gets it, pulled by a pull check where it was absent;
// and no router that a drain moves to such a worker waits for a pull.
func TestPreload(t *testing.T) {
	if !inShard(t, 3) {
		return
	}
	u := startRollout(t, func(r *v1alpha1.SafeMirrorRolloutSpec) { r.Release.Preload = v1alpha1.PreloadUpdatedNodes })
	ctx, c := u.ctx, u.cluster
	stop := watchTargets(ctx, t, c)
	u.awaitComplete(t)
	moved := stop()
	all, err := c.Lab.PullLog()
	if err != nil {
		t.Fatal(err)
	}
	// Pulls of the router's image that have succeeded, by whomever.
	router := slices.DeleteFunc(all, func(p lab.Pull) bool { return p.Reference != routerImage || p.Error != "" })
	r := await(ctx, t, c, u.rollout.Name, "the status tells of it",
		func(r *v1alpha1.SafeMirrorRollout) bool { return r.Status.Preload != nil })
	t.Logf("status.preload: %+v", *r.Status.Preload)
	// A worker that has never run a pod reports no images, so the free space of its disk is
	// unknown: it is named, and gets no image.
	skipped := func(node string) bool {
		return slices.ContainsFunc(r.Status.Preload.Skipped,
			func(s string) bool { return strings.Contains(s, "node "+node+": does not report its images") })
	}
	given := map[string]time.Time{}
	for i, m := range moved[:len(moved)-1] {
		if !strings.HasPrefix(m.node, "worker-") || skipped(m.node) {
			continue
		}
		next := moved[i+1]
		at := slices.IndexFunc(router, func(p lab.Pull) bool { return p.Node == m.node && p.Time.Before(next.at) })
		if at < 0 {
			t.Errorf("node %s, updated from %s on, did not have the router's image when the update of %s began at %s", m.node,
				m.at.Format(time.TimeOnly), next.node, next.at.Format(time.TimeOnly))
			continue
		}
		for _, p := range router {
			if ofProbe := strings.HasPrefix(p.Pod, pullcheck.CanaryName); ofProbe && p.Node == m.node &&
				p.Time.After(m.at) && p.Time.Before(next.at) {
				given[m.node] = p.Time
				t.Logf("node %s: told at %s, %s pulled %d bytes from %s at %s, %s told at %s", m.node,
					m.at.Format(time.TimeOnly), p.Pod, p.Bytes, p.Endpoint,
					p.Time.Format(time.TimeOnly), next.node, next.at.Format(time.TimeOnly))
			}
		}
	}
	if len(given) == 0 {
		t.Error("no probe has pulled the router's image on any worker: nothing is shown")
	}
	cached := 0
	for _, p := range router {
		since, ok := given[p.Node]
		if !ok || strings.HasPrefix(p.Pod, pullcheck.CanaryName) || p.Time.Before(since) {
			continue
		}
		if !p.Cached || p.Bytes > 0 {
			t.Errorf("pod %s/%s had to pull %d bytes on node %s at %s although the image was given to it", p.Namespace,
				p.Pod, p.Bytes, p.Node, p.Time.Format(time.TimeOnly))
		}
		cached++
	}
	if cached == 0 {
		t.Error("no router has come to a worker that was given its image: nothing is shown")
	}
	if s := r.Status.Preload; s.Nodes < 2 || s.Desired == 0 || s.Loaded != s.Desired || int(s.Ready)+
		len(s.Skipped) < int(s.Nodes) || len(s.Waiting) > 0 {
		t.Errorf("the status tells %+v", s)
	}
	checkNoPodsLeft(ctx, t, c)
}
