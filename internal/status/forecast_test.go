package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// foresees is a look with a forecast.
func foresees(f rollout.Forecast) rollout.Observed {
	o := look()
	o.Forecast = rollout.Seen(f)
	return o
}

func TestForecastInTheStatus(t *testing.T) {
	f := rollout.Forecast{
		At: now.Add(300 * time.Millisecond), Safe: 7, Blocked: 1, Unknown: 2,
		Nodes: []rollout.NodeForecast{
			{Pool: "worker", Node: "worker-0", Outlook: rollout.OutlookSafe},
			{Pool: "worker", Node: "worker-1", Outlook: rollout.OutlookUnknown, Problems: []rollout.Problem{{Message: "its pull is not proven"}}},
			{Pool: "infra", Node: "infra-0", Outlook: rollout.OutlookBlocked, Problems: []rollout.Problem{{Message: "PDB shop/cart allows 0"}, {Message: "PDB shop/till allows 0"}}},
		},
	}
	when := at(now)
	want := &v1alpha1.ForecastStatus{CheckedAt: &when, Safe: 7, Blocked: 1, Unknown: 2, Nodes: []v1alpha1.NodeForecast{
		{Pool: "infra", Node: "infra-0", Result: "Blocked", Message: "PDB shop/cart allows 0; PDB shop/till allows 0"},
		{Pool: "worker", Node: "worker-1", Result: "Unknown", Message: "its pull is not proven"},
		{Pool: "worker", Node: "worker-0", Result: "Safe"},
	}}
	first := forecast(nil, foresees(f))
	if diff := cmp.Diff(want, first); diff != "" {
		t.Fatalf("forecast (-want +got):\n%s", diff)
	}
	if f.Nodes[0].Node != "worker-0" {
		t.Error("the order of what was observed has changed")
	}
	cases := map[string]struct {
		o    rollout.Observed
		want func(*v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus
	}{
		"looking again writes nothing": {func() rollout.Observed { later := f; later.At = now.Add(time.Hour); return foresees(later) }(),
			func(s *v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus { return s }},
		"what is new has a new time": {func() rollout.Observed {
			later := f
			later.At, later.Safe = now.Add(time.Hour), 8
			return foresees(later)
		}(),
			func(s *v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus {
				when := at(now.Add(time.Hour))
				s.Safe, s.CheckedAt = 8, &when
				return s
			}},
		"while a node is under way the last one stays": {func() rollout.Observed {
			o := look()
			o.Forecast = rollout.Unseen[rollout.Forecast]("node worker-0 is under way")
			return o
		}(),
			func(s *v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus { return s }},
		"after the end there is none": {func() rollout.Observed { o := foresees(f); o.Record.CompletedGeneration = 1; return o }(),
			func(*v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus { return nil }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want(first.DeepCopy()), forecast(first, c.o)); diff != "" {
				t.Errorf("forecast (-want +got):\n%s", diff)
			}
		})
	}
}

// TestForecastIsBounded: a bad node is never left out for a good one.
func TestForecastIsBounded(t *testing.T) {
	var f rollout.Forecast
	for i := range maxForecast + 5 {
		f.Nodes = append(f.Nodes, rollout.NodeForecast{Node: fmt.Sprint(i), Outlook: rollout.OutlookSafe})
	}
	f.Nodes[maxForecast+4].Outlook = rollout.OutlookBlocked
	got := forecast(nil, foresees(f)).Nodes
	if len(got) != maxForecast || got[0].Node != fmt.Sprint(maxForecast+4) || got[1].Node != "0" {
		t.Errorf("%d nodes: %v", len(got), got)
	}
}
