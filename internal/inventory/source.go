package inventory

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// source reads one kind of object and adds what it names.
type source struct {
	// name is what a gap calls it.
	name string
	kind schema.GroupVersionKind
	// essential kinds hold pods, or start them: without them nothing can be said.
	essential bool
	// byName kinds are read object by object, past a cache, which would hold all of the kind for
	// the sake of one.
	byName bool
	// object is an empty object of the kind, for those who watch it; nil for what is not worth a
	// watch.
	object client.Object
	// selector limits the list, and the watch behind it; nil means all.
	selector labels.Selector
	read     func(context.Context, *readState, client.Reader) error
	// reduce keeps of an object what read looks at. Typed objects are reduced in trim.go.
	reduce func(*unstructured.Unstructured) error
}

// essential is a typed kind without which nothing can be said.
func essential[T client.Object](kind schema.GroupVersionKind, example T, list client.ObjectList,
	add func(*readState, T)) source {
	s := listed(kind.Kind, kind, example, list, add)
	s.essential = true
	return s
}

// listed is a typed kind, each object of which adds something.
func listed[T client.Object](name string, kind schema.GroupVersionKind, example T, list client.ObjectList,
	add func(*readState, T)) source {
	return source{name: name, kind: kind, object: example,
		read: func(ctx context.Context, rd *readState, r client.Reader) error {
			return each(ctx, r, list, func(o T) { add(rd, o) })
		}}
}

// cacheContinueToken is what a cache of controller-runtime puts in the place of a continue token:
// it hands everything out at once, and refuses to go on. Source: pkg/cache/internal/cache_reader.go
// List.
const cacheContinueToken = "continue-not-supported"

// each calls add with the objects of a list of the same type as the one that is given, in the parts
// in which the reader hands it out: memory holds one part at a time. The objects may be a cache's
// own.
func each[T client.Object](ctx context.Context, r client.Reader, list client.ObjectList, add func(T)) error {
	for next := ""; ; {
		l, ok := list.DeepCopyObject().(client.ObjectList)
		if !ok {
			return fmt.Errorf("%T is not a list", list)
		}
		opts := []client.ListOption{client.UnsafeDisableDeepCopy}
		if next != "" {
			opts = append(opts, client.Continue(next))
		}
		if err := r.List(ctx, l, opts...); err != nil {
			return err
		}
		err := meta.EachListItem(l, func(o runtime.Object) error {
			object, ok := o.(T)
			if !ok {
				return fmt.Errorf("a %T is among the items of a %T", o, l)
			}
			add(object)
			return nil
		})
		if next = l.GetContinue(); err != nil || next == "" || next == cacheContinueToken {
			return err
		}
	}
}

// decoded is a kind whose types are not in the scheme. Each object is decoded into a T, which has
// only the fields that are looked at; the same T says what a cache has to keep. An object that does
// not decode is listed as a gap and stops nothing.
func decoded[T any](name string, kind schema.GroupVersionKind, selector labels.Selector,
	add func(*readState, Owner, *T)) source {
	example := &unstructured.Unstructured{}
	example.SetGroupVersionKind(kind)
	return source{
		name: name, kind: kind, object: example, selector: selector, reduce: reduce[T],
		read: func(ctx context.Context, rd *readState, r client.Reader) error {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
			options := []client.ListOption{client.UnsafeDisableDeepCopy}
			if selector != nil {
				options = append(options, client.MatchingLabelsSelector{Selector: selector})
			}
			if err := r.List(ctx, list, options...); err != nil {
				return err
			}
			for i := range list.Items {
				o := &list.Items[i]
				owner := Owner{kind.Kind, o.GetNamespace(), o.GetName()}
				var t T
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &t); err != nil {
					rd.addMalformed(name, owner, err)
					continue
				}
				add(rd, owner, &t)
			}
			return nil
		},
	}
}
