package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const image = "quay.io/acme/app:v1"

// read gives each reference on one line: the image, whether it blocks, who uses it.
func read(t *testing.T, additional []string, objects ...client.Object) []string {
	t.Helper()
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).Build()
	refs, err := Read(context.Background(), c, additional)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range refs {
		kind := "advisory"
		if r.Blocking {
			kind = "blocking"
		}
		out = append(out, fmt.Sprintf("%s %s: %s", r.Image, kind, r.UsedBy()))
	}
	return out
}

func TestSources(t *testing.T) {
	yes, no := true, false
	as := func(kind, owner string) []string { return []string{image + " " + kind + ": " + owner} }
	plain := func(*batchv1.Job) {}
	cases := map[string]struct {
		object client.Object
		want   []string
	}{
		"a running pod":                              {pod("app", corev1.PodRunning, image), as("blocking", "Pod shop/app")},
		"a pending pod":                              {pod("app", corev1.PodPending, image), as("blocking", "Pod shop/app")},
		"a pod that has succeeded":                   {pod("app", corev1.PodSucceeded, image), nil},
		"a pod that has failed":                      {pod("app", corev1.PodFailed, image), nil},
		"a Deployment":                               {deployment("app", replicas(2), image), as("blocking", "Deployment shop/app")},
		"a Deployment that says no number":           {deployment("app", nil, image), as("blocking", "Deployment shop/app")},
		"a Deployment scaled to zero":                {deployment("app", replicas(0), image), as("advisory", "Deployment shop/app")},
		"a StatefulSet":                              {statefulSet("app", replicas(1), image), as("blocking", "StatefulSet shop/app")},
		"a StatefulSet scaled to zero":               {statefulSet("app", replicas(0), image), as("advisory", "StatefulSet shop/app")},
		"a DaemonSet, with or without pods":          {daemonSet("app", image), as("blocking", "DaemonSet shop/app")},
		"a ReplicaSet at work":                       {replicaSet(owned("app-1", "app"), replicas(2), image), as("blocking", "ReplicaSet shop/app-1")},
		"a ReplicaSet of the past":                   {replicaSet(owned("app-1", "app"), replicas(0), image), nil},
		"a ReplicaSet without a Deployment":          {replicaSet(meta("app"), replicas(1), image), as("blocking", "ReplicaSet shop/app")},
		"one of those scaled to zero":                {replicaSet(meta("app"), replicas(0), image), as("advisory", "ReplicaSet shop/app")},
		"a ReplicationController at work":            {replicationController(owned("app-1", "app"), replicas(1), image), as("blocking", "ReplicationController shop/app-1")},
		"a ReplicationController of the past":        {replicationController(owned("app-1", "app"), replicas(0), image), nil},
		"a ReplicationController on its own":         {replicationController(meta("app"), replicas(0), image), as("advisory", "ReplicationController shop/app")},
		"a ReplicationController without a template": {&corev1.ReplicationController{ObjectMeta: meta("app")}, nil},
		"a Job":           {job("app", plain, image), as("blocking", "Job shop/app")},
		"a suspended Job": {job("app", func(j *batchv1.Job) { j.Spec.Suspend = &yes }, image), as("advisory", "Job shop/app")},
		"a resumed Job":   {job("app", func(j *batchv1.Job) { j.Spec.Suspend = &no }, image), as("blocking", "Job shop/app")},
		"a Job that has completed": {job("app", func(j *batchv1.Job) {
			j.Status.CompletionTime = &metav1.Time{Time: time.Unix(1, 0)}
		}, image), nil},
		"a Job that says it is complete": {job("app", condition(batchv1.JobComplete, corev1.ConditionTrue), image), nil},
		"a Job that has failed":          {job("app", condition(batchv1.JobFailed, corev1.ConditionTrue), image), nil},
		"a Job that has not failed":      {job("app", condition(batchv1.JobFailed, corev1.ConditionFalse), image), as("blocking", "Job shop/app")},
		"a CronJob":                      {cronJob("app", nil, image), as("blocking", "CronJob shop/app")},
		"a suspended CronJob":            {cronJob("app", &yes, image), as("advisory", "CronJob shop/app")},
		"a container without an image":   {pod("app", corev1.PodRunning, ""), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, read(t, nil, c.object)); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

func condition(kind batchv1.JobConditionType, status corev1.ConditionStatus) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: status}} }
}

// Everything that a pod of the spec makes a node pull.
func TestEveryContainerOfAPod(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := pod("app", corev1.PodRunning, "quay.io/acme/app:v1", "quay.io/acme/proxy:v1")
	p.Spec.InitContainers = []corev1.Container{
		{Image: "quay.io/acme/migrate:v1"},
		{Image: "quay.io/acme/sidecar:v1", RestartPolicy: &always}, // a native sidecar
	}
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Image: "quay.io/acme/debug:v1"}}}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "model", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "quay.io/acme/model:v1"}}},
		{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	want := []string{
		"quay.io/acme/app:v1 blocking: Pod shop/app", "quay.io/acme/debug:v1 blocking: Pod shop/app",
		"quay.io/acme/migrate:v1 blocking: Pod shop/app", "quay.io/acme/model:v1 blocking: Pod shop/app",
		"quay.io/acme/proxy:v1 blocking: Pod shop/app", "quay.io/acme/sidecar:v1 blocking: Pod shop/app",
	}
	if diff := cmp.Diff(want, read(t, nil, p)); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
}

func TestReferencesAreGathered(t *testing.T) {
	cases := map[string]struct {
		additional []string
		objects    []client.Object
		want       []string
	}{
		"one image of many": {
			objects: []client.Object{deployment("app", replicas(1), image), pod("app-1", corev1.PodRunning, image), pod("app-2", corev1.PodRunning, image)},
			want:    []string{image + " blocking: Deployment shop/app and 2 more"},
		},
		"one that may start makes it block": {
			objects: []client.Object{deployment("app", replicas(0), image), cronJob("nightly", nil, image)},
			want:    []string{image + " blocking: CronJob shop/nightly and 1 more"},
		},
		"one that uses it twice is one": {
			objects: []client.Object{pod("app", corev1.PodRunning, image, image)},
			want:    []string{image + " blocking: Pod shop/app"},
		},
		"the user's own": {
			additional: []string{"quay.io/acme/nightly:v1"},
			want:       []string{"quay.io/acme/nightly:v1 blocking: spec.inventory.additionalImages quay.io/acme/nightly:v1"},
		},
		"spellings are kept apart": {
			objects: []client.Object{pod("a", corev1.PodRunning, "nginx"), pod("b", corev1.PodRunning, "docker.io/library/nginx:latest")},
			want:    []string{"docker.io/library/nginx:latest blocking: Pod shop/b", "nginx blocking: Pod shop/a"},
		},
		"nothing": {},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, read(t, c.additional, c.objects...)); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

// A cache lists its objects in any order; what is said of them is always the same.
func TestTheOrderOfOwnersDoesNotMatter(t *testing.T) {
	gather := func(names ...string) []Reference {
		c := &Collector{}
		for _, n := range names {
			c.Add(image, Owner{"Pod", "shop", n}, true)
			c.Add(image, Owner{"Pod", "shop", n}, true)
		}
		return c.References()
	}
	want := []Reference{{Image: image, Blocking: true, Count: 8}}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		want[0].Owners = append(want[0].Owners, Owner{"Pod", "shop", n})
	}
	for _, names := range [][]string{{"a", "b", "c", "d", "e", "f", "g", "h"}, {"h", "g", "f", "e", "d", "c", "b", "a"}, {"e", "h", "a", "g", "b", "f", "c", "d"}} {
		if diff := cmp.Diff(want, gather(names...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", names, diff)
		}
	}
}

func TestUsedBy(t *testing.T) {
	cases := map[string]struct {
		ref  Reference
		want string
	}{
		"nobody":          {Reference{}, "nobody"},
		"one":             {Reference{Owners: []Owner{{"Pod", "shop", "app"}}, Count: 1}, "Pod shop/app"},
		"many":            {Reference{Owners: []Owner{{"Pod", "shop", "app"}, {"Pod", "shop", "b"}}, Count: 12}, "Pod shop/app and 11 more"},
		"of no namespace": {Reference{Owners: []Owner{{"Node", "", "worker-0"}}, Count: 1}, "Node worker-0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.ref.UsedBy(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A list with a hole in it would prove nothing.
func TestReadFailsAsAWhole(t *testing.T) {
	for _, s := range sources {
		t.Run(s.kind, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if fmt.Sprintf("%T", list) == kindOf(s.kind) {
						return errors.New("connection refused")
					}
					return c.List(ctx, list, opts...)
				},
			}).Build()
			refs, err := Read(context.Background(), c, nil)
			if err == nil || refs != nil || !strings.Contains(err.Error(), "every "+s.kind+": connection refused") {
				t.Errorf("got %v, %v", refs, err)
			}
		})
	}
}

func kindOf(kind string) string {
	return map[string]string{
		"Pod": "*v1.PodList", "Deployment": "*v1.DeploymentList", "StatefulSet": "*v1.StatefulSetList", "DaemonSet": "*v1.DaemonSetList",
		"ReplicaSet": "*v1.ReplicaSetList", "ReplicationController": "*v1.ReplicationControllerList", "Job": "*v1.JobList", "CronJob": "*v1.CronJobList",
	}[kind]
}
