package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// newEvents is the event stream of all kubelets of the process. The spam filter is the kubelet's
// (25 events per object at once, then one in five minutes), at the pace of the lab.
func newEvents(ctx context.Context, kube kubernetes.Interface, scale float64) record.EventBroadcaster {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx), record.WithCorrelatorOptions(record.CorrelatorOptions{
		BurstSize: 25, QPS: float32(1 / (300 * scale)),
	}))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: kube.CoreV1().Events("")})
	return broadcaster
}

func recorderOf(broadcaster record.EventBroadcaster, node string) record.EventRecorder {
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: node})
}

// silencedRecorder is a recorder that falls silent with its context: a kubelet that lost its power
// in the middle of a pull does not report that the pull was canceled.
type silencedRecorder struct {
	record.EventRecorder
	ctx context.Context
}

func (r silencedRecorder) Event(object runtime.Object, eventType, reason, message string) {
	if r.ctx.Err() == nil {
		r.EventRecorder.Event(object, eventType, reason, message)
	}
}

func (r silencedRecorder) Eventf(object runtime.Object, eventType, reason, format string, args ...any) {
	if r.ctx.Err() == nil {
		r.EventRecorder.Eventf(object, eventType, reason, format, args...)
	}
}

// noRecorder takes the place of the kubelet's metric of pod start times.
type noRecorder struct{}

func (noRecorder) RecordImageStartedPulling(types.UID)  {}
func (noRecorder) RecordImageFinishedPulling(types.UID) {}
