package scenario

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const desiredDrain = "machineconfiguration.openshift.io/desiredDrain"

// fakeDrainController cordons and uncordons as soon as a node's annotation requests it.
func fakeDrainController(t *testing.T, node string) *Cluster {
	t.Helper()
	c := fake.NewClientBuilder().WithObjects(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}).
		WithInterceptorFuncs(interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object,
			p client.Patch, options ...client.PatchOption) error {
			if err := c.Patch(ctx, o, p, options...); err != nil {
				return err
			}
			n := o.(*corev1.Node)
			n.Spec.Unschedulable = n.Annotations[desiredDrain] == "drain-simulation"
			return c.Update(ctx, n)
		}}).Build()
	return &Cluster{Client: c}
}

func TestDrainUncordonsTheNode(t *testing.T) {
	failed := errors.New("the audit log cannot be read")
	for name, end := range map[string]func(cancel func()) (bool, string, error){
		"enough was seen":    func(func()) (bool, string, error) { return true, "", nil },
		"the wait fails":     func(func()) (bool, string, error) { return false, "", failed },
		"the wait times out": func(cancel func()) (bool, string, error) { cancel(); return false, "one pod is left", nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := fakeDrainController(t, "worker-1")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wasCordoned, wantError := false, name != "enough was seen"
			err := c.drainUntil(ctx, "worker-1", func(ctx context.Context) (bool, string, error) {
				n, err := c.node(ctx, "worker-1")
				if err != nil {
					return false, "", err
				}
				wasCordoned = n.Spec.Unschedulable
				return end(cancel)
			})
			if (err != nil) != wantError {
				t.Errorf("drainUntil: %v, want an error: %t", err, wantError)
			}
			if !wasCordoned {
				t.Error("the node was not cordoned during the drain")
			}
			n, err := c.node(t.Context(), "worker-1")
			if err != nil {
				t.Fatal(err)
			}
			if n.Spec.Unschedulable {
				t.Error("the node is still cordoned after the drain")
			}
		})
	}
}
