package clusterfiles

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// query is a list call's options, taken apart.
type query struct {
	namespace, name, node string
	labels                labels.Selector
	limit, from           int
}

func newQuery(o client.ListOptions) (query, error) {
	q := query{namespace: o.Namespace, labels: o.LabelSelector, limit: int(o.Limit)}
	if q.labels != nil && q.labels.Empty() {
		q.labels = nil
	}
	if o.Continue != "" {
		from, err := strconv.Atoi(o.Continue)
		if err != nil || from < 0 {
			return q, apierrors.NewBadRequest(fmt.Sprintf("continue token %q is not one of this reader", o.Continue))
		}
		q.from = from
	}
	if o.FieldSelector == nil {
		return q, nil
	}
	for _, r := range o.FieldSelector.Requirements() {
		if r.Operator != selection.Equals && r.Operator != selection.DoubleEquals {
			return q, apierrors.NewBadRequest(fmt.Sprintf("field selector %s: only = can be used on files",
				o.FieldSelector))
		}
		switch r.Field {
		case "metadata.name":
			q.name = r.Value
		case "metadata.namespace":
			q.namespace = r.Value
		case "spec.nodeName":
			q.node = r.Value
		default:
			return q, apierrors.NewBadRequest(fmt.Sprintf("field selector %s: only metadata.name, metadata.namespace and spec.nodeName can be used on files", o.FieldSelector))
		}
	}
	return q, nil
}

// candidates are the indices of entries that the indices alone cannot rule out.
func (t *table) candidates(q query) []int {
	if q.node != "" {
		return t.byNode[q.node]
	}
	from, to := 0, len(t.entries)
	if q.namespace != "" {
		at := func(namespace string) int {
			i, _ := slices.BinarySearchFunc(t.entries, entry{namespace: namespace}, entry.compare)
			return i
		}
		from, to = at(q.namespace), at(q.namespace+"\x00")
	}
	out := make([]int, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func (q query) matches(e entry) bool {
	return (q.namespace == "" || q.namespace == e.namespace) && (q.name == "" || q.name == e.name) &&
		(q.node == "" || q.node == e.node)
}

func (t *table) list(list client.ObjectList, q query) error {
	items, element, err := itemsOf(list)
	if err != nil {
		return err
	}
	candidates := slices.DeleteFunc(slices.Clone(t.candidates(q)), func(i int) bool { return !q.matches(t.entries[i]) })
	size := max(0, len(candidates)-q.from)
	if q.limit > 0 {
		size = min(size, q.limit)
	}
	if q.labels != nil {
		size = 0
	}
	out := reflect.MakeSlice(items.Type(), 0, size)
	list.SetContinue("")
	for n := q.from; n < len(candidates); n++ {
		if q.limit > 0 && out.Len() == q.limit {
			list.SetContinue(strconv.Itoa(n))
			break
		}
		one := reflect.New(element)
		object := one.Interface().(client.Object) //nolint:forcetypeassert // itemsOf takes nothing else
		if err := t.decode(t.entries[candidates[n]].data, object); err != nil {
			return err
		}
		if q.labels != nil && !q.labels.Matches(labels.Set(object.GetLabels())) {
			continue
		}
		out = reflect.Append(out, one.Elem())
	}
	items.Set(out)
	return nil
}

// itemsOf is the slice of a list and the type of what is in it.
func itemsOf(list client.ObjectList) (reflect.Value, reflect.Type, error) {
	pointer, err := meta.GetItemsPtr(list)
	if err != nil {
		return reflect.Value{}, nil, err
	}
	items := reflect.ValueOf(pointer).Elem()
	element := items.Type().Elem()
	if _, ok := reflect.New(element).Interface().(client.Object); !ok {
		return reflect.Value{}, nil, fmt.Errorf("%T holds %s, which is not an object", list, element)
	}
	return items, element, nil
}
