package status

import (
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// maxForecast bounds how many nodes the status tells of.
const maxForecast = 16

// forecast takes over what the look has found out. While a node is under way nothing new is known, and what was said before stays; after
// the end nothing is forecast. The time changes only with the content, so that looking does not write.
func forecast(before *v1alpha1.ForecastStatus, o rollout.Observed) *v1alpha1.ForecastStatus {
	f, ok := o.Forecast.Get()
	switch {
	case o.Record.CompletedGeneration != 0:
		return nil
	case !ok:
		return before
	}
	at := metav1.NewTime(f.At.Truncate(time.Second))
	out := &v1alpha1.ForecastStatus{Safe: count(f.Safe), Blocked: count(f.Blocked), Unknown: count(f.Unknown)}
	nodes := slices.Clone(f.Nodes)
	slices.SortStableFunc(nodes, func(a, b rollout.NodeForecast) int { return severity(a.Outlook) - severity(b.Outlook) })
	for _, n := range nodes[:min(len(nodes), maxForecast)] {
		var messages []string
		for _, p := range n.Problems {
			messages = append(messages, p.Message)
		}
		out.Nodes = append(out.Nodes, v1alpha1.NodeForecast{
			Pool: n.Pool, Node: n.Node, Result: v1alpha1.ForecastResult(n.Outlook), Message: shorten(strings.Join(messages, "; ")),
		})
	}
	if before != nil {
		out.CheckedAt = before.CheckedAt
		if reflect.DeepEqual(before, out) {
			return before
		}
	}
	out.CheckedAt = &at
	return out
}

// severity puts the worst first.
func severity(o rollout.Outlook) int {
	return slices.Index([]rollout.Outlook{rollout.OutlookBlocked, rollout.OutlookUnknown, rollout.OutlookSafe}, o)
}
