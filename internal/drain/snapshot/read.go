package snapshot

import (
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain"
	"github.com/safe-mirror/safe-mirror-operator/internal/pullcheck"
)

// Options say what is known of the cluster already.
type Options struct {
	// Uncached reads past a cache what changes from one moment to the next, budgets and nodes; nil
	// reads them like all else.
	Uncached client.Reader
	// Pods are those of the cluster, if they were read already.
	Pods []*corev1.Pod
	// Mirrors are the locations of mirrors, of which those in this cluster are looked for:
	// registry.mirror.svc:5000/acme.
	Mirrors []string
	// Partial is true for files, which need not hold every kind.
	Partial bool
}

type snapshotReader struct {
	Options
	reader client.Reader
	out    *drain.Snapshot
	// services are those of the cluster by namespace/name.
	services map[string]*corev1.Service
}

// Read fills in what the reader has. The pools, what becomes of images, and the time are for the
// caller to add.
func Read(ctx context.Context, r client.Reader, o Options) drain.Snapshot {
	sr := &snapshotReader{Options: o, reader: r, out: &drain.Snapshot{Pods: o.Pods}}
	fresh := o.Uncached
	if fresh == nil {
		fresh = r
	}
	sr.readRequired(ctx, fresh, "PodDisruptionBudget", &policyv1.PodDisruptionBudgetList{},
		func(list client.ObjectList) {
			sr.out.Budgets = pointers(list.(*policyv1.PodDisruptionBudgetList).Items) //nolint:forcetypeassert // it was made right here
		})
	sr.readRequired(ctx, fresh, "Node", &corev1.NodeList{}, func(list client.ObjectList) {
		sr.out.Nodes = pointers(list.(*corev1.NodeList).Items) //nolint:forcetypeassert // it was made right here
	})
	if o.Pods == nil {
		sr.readRequired(ctx, r, "Pod", &corev1.PodList{}, func(list client.ObjectList) {
			sr.out.Pods = pointers(list.(*corev1.PodList).Items) //nolint:forcetypeassert // it was made right here
		})
	}
	sr.out.Pods = slices.DeleteFunc(slices.Clone(sr.out.Pods), pullcheck.IsCheckPod)
	sr.readWorkloads(ctx)
	sr.readVolumes(ctx)
	sr.readNamespaces(ctx)
	sr.readServices(ctx)
	sr.readVMIs(ctx)
	return *sr.out
}

// readRequired reads what the forecast cannot do without.
func (sr *snapshotReader) readRequired(ctx context.Context, r client.Reader, kind string, list client.ObjectList,
	take func(client.ObjectList)) {
	if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		why := err.Error()
		if meta.IsNoMatchError(err) {
			why = "no file says anything of it"
		}
		sr.out.UnreadKinds = append(sr.out.UnreadKinds, drain.UnreadKind{Kind: kind, Why: why})
		return
	}
	take(list)
}

// readOptional reads what only makes the forecast better. Files need not have it; of a live cluster
// it is missed.
func (sr *snapshotReader) readOptional(ctx context.Context, kind string, list client.ObjectList) bool {
	err := sr.reader.List(ctx, list, client.UnsafeDisableDeepCopy)
	if err != nil && (!sr.Partial || !meta.IsNoMatchError(err)) {
		sr.out.UnreadKinds = append(sr.out.UnreadKinds, drain.UnreadKind{Kind: kind, Why: err.Error()})
	}
	return err == nil
}

// readWorkloads say how many pods each controller wants. Of those that cannot be read the status of
// the budgets tells.
func (sr *snapshotReader) readWorkloads(ctx context.Context) {
	var w drain.Workloads
	var sets appsv1.ReplicaSetList
	if sr.reader.List(ctx, &sets, client.UnsafeDisableDeepCopy) == nil {
		w.ReplicaSets = pointers(sets.Items)
	}
	var deployments appsv1.DeploymentList
	if sr.reader.List(ctx, &deployments, client.UnsafeDisableDeepCopy) == nil {
		w.Deployments = pointers(deployments.Items)
	} else {
		w.ReplicaSets = nil // without their Deployments they would count twice
	}
	var stateful appsv1.StatefulSetList
	if sr.reader.List(ctx, &stateful, client.UnsafeDisableDeepCopy) == nil {
		w.StatefulSets = pointers(stateful.Items)
	}
	var controllers corev1.ReplicationControllerList
	if sr.reader.List(ctx, &controllers, client.UnsafeDisableDeepCopy) == nil {
		w.ReplicationControllers = pointers(controllers.Items)
	}
	sr.out.Scales = drain.NewScales(w)
	var daemons appsv1.DaemonSetList
	if sr.reader.List(ctx, &daemons, client.UnsafeDisableDeepCopy) == nil {
		sr.out.DaemonSets = make(map[string]bool, len(daemons.Items))
		for i := range daemons.Items {
			sr.out.DaemonSets[daemons.Items[i].Namespace+"/"+daemons.Items[i].Name] = true
		}
	}
}

func (sr *snapshotReader) readVolumes(ctx context.Context) {
	used := false
	for _, p := range sr.out.Pods {
		for i := range p.Spec.Volumes {
			used = used || p.Spec.Volumes[i].PersistentVolumeClaim != nil
		}
	}
	if !used {
		sr.out.Volumes.Known = true
		return
	}
	var claims corev1.PersistentVolumeClaimList
	var volumes corev1.PersistentVolumeList
	if sr.reader.List(ctx, &claims, client.UnsafeDisableDeepCopy) != nil ||
		sr.reader.List(ctx, &volumes, client.UnsafeDisableDeepCopy) != nil {
		return // which makes a difference only where a replacement with a volume has to be ready first
	}
	sr.out.Volumes = drain.Volumes{Known: true, Claims: map[string]*corev1.PersistentVolumeClaim{},
		Volumes: map[string]*corev1.PersistentVolume{}}
	for _, c := range pointers(claims.Items) {
		sr.out.Volumes.Claims[c.Namespace+"/"+c.Name] = c
	}
	for _, v := range pointers(volumes.Items) {
		sr.out.Volumes.Volumes[v.Name] = v
	}
}

// readNamespaces are read as metadata: their labels are all that is looked at.
func (sr *snapshotReader) readNamespaces(ctx context.Context) {
	var list corev1.NamespaceList
	if sr.reader.List(ctx, &list, client.UnsafeDisableDeepCopy) != nil {
		return // then a selector of namespaces is taken to select all
	}
	sr.out.Namespaces = make(map[string]map[string]string, len(list.Items))
	for i := range list.Items {
		sr.out.Namespaces[list.Items[i].Name] = list.Items[i].Labels
	}
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// controlledBy tells whether the object belongs to a controller of that kind.
func controlledBy(o metav1.Object, kind string) bool {
	owner := metav1.GetControllerOf(o)
	return owner != nil && owner.Kind == kind
}
