package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/mirrorset"
	"github.com/safe-mirror/safe-mirror-operator/internal/openshift/pool"
)

// Writer makes the cluster have the reports that Build made. It may be used by several goroutines.
type Writer struct {
	Client client.Client
	// API reads past the caches. A cache of reports would hold all of them in memory for the sake
	// of a comparison, and one that may not be filled hangs whoever asks it.
	API client.Reader
	Now func() time.Time

	mu sync.Mutex
	// known are by the name of the rollout.
	known map[string]*knownParts
}

const (
	// rereadInterval is how long an edit of a report that changes otherwise in nothing may stay
	// unnoticed.
	rereadInterval = 10 * time.Minute
	// failureRetryInterval is how long a failure stands before the cluster is asked again: a
	// missing right or a foreign report does not go away in a moment, and a rollout is looked at
	// many times a second.
	failureRetryInterval = time.Minute
	// conflictRetryInterval is how long to wait after somebody else has written at the same time.
	conflictRetryInterval = time.Second
)

// Write creates, updates and deletes parts, as few as possible: none that says what it said before.
// It returns the name for the rollout's status, and the time at which Write should be called again
// to write what is held back for now; zero when nothing is.
//
// A part of one of the names that does not carry the rollout's label belongs to somebody else and
// is left alone: the error names it. A report that carries the label is replaced, also one of an
// earlier rollout of the same name.
func (w *Writer) Write(ctx context.Context, reports []v1alpha1.SafeMirrorReport) (v1alpha1.ReportReference, time.Time,
	error) {
	if len(reports) == 0 {
		return v1alpha1.ReportReference{}, time.Time{}, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Now()
	s := w.knownPartsOf(reports[0].Rollout, now)
	nextWrite := s.retryAt
	if !now.Before(s.retryAt) {
		nextWrite = w.writeAndRecord(ctx, s, reports, now)
	}
	if s.lastError != nil {
		return v1alpha1.ReportReference{}, nextWrite, s.lastError
	}
	return v1alpha1.ReportReference{Name: reports[0].Name, Parts: int32(len(reports))}, nextWrite, nil
}

// writeAndRecord writes, and notes what came of it. After a failure it is not known what the
// cluster has.
func (w *Writer) writeAndRecord(ctx context.Context, s *knownParts, reports []v1alpha1.SafeMirrorReport,
	now time.Time) (nextWrite time.Time) {
	nextWrite, err := w.write(ctx, s, reports, now)
	switch {
	case err == nil:
		s.retryAt, s.lastError = time.Time{}, nil
		return nextWrite
	case errors.Is(err, errConflict):
		*s = knownParts{readAt: now, reportedAt: s.reportedAt, retryAt: now.Add(conflictRetryInterval)}
	default:
		*s = knownParts{readAt: now, reportedAt: s.reportedAt, retryAt: now.Add(failureRetryInterval), lastError: err}
	}
	return s.retryAt
}

// errConflict: somebody else has written or deleted the part since it was read.
var errConflict = errors.New("changed since it was read")

func (w *Writer) write(ctx context.Context, s *knownParts, reports []v1alpha1.SafeMirrorReport,
	now time.Time) (nextWrite time.Time, err error) {
	if s.parts == nil || now.Sub(s.readAt) >= rereadInterval {
		if err := w.read(ctx, s, reports[0].Rollout, now); err != nil {
			return time.Time{}, err
		}
	}
	divided := true // into the parts as they are to be
	for i := range reports {
		want := &reports[i]
		have := s.parts[want.Name]
		if have == nil {
			if err := w.create(ctx, s, want); err != nil {
				return time.Time{}, err
			}
			continue
		}
		switch at := rewriteTime(have, want, len(reports), now); {
		case at.IsZero():
		case at.After(now):
			divided = divided && have.Part == want.Part && have.Parts == want.Parts
			if nextWrite.IsZero() || at.Before(nextWrite) {
				nextWrite = at
			}
		default:
			if err := w.update(ctx, s, want, have); err != nil {
				return time.Time{}, err
			}
		}
	}
	if !divided {
		// a reference that is on its way from a surplus part to another is listed until it has
		// arrived
		return nextWrite, nil
	}
	return nextWrite, w.deleteSurplus(ctx, s, reports)
}

// read finds the parts of the rollout in the cluster.
func (w *Writer) read(ctx context.Context, s *knownParts, rollout string, now time.Time) error {
	var list v1alpha1.SafeMirrorReportList
	if err := w.API.List(ctx, &list, client.MatchingLabels{mirrorset.LabelRollout: rollout}); err != nil {
		return fmt.Errorf("reading the SafeMirrorReports of SafeMirrorRollout %s: %w", rollout, err)
	}
	s.parts, s.readAt = map[string]*v1alpha1.SafeMirrorReport{}, now
	for i := range list.Items {
		if isPart(rollout, list.Items[i].Name) {
			s.store(&list.Items[i])
		}
	}
	return nil
}

// isPart tells a part from somebody's copy of one, which carries the label as well.
func isPart(rollout, name string) bool {
	number, ok := strings.CutPrefix(name, rollout+"-")
	_, err := strconv.ParseUint(number, 10, 16)
	return ok && err == nil
}

func (w *Writer) create(ctx context.Context, s *knownParts, want *v1alpha1.SafeMirrorReport) error {
	created := want.DeepCopy()
	err := w.Client.Create(ctx, created, client.FieldOwner(pool.FieldManager))
	switch {
	case apierrors.IsAlreadyExists(err):
		return w.nameTakenError(ctx, want)
	case err != nil:
		return fmt.Errorf("creating SafeMirrorReport %s: %w", want.Name, err)
	}
	s.store(created)
	return nil
}

// nameTakenError says whose the report is that has the name of the wanted one and was not among the
// rollout's own.
func (w *Writer) nameTakenError(ctx context.Context, want *v1alpha1.SafeMirrorReport) error {
	var other v1alpha1.SafeMirrorReport
	switch err := w.API.Get(ctx, client.ObjectKeyFromObject(want), &other); {
	case apierrors.IsNotFound(err):
		return errConflict
	case err != nil:
		return fmt.Errorf("reading SafeMirrorReport %s: %w", want.Name, err)
	case other.Labels[mirrorset.LabelRollout] == want.Rollout:
		return errConflict // created a moment ago
	}
	return fmt.Errorf("SafeMirrorReport %s is not one of SafeMirrorRollout %s: its label %s is %q. It is left alone; delete it, and the report is written",
		want.Name, want.Rollout, mirrorset.LabelRollout, other.Labels[mirrorset.LabelRollout])
}

// update replaces what have says. Labels and annotations that somebody else has put on it stay.
func (w *Writer) update(ctx context.Context, s *knownParts, want, have *v1alpha1.SafeMirrorReport) error {
	next := want.DeepCopy()
	next.ObjectMeta = *have.ObjectMeta.DeepCopy() // with the resourceVersion: nothing is written over what was not read
	maps.Copy(next.Labels, want.Labels)
	next.OwnerReferences = want.OwnerReferences
	err := w.Client.Update(ctx, next, client.FieldOwner(pool.FieldManager))
	switch {
	case apierrors.IsConflict(err) || apierrors.IsNotFound(err):
		return errConflict
	case err != nil:
		return fmt.Errorf("updating SafeMirrorReport %s: %w", want.Name, err)
	}
	s.store(next)
	return nil
}

// deleteSurplus takes away the parts that the report no longer has.
func (w *Writer) deleteSurplus(ctx context.Context, s *knownParts, reports []v1alpha1.SafeMirrorReport) error {
	for _, name := range slices.Sorted(maps.Keys(s.parts)) {
		if slices.ContainsFunc(reports, func(r v1alpha1.SafeMirrorReport) bool { return r.Name == name }) {
			continue
		}
		surplus := s.parts[name]
		err := w.Client.Delete(ctx, surplus,
			client.Preconditions{UID: &surplus.UID, ResourceVersion: &surplus.ResourceVersion})
		switch {
		case apierrors.IsConflict(err):
			return errConflict
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("deleting SafeMirrorReport %s: %w", name, err)
		}
		delete(s.parts, name)
	}
	return nil
}
