package inventory

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestReferencesAreAggregated(t *testing.T) {
	cases := map[string]struct {
		additional []string
		objects    []client.Object
		want       []string
	}{
		"one image of many": {
			objects: []client.Object{deployment("app", replicas(1), image), pod("app-1", corev1.PodRunning, image),
				pod("app-2", corev1.PodRunning, image)},
			want: []string{image + " Blocking: Deployment shop/app and 2 more"},
		},
		"one that may start makes it block, and is named first": {
			objects: []client.Object{replicaSet(owned("old", "Deployment"), replicas(0), image),
				deployment("app", replicas(0), image), statefulSet("db", nil, image)},
			want: []string{image + " Blocking: StatefulSet shop/db and 2 more"},
		},
		"one that somebody may scale up is nearer than a rollback": {
			objects: []client.Object{replicaSet(owned("old", "Deployment"), replicas(0), image),
				statefulSet("db", replicas(0), image)},
			want: []string{image + " Advisory: StatefulSet shop/db and 1 more"},
		},
		"one that uses it twice is one": {
			objects: []client.Object{pod("app", corev1.PodRunning, image, image)},
			want:    []string{image + " Blocking: Pod shop/app"},
		},
		"the user's own": {
			additional: []string{"quay.io/acme/nightly:v1"},
			want:       []string{"quay.io/acme/nightly:v1 Blocking: spec.inventory.additionalImages quay.io/acme/nightly:v1"},
		},
		"spellings are kept apart": {
			objects: []client.Object{pod("a", corev1.PodRunning, "nginx:1"),
				pod("b", corev1.PodRunning, "docker.io/library/nginx:1")},
			want: []string{"docker.io/library/nginx:1 Blocking: Pod shop/b", "nginx:1 Blocking: Pod shop/a"},
		},
		"nothing": {},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := lines(testCluster{objects: c.objects}.read(t, Options{Additional: c.additional}).References)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

// What is remembered of many is bounded, and does not depend on the order in which they come.
func TestCollectorIsOrderIndependent(t *testing.T) {
	var uses []Use
	for i := range 30 {
		u := Use{
			Image: image, Class: []Class{Historical, Blocking, Advisory}[i%3],
			Owner:       Owner{"Pod", "shop", fmt.Sprintf("app-%02d", i)},
			Running:     fmt.Sprintf("sha256:%02d", i),
			PullSecrets: []types.NamespacedName{{Namespace: "shop", Name: fmt.Sprintf("s-%02d", i)}},
			Platforms:   []string{[]string{"linux/s390x", "linux/arm64", "linux/ppc64le"}[i%3]},
		}
		if i%3 == 1 && i > 15 {
			u.Platforms = []string{"linux/amd64", "linux/arm64"}
		}
		uses = append(uses, u)
	}
	want := Reference{Image: image, Class: Blocking, Count: 30, Platforms: []string{"linux/amd64", "linux/arm64"}}
	for i := range maxOwners {
		want.Owners = append(want.Owners, Owner{"Pod", "shop", fmt.Sprintf("app-%02d", 3*i+1)})
	}
	for i := range maxRunning {
		want.Running = append(want.Running, fmt.Sprintf("sha256:%02d", i))
	}
	for i := range maxPullSecrets {
		want.PullSecrets = append(want.PullSecrets,
			types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("s-%02d", i)})
	}
	for seed := range int64(20) {
		rand.New(rand.NewSource(seed)).Shuffle(len(uses), func(i, j int) { uses[i], uses[j] = uses[j], uses[i] })
		c := &Collector{}
		for _, u := range uses {
			weaker := u
			weaker.Class = Historical
			c.Add(weaker) // the same owner in another way, and once more
			c.Add(u)
			c.Add(u)
		}
		if diff := cmp.Diff([]Reference{want}, c.References()); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
}

func TestUsedBy(t *testing.T) {
	cases := map[string]struct {
		ref  Reference
		want string
	}{
		"nobody": {Reference{}, "nobody"},
		"one":    {Reference{Owners: []Owner{{"Pod", "shop", "app"}}, Count: 1}, "Pod shop/app"},
		"many": {Reference{Owners: []Owner{{"Pod", "shop", "app"}, {"Pod", "shop", "b"}}, Count: 12},
			"Pod shop/app and 11 more"},
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

// Lists come in any order, and what is said of the same cluster is always the same.
func TestReadIsOrderIndependent(t *testing.T) {
	w := fullCluster()
	want := w.read(t, Options{ReadPayload: releaseOf(t)})
	for seed := range int64(20) {
		w.shuffle = seed + 1
		if diff := cmp.Diff(want, w.read(t, Options{ReadPayload: releaseOf(t)})); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
	if text := strings.Join(lines(want.References), "\n"); strings.Count(text, "\n") < 60 {
		t.Errorf("the cluster of this test has too little in it:\n%s", text)
	}
}
