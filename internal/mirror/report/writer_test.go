package report

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/test/minicluster"
)

// testCluster is a cluster with a writer that has a clock of its own, and the calls that the writer
// makes.
type testCluster struct {
	*Writer
	t     *testing.T
	at    time.Time
	calls []string
	// down is what every call fails with.
	down error
}

func newTestCluster(t *testing.T, objects ...client.Object) *testCluster {
	t.Helper()
	s := &testCluster{t: t, at: began}
	note := func(verb, name string) error {
		s.calls = append(s.calls, strings.TrimSpace(verb+" "+name))
		return s.down
	}
	c := minicluster.Client(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return errors.Join(note("list", ""), c.List(ctx, list, opts...))
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if err := note("create", o.GetName()); err != nil {
				return err
			}
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if err := note("update", o.GetName()); err != nil {
				return err
			}
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if err := note("delete", o.GetName()); err != nil {
				return err
			}
			return c.Delete(ctx, o, opts...)
		},
	}, objects...)
	s.Writer = &Writer{Client: c, API: c, Now: func() time.Time { return s.at }}
	return s
}

// write writes what the world says now, and tells which calls that took and in how long to come
// again; 0 is never.
func (s *testCluster) write(w *fixture) (calls []string, again time.Duration) {
	s.t.Helper()
	s.calls = nil
	reports := w.reports(s.at)
	ref, at, err := s.Write(context.Background(), reports)
	if err != nil {
		s.t.Fatal(err)
	}
	if want := (v1alpha1.ReportReference{Name: "shop-0", Parts: int32(len(reports))}); ref != want {
		s.t.Errorf("the status is to name %+v, want %+v", ref, want)
	}
	w.rollout.Status.Report = ref
	return s.calls, s.until(at)
}

func (s *testCluster) until(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return at.Sub(s.at)
}

func (s *testCluster) expect(w *fixture, again time.Duration, calls ...string) {
	s.t.Helper()
	got, in := s.write(w)
	if diff := cmp.Diff(calls, got, cmpopts.EquateEmpty()); diff != "" || in != again {
		s.t.Errorf("again in %s, want %s; calls (-want +got):\n%s", in, again, diff)
	}
}

// restart is another process that takes over.
func (s *testCluster) restart() { s.Writer = &Writer{Client: s.Client, API: s.API, Now: s.Now} }

func (s *testCluster) part(name string) *v1alpha1.SafeMirrorReport {
	s.t.Helper()
	out := &v1alpha1.SafeMirrorReport{}
	if err := s.API.Get(context.Background(), client.ObjectKey{Name: name}, out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// edit changes a part in the cluster, as somebody else would.
func (s *testCluster) edit(name string, edit func(*v1alpha1.SafeMirrorReport)) {
	s.t.Helper()
	r := s.part(name)
	edit(r)
	if err := s.Client.Update(context.Background(), r, client.FieldOwner("kubectl-edit")); err != nil {
		s.t.Fatal(err)
	}
}

func TestWriteCreates(t *testing.T) {
	s, w := newTestCluster(t), shop().withUnchanged(images(300)...).withGaps()
	s.expect(w, 0, "list", "create shop-0", "create shop-1")
	for i, want := range w.reports(s.at) {
		got := s.part(Name("shop", i))
		got.ResourceVersion, got.ManagedFields = "", nil
		if diff := cmp.Diff(want, *got, cmpopts.IgnoreTypes(metav1.TypeMeta{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("part %d (-want +got):\n%s", i, diff)
		}
	}
}

// The same again is no write: not from the same process, nor from the next, nor at any later time.
func TestWriteOfTheSame(t *testing.T) {
	s, w := newTestCluster(t), randomFixture(4, 300)
	s.write(w)
	for range 3 {
		s.at = s.at.Add(time.Minute)
		s.expect(w, 0)
	}
	s.restart()
	s.expect(w, 0, "list")
	s.at = s.at.Add(rereadInterval)
	s.expect(w, 0, "list")
}

func TestWriteUpdatesWhatDiffers(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(images(300)...)
	s.write(w)
	image := s.part("shop-1").References[7].Image
	w.withFailure(image)
	s.at = s.at.Add(4 * time.Second)
	s.expect(w, 6*time.Second) // it was written 4 seconds ago
	s.at = s.at.Add(6 * time.Second)
	s.expect(w, 0, "update shop-1")
	got := s.part("shop-1")
	if r := got.References[7]; r.State != "Failing" || r.Message == "" || !got.WrittenAt.Time.Equal(s.at) {
		t.Errorf("%s of %s: %+v", got.Name, got.WrittenAt, r)
	}
}

// A report of many parts is written more slowly, so that all of it together stays below one write
// in two seconds.
func TestWriteHoldsBackMoreOfALargeReport(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(images(1100)...)
	s.write(w)
	for _, i := range images(1100) {
		w.withFailure(i)
	}
	s.expect(w, 16*time.Second) // 8 parts
}

func TestWriteOfProofs(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(app)
	s.write(w)
	s.at = s.at.Add(time.Minute)
	s.expect(w.withProof(app, s.at), 0, "update shop-0")
	s.at = s.at.Add(4 * time.Minute)
	s.expect(w.withProof(app, s.at), 0) // 4 minutes behind is near enough
	s.at = s.at.Add(2 * time.Minute)
	s.expect(w.withProof(app, s.at), 0, "update shop-0")
	s.at = s.at.Add(time.Minute)
	s.expect(w.withProof(app, s.at.Add(5*time.Minute)), 4*time.Minute) // the part was written a minute ago
}

// A clock that was ahead of ours does not hold a report back for as long as it was ahead.
func TestWriteAfterAClockThatWasAhead(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(app)
	s.at = began.Add(time.Hour)
	s.write(w)
	s.at = began
	s.restart()
	s.expect(w.withFailure(app), minRewriteInterval, "list")
}

func TestWriteDeletesSurplusParts(t *testing.T) {
	s, w := newTestCluster(t), shop().withUnchanged(images(1200)...)
	s.write(w)
	if n := w.rollout.Status.Report.Parts; n != 8 {
		t.Fatalf("%d parts, want 8", n)
	}
	w.found.References = w.found.References[:200]
	s.expect(w, 10*time.Second) // the surplus parts stay until their references are in the others
	s.at = s.at.Add(10 * time.Second)
	s.expect(w, 0, "update shop-0", "update shop-1", "delete shop-2", "delete shop-3", "delete shop-4", "delete shop-5",
		"delete shop-6", "delete shop-7")
	if got := s.part("shop-1"); got.Part != 2 || got.Parts != 2 {
		t.Errorf("part %d of %d, want 2 of 2", got.Part, got.Parts)
	}
}

// What is held back for another reason does not hold surplus parts.
func TestWriteDeletesSurplusPartsWhileSomethingChanges(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(images(300)...)
	s.write(w)
	var surplus v1alpha1.SafeMirrorReport
	s.part("shop-1").DeepCopyInto(&surplus)
	surplus.Name, surplus.ResourceVersion = "shop-9", ""
	if err := s.Client.Create(context.Background(), &surplus); err != nil {
		t.Fatal(err)
	}
	s.restart()
	s.expect(w.withFailure(images(300)[0]), minRewriteInterval, "list", "delete shop-9")
}

// A copy that somebody has made of a part is theirs, and so is a part of a rollout with a longer
// name.
func TestWriteDeletesNothingElse(t *testing.T) {
	mine := map[string]string{"safemirror.io/rollout": "shop"}
	s := newTestCluster(t,
		&v1alpha1.SafeMirrorReport{ObjectMeta: metav1.ObjectMeta{Name: "shop-before-the-change", Labels: mine}},
		&v1alpha1.SafeMirrorReport{ObjectMeta: metav1.ObjectMeta{Name: "shop-2-0",
			Labels: map[string]string{"safemirror.io/rollout": "shop-2"}}},
		&v1alpha1.SafeMirrorReport{ObjectMeta: metav1.ObjectMeta{Name: "shop-5", Labels: mine}})
	s.expect(shop().withUnchanged(app), 0, "list", "create shop-0", "delete shop-5")
}

func TestWriteOverAnEdit(t *testing.T) {
	cases := map[string]func(*v1alpha1.SafeMirrorReport){
		"a reference":  func(r *v1alpha1.SafeMirrorReport) { r.References[0].State = "Proven" },
		"none is left": func(r *v1alpha1.SafeMirrorReport) { r.References = nil },
		"a gap":        func(r *v1alpha1.SafeMirrorReport) { r.UnreadSources = nil },
		"the plan":     func(r *v1alpha1.SafeMirrorReport) { r.PlanHash = "" },
		"the owner":    func(r *v1alpha1.SafeMirrorReport) { r.OwnerReferences = nil },
	}
	for name, edit := range cases {
		t.Run(name, func(t *testing.T) {
			s, w := newTestCluster(t), randomFixture(5, 100)
			s.write(w)
			want := s.part("shop-0")
			s.edit("shop-0", edit)
			s.at = s.at.Add(rereadInterval)
			s.expect(w, 0, "list", "update shop-0")
			ignore := cmpopts.IgnoreFields(metav1.ObjectMeta{}, "ResourceVersion", "ManagedFields")
			if diff := cmp.Diff(want, s.part("shop-0"), ignore,
				cmpopts.IgnoreFields(v1alpha1.SafeMirrorReport{}, "WrittenAt")); diff != "" {
				t.Errorf("report (-before +after the edit):\n%s", diff)
			}
		})
	}
}

// Whoever puts a label on a part keeps it, also when the part is written again.
func TestWriteKeepsLabelsOfOthers(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(app)
	s.write(w)
	s.edit("shop-0", func(r *v1alpha1.SafeMirrorReport) { r.Labels["backup"] = "yes" })
	s.at = s.at.Add(rereadInterval)
	s.expect(w, 0, "list")
	s.expect(w.withFailure(app), 0, "update shop-0")
	if got := s.part("shop-0").Labels; got["backup"] != "yes" || got["safemirror.io/rollout"] != "shop" {
		t.Errorf("labels %v", got)
	}
}

// Somebody else writes or deletes a part between two writes: the cluster is read anew, a moment
// later.
func TestWriteAfterAConflict(t *testing.T) {
	edits := map[string]func(*testCluster){
		"edited":  func(s *testCluster) { s.edit("shop-0", func(r *v1alpha1.SafeMirrorReport) { r.Count = 99 }) },
		"deleted": func(s *testCluster) { _ = s.Client.Delete(context.Background(), s.part("shop-0")) },
	}
	after := map[string]string{"edited": "update shop-0", "deleted": "create shop-0"}
	for name, do := range edits {
		t.Run(name, func(t *testing.T) {
			s, w := newTestCluster(t), shop().withMirrored(app)
			s.write(w)
			s.at = s.at.Add(time.Minute)
			do(s)
			s.expect(w.withFailure(app), conflictRetryInterval, "update shop-0")
			s.expect(w, conflictRetryInterval) // and not before
			s.at = s.at.Add(conflictRetryInterval)
			s.expect(w, 0, "list", after[name])
			s.expect(w, 0)
		})
	}
}

// A report of the same name: that of an earlier rollout of this name is replaced, anybody else's is
// not.
func TestWriteOverAnotherReport(t *testing.T) {
	another := func(labels map[string]string) *v1alpha1.SafeMirrorReport {
		return &v1alpha1.SafeMirrorReport{
			ObjectMeta: metav1.ObjectMeta{Name: "shop-0", Labels: labels, OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "safemirror.io/v1alpha1", Kind: "SafeMirrorRollout", Name: "shop", UID: "uid-of-the-past"},
			}},
			PlanHash: "another",
		}
	}
	t.Run("of an earlier rollout", func(t *testing.T) {
		s := newTestCluster(t, another(map[string]string{"safemirror.io/rollout": "shop"}))
		s.expect(shop().withUnchanged(app), 0, "list", "update shop-0")
		if got := s.part("shop-0"); got.OwnerReferences[0].UID != "uid-shop" || len(got.OwnerReferences) != 1 ||
			got.PlanHash != "sha256:planned" {
			t.Errorf("report %+v", got)
		}
	})
	for name, labels := range map[string]map[string]string{"of another": {"safemirror.io/rollout": "other"},
		"of nobody": nil} {
		t.Run(name, func(t *testing.T) {
			s, w := newTestCluster(t, another(labels)), shop().withUnchanged(app)
			_, again, err := s.Write(context.Background(), w.reports(s.at))
			if err == nil || !strings.Contains(err.Error(),
				"SafeMirrorReport shop-0 is not one of SafeMirrorRollout shop") ||
				s.until(again) != failureRetryInterval {
				t.Errorf("error %v, again in %s", err, s.until(again))
			}
			if got := s.part("shop-0"); got.PlanHash != "another" {
				t.Errorf("it was written over: %+v", got)
			}
			if err := s.Client.Delete(context.Background(), s.part("shop-0")); err != nil {
				t.Fatal(err)
			}
			s.at = s.at.Add(failureRetryInterval)
			s.expect(w, 0, "list", "create shop-0")
		})
	}
}

// While the cluster refuses, it is asked once a minute and not at every look.
func TestWriteWhileTheClusterRefuses(t *testing.T) {
	s, w := newTestCluster(t), shop().withUnchanged(app)
	s.down = errors.New("forbidden")
	var calls []string
	for range 120 {
		s.calls = nil
		_, again, err := s.Write(context.Background(), w.reports(s.at))
		if !errors.Is(err, s.down) || !strings.Contains(err.Error(),
			"reading the SafeMirrorReports of SafeMirrorRollout shop") || !again.After(s.at) {
			t.Fatalf("error %v, again at %s", err, again)
		}
		calls = append(calls, s.calls...)
		s.at = s.at.Add(time.Second)
	}
	if len(calls) != 2 {
		t.Errorf("%d calls in two minutes, want 2", len(calls))
	}
	s.down = nil
	s.expect(w, 0, "list", "create shop-0")
}

// Two rollouts do not know of each other's parts.
func TestWriteOfTwoRollouts(t *testing.T) {
	s, one, other := newTestCluster(t), shop().withUnchanged(images(300)...), shop().withUnchanged(app)
	other.rollout.Name, other.rollout.UID = "other", "uid-other"
	s.write(one)
	ref, again, err := s.Write(context.Background(), other.reports(s.at))
	if err != nil || !again.IsZero() || ref != (v1alpha1.ReportReference{Name: "other-0", Parts: 1}) {
		t.Errorf("%+v, again at %s, error %v", ref, again, err)
	}
	s.expect(one, 0)
	s.at = s.at.Add(time.Hour) // the other is not forgotten for good
	s.expect(one, 0, "list")
	if _, _, err := s.Write(context.Background(), other.reports(s.at)); err != nil ||
		!slices.Equal(s.calls, []string{"list", "list"}) {
		t.Errorf("calls %v, error %v", s.calls, err)
	}
}

func TestWriteOfNoReport(t *testing.T) {
	s := newTestCluster(t)
	if ref, again, err := s.Write(context.Background(), nil); err != nil || !again.IsZero() ||
		ref != (v1alpha1.ReportReference{}) || len(s.calls) != 0 {
		t.Errorf("%+v, again at %s, error %v, calls %v", ref, again, err, s.calls)
	}
}

// Report is Build and Write, and does neither more often than there is something to gain.
func TestReport(t *testing.T) {
	s, w := newTestCluster(t), shop().withMirrored(app)
	report := func(again time.Duration, failure error, calls ...string) {
		t.Helper()
		s.calls = nil
		ref, at, err := s.Report(context.Background(), w.rollout, w.plan, w.found, w.results)
		if !errors.Is(err, failure) || s.until(at) != again || !slices.Equal(s.calls, calls) {
			t.Errorf("calls %q, want %q; again in %s, want %s; error %v", s.calls, calls, s.until(at), again, err)
		}
		if err == nil && ref != (v1alpha1.ReportReference{Name: "shop-0", Parts: 1}) {
			t.Errorf("the status is to name %+v", ref)
		}
		w.rollout.Status.Report = ref
	}
	later := func(d time.Duration) { s.at = s.at.Add(d) }
	report(0, nil, "list", "create shop-0")
	later(time.Second)
	w.withFailure(app)
	report(4*time.Second, nil) // not built
	later(4 * time.Second)
	report(5*time.Second, nil) // built, and held back
	later(5 * time.Second)
	report(0, nil, "update shop-0")
	later(minBuildInterval)
	report(0, nil)

	later(time.Minute)
	s.down = errors.New("forbidden")
	w.withProof(app, s.at)
	report(failureRetryInterval, s.down, "update shop-0")
	w.withParts(1)
	later(20 * time.Second)
	report(40*time.Second, nil) // said once
	s.down = nil
	later(40 * time.Second)
	report(0, nil, "list", "update shop-0")
}

// A rollout that is looked at every five seconds for an hour, with a report of two parts. What is
// written is bounded by the clock, not by how much happens. Each of the most is: creating,
// rewriting, and reading every rereadInterval.
func TestWritesInAnHour(t *testing.T) {
	const n, looks = 130, 720
	cases := map[string]struct {
		change func(w *fixture, look int, at time.Time)
		looks  int
		most   int
	}{
		"nothing happens": {func(*fixture, int, time.Time) {}, looks, 2 + 0 + 6},
		"an image is proven at each look, until all are": {func(w *fixture, look int, at time.Time) {
			if look < n {
				w.withProof(w.plan.Items[look].Name, at)
			}
		}, looks, 2 + 2*n*5/10 + 6},
		"every image is proven again every four minutes": {func(w *fixture, look int, at time.Time) {
			for i := range w.plan.Items {
				if look == 0 || look%48 == i%48 {
					w.withProof(w.plan.Items[i].Name, at)
				}
			}
		}, looks, 2 + 2*60/5 + 6},
		"everything changes at every look, for ten minutes": {func(w *fixture, look int, at time.Time) {
			for i := range w.plan.Items {
				if look%3 == 0 {
					w.withFailure(w.plan.Items[i].Name)
				} else {
					w.withProof(w.plan.Items[i].Name, at)
				}
			}
		}, looks / 6, 2 + 2*600/10 + 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, w := newTestCluster(t), shop().withMirrored(images(n)...).withParts(2)
			total := 0
			for look := range c.looks {
				c.change(w, look, s.at)
				calls, _ := s.write(w)
				total += len(calls)
				s.at = s.at.Add(5 * time.Second)
			}
			if parts := w.rollout.Status.Report.Parts; total > c.most || parts != 2 {
				t.Errorf("%d calls for %d parts, want at most %d for 2", total, parts, c.most)
			}
			t.Logf("%d calls, at most %d", total, c.most)
		})
	}
}
