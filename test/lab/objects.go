package lab

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	// releaseVersion and controllerVersion are the versions of Machine Config Operator binaries
	// that are built without a version.
	releaseVersion    = "0.0.1-snapshot"
	controllerVersion = "v0.0.0-was-not-built-properly"

	// Nothing pulls these two. They must only parse: the controllers refuse a mirror set that would
	// block the release image's repository.
	releaseImage = "quay.io/openshift-release-dev/ocp-release@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	payloadImage = "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// namespaces are those of OpenShift that somebody in the lab reads or writes in. Events of the
// machine config controllers, for one, are lost when theirs is missing.
var namespaces = []string{
	"openshift-config", "openshift-config-managed", "openshift-machine-config-operator", "openshift-machine-api",
	"openshift-ingress", "openshift-ingress-operator", "openshift-kube-apiserver-operator",
}

//go:embed manifests/cluster.yaml
var clusterTemplate string

// createObjects makes the cluster's configuration objects.
func (l *Lab) createObjects(ctx context.Context) error {
	objects, err := l.renderObjects()
	if err != nil {
		return err
	}
	gates, err := readFeatureGates(l.sources.api)
	if err != nil {
		return err
	}
	for _, object := range append(objects, gates) {
		if err := l.createObject(ctx, object); err != nil {
			return fmt.Errorf("creating %s %s: %w", object.GetKind(), objectName(object), err)
		}
	}
	return nil
}

func (l *Lab) renderObjects() ([]*unstructured.Unstructured, error) {
	functions := template.FuncMap{
		"base64": func(data []byte) string { return base64.StdEncoding.EncodeToString(data) },
		"quote":  func(data []byte) string { return strconv.Quote(string(data)) },
		"list":   func(items ...string) []string { return items },
	}
	t, err := template.New("cluster").Funcs(functions).Parse(clusterTemplate)
	if err != nil {
		return nil, err
	}
	pullSecret, err := l.pullSecret()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]any{
		"Namespaces":        namespaces,
		"PullSecret":        pullSecret,
		"PrivateHosts":      append(MirrorHosts(), SecondHosts()...),
		"PrivateCA":         l.privateCA.PEM,
		"APICA":             l.apiCA.PEM,
		"Version":           releaseVersion,
		"ControllerVersion": controllerVersion,
		"ReleaseImage":      releaseImage,
		"PayloadImage":      payloadImage,

		"Topology":           l.options.Topology.mode(),
		"MastersSchedulable": l.options.Topology.schedulable(),
	})
	if err != nil {
		return nil, err
	}
	return parseObjects(text.Bytes())
}

// pullSecret is the cluster's global one. The first entry is on every cluster; those of the mirrors
// are good for pulling and pushing.
func (l *Lab) pullSecret() ([]byte, error) {
	auths := map[string]any{"cloud.openshift.com": map[string]string{"auth": basicAuth("lab", "lab")}}
	for _, r := range l.registries {
		if user, password := r.Credentials(); user != "" {
			for _, host := range r.Hosts {
				auths[host] = map[string]string{"auth": basicAuth(user, password)}
			}
		}
	}
	return json.Marshal(map[string]any{"auths": auths})
}

func basicAuth(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// readFeatureGates reads the gates of a default cluster. The file leaves the version open;
// controllers look up their own.
func readFeatureGates(apiDir string) (*unstructured.Unstructured, error) {
	file := filepath.Join(apiDir, "payload-manifests", "featuregates", "featureGate-SelfManagedHA-Default.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	data = []byte(strings.ReplaceAll(string(data), `"version": ""`, `"version": "`+releaseVersion+`"`))
	gates := &unstructured.Unstructured{}
	return gates, yaml.Unmarshal(data, &gates.Object)
}

// createObject creates an object and then writes its status, which a create drops where status is a
// subresource. Server-side apply would not do here: it drops the nulls that ControllerConfig
// requires.
func (l *Lab) createObject(ctx context.Context, object *unstructured.Unstructured) error {
	resource, err := l.resource(ctx, object)
	if err != nil {
		return err
	}
	created, err := resource.Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil {
		return err
	}
	status, ok := object.Object["status"]
	if !ok {
		return nil
	}
	created.Object["status"] = status
	_, err = resource.UpdateStatus(ctx, created, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}
