//go:build lab

package e2e

import (
	"context"
	"testing"

	configv1 "github.com/openshift/api/config/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// TestDeleteInProgress deletes the rollout while half of the nodes have the new configuration. It
// is carried to its end before it goes, and the mirror set stays: giving the pools back at once
// would let the other nodes take it unproven.
func TestDeleteInProgress(t *testing.T) {
	if !inShard(t, 0) {
		return
	}
	u := startRollout(t)
	c := u.cluster.Client
	updated := func(n int32) {
		err := lab.Eventually(u.ctx, rolloutTime, "nodes are updated", func(ctx context.Context) (bool, string, error) {
			err := c.Get(ctx, client.ObjectKeyFromObject(u.rollout), u.rollout)
			return u.rollout.Status.Nodes.Updated >= n, scenario.Describe(u.rollout), err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	updated(2)
	if err := c.Delete(u.ctx, u.rollout); err != nil {
		t.Fatal(err)
	}
	updated(u.rollout.Status.Nodes.Total - 1) // it is still there, and goes on
	u.awaitDeleted(t)
	if err := u.cluster.CheckRestored(u.ctx); err != nil {
		t.Error(err)
	}
	if err := c.Get(u.ctx, client.ObjectKey{Name: u.rollout.Name}, &configv1.ImageTagMirrorSet{}); err != nil {
		t.Errorf("the mirror set is not kept: %v", err)
	}
	results, err := u.witness.Results()
	if err != nil {
		t.Fatal(err)
	}
	if !results.Clean() {
		t.Errorf("not clean: %+v", results)
	}
}

// awaitDeleted waits until the rollout is no longer there.
func (u *rolloutRun) awaitDeleted(t *testing.T) {
	t.Helper()
	err := lab.Eventually(u.ctx, rolloutTime, "the rollout is gone", func(ctx context.Context) (bool, string, error) {
		err := u.cluster.Client.Get(ctx, client.ObjectKeyFromObject(u.rollout), u.rollout)
		return err != nil, scenario.Describe(u.rollout), client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
}
