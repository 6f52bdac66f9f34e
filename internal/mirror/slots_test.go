package mirror

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// startWaiting lets somebody wait in a lane, and returns when it does.
func startWaiting(t *testing.T, ctx context.Context, l *prioritySemaphore, size int64,
	turn func(release func(), err error)) *sync.WaitGroup {
	t.Helper()
	l.mu.Lock()
	before := l.sequence
	l.mu.Unlock()
	var done sync.WaitGroup
	done.Go(func() {
		release, err := l.acquire(ctx, size)
		turn(release, err)
	})
	for {
		l.mu.Lock()
		arrived := l.sequence
		l.mu.Unlock()
		if arrived > before {
			return &done
		}
	}
}

func TestPrioritySemaphoreServesTheLargestFirst(t *testing.T) {
	l := &prioritySemaphore{free: 1}
	release, err := l.acquire(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var all []*sync.WaitGroup
	for _, w := range []struct {
		name string
		size int64
	}{{"first 5", 5}, {"9", 9}, {"second 5", 5}, {"7", 7}} {
		all = append(all, startWaiting(t, context.Background(), l, w.size, func(release func(), _ error) {
			mu.Lock()
			order = append(order, w.name)
			mu.Unlock()
			release()
		}))
	}
	release()
	for _, done := range all {
		done.Wait()
	}
	if diff := cmp.Diff([]string{"9", "7", "first 5", "second 5"}, order); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if l.free != 1 || len(l.queue) != 0 {
		t.Errorf("%d free, %d in line", l.free, len(l.queue))
	}
}

func TestPrioritySemaphoreForgetsCancelledWaiters(t *testing.T) {
	l := &prioritySemaphore{free: 1}
	release, _ := l.acquire(context.Background(), 1)
	ctx, cancel := context.WithCancel(context.Background())
	gone := startWaiting(t, ctx, l, 9, func(_ func(), err error) {
		if err == nil {
			t.Error("has a slot")
		}
	})
	served := startWaiting(t, context.Background(), l, 5, func(release func(), err error) {
		if err != nil {
			t.Error(err)
			return
		}
		release()
	})
	cancel()
	gone.Wait()
	release()
	served.Wait()
	if l.free != 1 {
		t.Errorf("%d free", l.free)
	}
}

func TestSlotsSeparateSmallFromLargeAndSourcesFromEachOther(t *testing.T) {
	s := newHostSlots()
	ctx := context.Background()
	var held []func()
	take := func(from string, size int64) bool {
		t.Helper()
		soon, cancel := context.WithCancel(ctx)
		cancel() // takes a slot that is free, and does not wait for one that is not
		release, err := s.acquireTransfer(soon, from, "mirror", size)
		if err == nil {
			held = append(held, release)
		}
		return err == nil
	}
	large := 0
	for take("hanging", 100<<20) {
		large++
	}
	if want := largeBlobSlots - largeBlobSlots/sourceReserve; large != want {
		t.Errorf("one source has %d large slots, want %d", large, want)
	}
	for take("other", 100<<20) {
		large++
	}
	if large != largeBlobSlots {
		t.Errorf("the registry has %d large slots, want %d", large, largeBlobSlots)
	}
	small := 0
	for take("other", maxSmallBlob) {
		small++
	}
	if small == 0 {
		t.Error("small blobs wait behind large ones")
	}
	for _, release := range held {
		release()
	}
	if !take("hanging", 100<<20) {
		t.Error("slots are not released")
	}
	for _, l := range s.semaphores {
		if slices.ContainsFunc(l.queue, func(w *waiter) bool { return w != nil }) {
			t.Error("somebody still stands in line")
		}
	}
}
