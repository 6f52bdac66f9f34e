package prediction

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// fakeLister answers with so many objects of each kind.
type fakeLister struct {
	client.Reader
	count map[string]int
	err   error
}

func (l fakeLister) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	u := list.(*unstructured.UnstructuredList)
	for i := range l.count[strings.TrimSuffix(u.GetKind(), "List")] {
		o := unstructured.Unstructured{}
		o.SetName(fmt.Sprintf("one-%d", i))
		u.Items = append(u.Items, o)
	}
	return l.err
}

func TestNodeLifecycleControllers(t *testing.T) {
	cases := map[string]struct {
		cluster fakeLister
		want    []string // the beginnings
	}{
		"nothing": {cluster: fakeLister{}},
		"kinds that are gone": {cluster: fakeLister{count: map[string]int{"MachineHealthCheck": 1},
			err: errors.New("no matches for kind")}},
		"a health check": {cluster: fakeLister{count: map[string]int{"MachineHealthCheck": 1}},
			want: []string{"MachineHealthCheck one-0 deletes the machines"}},
		"many, and an autoscaler": {cluster: fakeLister{count: map[string]int{"MachineHealthCheck": 7,
			"ClusterAutoscaler": 1}}, want: []string{
			"MachineHealthCheck one-0, one-1, one-2, one-3, one-4, 2 more deletes",
			"ClusterAutoscaler one-0 adds and removes nodes"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := NodeLifecycleControllers(context.Background(), c.cluster)
			if len(got) != len(c.want) {
				t.Fatalf("%q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("%q, want it to begin with %q", got[i], c.want[i])
				}
			}
		})
	}
	t.Run("a cluster without the kinds", func(t *testing.T) {
		if got := NodeLifecycleControllers(context.Background(),
			fake.NewClientBuilder().WithScheme(runtime.NewScheme()).Build()); len(got) > 0 {
			t.Errorf("%q", got)
		}
	})
}

func TestUnmanagedNodes(t *testing.T) {
	var pools []mcfgv1.MachineConfigPool
	for _, name := range []string{"edge", "infra", "worker"} {
		p := mcfgv1.MachineConfigPool{ObjectMeta: metav1.ObjectMeta{Name: name}}
		p.Spec.NodeSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"role/" + name: ""}}
		pools = append(pools, p)
	}
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n",
		Labels: map[string]string{"role/edge": "", "role/infra": "", "role/worker": ""}}}
	got := unmanagedNodes(pools, []corev1.Node{node})
	if len(got) != 1 || got[0].Name != "n" ||
		!strings.Contains(got[0].Message, "node n is selected by the custom pools edge and infra") {
		t.Errorf("%+v", got)
	}
}
