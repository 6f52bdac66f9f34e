//go:build lab

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/lab"
	"github.com/safe-mirror/safe-mirror-operator/test/scenario"
)

// inTwoPasses asks for digest mirrors beside the tag mirrors, the source blocked in a second pass,
// each pass with an approval.
func inTwoPasses(s *v1alpha1.SafeMirrorRolloutSpec) {
	s.ImageDigestMirrors = s.ImageTagMirrors
	s.SourcePolicy, s.Release.ApplyApproval = v1alpha1.SourcePolicyStaged, v1alpha1.ApprovalRequired
}

// awaitSecondGate approves the first pass and waits until the second asks for its approval.
func (u *rolloutRun) awaitSecondGate(t *testing.T) *v1alpha1.SafeMirrorRollout {
	t.Helper()
	waits := func(gate string) *v1alpha1.SafeMirrorRollout {
		return await(u.ctx, t, u.cluster, u.rollout.Name, "gate "+gate+" is waited for",
			func(r *v1alpha1.SafeMirrorRollout) bool {
				return reasonOf(r, v1alpha1.ConditionReady) == v1alpha1.ReasonApprovalRequired &&
					len(r.Status.Blockers) > 0 &&
					strings.Contains(r.Status.Blockers[0].Message, "gate: "+gate)
			})
	}
	first := waits("apply")
	addRequest(u.ctx, t, u.cluster, u.rollout.Name,
		v1alpha1.Request{ID: "first", Action: v1alpha1.RequestApprove, Gate: "apply", PlanHash: first.Status.PlanHash})
	second := waits("enforce")
	if second.Status.PlanHash == first.Status.PlanHash {
		t.Error("both passes have the same plan")
	}
	return second
}

// policies are the source policies of the two mirror sets: "Allow Allow"; a set that is not there
// is a dash.
func (u *rolloutRun) policies(ctx context.Context) (string, error) {
	words := map[configv1.MirrorSourcePolicy]string{configv1.AllowContactingSource: "Allow",
		configv1.NeverContactSource: "Never"}
	digest, tag := &configv1.ImageDigestMirrorSet{}, &configv1.ImageTagMirrorSet{}
	out := []string{"-", "-"}
	if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, digest); err == nil {
		out[0] = words[digest.Spec.ImageDigestMirrors[0].MirrorSourcePolicy]
	} else if client.IgnoreNotFound(err) != nil {
		return "", err
	}
	if err := u.cluster.Client.Get(ctx, client.ObjectKey{Name: u.rollout.Name}, tag); err == nil {
		out[1] = words[tag.Spec.ImageTagMirrors[0].MirrorSourcePolicy]
	} else if client.IgnoreNotFound(err) != nil {
		return "", err
	}
	return strings.Join(out, " "), nil
}

func (u *rolloutRun) havePolicies(t *testing.T, want string) {
	t.Helper()
	err := lab.Eventually(u.ctx, time.Minute, "the mirror sets say "+want,
		func(ctx context.Context) (bool, string, error) {
			have, err := u.policies(ctx)
			return have == want, "they say " + have, err
		})
	if err != nil {
		t.Fatal(err)
	}
}

// pullOn lets a node pull an image that is at the source alone, and that nothing else names; it
// returns the endpoint, or the error.
func (u *rolloutRun) pullOn(t *testing.T, node, repository string) (endpoint, failure string) {
	t.Helper()
	if _, err := u.cluster.Lab.Registry(scenario.SourceHost).Push(u.ctx, repository+":v1",
		lab.Image{Seed: repository}); err != nil {
		t.Fatal(err)
	}
	image := scenario.SourceHost + "/" + repository + ":v1"
	if err := u.cluster.PatchNode(u.ctx, node,
		fmt.Sprintf(`{"metadata":{"annotations":{"lab.safemirror.io/cache":%q}}}`, image)); err != nil {
		t.Fatal(err)
	}
	err := lab.Eventually(u.ctx, time.Minute, node+" has tried to pull "+image,
		func(context.Context) (bool, string, error) {
			pulls, err := u.cluster.Lab.PullLog()
			for _, p := range pulls {
				if p.Node == node && p.Reference == image {
					endpoint, failure = p.Endpoint, p.Error
					return true, "", err
				}
			}
			return false, "no pull yet", err
		})
	if err != nil {
		t.Fatal(err)
	}
	return endpoint, failure
}

// TestStaged rolls out in two passes. In the first every node has the mirrors, and what they lack
// is pulled from the source; the pools are as they were while the second waits for its approval,
// however often the operator is killed; after it the source is blocked.
func TestStaged(t *testing.T) {
	if !inShard(t, 0) {
		return
	}
	u := startRollout(t, inTwoPasses)
	between := u.awaitSecondGate(t)
	u.havePolicies(t, "Allow Allow")
	if between.Status.Pass != v1alpha1.PassEnforce || between.Status.Record.Pass == nil {
		t.Errorf("pass %q, on record %+v", between.Status.Pass, between.Status.Record.Pass)
	}
	if err := u.cluster.CheckRestored(u.ctx); err != nil {
		t.Errorf("between the passes: %v", err)
	}
	if endpoint, failure := u.pullOn(t, "worker-2", "acme/between"); failure != "" ||
		!strings.HasPrefix(endpoint, scenario.SourceHost) {
		t.Errorf("between the passes an image that the mirror lacks is pulled from %q: %s", endpoint, failure)
	}
	u.killAndRestart(t)
	addRequest(u.ctx, t, u.cluster, u.rollout.Name,
		v1alpha1.Request{ID: "second", Action: v1alpha1.RequestApprove, Gate: "enforce",
			PlanHash: between.Status.PlanHash})
	u.awaitComplete(t)
	u.havePolicies(t, "Never Never")
	if endpoint, failure := u.pullOn(t, "worker-2", "acme/after"); !strings.Contains(failure, "blocked") {
		t.Errorf("after the second pass an image that the mirror lacks is pulled from %q: %q", endpoint, failure)
	}
}

// TestKillBetweenWrites: the operator dies after it has blocked the source for digests and before
// it has written the tag mirrors. The user holds the rollout. The operator that is started next
// writes them before anything else, and then holds.
func TestKillBetweenWrites(t *testing.T) {
	if !inShard(t, 1) {
		return
	}
	u := startRollout(t, inTwoPasses)
	ctx, c, name := u.ctx, u.cluster, u.rollout.Name
	second := u.awaitSecondGate(t)
	u.setTagMirrorRights(t, false)
	addRequest(ctx, t, c, name, v1alpha1.Request{ID: "second", Action: v1alpha1.RequestApprove, Gate: "enforce",
		PlanHash: second.Status.PlanHash})
	u.havePolicies(t, "Never -")
	u.operator.Kill()
	changeSpec(ctx, t, c, name, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.State = v1alpha1.StateHeld })
	u.setTagMirrorRights(t, true)
	started := time.Now()
	if err := u.operator.Start(); err != nil {
		t.Fatal(err)
	}
	u.havePolicies(t, "Never Never")
	held := await(ctx, t, c, name, "it is held", func(r *v1alpha1.SafeMirrorRollout) bool {
		return reasonOf(r, v1alpha1.ConditionReady) == v1alpha1.ReasonHeld
	})
	if held.Status.Nodes.Updated != 0 {
		t.Errorf("%d nodes have the second pass", held.Status.Nodes.Updated)
	}
	audit, err := c.Lab.Audit()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range audit {
		others := []string{"machineconfigpools", "imagedigestmirrorsets", "machineconfigurations"}
		if e.Time.After(started) && strings.HasSuffix(e.User, ":safe-mirror-operator") &&
			slices.Contains(others, e.Resource) {
			t.Errorf("while it is held, %s %s %s", e.Verb, e.Resource, e.Name)
		}
	}
	changeSpec(ctx, t, c, name, func(s *v1alpha1.SafeMirrorRolloutSpec) { s.State = v1alpha1.StateActive })
	u.awaitComplete(t)
}

// setTagMirrorRights gives or takes the operator's right to write ImageTagMirrorSets; it may remove
// them all the while.
func (u *rolloutRun) setTagMirrorRights(t *testing.T, may bool) {
	t.Helper()
	const kind = "imagetagmirrorsets"
	role := &rbacv1.ClusterRole{}
	if err := u.cluster.Client.Get(u.ctx, client.ObjectKey{Name: "safe-mirror-manager"}, role); err != nil {
		t.Fatal(err)
	}
	for i := range role.Rules {
		role.Rules[i].Resources = slices.DeleteFunc(role.Rules[i].Resources, func(r string) bool { return r == kind })
	}
	role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return len(r.Resources) == 0 })
	verbs := []string{"get", "list", "watch", "delete"}
	if may {
		verbs = append(verbs, "create", "patch", "update")
	}
	role.Rules = append(role.Rules,
		rbacv1.PolicyRule{APIGroups: []string{"config.openshift.io"}, Resources: []string{kind}, Verbs: verbs})
	if err := u.cluster.Client.Update(u.ctx, role); err != nil {
		t.Fatal(err)
	}
}
