package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory/payload"
)

// Options say what to read besides the objects, and where from.
type Options struct {
	// Additional are references that the user has named. They block like those of a pod.
	Additional []string
	// API reads past a cache the single objects that are read by name: MachineConfigs, the
	// ControllerConfig and ConfigMaps. A cache would hold all of their kind for the sake of one.
	// Nil: they come from the reader that is given to Read.
	API client.Reader
	// Skip tells which pods are not looked at: those of the operator's own that prove a mirror.
	// Nil: none.
	Skip func(*corev1.Pod) bool
	// Rendered gives a rendered MachineConfig. Its name is a hash of its content, so whoever has
	// read it once need not do so again. Nil: it is read from the API each time, which may be a
	// megabyte for each pool.
	Rendered func(ctx context.Context, name string) (*mcfgv1.MachineConfig, error)
	// ReadPayload reads the component images of a release payload image. It is called for each
	// payload in each Read, so it should remember: a payload by digest never changes. Nil: the
	// payload is not read, and is listed as a gap.
	ReadPayload func(ctx context.Context, releaseImage string) ([]payload.Component, error)
	// Partial says that the reader is a collection of files, such as a must-gather, and not a
	// cluster: a kind that it does not know was not recorded. That is then a gap, even for the
	// kinds without which a live cluster is not judged at all.
	Partial bool
}

// Inventory is what a cluster's nodes pull or may pull. It is the same for the same cluster,
// whatever the order of its lists.
type Inventory struct {
	// References are sorted by image.
	References []Reference
	// UnreadSources are what could not be seen, sorted.
	UnreadSources []UnreadSource
	// ImmediateConsumers are those who switch to the mirrors as soon as a mirror set exists, before
	// any node does and whether pools are paused or not. Sorted by owner.
	ImmediateConsumers []ImmediateConsumer
}

// UnreadSource is something that could not be seen.
type UnreadSource struct {
	// Source is the source of the table, such as "release payload".
	Source string
	// Kind is the kind of object that would have been read.
	Kind string
	// Why says what happened, with the names and the remedy where there is one.
	Why string
	// Absent is true when the cluster does not have the API or the object, so that there is nothing
	// to see. Otherwise there is a hole.
	Absent bool
}

// ImmediateConsumer is somebody who reads the mirror sets from the API and not from a node.
// catalogd and operator-controller are not among them: they use the files of the control plane node
// on which they run, and so follow that node.
type ImmediateConsumer struct {
	// By is what pulls: ByImport, ByScheduledImport, ByPullThrough or ByBuild.
	By    string
	Owner Owner
	// Images are what it pulls, sorted. Of a build whose Dockerfile is in its source repository
	// they are not known.
	Images []string
}

// What pulls, other than nodes.
const (
	// ByImport is the OpenShift API server, which imports the tags of an ImageStream when it is
	// told to.
	ByImport = "image import"
	// ByScheduledImport is the same, and again every 15 minutes or more.
	ByScheduledImport = "scheduled image import"
	// ByPullThrough is the integrated registry, for an ImageStream whose pods pull from it
	// (referencePolicy Local).
	ByPullThrough = "pull-through of the integrated registry"
	// ByBuild is a build, which gets a registries.conf of its own.
	ByBuild = "build"
)

// Read gathers everything through r: a live API, a cache, or files. It fails when a kind that holds
// pods or starts them cannot be read, naming each such kind, because a list with a hole in it would
// prove nothing; whatever else cannot be read is a Gap.
//
// It changes no object that r returns, and lets a cache hand out its own.
func Read(ctx context.Context, r client.Reader, o Options) (Inventory, error) {
	rd := &readState{r: r, api: o.API, o: o, platforms: map[string][]string{},
		pullSecrets: map[types.NamespacedName][]types.NamespacedName{}, tags: map[string]string{}}
	if rd.api == nil {
		rd.api = r
	}
	var errs []error
	for _, s := range sources {
		err := s.read(ctx, rd, rd.readerOf(s))
		if ctx.Err() != nil {
			return Inventory{}, fmt.Errorf("reading the images of every %s: %w", s.kind.Kind, ctx.Err())
		}
		if err = rd.handleReadError(ctx, s, err); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return Inventory{}, errors.Join(errs...)
	}
	for _, image := range slices.Compact(slices.Sorted(slices.Values(o.Additional))) {
		rd.c.Add(Use{Image: image, Owner: Owner{Kind: "spec.inventory.additionalImages", Name: image}, Class: Blocking})
	}
	return rd.inventory(), nil
}

func (rd *readState) readerOf(s source) client.Reader {
	if s.byName {
		return rd.api
	}
	return rd.r
}

// readState is one Read in progress: what later sources need of earlier ones, and the result so
// far.
type readState struct {
	r, api client.Reader
	o      Options

	c                  Collector
	unreadSources      []UnreadSource
	immediateConsumers []ImmediateConsumer
	malformedObjects   []malformedObject
	// externalDockerfiles are builds whose base images are named outside the cluster.
	externalDockerfiles []Owner

	// platforms are the nodes' own, by node name.
	platforms map[string][]string
	// pullSecrets are those of ServiceAccounts.
	pullSecrets map[types.NamespacedName][]types.NamespacedName
	// pools are the MachineConfigPools' rendered MachineConfigs and pinned image sets.
	pools poolNames
	// tags are the images of ImageStream tags, by namespace/name:tag.
	tags map[string]string
	// openShift is true when there is a ClusterVersion.
	openShift bool
	// groups are the groups of the CustomResourceDefinitions, once a collection of files was asked
	// for them.
	groups map[string]bool
}

func (rd *readState) inventory() Inventory {
	rd.reportMalformed()
	rd.reportExternalDockerfiles()
	slices.SortFunc(rd.unreadSources, func(a, b UnreadSource) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Why, b.Why))
	})
	for i := range rd.immediateConsumers {
		slices.Sort(rd.immediateConsumers[i].Images)
		rd.immediateConsumers[i].Images = slices.Compact(rd.immediateConsumers[i].Images)
	}
	slices.SortFunc(rd.immediateConsumers,
		func(a, b ImmediateConsumer) int { return cmp.Or(a.Owner.compare(b.Owner), cmp.Compare(a.By, b.By)) })
	return Inventory{References: rd.c.References(), UnreadSources: rd.unreadSources,
		ImmediateConsumers: rd.immediateConsumers}
}
