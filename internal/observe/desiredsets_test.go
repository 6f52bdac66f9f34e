package observe

import (
	"context"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	opv1 "github.com/openshift/api/operator/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/nodedisruption"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// stagedRollout is the rollout shop in two passes, with that record.
func stagedRollout(rec v1alpha1.Record) *v1alpha1.SafeMirrorRollout {
	r := minicluster.Rollout("shop")
	r.Spec.SourcePolicy, r.Status.Record = v1alpha1.SourcePolicyStaged, rec
	return r
}

// writtenSets are the mirror sets as the rollout would write them.
func writtenSets(r *v1alpha1.SafeMirrorRollout) []client.Object {
	return []client.Object{mirrorset.IDMS(r), mirrorset.ITMS(r)}
}

// Which pass it is stands on record, and when that is lost the mirror sets tell.
func TestPasses(t *testing.T) {
	const never, allow = configv1.NeverContactSource, configv1.AllowContactingSource
	declared := minicluster.Rollout("shop")
	lists := mirrorset.ListsHash(declared.Spec)
	firstPass, _ := mirrorset.FirstPass(declared, mirrorset.Previous{})
	applied := func(r *v1alpha1.SafeMirrorRollout) *v1alpha1.SafeMirrorRollout {
		r = r.DeepCopy()
		r.Status.Record.AppliedPlanHash = "sha256:x" // then it is known what was there before, and the sets say so
		return r
	}
	onRecord := func(p v1alpha1.Pass) v1alpha1.Record {
		return v1alpha1.Record{AppliedPlanHash: "sha256:x", Pass: &v1alpha1.PassRecord{Pass: p, MirrorsHash: lists}}
	}
	cases := map[string]struct {
		record v1alpha1.Record
		direct bool
		have   []client.Object
		pass   v1alpha1.Pass
		policy configv1.MirrorSourcePolicy
		state  rollout.SetState
		before *v1alpha1.PreviousMirrorSets
	}{
		"a new one":    {pass: v1alpha1.PassAllow, policy: allow, state: rollout.SetMissing},
		"a direct one": {direct: true, policy: never, state: rollout.SetMissing},
		"in the first": {record: onRecord(v1alpha1.PassAllow), have: writtenSets(firstPass),
			pass: v1alpha1.PassAllow, policy: allow, state: rollout.SetEqual},
		"in the second": {record: onRecord(v1alpha1.PassEnforce), have: writtenSets(firstPass),
			pass: v1alpha1.PassEnforce, policy: never, state: rollout.SetDiffers},
		"at the end": {record: onRecord(v1alpha1.PassEnforce), have: writtenSets(declared),
			pass: v1alpha1.PassEnforce, policy: never, state: rollout.SetEqual},
		"lost in the first": {have: writtenSets(applied(firstPass)), pass: v1alpha1.PassAllow, policy: allow,
			state: rollout.SetEqual},
		"lost in the second": {have: writtenSets(applied(declared)), pass: v1alpha1.PassEnforce, policy: never,
			state: rollout.SetEqual},
		"other lists begin anew": {record: v1alpha1.Record{AppliedPlanHash: "sha256:x",
			Pass: &v1alpha1.PassRecord{Pass: v1alpha1.PassEnforce, MirrorsHash: "other"}}, have: writtenSets(firstPass),
			pass: v1alpha1.PassAllow, policy: allow, state: rollout.SetEqual},
		"blocked since before: there is one pass": {
			record: v1alpha1.Record{AppliedPlanHash: "sha256:x", Previous: previous(declared)},
			have:   append(writtenSets(declared), revision(t, declared)),
			policy: never, state: rollout.SetEqual, before: previous(declared)},
		"on the way back": {
			record: v1alpha1.Record{AppliedPlanHash: "sha256:x", Previous: previous(firstPass),
				Rollback: &v1alpha1.RollbackRecord{},
				Pass:     &v1alpha1.PassRecord{Pass: v1alpha1.PassEnforce, MirrorsHash: lists}},
			have: append(writtenSets(declared), revision(t, firstPass)), policy: allow, state: rollout.SetDiffers,
			before: previous(firstPass)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := stagedRollout(c.record)
			if c.direct {
				r.Spec.SourcePolicy = v1alpha1.SourcePolicyDirect
			}
			obs := mustObserve(t, newObserver(append(append(minicluster.Objects("worker-0"), r), c.have...)...))
			got := mustKnow(t, obs.Observed.Sets)
			if len(got.DesiredHash) > 256 || len(got.PresentIDMSHash) > 128 || len(got.PresentITMSHash) > 128 ||
				len(got.ListsHash) > 128 {
				t.Errorf("the record has no room for %+v", got) // the bounds of v1alpha1.WritingRecord and PassRecord
			}
			if got.Pass != c.pass || got.ITMS != c.state || got.IDMS != c.state ||
				!reflect.DeepEqual(got.Previous, c.before) || !got.PreviousSaved || got.ListsHash != lists {
				t.Errorf("pass %q, sets %s and %s, before %+v; want %q, %s, %+v", got.Pass, got.IDMS, got.ITMS,
					got.Previous, c.pass, c.state, c.before)
			}
			for _, policy := range []configv1.MirrorSourcePolicy{obs.IDMS.Spec.ImageDigestMirrors[0].MirrorSourcePolicy,
				obs.ITMS.Spec.ImageTagMirrors[0].MirrorSourcePolicy} {
				if policy != c.policy {
					t.Errorf("wanted is %s, want %s", policy, c.policy)
				}
			}
			if diff := cmp.Diff(minicluster.Rollout("shop").Spec.ImageTagMirrors,
				obs.Rollout.Spec.ImageTagMirrors); diff != "" {
				t.Errorf("the spec itself has changed:\n%s", diff)
			}
		})
	}
	t.Run("each has a plan of its own", func(t *testing.T) {
		digests := map[string]bool{}
		for _, p := range []v1alpha1.Pass{v1alpha1.PassAllow, v1alpha1.PassEnforce} {
			obs := mustObserve(t, newObserver(append(append(minicluster.Objects("worker-0"),
				stagedRollout(onRecord(p))), writtenSets(firstPass)...)...))
			digests[mustKnow(t, obs.Observed.Plan).Digest] = true
		}
		if len(digests) != 2 {
			t.Errorf("plans %v", digests)
		}
	})
}

// A set of somebody else's that gives the source another policy is said to clash: what is half
// written is not finished against it.
func TestConflictingMirrorSet(t *testing.T) {
	other := &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "books"},
		Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: "quay.io/acme",
				Mirrors: []configv1.ImageMirror{"books.local"}, MirrorSourcePolicy: configv1.AllowContactingSource}},
		}}
	if got := mustKnow(t, mustObserve(t, newObserver(cluster(other)...)).Observed.Sets).Conflict; got == "" {
		t.Error("nothing is said of it")
	}
}

func TestNodeDisruptionPolicy(t *testing.T) {
	mc := &opv1.MachineConfiguration{ObjectMeta: metav1.ObjectMeta{Name: nodedisruption.Name}}
	mc.Status.NodeDisruptionPolicyStatus.ClusterPolicies.Files = []opv1.NodeDisruptionPolicyStatusFile{{
		Path:    "/etc/containers/registries.conf",
		Actions: []opv1.NodeDisruptionPolicyStatusAction{{Type: opv1.DrainStatusAction}}}}
	if got := mustKnow(t, mustObserve(t,
		newObserver(cluster(mc)...)).Observed.NodeDisruptionPolicy); got.Effective != "Drain" || got.Unsupported != "" {
		t.Errorf("policy %+v", got)
	}
	if got := mustKnow(t, mustObserve(t,
		newObserver(cluster()...)).Observed.NodeDisruptionPolicy); got.Unsupported == "" {
		t.Errorf("policy of a cluster without: %+v", got)
	}
	failing := mustObserve(t, newObserverWith(minicluster.FailingReads[*opv1.MachineConfiguration](errDown),
		cluster(mc)...))
	if why := failing.Observed.NodeDisruptionPolicy.Why(); why != errDown.Error() {
		t.Errorf("unknown because %q", why)
	}
	mc.Annotations = map[string]string{nodedisruption.PolicyRecordAnnotation: "?"}
	observer := newObserverWith(interceptor.Funcs{}, cluster(mc)...)
	if _, known := nodedisruption.Read(context.Background(), observer.API, "shop").Get(); known {
		t.Error("a note that nobody can read is none")
	}
}
