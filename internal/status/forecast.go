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

// maxForecastNodes bounds how many nodes the status tells of.
const maxForecastNodes = 16

// forecastStatus takes over what the look has found out. While a node is updating nothing new is
// known, and what was said before stays; after the end nothing is forecast. The time changes only
// with the content, so that looking does not write.
func forecastStatus(before *v1alpha1.ForecastStatus, o rollout.Observed) *v1alpha1.ForecastStatus {
	f, ok := o.Forecast.Get()
	switch {
	case o.Record.CompletedGeneration != 0:
		return nil
	case !ok:
		return before
	}
	at := metav1.NewTime(f.At.Truncate(time.Second))
	out := &v1alpha1.ForecastStatus{Safe: toInt32(f.Safe), Blocked: toInt32(f.Blocked), Unknown: toInt32(f.Unknown)}
	nodes := slices.Clone(f.Nodes)
	slices.SortStableFunc(nodes, func(a, b rollout.NodeForecast) int { return severity(a.Result) - severity(b.Result) })
	for _, n := range nodes[:min(len(nodes), maxForecastNodes)] {
		var messages []string
		for _, p := range n.Problems {
			messages = append(messages, p.Message)
		}
		out.Nodes = append(out.Nodes, v1alpha1.NodeForecast{
			Pool: n.Pool, Node: n.Node, Result: v1alpha1.ForecastResult(n.Result),
			Message: truncateMessage(strings.Join(messages, "; ")),
		})
	}
	if before != nil {
		out.CheckedAt = before.CheckedAt
		if reflect.DeepEqual(before, out) {
			return before
		}
	}
	if !f.At.IsZero() {
		out.CheckedAt = &at
	}
	return out
}

// severity puts the worst first.
func severity(o rollout.DrainForecast) int {
	return slices.Index([]rollout.DrainForecast{rollout.DrainBlocked, rollout.DrainUnknown, rollout.DrainSafe}, o)
}
