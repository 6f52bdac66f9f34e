package evidence

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/diagnosis"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// pullEventMessage are those of the newest event about a failed pull of the image by the pod.
// Kubelets before 1.32 say only there why they back off:
//
//	Failed to pull image "quay.io/acme/router:v1": rpc error: code = Unknown desc = …
func (r *reader) pullEventMessage(pod *corev1.Pod, image string) string {
	var newest *corev1.Event
	events := r.eventsOf(pod)
	for i := range events {
		e := &events[i]
		if e.Reason != "Failed" || !strings.HasPrefix(e.Message, `Failed to pull image "`+image+`"`) {
			continue
		}
		if newest == nil || lastSeen(newest).Before(lastSeen(e)) {
			newest = e
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Message
}

// eventsOf reads the events of a pod, once. Files are read by namespace: they cannot be asked by
// other fields.
func (r *reader) eventsOf(pod *corev1.Pod) []corev1.Event {
	key := pod.Namespace + "/" + pod.Name
	if have, ok := r.events[key]; ok {
		return have
	}
	var list corev1.EventList
	opts := []client.ListOption{client.InNamespace(pod.Namespace)}
	if !r.Partial {
		opts = append(opts, client.MatchingFields{"involvedObject.uid": string(pod.UID)})
	}
	r.addUnread("Event", r.API.List(r.ctx, &list, opts...))
	var out []corev1.Event
	for _, e := range list.Items {
		if e.InvolvedObject.UID == pod.UID {
			out = append(out, e)
		}
	}
	if r.events == nil {
		r.events = map[string][]corev1.Event{}
	}
	r.events[key] = out
	return out
}

func lastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}

var vmiKind = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstance"}

// readVMIs reads those whose pods have to leave a node.
func (r *reader) readVMIs() {
	draining := map[string]bool{}
	for _, p := range r.snapshot.Pools {
		for _, n := range p.Nodes {
			draining[n.Name] = IsUpdating(n)
		}
	}
	for _, p := range r.snapshot.Pods {
		name, ok := diagnosis.VMIOf(p)
		if !ok || !draining[p.Spec.NodeName] {
			continue
		}
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(vmiKind)
		if err := r.API.Get(r.ctx, client.ObjectKey(name), o); err != nil {
			if client.IgnoreNotFound(err) != nil {
				r.addUnread(vmiKind.Kind, err)
			}
			continue
		}
		if r.evidence.VMMigrations == nil {
			r.evidence.VMMigrations = map[types.NamespacedName]diagnosis.VMMigration{}
		}
		r.evidence.VMMigrations[name] = vmMigrationOf(o)
	}
}

// vmMigrationOf reads what a drain depends on. Each field may be missing.
func vmMigrationOf(o *unstructured.Unstructured) diagnosis.VMMigration {
	var m diagnosis.VMMigration
	text := func(fields ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, fields...)
		return s
	}
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		c, ok := c.(map[string]any)
		if ok && c["type"] == "LiveMigratable" && c["status"] == "False" &&
			blocksEviction(text("spec", "evictionStrategy")) {
			reason, _ := c["reason"].(string)
			message, _ := c["message"].(string)
			m.NotMigratable = strings.Trim(reason+": "+message, ": ")
		}
	}
	m.Evacuating = text("status", "evacuationNodeName") != ""
	state := []string{"status", "migrationState"}
	at := func(field string) string { return text(append(state, field)...) }
	if at("endTimestamp") == "" {
		m.Target = at("targetNode")
	}
	m.Started, _ = time.Parse(time.RFC3339, at("startTimestamp"))
	if failed, _, _ := unstructured.NestedBool(o.Object, "status", "migrationState", "failed"); failed {
		m.LastFailure = "its migration to " + at("targetNode") + " has failed"
		if why := at("failureReason"); why != "" {
			m.LastFailure += ": " + why
		}
	}
	return m
}

// blocksEviction: with LiveMigrate the eviction of a machine that cannot be migrated is refused;
// with LiveMigrateIfPossible and None it is shut down. Without a strategy of its own the cluster's
// applies, which is LiveMigrate where there is more than one node.
func blocksEviction(strategy string) bool { return strategy == "" || strategy == "LiveMigrate" }

// maxDryRuns bounds the evictions that are tried in one look.
const maxDryRuns = 20

// dryRunEvictions tries the eviction of the pods of which nothing that was read says why they stay:
// arithmetic first, a dry run second. It tells whether anything was refused.
func (r *reader) dryRunEvictions(blockedDrains []rollout.BlockedDrain) bool {
	stuck := map[string]bool{}
	for _, o := range blockedDrains {
		unexplained := o.Reason == rollout.DrainBlockRetrying || o.Reason == rollout.DrainBlockUnknown
		stuck[o.Node] = unexplained && r.snapshot.Now.Sub(o.Since) >= r.DryRunAfter
	}
	tries := 0
	r.evidence.EvictionRefusals = map[types.UID]diagnosis.EvictionRefusal{}
	for _, p := range r.snapshot.Pods {
		if !stuck[p.Spec.NodeName] || !diagnosis.BlocksDrain(p) || p.DeletionTimestamp != nil || tries == maxDryRuns {
			continue
		}
		tries++
		refusal, err := r.DryRunEvict(r.ctx, p)
		if err != nil {
			r.addUnread("eviction", err)
			return false
		}
		if refusal != nil {
			r.evidence.EvictionRefusals[p.UID] = *refusal
		}
	}
	return len(r.evidence.EvictionRefusals) > 0
}
