package observe

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	configv1 "github.com/openshift/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

func tagSet(name, source string, policy configv1.MirrorSourcePolicy,
	labels map[string]string) *configv1.ImageTagMirrorSet {
	return &configv1.ImageTagMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: configv1.ImageTagMirrorSetSpec{
			ImageTagMirrors: []configv1.ImageTagMirrors{{Source: source,
				Mirrors: []configv1.ImageMirror{"other.local/acme"}, MirrorSourcePolicy: policy}},
		}}
}

// TestSpecProblems: what is wrong with the spec in the light of the cluster.
func TestSpecProblems(t *testing.T) {
	conflict := rollout.Problem{Reason: v1alpha1.ReasonInvalidMirrorSets, Kind: "ImageTagMirrorSet", Name: "shop",
		Message: "spec.imageTagMirrors[0]"}
	foreign := func(kind string) rollout.Problem {
		return rollout.Problem{Reason: v1alpha1.ReasonManagedElsewhere, Kind: kind, Name: "shop", Message: kind +
			" shop exists and is not this rollout's (no label safemirror.io/rollout=shop)"}
	}
	cases := map[string]struct {
		objects []client.Object
		want    []rollout.Problem
	}{
		"none":                    {cluster(), nil},
		"none, with the own sets": {cluster(ownSets()...), nil},
		"a set of the same name": {cluster(tagSet("shop", "ghcr.io", "", nil)),
			[]rollout.Problem{foreign("ImageTagMirrorSet")}},
		"a digest set of the same name": {cluster(&configv1.ImageDigestMirrorSet{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}), []rollout.Problem{foreign("ImageDigestMirrorSet")}},
		"another set for the source": {cluster(tagSet("other", "quay.io/acme", configv1.NeverContactSource,
			nil)), nil},
		"another set of another policy": {cluster(tagSet("books", "quay.io/acme", "", nil)),
			[]rollout.Problem{{Reason: conflict.Reason, Kind: "ImageTagMirrorSet", Name: "books",
				Message: "ImageTagMirrorSet books, spec.imageTagMirrors[0]"}, conflict}},
		"an invalid set of somebody else": {cluster(tagSet("bad", "Quay.io/BAD", "", nil)),
			[]rollout.Problem{{Reason: conflict.Reason, Kind: "ImageTagMirrorSet", Name: "bad",
				Message: "ImageTagMirrorSet bad, spec.imageTagMirrors[0].source"}}},
		"a previous set of its own does not count": {cluster(tagSet("shop", "quay.io/acme", "",
			map[string]string{"safemirror.io/rollout": "shop"})), nil},
		"a missing Secret": {drop[*corev1.Secret](cluster(), pullSecret), []rollout.Problem{{
			Reason: v1alpha1.ReasonSecretInvalid, Kind: "Secret", Namespace: configNamespace, Name: pullSecret,
			Message: "the cluster's global pull secret",
		}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := mustKnow(t, mustObserve(t, newObserver(c.objects...)).Observed.SpecProblems)
			if diff := cmp.Diff(append([]rollout.Problem{}, c.want...), got, cmp.Comparer(sameBeginning)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// sameBeginning compares the problems by all but the end of their messages.
func sameBeginning(a, b rollout.Problem) bool {
	begins := strings.HasPrefix(a.Message, b.Message) || strings.HasPrefix(b.Message, a.Message)
	a.Message, b.Message = "", ""
	return begins && a == b
}

// TestDryRun: the API server is asked before anything is changed (R4), and not at each look.
func TestDryRun(t *testing.T) {
	webhook := apierrors.NewForbidden(schema.GroupResource{Resource: "imagetagmirrorsets"}, "shop",
		errors.New("managed\n  cluster"))
	cases := map[string]struct {
		err       error
		transient bool
	}{
		"a webhook":            {webhook, false},
		"too many requests":    {apierrors.NewTooManyRequests("later", 1), true},
		"an internal error":    {apierrors.NewInternalError(errDown), true},
		"an API server away":   {errDown, true},
		"a name that is wrong": {apierrors.NewInvalid(schema.GroupKind{Kind: "ImageTagMirrorSet"}, "shop", nil), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := mustKnow(t, mustObserve(t,
				newObserverWith(refusing(c.err, new(int)), cluster()...)).Observed.SpecProblems)
			if len(got) != 2 || got[0].Kind != "ImageDigestMirrorSet" || got[1].Kind != "ImageTagMirrorSet" {
				t.Fatalf("problems %+v, want one for each set", got)
			}
			for _, p := range got {
				if p.Reason != v1alpha1.ReasonInvalidMirrorSets || p.Transient != c.transient ||
					!strings.Contains(p.Message, "the API server refuses the "+p.Kind+" shop: ") {
					t.Errorf("%+v, want passing %t", p, c.transient)
				}
				if strings.Contains(p.Message, "\n") {
					t.Errorf("%q is not one line", p.Message)
				}
			}
		})
	}
}

// refusing counts the dry runs and refuses them; anything but a dry run is an error.
func refusing(err error, runs *int) interceptor.Funcs {
	return interceptor.Funcs{Apply: func(_ context.Context, _ client.WithWatch, _ runtime.ApplyConfiguration,
		opts ...client.ApplyOption) error {
		if !minicluster.DryRun(opts) {
			return errors.New("a look has written something")
		}
		*runs++
		return err
	}}
}

func TestDryRunsAreCached(t *testing.T) {
	runs, now := 0, minicluster.StartTime
	observer := newObserverWith(refusing(nil, &runs), cluster()...)
	observer.Now = func() time.Time { return now }
	expect := func(want int, why string) {
		t.Helper()
		mustObserve(t, observer)
		if runs != want {
			t.Errorf("%d dry runs, want %d: %s", runs, want, why)
		}
	}
	expect(2, "one for each set")
	now = now.Add(dryRunMaxAge - time.Second)
	expect(2, "what was said is still good")
	now = now.Add(time.Second)
	expect(4, "an admission policy may have changed")
	observer.dryRuns = map[string]dryRun{}
	for i := range 65 {
		observer.dryRuns[strings.Repeat("x", i)] = dryRun{}
	}
	expect(6, "another spec")
	if len(observer.dryRuns) != 1 {
		t.Errorf("%d are kept, want the one of now", len(observer.dryRuns))
	}
}

// Once the rollout has begun, or is on its way out, nothing hangs on the API server's word any
// more.
func TestNoDryRunAfterStart(t *testing.T) {
	began := metav1.NewTime(minicluster.StartTime)
	cases := map[string]func(*v1alpha1.SafeMirrorRollout){
		"begun": func(r *v1alpha1.SafeMirrorRollout) { r.Status.Record.StartedAt = &began },
		"deleting": func(r *v1alpha1.SafeMirrorRollout) {
			r.DeletionTimestamp, r.Finalizers = &began, []string{rollout.Finalizer}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			runs := 0
			mustObserve(t, newObserverWith(refusing(nil, &runs), minicluster.Edit(cluster(), "shop", change)...))
			if runs != 0 {
				t.Errorf("%d dry runs", runs)
			}
		})
	}
}

// Only the kinds that a plan needs are asked about, and one that cannot be read makes the plan
// unknown, and nothing else.
func TestUnreadableInventory(t *testing.T) {
	obs := mustObserve(t, newObserverWith(minicluster.FailingReads[*appsv1.DeploymentList](errDown), cluster()...))
	for part, why := range map[string]string{"plan": obs.Observed.Plan.Why(),
		"transfers": obs.Observed.Transfers.Why()} {
		if !strings.Contains(why, "every Deployment: connection refused") {
			t.Errorf("%s are unknown because %q", part, why)
		}
	}
	mustKnow(t, obs.Observed.Pools)
}
