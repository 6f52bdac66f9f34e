package inventory

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const csvText = `
metadata:
  labels: {LABEL}
  annotations: {containerImage: quay.io/acme/operator:v1, operators.openshift.io/must-gather-image: quay.io/acme/gather:v1, alm-examples: '[]'}
spec:
  install:
    spec:
      deployments:
      - name: operator
        spec:
          replicas: REPLICAS
          template:
            spec:
              containers:
              - image: quay.io/acme/manager:v1
                command: [/manager]
                env:
                - {name: RELATED_IMAGE_DB, value: quay.io/acme/db:v1}
                - {name: WATCH_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  relatedImages:
  - {name: cache, image: quay.io/acme/cache:v1}
status: {phase: PHASE}
`

func csvManifest(phase, replicas, label string) client.Object {
	return manifest(csvKind, "acme.v1",
		strings.NewReplacer("PHASE", phase, "REPLICAS", replicas, "LABEL", label).Replace(csvText))
}

// TestOperators: what OLM installs and runs, by the state in which it is.
func TestOperators(t *testing.T) {
	csvWith := func(class Class) []string {
		return []string{
			"quay.io/acme/cache:v1 Advisory: ClusterServiceVersion shop/acme.v1",
			"quay.io/acme/db:v1 Advisory: ClusterServiceVersion shop/acme.v1",
			"quay.io/acme/gather:v1 Advisory: ClusterServiceVersion shop/acme.v1", "quay.io/acme/manager:v1 " +
				string(class) + ": ClusterServiceVersion shop/acme.v1",
			"quay.io/acme/operator:v1 Advisory: ClusterServiceVersion shop/acme.v1",
		}
	}
	plan := func(phase string) client.Object {
		return manifest(installPlanKind, "install-x", "status: {phase: '"+phase+
			"', bundleLookups: [{path: 'quay.io/acme/bundle@sha256:12', identifier: acme.v1}]}")
	}
	bundle := func(class Class) []string {
		return []string{"quay.io/acme/bundle@sha256:12 " + string(class) + ": InstallPlan shop/install-x"}
	}
	cases := map[string]struct {
		object client.Object
		want   []string
	}{
		"installed":                   {csvManifest("Succeeded", "1", ""), csvWith(Blocking)},
		"being installed":             {csvManifest("Installing", "1", ""), csvWith(Blocking)},
		"about to be":                 {csvManifest("InstallReady", "1", ""), csvWith(Blocking)},
		"with its Deployment at zero": {csvManifest("Succeeded", "0", ""), csvWith(Advisory)},
		"waiting for requirements":    {csvManifest("Pending", "1", ""), csvWith(Advisory)},
		"failed":                      {csvManifest("Failed", "1", ""), csvWith(Advisory)},
		"being replaced":              {csvManifest("Replacing", "1", ""), csvWith(Historical)},
		"on its way out":              {csvManifest("Deleting", "1", ""), csvWith(Historical)},
		"a copy":                      {csvManifest("Succeeded", "1", "olm.copiedFrom: openshift-operators"), nil},
		"a catalog by tag": {manifest(catalogSourceKind, "acme",
			"spec: {sourceType: grpc, image: 'quay.io/acme/index:v1'}"),
			[]string{"quay.io/acme/index:v1 Blocking: CatalogSource shop/acme, always"}},
		"a catalog by digest": {manifest(catalogSourceKind, "acme",
			"spec: {image: 'quay.io/acme/index@sha256:12'}"),
			[]string{"quay.io/acme/index@sha256:12 Blocking: CatalogSource shop/acme"}},
		"a catalog at an address": {manifest(catalogSourceKind, "acme",
			"spec: {address: 'catalog.acme.example:50051'}"), nil},
		"a bundle being unpacked":    {plan("Installing"), bundle(Blocking)},
		"a plan that is being made":  {plan(""), bundle(Blocking)},
		"a bundle to be approved":    {plan("RequiresApproval"), bundle(Advisory)},
		"a bundle that was unpacked": {plan("Complete"), bundle(Historical)},
		"one that could not be":      {plan("Failed"), bundle(Historical)},
		"a catalog of OLM v1": {manifest(clusterCatalogKind, "acme",
			"{spec: {source: {type: Image, image: {ref: 'quay.io/acme/index:v1', pollIntervalMinutes: 10}}}, status: {resolvedSource: {image: {ref: 'quay.io/acme/index@sha256:12'}}}}"),
			[]string{"quay.io/acme/index:v1 Advisory: ClusterCatalog acme, always",
				"quay.io/acme/index@sha256:12 Advisory: ClusterCatalog acme"}},
		"one that is not polled": {manifest(clusterCatalogKind, "acme",
			"spec: {source: {image: {ref: 'quay.io/acme/index:v1'}}}"),
			[]string{"quay.io/acme/index:v1 Advisory: ClusterCatalog acme"}},
		"one that is turned off": {manifest(clusterCatalogKind, "acme",
			"spec: {availabilityMode: Unavailable, source: {image: {ref: 'quay.io/acme/index:v1'}}}"),
			[]string{"quay.io/acme/index:v1 Historical: ClusterCatalog acme"}},
		"one that is not an image": {manifest(clusterCatalogKind, "acme", "spec: {source: {type: Git}}"), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { expect(t, []client.Object{c.object}, Options{}, c.want, nil) })
	}
}

// TestThirdParties: custom resources whose operators start pods.
func TestThirdParties(t *testing.T) {
	const app = "'" + image + "'"
	as := func(class Class, owner string) []string { return []string{image + " " + string(class) + ": " + owner} }
	const digest = "quay.io/acme/app@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	revision := func(state, statuses string) client.Object {
		return manifest(knativeRevisionKind, "app-1", "{metadata: {labels: {serving.knative.dev/routingState: "+state+
			"}}, spec: {containerConcurrency: 0, containers: [{name: user, image: "+app+
			"}]}, status: {containerStatuses: ["+statuses+"]}}")
	}
	machine := func(spec string) client.Object {
		return manifest(virtualMachineKind, "vm", "spec: {"+spec+
			" template: {spec: {domain: {}, volumes: [{name: root, containerDisk: {image: "+app+
			"}}, {name: data, dataVolume: {name: d}}]}}}")
	}
	cases := map[string]struct {
		kind schema.GroupVersionKind
		name string
		text string
		o    client.Object
		want []string
	}{
		"a Knative Service": {kind: knativeServiceKind, name: "app",
			text: "spec: {template: {spec: {containers: [{image: " + app + "}]}}}",
			want: as(Advisory, "Knative Service shop/app")},
		"a Knative Configuration": {kind: knativeConfigurationKind, name: "app",
			text: "spec: {template: {spec: {containers: [{image: " + app + "}]}}}",
			want: as(Advisory, "Knative Configuration shop/app")},
		"a Revision with a route": {o: revision("active", "{name: user, imageDigest: '"+digest+"'}"),
			want: []string{digest + " Blocking: Knative Revision shop/app-1"}},
		"a Revision without one": {o: revision("reserve", "{name: user, imageDigest: '"+digest+"'}"),
			want: []string{digest + " Historical: Knative Revision shop/app-1"}},
		"a registry that Knative does not ask": {o: revision("active", "{name: user}"),
			want: as(Blocking, "Knative Revision shop/app-1")},

		"a Rollout": {kind: argoRolloutKind, name: "app",
			text: "spec: {replicas: 2, template: {spec: {containers: [{image: " + app + "}]}}}",
			want: as(Blocking, "Argo Rollout shop/app")},
		"a Rollout at zero": {kind: argoRolloutKind, name: "app",
			text: "spec: {replicas: 0, template: {spec: {containers: [{image: " + app + "}]}}}",
			want: as(Advisory, "Argo Rollout shop/app")},
		"a Rollout of a Deployment": {kind: argoRolloutKind, name: "app",
			text: "spec: {replicas: 2, workloadRef: {kind: Deployment, name: app}}"},
		"a virtual machine": {o: machine("runStrategy: Always,"),
			want: as(Blocking, "VirtualMachine shop/vm")},
		"one that is on, the old way": {o: machine("running: true,"),
			want: as(Blocking, "VirtualMachine shop/vm")},
		"one that is off": {o: machine("runStrategy: Halted,"),
			want: as(Advisory, "VirtualMachine shop/vm")},
		"one that is off, the old way": {o: machine("running: false,"),
			want: as(Advisory, "VirtualMachine shop/vm")},
		"a virtual machine at work": {kind: virtualMachineInstanceKind, name: "vm",
			text: "{spec: {architecture: arm64, volumes: [{containerDisk: {image: " + app +
				", imagePullPolicy: Always, imagePullSecret: quay}}]}, status: {phase: Running}}",
			want: as(Blocking, "VirtualMachineInstance shop/vm, always, on [linux/arm64], with [shop/quay]")},
		"a virtual machine that has ended": {kind: virtualMachineInstanceKind, name: "vm",
			text: "{spec: {nodeSelector: {kubernetes.io/arch: s390x}, domain: {firmware: {kernelBoot: {container: {image: " + app + "}}}}}, status: {phase: Succeeded}}", want: as(Historical, "VirtualMachineInstance shop/vm, on [linux/s390x]")},

		"an import by a node": {kind: dataVolumeKind, name: "d",
			text: "{spec: {source: {registry: {url: 'docker://" + image +
				"', pullMethod: node}}}, status: {phase: ImportInProgress}}", want: as(Blocking, "DataVolume shop/d")},
		"an import that is done": {kind: dataVolumeKind, name: "d",
			text: "{spec: {source: {registry: {url: 'docker://" + image +
				"', pullMethod: node}}}, status: {phase: Succeeded}}", want: as(Historical, "DataVolume shop/d")},
		"an import by the importer": {kind: dataVolumeKind, name: "d",
			text: "spec: {source: {registry: {url: 'docker://" + image + "', pullMethod: pod}}}"},
		"an import out of an archive": {kind: dataVolumeKind, name: "d",
			text: "spec: {source: {registry: {url: 'oci-archive://" + image + "', pullMethod: node}}}"},
		"an import of something else": {kind: dataVolumeKind, name: "d",
			text: "spec: {source: {http: {url: 'https://acme.example/disk'}}}"},
		"imports at certain times": {kind: dataImportCronKind, name: "d",
			text: "spec: {template: {spec: {source: {registry: {url: 'docker://" + image + "', pullMethod: node}}}}}",
			want: as(Blocking, "DataImportCron shop/d")},

		"a Task": {kind: tektonTaskKind, name: "t", text: "spec: {steps: [{image: " + app +
			"}, {image: '$(params.image)'}]}", want: as(Advisory, "Task shop/t")},
		"a sidecar of a Task": {kind: tektonTaskKind, name: "t", text: "spec: {sidecars: [{image: " + app + "}]}",
			want: as(Advisory, "Task shop/t")},
		"a template of its steps": {kind: tektonTaskKind, name: "t",
			text: "spec: {stepTemplate: {image: 'quay.io/acme/app'}}",
			want: []string{"quay.io/acme/app Advisory: Task shop/t, always"}},
		"a Pipeline": {kind: tektonPipelineKind, name: "p",
			text: "spec: {tasks: [{taskRef: {name: x}}], finally: [{taskSpec: {steps: [{image: " + app + "}]}}]}",
			want: as(Advisory, "Pipeline shop/p")},
		"a TaskRun in progress": {kind: tektonTaskRunKind, name: "r",
			text: "{spec: {taskRef: {name: t}}, status: {taskSpec: {steps: [{image: " + app + "}]}}}",
			want: as(Blocking, "TaskRun shop/r")},
		"a TaskRun that has ended": {kind: tektonTaskRunKind, name: "r", text: "{spec: {taskSpec: {steps: [{image: " +
			app + "}]}}, status: {completionTime: '2026-03-01T12:00:00Z'}}", want: as(Historical, "TaskRun shop/r")},
		"a PipelineRun in progress": {kind: tektonPipelineRunKind, name: "r",
			text: "{spec: {pipelineSpec: {tasks: [{taskSpec: {steps: [{image: " + app + "}]}}]}}}",
			want: as(Blocking, "PipelineRun shop/r")},
		"a PipelineRun that ended": {kind: tektonPipelineRunKind, name: "r",
			text: "{spec: {pipelineRef: {name: p}}, status: {completionTime: '2026-03-01T12:00:00Z', pipelineSpec: {tasks: [{taskSpec: {steps: [{image: " + app + "}]}}]}}}", want: as(Historical, "PipelineRun shop/r")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.o == nil {
				c.o = manifest(c.kind, c.name, c.text)
			}
			expect(t, []client.Object{c.o}, Options{}, c.want, nil)
		})
	}
}
