package daemon

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
	ctrlcommon "github.com/openshift/machine-config-operator/pkg/controller/common"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func wantValues(t *testing.T, l *lab, key string, want ...string) {
	t.Helper()
	if got := l.values(key); !slices.Equal(got, want) {
		t.Errorf("%s went through %q, want %q", key, got, want)
	}
}

// wantEvents checks that events with these reasons were recorded in this order, others between
// them.
func wantEvents(t *testing.T, l *lab, reasons ...string) {
	t.Helper()
	deadline := time.After(testTimeout)
	for {
		if missing := l.missingEvent(reasons); missing == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("no event %s in its place; there are %q", l.missingEvent(reasons), l.eventReasons())
		case <-time.After(time.Millisecond): // events are sent by a goroutine that nobody can wait for
		}
	}
}

func (l *lab) missingEvent(reasons []string) string {
	rest := l.eventReasons()
	for _, reason := range reasons {
		i := slices.Index(rest, reason)
		if i < 0 {
			return reason
		}
		rest = rest[i+1:]
	}
	return ""
}

// eventReasons are in the order in which the events were sent.
func (l *lab) eventReasons() []string {
	var reasons []string
	for _, action := range l.kube.Actions() {
		create, ok := action.(interface{ GetObject() runtime.Object })
		if !ok || action.GetVerb() != "create" || action.GetResource().Resource != "events" {
			continue
		}
		reasons = append(reasons, reasonOf(l.t, create.GetObject()))
	}
	return reasons
}

// reasonOf checks where an event was recorded, and by whom.
func reasonOf(t *testing.T, object runtime.Object) string {
	t.Helper()
	event, ok := object.(*corev1.Event)
	if !ok {
		t.Fatalf("%T is no event", object)
	}
	if event.Namespace != ctrlcommon.MCONamespace || event.Source.Component != "machineconfigdaemon" ||
		event.Source.Host != node {
		t.Errorf("event %s is in %s, from %v", event.Reason, event.Namespace, event.Source)
	}
	return event.Reason
}

// awaitCondition waits for a condition of the MachineConfigNode whose message ends so. (After
// Updated the real text is "Action during update to rendered-b: ..."; the fake API loses the name
// in it.)
func (l *lab) awaitCondition(kind mcfgv1.StateProgress, status metav1.ConditionStatus, message string) {
	l.t.Helper()
	deadline := time.After(testTimeout)
	for {
		got := l.mcnCondition(kind)
		if got.Status == status && strings.HasSuffix(got.Message, message) {
			return
		}
		select {
		case <-deadline:
			l.t.Fatalf("%s is %s %q, want %s %q", kind, got.Status, got.Message, status, message)
		case <-time.After(time.Millisecond): // the last report follows the last write of the node
		}
	}
}
func (l *lab) mcnCondition(kind mcfgv1.StateProgress) metav1.Condition {
	l.t.Helper()
	mcn, err := l.mcfg.MachineconfigurationV1().MachineConfigNodes().Get(context.Background(), node,
		metav1.GetOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range mcn.Status.Conditions {
		if c.Type == string(kind) {
			return c
		}
	}
	return metav1.Condition{}
}
