package mirror

import "testing"

func TestLRUCacheEvictsTheLeastRecentlyUsed(t *testing.T) {
	r := newLRUCache[string, int](3)
	r.put("a", 1, 1)
	r.put("b", 2, 1)
	r.put("c", 3, 1)
	r.get("a")
	r.put("d", 4, 1)
	r.put("d", 5, 1) // replaces
	r.put("huge", 6, 4)
	for key, want := range map[string]int{"a": 1, "c": 3, "d": 5} {
		if got, ok := r.get(key); !ok || got != want {
			t.Errorf("%s: got %d, %t", key, got, ok)
		}
	}
	for _, key := range []string{"b", "huge"} {
		if _, ok := r.get(key); ok {
			t.Errorf("%s is still there", key)
		}
	}
	r.remove("a")
	r.remove("a")
	if r.used != 2 || len(r.items) != 2 || r.order.Len() != 2 {
		t.Errorf("used %d, %d items, %d in order", r.used, len(r.items), r.order.Len())
	}
}
