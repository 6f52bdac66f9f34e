package clusterfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// redactions are what a recording must not hold, by kind. A value that only has to be compared is
// replaced by its hash: whether two rendered configurations differ in a file can still be told.
var redactions = map[schema.GroupKind]func(fields map[string]any){
	secretKind: redactSecret,
	{Group: "machineconfiguration.openshift.io", Kind: "MachineConfig"}:    redactMachineConfig,
	{Group: "machineconfiguration.openshift.io", Kind: "ControllerConfig"}: redactControllerConfig,
	{Group: "config.openshift.io", Kind: "Proxy"}:                          redactProxy,
}

// redacted returns the object without what is confidential. The annotation in which kubectl keeps a
// whole object goes always: it has what was removed from the object itself.
func redacted(object client.Object, gvk schema.GroupVersionKind) (client.Object, error) {
	if annotations := object.GetAnnotations(); annotations["kubectl.kubernetes.io/last-applied-configuration"] != "" {
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		object.SetAnnotations(annotations)
	}
	redact := redactions[gvk.GroupKind()]
	if redact == nil {
		return object, nil
	}
	if u, ok := object.(*unstructured.Unstructured); ok {
		redact(u.Object)
		return u, nil
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return object, err
	}
	redact(fields)
	out := codecOf(object, gvk).newObject()
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(fields, out)
}

// redactSecret keeps that it exists, and its type. Annotations of OpenShift's own token Secrets
// hold the token.
func redactSecret(fields map[string]any) {
	delete(fields, "data")
	delete(fields, "stringData")
	if metadata := nestedMap(fields, "metadata"); metadata != nil {
		delete(metadata, "annotations")
		delete(metadata, "managedFields")
	}
}

// readableFiles are the files of a MachineConfig that say where images are pulled from, and which
// static pods a node runs. Among all others are the nodes' pull secret
// (/var/lib/kubelet/config.json) and whatever administrators write.
var readableFiles = []string{"/etc/containers/", "/etc/crio/", "/etc/kubernetes/manifests/"}

func redactMachineConfig(fields map[string]any) {
	config := nestedMap(fields, "spec", "config")
	if config == nil {
		return
	}
	if header := nestedMap(config, "ignition"); header != nil {
		config["ignition"] = map[string]any{"version": header["version"]}
	}
	hashField(config, "passwd")
	storage := nestedMap(config, "storage")
	hashField(storage, "luks")
	for _, f := range mapsIn(storage["files"]) {
		if path, _ := f["path"].(string); !isReadableFile(path) {
			hashResource(nestedMap(f, "contents"))
			for _, appended := range mapsIn(f["append"]) {
				hashResource(appended)
			}
		}
	}
	for _, unit := range mapsIn(nestedMap(config, "systemd")["units"]) {
		hashText(unit, "contents")
		for _, dropin := range mapsIn(unit["dropins"]) {
			hashText(dropin, "contents")
		}
	}
}

func isReadableFile(path string) bool {
	if strings.Contains(path, "/../") || strings.HasSuffix(path, "auth.json") {
		return false
	}
	for _, dir := range readableFiles {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

func redactControllerConfig(fields map[string]any) {
	spec := nestedMap(fields, "spec")
	delete(spec, "internalRegistryPullSecret")
	redactProxyFields(nestedMap(spec, "proxy"))
}

func redactProxy(fields map[string]any) {
	redactProxyFields(nestedMap(fields, "spec"))
	redactProxyFields(nestedMap(fields, "status"))
}

// redactProxyFields removes the login from http://user:password@proxy.example.com:3128.
func redactProxyFields(fields map[string]any) {
	for _, name := range []string{"httpProxy", "httpsProxy"} {
		text, ok := fields[name].(string)
		if !ok || !strings.Contains(text, "@") {
			continue
		}
		fields[name] = "redacted"
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			u.User = url.User("redacted")
			fields[name] = u.String()
		}
	}
}

// nestedMap follows names into objects; nil when one is missing or no object. A nil map can be read
// and deleted from.
func nestedMap(fields map[string]any, names ...string) map[string]any {
	for _, name := range names {
		fields, _ = fields[name].(map[string]any)
	}
	return fields
}

func mapsIn(list any) []map[string]any {
	var out []map[string]any
	items, _ := list.([]any)
	for _, one := range items {
		if object, ok := one.(map[string]any); ok {
			out = append(out, object)
		}
	}
	return out
}

// hashResource replaces an Ignition resource's content by a data URL with its hash.
func hashResource(resource map[string]any) {
	if source, ok := resource["source"].(string); ok && source != "" {
		resource["source"] = "data:," + hash(strings.TrimPrefix(source, "data:,"))
		delete(resource, "httpHeaders")
	}
}

func hashText(fields map[string]any, name string) {
	if text, ok := fields[name].(string); ok && text != "" {
		fields[name] = hash(text)
	}
}

func hashField(fields map[string]any, name string) {
	value, ok := fields[name]
	if before := nestedMap(fields, name); len(before) == 1 {
		if text, isText := before["redacted"].(string); isText && isHash.MatchString(text) {
			return
		}
	}
	if ok {
		fields[name] = map[string]any{"redacted": hash(value)}
	}
}

var isHash = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)

// hash leaves a hash as it is, so that a recording of a replay is the same recording.
func hash(value any) string {
	if text, ok := value.(string); ok && isHash.MatchString(text) {
		return text
	}
	text, _ := json.Marshal(value) // what was JSON is JSON
	sum := sha256.Sum256(text)
	return "sha256-" + hex.EncodeToString(sum[:])
}
