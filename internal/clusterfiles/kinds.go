package clusterfiles

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var secretKind = schema.GroupKind{Kind: "Secret"}

// kinds knows which objects are kept.
type kinds struct {
	versions map[schema.GroupKind][]string
	// resources leads from the name of a file to the kind it holds: "pods" is Pod, whatever the
	// group.
	resources map[string][]schema.GroupVersionKind
}

// kindClass on an object of some kind.
type kindClass int

const (
	wanted kindClass = iota
	otherVersion
	secret
	unwanted
)

func newKinds(scheme *runtime.Scheme, o Options) kinds {
	k := kinds{versions: map[schema.GroupKind][]string{}, resources: map[string][]schema.GroupVersionKind{}}
	list := o.Kinds
	if len(list) == 0 {
		list = everyKind(scheme)
	}
	for _, gvk := range list {
		if gvk.GroupKind() == secretKind && !o.Secrets {
			continue
		}
		k.versions[gvk.GroupKind()] = append(k.versions[gvk.GroupKind()], gvk.Version)
		plural, _ := meta.UnsafeGuessKindToResource(gvk)
		k.resources[plural.Resource] = append(k.resources[plural.Resource], gvk)
	}
	return k
}

// everyKind of the scheme whose objects have metadata, each in the version that the scheme prefers:
// of batch/v1 and batch/v1beta1 only the former is read, for that is what is asked for.
func everyKind(scheme *runtime.Scheme) []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	for gvk, goType := range scheme.AllKnownTypes() {
		if _, isObject := reflect.New(goType).Interface().(client.Object); !isObject {
			continue
		}
		if versions := scheme.VersionsForGroupKind(gvk.GroupKind()); len(versions) > 0 &&
			versions[0] == gvk.GroupVersion() {
			out = append(out, gvk)
		}
	}
	return out
}

func (k kinds) classify(gvk schema.GroupVersionKind) kindClass {
	versions, known := k.versions[gvk.GroupKind()]
	switch {
	case gvk.GroupKind() == secretKind && !known:
		return secret
	case !known:
		return unwanted
	case !slices.Contains(versions, gvk.Version):
		return otherVersion
	}
	return wanted
}

// guessFromPath guesses from a path what an empty list would hold: namespaces/acme/core/pods.yaml
// is Pod, apps/deployments.yaml and deployments.apps.json are Deployment.
func (k kinds) guessFromPath(file string) (schema.GroupVersionKind, bool) {
	parts := strings.Split(file, "/")
	resource, rest, _ := strings.Cut(parts[len(parts)-1], ".")
	candidates := k.resources[resource]
	if len(candidates) == 1 {
		return candidates[0], true
	}
	dir := ""
	if len(parts) > 1 {
		dir = parts[len(parts)-2]
	}
	for _, gvk := range candidates {
		if (gvk.Group == "" && dir == "core") ||
			(gvk.Group != "" && (dir == gvk.Group || strings.HasPrefix(rest, gvk.Group))) {
			return gvk, true
		}
	}
	return schema.GroupVersionKind{}, false
}
