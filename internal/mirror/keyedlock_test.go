package mirror

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestKeyedLockIsHeldByOneAtATime(t *testing.T) {
	f := newKeyedLock[string]()
	ctx := context.Background()
	first, err := f.acquireOrWait(ctx, "blob")
	if err != nil || first == nil {
		t.Fatal("the first one must have it", err)
	}
	other, err := f.acquireOrWait(ctx, "other")
	if err != nil || other == nil {
		t.Fatal("another key is free", err)
	}
	var waiting sync.WaitGroup
	takenOver := make(chan func(), 3)
	for range 3 {
		waiting.Go(func() {
			for {
				leave, err := f.acquireOrWait(ctx, "blob")
				if err != nil {
					t.Error(err)
					return
				}
				if leave != nil {
					takenOver <- leave
					return
				}
			}
		})
	}
	first()
	for range 3 { // one after the other, each when the one before has left
		leave := <-takenOver
		if len(takenOver) != 0 {
			t.Error("two have it at once")
		}
		leave()
	}
	waiting.Wait()
}

func TestKeyedLockWaitersEndWithTheirContext(t *testing.T) {
	f := newKeyedLock[string]()
	leave, _ := f.acquireOrWait(context.Background(), "blob")
	defer leave()
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("not wanted any more")
	cancel(reason)
	if got, err := f.acquireOrWait(ctx, "blob"); got != nil || !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
}
