package mirror

import "container/list"

// recent is a map of bounded size that gives up first what was used longest ago. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	room  int64 // what all values together may cost
	used  int64
	order *list.List // of *kept[K, V], latest use in front
	items map[K]*list.Element
}

type kept[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

func newRecent[K comparable, V any](room int64) *recent[K, V] {
	return &recent[K, V]{room: room, order: list.New(), items: map[K]*list.Element{}}
}

func (r *recent[K, V]) get(key K) (value V, ok bool) {
	item, ok := r.items[key]
	if !ok {
		return value, false
	}
	r.order.MoveToFront(item)
	return item.Value.(*kept[K, V]).value, true
}

// put keeps a value, in place of the one before. One that costs more than there is room for is not kept at all.
func (r *recent[K, V]) put(key K, value V, cost int64) {
	r.drop(key)
	if cost > r.room {
		return
	}
	r.items[key] = r.order.PushFront(&kept[K, V]{key, value, cost})
	for r.used += cost; r.used > r.room; {
		r.drop(r.order.Back().Value.(*kept[K, V]).key)
	}
}

func (r *recent[K, V]) drop(key K) {
	if item, ok := r.items[key]; ok {
		r.used -= item.Value.(*kept[K, V]).cost
		r.order.Remove(item)
		delete(r.items, key)
	}
}
