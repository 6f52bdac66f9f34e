package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	"github.com/openshift/machine-config-operator/pkg/daemon/constants"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
)

// annotate writes annotations in one patch without a resourceVersion, as the MCD's node writer
// does: it never loses against the kubelet's status updates.
func (d *daemon) annotate(ctx context.Context, annotations map[string]string) error {
	return d.patchAnnotations(ctx, annotations)
}

// removeAnnotation deletes one: null in a merge patch.
func (d *daemon) removeAnnotation(ctx context.Context, key string) error {
	return d.patchAnnotations(ctx, map[string]any{key: nil})
}

func (d *daemon) patchAnnotations(ctx context.Context, annotations any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	node, err := d.Kube.CoreV1().Nodes().Patch(ctx, d.NodeName, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("unable to update node %q: %w", d.NodeName, err)
	}
	storeMax(&d.written, revision(node))
	return nil
}

// isStale says that node is older than our own last write. Without this look, a sync right after
// Done may read the Working of a moment ago and run the whole update once more.
func (d *daemon) isStale(node *corev1.Node) bool { return revision(node) < d.written.Load() }

// revision orders the versions of one object as etcd does; 0 where versions are not numbers.
func revision(node *corev1.Node) uint64 {
	n, err := strconv.ParseUint(node.ResourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// storeMax sets to the greater of its value and value.
func storeMax(to *atomic.Uint64, value uint64) {
	for old := to.Load(); value > old && !to.CompareAndSwap(old, value); old = to.Load() {
	}
}

func (d *daemon) setState(ctx context.Context, state string) error {
	return d.annotate(ctx, map[string]string{constants.MachineConfigDaemonStateAnnotationKey: state})
}

// setDone ends an update in one patch, so that no reader sees Done with the old currentConfig.
func (d *daemon) setDone(ctx context.Context, config string) error {
	return d.annotate(ctx, map[string]string{
		constants.MachineConfigDaemonStateAnnotationKey:  constants.MachineConfigDaemonStateDone,
		constants.CurrentMachineConfigAnnotationKey:      config,
		constants.MachineConfigDaemonReasonAnnotationKey: "",
	})
}

// setFailed shows err on the node, at most 2000 characters of it.
func (d *daemon) setFailed(ctx context.Context, err error) {
	state := constants.MachineConfigDaemonStateDegraded
	if errors.As(err, new(unreconcilable)) {
		state = constants.MachineConfigDaemonStateUnreconcilable
	}
	klog.Errorf("%s: %s: %v", d.NodeName, state, err)
	failed := d.annotate(ctx, map[string]string{
		constants.MachineConfigDaemonStateAnnotationKey:  state,
		constants.MachineConfigDaemonReasonAnnotationKey: fmt.Sprintf("%.2000s", err.Error()),
	})
	if failed != nil && ctx.Err() == nil {
		klog.Errorf("%s: could not set state %s: %v", d.NodeName, state, failed)
	}
}

// newRecorder records events as the MCD: on the Node, in the MCO's namespace. Client-go lets 25
// events about one object through and then one in five minutes; a lab in which five minutes are
// three seconds must let them through as much faster, or the fourth update of a node has no events.
func newRecorder(ctx context.Context, o Options) record.EventRecorder {
	fiveMinutes := o.scaled(5 * time.Minute)
	broadcaster := record.NewBroadcaster(record.WithContext(ctx), record.WithCorrelatorOptions(record.CorrelatorOptions{
		QPS:                  float32(time.Second) / float32(fiveMinutes),
		MaxIntervalInSeconds: max(1, int(o.scaled(10*time.Minute).Seconds())),
	}))
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: o.Kube.CoreV1().Events("")})
	return ctrlcommon.NamespacedEventRecorder(broadcaster.NewRecorder(scheme.Scheme,
		corev1.EventSource{Component: "machineconfigdaemon", Host: o.NodeName}))
}

// event records a normal event about the node.
func (d *daemon) event(reason, format string, args ...any) {
	d.recordEvent(corev1.EventTypeNormal, reason, format, args...)
}

// warn records a warning about the node.
func (d *daemon) warn(reason, format string, args ...any) {
	d.recordEvent(corev1.EventTypeWarning, reason, format, args...)
}

func (d *daemon) recordEvent(kind, reason, format string, args ...any) {
	node, err := d.nodes.Get(d.NodeName)
	if err != nil {
		return
	}
	d.events.Eventf(&corev1.ObjectReference{Kind: "Node", Name: node.Name, UID: node.UID}, kind, reason, format,
		args...)
}
