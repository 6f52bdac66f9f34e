package minicluster

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// Edit changes the object of that type and name.
func Edit[T client.Object](objects []client.Object, name string, change func(T)) []client.Object {
	for _, o := range objects {
		if typed, ok := o.(T); ok && o.GetName() == name {
			change(typed)
			return objects
		}
	}
	panic("no object " + name)
}

// FailingReads lets reads of the type, an object or a list, fail with this error.
func FailingReads[T any](err error) interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object,
			opts ...client.GetOption) error {
			if _, same := any(o).(T); same {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, same := any(list).(T); same {
				return err
			}
			return c.List(ctx, list, opts...)
		},
	}
}
