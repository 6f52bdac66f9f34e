package observe

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	configv1 "github.com/openshift/api/config/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// neverSynced answers like a cache that is never filled: not before the context ends.
type neverSynced struct{ client.Reader }

func (neverSynced) List(ctx context.Context, _ client.ObjectList, _ ...client.ListOption) error {
	<-ctx.Done()
	return ctx.Err()
}

func (neverSynced) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errDown
}

func TestCacheThatNeverSyncs(t *testing.T) {
	r := timeoutReader{neverSynced{}, time.Microsecond}
	if err := r.List(context.Background(), &configv1.ImageList{}); err == nil ||
		!strings.Contains(err.Error(), "no answer within 1µs") {
		t.Errorf("got %v", err)
	}
	if err := r.Get(context.Background(), client.ObjectKey{Name: "cluster"}, &configv1.Image{}); !errors.Is(err,
		errDown) {
		t.Errorf("got %v, want what the cache says", err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if err := r.List(ended, &configv1.ImageList{}); !errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v, want the end of the look", err)
	}
}
