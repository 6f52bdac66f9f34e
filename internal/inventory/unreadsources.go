package inventory

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// handleReadError turns the error of a source into a gap, or returns it when nothing can be said
// without the source.
func (rd *readState) handleReadError(ctx context.Context, s source, err error) error {
	gap := UnreadSource{Source: s.name, Kind: s.kind.Kind}
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		gap.Absent, gap.Why = true, "this cluster does not have it"
		if rd.o.Partial && !rd.groupNotInstalled(ctx, s.kind.Group) {
			gap.Absent, gap.Why = false, "no file that was read says anything of it"
		}
	case s.essential:
		return fmt.Errorf("reading the images of every %s: %w", s.kind.Kind, err)
	case apierrors.IsForbidden(err):
		gap.Why = fmt.Sprintf("reading it is not allowed: %v", err)
	default:
		gap.Why = err.Error()
	}
	rd.unreadSources = append(rd.unreadSources, gap)
	return nil
}

// groupNotInstalled tells whether files that hold the CustomResourceDefinitions of a cluster hold
// none of the group. Then its kinds were not left out when the files were made: the cluster has
// none.
func (rd *readState) groupNotInstalled(ctx context.Context, group string) bool {
	if !strings.Contains(group, ".") || servedByAPIServer[group] {
		return false
	}
	if rd.groups == nil {
		rd.groups = map[string]bool{}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1",
			Kind: "CustomResourceDefinitionList"})
		if err := rd.r.List(ctx, list); err != nil {
			list.Items = nil
		}
		for i := range list.Items {
			_, g, _ := strings.Cut(list.Items[i].Name, ".") // services.serving.knative.dev
			rd.groups[g] = true
		}
	}
	return len(rd.groups) > 0 && !rd.groups[group]
}

// servedByAPIServer are groups that have no CustomResourceDefinitions.
var servedByAPIServer = map[string]bool{
	"apps.openshift.io": true, "build.openshift.io": true, "image.openshift.io": true,
	"admissionregistration.k8s.io": true,
}

// malformedObject is an object that could not be understood.
type malformedObject struct {
	source string
	owner  Owner
	err    error
}

func (rd *readState) addMalformed(source string, owner Owner, err error) {
	rd.malformedObjects = append(rd.malformedObjects, malformedObject{source, owner, err})
}

// reportMalformed makes one gap for each kind, however many objects of it could not be understood.
func (rd *readState) reportMalformed() {
	type key struct{ source, kind string }
	count, first := map[key]int{}, map[key]malformedObject{}
	for _, u := range rd.malformedObjects {
		k := key{u.source, u.owner.Kind}
		if count[k]++; count[k] == 1 || u.owner.compare(first[k].owner) < 0 {
			first[k] = u
		}
	}
	for k, u := range first {
		why := fmt.Sprintf("%s could not be understood: %v", u.owner, u.err)
		if n := count[k]; n > 1 {
			why = fmt.Sprintf("%d objects could not be understood, the first is %s: %v", n, u.owner, u.err)
		}
		rd.unreadSources = append(rd.unreadSources, UnreadSource{Source: k.source, Kind: k.kind, Why: why})
	}
}
