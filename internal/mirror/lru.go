package mirror

import "container/list"

// lruCache is a map of bounded size that gives up first what was used longest ago. It is not safe
// for concurrent use.
type lruCache[K comparable, V any] struct {
	capacity int64 // what all values together may cost
	used     int64
	order    *list.List // of *kept[K, V], latest use in front
	items    map[K]*list.Element
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

func newLRUCache[K comparable, V any](capacity int64) *lruCache[K, V] {
	return &lruCache[K, V]{capacity: capacity, order: list.New(), items: map[K]*list.Element{}}
}

func (r *lruCache[K, V]) get(key K) (value V, ok bool) {
	item, ok := r.items[key]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(item)
	return item.Value.(*lruEntry[K, V]).value, true
}

// put keeps a value, in place of the one before. One that costs more than there is room for is not
// kept at all.
func (r *lruCache[K, V]) put(key K, value V, cost int64) {
	r.remove(key)
	if cost > r.capacity {
		return
	}
	r.items[key] = r.order.PushFront(&lruEntry[K, V]{key, value, cost})
	for r.used += cost; r.used > r.capacity; {
		r.remove(r.order.Back().Value.(*lruEntry[K, V]).key)
	}
}

func (r *lruCache[K, V]) remove(key K) {
	if item, ok := r.items[key]; ok {
		r.used -= item.Value.(*lruEntry[K, V]).cost
		r.order.Remove(item)
		delete(r.items, key)
	}
}
