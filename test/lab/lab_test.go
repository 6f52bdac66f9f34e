//go:build lab

package lab

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestLab takes a whole cluster through a plain mirror set, with a mirror that has everything, and
// back.
func TestLab(t *testing.T) {
	l := startLab(t, Options{})
	before := renderedConfigs(t, l)
	t.Run("a pod's image comes from its source", func(t *testing.T) { testSource(t, l) })
	t.Run("the controller that dies is started again", func(t *testing.T) { testControllerDies(t, l) })
	t.Run("a mirror set goes through every node", func(t *testing.T) { testMirrorSet(t, l) })
	t.Run("reset restores the initial state", func(t *testing.T) {
		if err := l.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		testInitialState(t, l, before)
	})
}

const application = `
apiVersion: v1
kind: Namespace
metadata: {name: acme}
---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: acme, name: app}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - {name: app, image: "quay.io/acme/app:v1", imagePullPolicy: Always}
`

var mirrorSetResource = schema.GroupVersionResource{Group: "config.openshift.io", Version: "v1",
	Resource: "imagetagmirrorsets"}

const mirrorSet = `
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: acme}
spec:
  imageTagMirrors:
  - source: quay.io/acme
    mirrors: [mirror.internal.example.com/acme]
    mirrorSourcePolicy: NeverContactSource
`

func testSource(t *testing.T, l *Lab) {
	ctx := t.Context()
	digest, err := l.Registry("quay.io").Push(ctx, "acme/app:v1", Image{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Apply(ctx, application); err != nil {
		t.Fatal(err)
	}
	awaitAvailable(t, l, 2)
	pulls := appPulls(t, l)
	if len(pulls) < 2 {
		t.Fatalf("the pull log has %d pulls of the application, want 2", len(pulls))
	}
	for _, p := range pulls {
		if p.Error != "" || p.Digest != digest || p.Endpoint != "quay.io/acme/app:v1" {
			t.Errorf("unexpected pull %+v", p)
		}
	}
	if traffic := l.Wire().Traffic("quay.io"); traffic.Received < 1<<18 {
		t.Errorf("over the wire to quay.io went %+v, less than an image", traffic)
	}
}

// The next test shows that the new one works.
func testControllerDies(t *testing.T, l *Lab) {
	find := func() *Process {
		for _, p := range l.Parts() {
			if p.Name == machineConfigController {
				return p
			}
		}
		return nil
	}
	old := find()
	old.Kill()
	if err := Eventually(t.Context(), 10*time.Second, "no new controller runs",
		func(context.Context) (bool, string, error) {
			now := find()
			return now != nil && now != old, "", nil
		}); err != nil {
		t.Fatal(err)
	}
}

func testMirrorSet(t *testing.T, l *Lab) {
	ctx := t.Context()
	if _, err := l.Registry("mirror").Push(ctx, "acme/app:v1", Image{}); err != nil {
		t.Fatal(err)
	}
	before := renderedConfigs(t, l)
	if err := l.Apply(ctx, mirrorSet); err != nil {
		t.Fatal(err)
	}
	err := Eventually(ctx, 30*time.Second, "the mirror set is not rendered",
		func(context.Context) (bool, string, error) {
			now := renderedConfigs(t, l)
			return now[0] != before[0] && now[1] != before[1], fmt.Sprint(now), nil
		})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := l.waitInitialState(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("all nodes updated in %.1f s", time.Since(begun).Seconds())
	awaitAvailable(t, l, 2)

	after := renderedConfigs(t, l)
	pulls := appPulls(t, l)
	last := pulls[len(pulls)-1]
	if !slices.Contains(after, last.Config) || last.Error != "" ||
		last.Endpoint != "mirror.internal.example.com/acme/app:v1" {
		t.Errorf("the last pull is %+v; want one from the mirror, on %v", last, after)
	}
}

func testInitialState(t *testing.T, l *Lab, rendered []string) {
	if now := renderedConfigs(t, l); !slices.Equal(now, rendered) {
		t.Errorf("the pools are on %v, want %v", now, rendered)
	}
	if hasNamespace(t, l, "acme") {
		t.Error("a namespace outlived the reset")
	}
	sets, err := l.dynamic.Resource(mirrorSetResource).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(sets.Items) != 0 {
		t.Errorf("mirror sets outlived the reset: %v, %v", sets, err)
	}
	for _, name := range []string{"quay.io", "mirror"} {
		wantHas(t, l.Registry(name), "acme/app:v1", false)
	}
	if pulls := appPulls(t, l); len(pulls) != 0 {
		t.Errorf("the pull log has %d pulls from before the reset", len(pulls))
	}
	if traffic := l.Wire().Traffic("quay.io"); traffic != (Traffic{}) {
		t.Errorf("the wire still counts %+v", traffic)
	}
}

func renderedConfigs(t *testing.T, l *Lab) []string {
	t.Helper()
	var names []string
	for _, pool := range []string{"master", "worker"} {
		name, err := l.renderedConfig(t.Context(), pool)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func awaitAvailable(t *testing.T, l *Lab, want int64) {
	t.Helper()
	err := Eventually(t.Context(), time.Minute, "the application is not available",
		func(ctx context.Context) (bool, string, error) {
			deployment, err := l.kube.AppsV1().Deployments("acme").Get(ctx, "app", metav1.GetOptions{})
			if err != nil {
				return false, "", err
			}
			have := int64(deployment.Status.AvailableReplicas)
			return have == want, fmt.Sprintf("%d of %d replicas", have, want), nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

func appPulls(t *testing.T, l *Lab) []Pull {
	t.Helper()
	pulls, err := l.PullLog()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(pulls, func(p Pull) bool { return p.Namespace != "acme" })
}
