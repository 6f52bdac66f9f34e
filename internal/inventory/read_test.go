package inventory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// fullCluster has at least one object of every kind that is read.
func fullCluster() testCluster {
	const podSpec = "{spec: {containers: [{name: c, image: 'quay.io/acme/IMAGE:v1'}]}}"
	of := func(kind schema.GroupVersionKind, text string) []client.Object {
		var out []client.Object
		for _, name := range []string{"a", "b", "c"} {
			text := strings.ReplaceAll(text, "POD", podSpec)
			out = append(out, manifest(kind, strings.ToLower(kind.Kind)+"-"+name,
				strings.ReplaceAll(text, "IMAGE", strings.ToLower(kind.Kind)+"-"+name)))
		}
		return out
	}
	return testCluster{objects: slices.Concat(
		of(deploymentConfigKind, "spec: {replicas: 1, template: POD}"),
		of(imageStreamKind, "{spec: {tags: [{name: a, referencePolicy: {type: Local}, from: {kind: DockerImage, name: 'quay.io/acme/IMAGE'}}]}, status: {tags: [{tag: a, items: [{dockerImageReference: 'quay.io/acme/IMAGE@sha256:2'}, {dockerImageReference: 'quay.io/acme/IMAGE@sha256:1'}]}]}}"),
		of(buildConfigKind, `{spec: {strategy: {dockerStrategy: {}}, source: {dockerfile: "FROM quay.io/acme/IMAGE\nRUN make"}}}`),
		of(buildKind, "{spec: {strategy: {dockerStrategy: {from: {kind: ImageStreamTag, name: 'imagestream-a:a'}}}}, status: {phase: New}}"),
		[]client.Object{csvManifest("Succeeded", "1", "a: b")},
		of(catalogSourceKind, "spec: {image: 'quay.io/acme/IMAGE:v1'}"),
		of(installPlanKind, "{spec: {approved: true}, status: {phase: Installing, plan: [{resolving: x}], bundleLookups: [{path: 'quay.io/acme/IMAGE@sha256:1'}]}}"),
		of(clusterCatalogKind, "{spec: {source: {image: {ref: 'quay.io/acme/IMAGE:v1', pollIntervalMinutes: 10}}}, status: {resolvedSource: {image: {ref: 'quay.io/acme/IMAGE@sha256:1'}}}}"),
		of(knativeServiceKind, "spec: {template: POD}"), of(knativeConfigurationKind, "spec: {template: POD}"),
		of(knativeRevisionKind, "{spec: {containers: [{name: c, image: 'quay.io/acme/IMAGE:v1'}]}, status: {containerStatuses: [{name: c, imageDigest: 'quay.io/acme/IMAGE@sha256:1'}]}}"),
		of(argoRolloutKind, "spec: {template: POD}"),
		of(virtualMachineKind, "spec: {running: true, template: {spec: {volumes: [{containerDisk: {image: 'quay.io/acme/IMAGE:v1', imagePullSecret: quay}}]}}}"),
		of(virtualMachineInstanceKind,
			"spec: {architecture: arm64, domain: {firmware: {kernelBoot: {container: {image: 'quay.io/acme/IMAGE:v1'}}}}}"),
		of(dataVolumeKind, "spec: {source: {registry: {url: 'docker://quay.io/acme/IMAGE:v1', pullMethod: node}}}"),
		of(dataImportCronKind, "spec: {template: {spec: {source: {registry: {url: 'docker://quay.io/acme/IMAGE:v1', pullMethod: node}}}}}"),
		of(tektonTaskKind, "spec: {steps: [{name: s, script: 'true', image: 'quay.io/acme/IMAGE:v1'}], stepTemplate: {image: 'quay.io/acme/IMAGE'}}"),
		of(tektonPipelineKind, "spec: {tasks: [{taskSpec: {sidecars: [{image: 'quay.io/acme/IMAGE:v1'}]}}]}"),
		of(tektonTaskRunKind, "{spec: {taskSpec: {steps: [{image: 'quay.io/acme/IMAGE:v1'}]}}, status: {taskSpec: {steps: [{image: 'quay.io/acme/IMAGE:v2'}]}}}"),
		of(tektonPipelineRunKind, "status: {completionTime: '2026-03-01T12:00:00Z', pipelineSpec: {finally: [{taskSpec: {steps: [{image: 'quay.io/acme/IMAGE:v1'}]}}]}}"),
		typedObjects(),
	)}
}

// brokenObjects are of the right kind and not of the right form.
func brokenObjects() []client.Object {
	return []client.Object{
		manifest(argoRolloutKind, "z-broken", "spec: {replicas: many}"),
		manifest(argoRolloutKind, "y-broken", "spec: [1]"),
		manifest(csvKind, "broken", "spec: {relatedImages: all}"),
		manifest(tektonTaskKind, "broken", "spec: {steps: {image: a}}"),
	}
}

// A kind that is refused stops the reading when it is essential, is named if several are, and is a
// hole otherwise. A kind that is not there is no hole.
func TestMissingSources(t *testing.T) {
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("no rule"))
	full := fullCluster()
	whole := full.read(t, Options{ReadPayload: releaseOf(t)})
	kinds := Kinds()
	for _, s := range sources {
		if s.byName {
			kinds = append(kinds, Kind{GroupVersionKind: s.kind})
		}
	}
	for _, k := range kinds {
		t.Run(k.Kind, func(t *testing.T) {
			absent := testCluster{objects: full.objects, absent: []string{k.Kind}}.read(t,
				Options{ReadPayload: releaseOf(t)})
			// A pool that names a MachineConfig, and an injector that needs a ConfigMap, miss it.
			if gap := unreadSourceOf(t, absent, k.Kind); !gap.Absent && k.Kind != "MachineConfig" {
				t.Errorf("absent kind: %+v", gap)
			}
			if k.Kind != "ServiceAccount" && cmp.Equal(whole.References, absent.References) {
				t.Error("without the kind nothing is missing, so the test cluster has none")
			}
			refused := testCluster{objects: full.objects, refused: map[string]error{k.Kind: refusal}}
			got, err := Read(context.Background(), refused.reader(), Options{ReadPayload: releaseOf(t)})
			if k.Essential {
				if err == nil || !strings.Contains(err.Error(), "every "+k.Kind+": things is forbidden: no rule") ||
					got.References != nil {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if gap := unreadSourceOf(t, got, k.Kind); gap.Absent || !strings.Contains(gap.Why, "no rule") {
				t.Errorf("refused kind: %+v", gap)
			}
		})
	}
}

func unreadSourceOf(t *testing.T, i Inventory, kind string) UnreadSource {
	t.Helper()
	at := slices.IndexFunc(i.UnreadSources, func(g UnreadSource) bool { return g.Kind == kind })
	if at < 0 {
		t.Fatalf("no gap of %s in %+v", kind, i.UnreadSources)
	}
	return i.UnreadSources[at]
}

func TestEssentialKindErrors(t *testing.T) {
	w := testCluster{refused: map[string]error{"Pod": errors.New("connection refused"),
		"Job": errors.New("too many requests")}}
	_, err := Read(context.Background(), w.reader(), Options{})
	want := "reading the images of every Pod: connection refused\nreading the images of every Job: too many requests"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestReadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Read(ctx, testCluster{}.reader(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Objects that are not what they say stop nothing, and are named once a kind.
func TestMalformedObjects(t *testing.T) {
	full := fullCluster()
	want := full.read(t, Options{ReadPayload: releaseOf(t)})
	got := testCluster{objects: append(full.objects, brokenObjects()...)}.read(t, Options{ReadPayload: releaseOf(t)})
	if diff := cmp.Diff(want.References, got.References); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	for kind, why := range map[string]string{
		"Rollout":               "2 objects could not be understood, the first is Rollout shop/y-broken: ",
		"ClusterServiceVersion": "ClusterServiceVersion shop/broken could not be understood: ",
		"Task":                  "Task shop/broken could not be understood: ",
	} {
		if g := unreadSourceOf(t, got, kind); g.Absent || !strings.HasPrefix(g.Why, why) {
			t.Errorf("%+v", g)
		}
	}
}

// In a collection of files a kind that is not there was perhaps not recorded, and even the
// essential ones stop nothing. The CustomResourceDefinitions tell what the cluster did not have.
func TestPartialReader(t *testing.T) {
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: global("tasks.tekton.dev")}
	w := testCluster{objects: []client.Object{crd, deployment("app", replicas(1), image)},
		absent: []string{"Pod", "Task", "Rollout", "ImageStream", "ClusterVersion"}}
	got := w.read(t, Options{Partial: true})
	if diff := cmp.Diff([]string{image + " Blocking: Deployment shop/app"}, lines(got.References)); diff != "" {
		t.Errorf("references (-want +got):\n%s", diff)
	}
	for kind, absent := range map[string]bool{"Pod": false, "Task": false, "Rollout": true, "ImageStream": false,
		"ClusterVersion": true, "ConfigMap": false} {
		if g := unreadSourceOf(t, got, kind); g.Absent != absent {
			t.Errorf("%+v, want absent %t", g, absent)
		}
	}
	w.absent = append(w.absent, "CustomResourceDefinition")
	if g := unreadSourceOf(t, w.read(t, Options{Partial: true}), "Rollout"); g.Absent {
		t.Errorf("nothing is known of the cluster's kinds: %+v", g)
	}
	if g := unreadSourceOf(t, w.read(t, Options{}), "Pod"); !g.Absent {
		t.Errorf("a live cluster without the kind: %+v", g)
	}
}

// With a reader past the cache, a cache is asked for the kinds that are listed, and never for
// single objects: it would then hold all of their kind.
func TestReadsPastTheCache(t *testing.T) {
	full := fullCluster()
	cache, live := testCluster{objects: full.objects, refused: map[string]error{}},
		testCluster{objects: full.objects, refused: map[string]error{}}
	for _, s := range sources {
		if s.byName {
			cache.refused[s.kind.Kind] = errors.New("asked the cache for " + s.kind.Kind)
		} else {
			live.refused[s.kind.Kind] = errors.New("asked the API server for " + s.kind.Kind)
		}
	}
	got, err := Read(context.Background(), cache.reader(), Options{API: live.reader(), ReadPayload: releaseOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full.read(t, Options{ReadPayload: releaseOf(t)}), got); diff != "" {
		t.Errorf("through a cache (-want +got):\n%s", diff)
	}
	if len(cache.refused) != 3 {
		t.Errorf("by name are read %v", cache.refused)
	}
}

func TestKinds(t *testing.T) {
	var selected, essential []string
	for _, k := range Kinds() {
		if gvk, err := apiutil.GVKForObject(k.Object, testScheme()); err != nil || gvk != k.GroupVersionKind {
			t.Errorf("%s has a %s, %v", k, gvk, err)
		}
		if k.Selector != nil {
			selected = append(selected, k.Kind+" "+k.Selector.String())
		}
		if k.Essential {
			essential = append(essential, k.Kind)
		}
	}
	for _, c := range []struct{ want, got []string }{
		{[]string{"ClusterServiceVersion !olm.copiedFrom"}, selected},
		{[]string{"Node", "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job",
			"CronJob"}, essential},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("kinds (-want +got):\n%s", diff)
		}
	}
}
