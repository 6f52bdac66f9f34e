package execute

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/observe"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// had is what the cluster has before the rollout that these tests are about.
var had = sourcePolicies{allow, none}

func revisionOf(t *testing.T, l sourcePolicies, number int64) *appsv1.ControllerRevision {
	t.Helper()
	r := l.rollout()
	out, err := mirrorset.PreviousOf(mirrorset.IDMS(r), mirrorset.ITMS(r)).Revision(r, "safe-mirror-operator", number)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *setup) revisionNames() (out []string) {
	s.t.Helper()
	var list appsv1.ControllerRevisionList
	if err := s.API.List(s.t.Context(), &list, client.InNamespace("safe-mirror-operator")); err != nil {
		s.t.Fatal(err)
	}
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	return out
}

// The sets are saved under a name that says what they hold. Saving them twice is saving them once
// (I8), what nothing names any more goes, and what was edited is written anew.
func TestSavePrevious(t *testing.T) {
	wanted := revisionOf(t, had, 1)
	save := rollout.SavePrevious{Revision: wanted.Name}
	edited := revisionOf(t, had, 1)
	edited.Data.Raw = []byte(`{"apiVersion":"v1","kind":"List","items":[]}`)
	named := sourcePolicies{allow, never}
	annotated := had.objects()
	annotated[0].GetAnnotations()[mirrorset.AnnotationPrevious] = revisionOf(t, named, 1).Name
	stranger := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: "safe-mirror-operator",
		Name: "stranger"}}
	stranger.Data.Raw = []byte(`{}`)
	cases := map[string]struct {
		objects []client.Object
		want    []string
		number  int64
	}{
		"the first":     {had.objects(), []string{wanted.Name}, 1},
		"it is there":   {append(had.objects(), wanted), []string{wanted.Name}, 1},
		"it was edited": {append(had.objects(), edited), []string{wanted.Name}, 2},
		"an older one": {append(had.objects(), revisionOf(t, sourcePolicies{never, none}, 4)),
			[]string{wanted.Name}, 5},
		"an older one that a set names": {append(annotated, revisionOf(t, named, 4)),
			[]string{wanted.Name, revisionOf(t, named, 4).Name}, 5},
		"somebody else's is left alone": {append(had.objects(), stranger), []string{wanted.Name, "stranger"}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var objects []client.Object
			for _, o := range c.objects {
				objects = append(objects, o.DeepCopyObject().(client.Object))
			}
			s := newSetup(t, objects...)
			obs := &observe.Observation{Rollout: sourcePolicies{never, never}.rollout()}
			for range 2 {
				if err := s.Execute(t.Context(), obs, save); err != nil {
					t.Fatal(err)
				}
			}
			got := s.revisionNames()
			if diff := cmp.Diff(map[string]bool{}, difference(c.want, got)); diff != "" {
				t.Errorf("revisions %v, want %v", got, c.want)
			}
			revision := &appsv1.ControllerRevision{}
			if err := s.API.Get(t.Context(), client.ObjectKeyFromObject(wanted), revision); err != nil {
				t.Fatal(err)
			}
			if _, err := mirrorset.ReadRevision(revision,
				v1alpha1.PreviousMirrorSets{Name: wanted.Name, DataHash: wanted.Name[len("shop-"):]}); err != nil {
				t.Error(err)
			}
			if revision.Revision != c.number {
				t.Errorf("revision %d, want %d", revision.Revision, c.number)
			}
		})
	}
	t.Run("the sets have changed since", func(t *testing.T) {
		s := newSetup(t, sourcePolicies{never, none}.objects()...)
		var refused *Refused
		err := s.Execute(t.Context(), &observe.Observation{Rollout: sourcePolicies{never, never}.rollout()}, save)
		if !errors.As(err, &refused) || len(s.revisionNames()) > 0 {
			t.Errorf("%v, revisions %v", err, s.revisionNames())
		}
	})
}

func difference(a, b []string) map[string]bool {
	out := map[string]bool{}
	for _, name := range a {
		out[name] = true
	}
	for _, name := range b {
		if out[name] {
			delete(out, name)
		} else {
			out[name] = true
		}
	}
	return out
}

// With the rollout goes what no mirror set of it names; what one names stays, for a rollout of the
// same name that adopts it.
func TestTheRevisionsGoWithTheRollout(t *testing.T) {
	for name, keep := range map[string]bool{"its sets are gone, or name none": false, "its sets name it": true} {
		t.Run(name, func(t *testing.T) {
			r := had.rollout()
			r.Finalizers = []string{rollout.Finalizer}
			revision := revisionOf(t, sourcePolicies{never, none}, 1)
			objects := had.objects()
			if keep {
				objects[0].GetAnnotations()[mirrorset.AnnotationPrevious] = revision.Name
			}
			s := newSetup(t, append(objects, r, revision)...)
			obs := &observe.Observation{Rollout: &v1alpha1.SafeMirrorRollout{}}
			if err := s.API.Get(t.Context(), client.ObjectKeyFromObject(r), obs.Rollout); err != nil {
				t.Fatal(err)
			}
			if err := s.Execute(t.Context(), obs, rollout.RemoveFinalizer{}); err != nil {
				t.Fatal(err)
			}
			if got := s.revisionNames(); (len(got) == 1) != keep {
				t.Errorf("revisions %v", got)
			}
		})
	}
}
