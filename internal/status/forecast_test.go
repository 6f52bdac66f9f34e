package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// withForecast is a look with a forecast.
func withForecast(f rollout.Forecast) rollout.Observed {
	o := observation()
	o.Forecast = rollout.Known(f)
	return o
}

func TestForecastInStatus(t *testing.T) {
	f := rollout.Forecast{
		At: now.Add(300 * time.Millisecond), Safe: 7, Blocked: 1, Unknown: 2,
		Nodes: []rollout.NodeForecast{
			{Pool: "worker", Node: "worker-0", Result: rollout.DrainSafe},
			{Pool: "worker", Node: "worker-1", Result: rollout.DrainUnknown,
				Problems: []rollout.Problem{{Message: "its pull is not proven"}}},
			{Pool: "infra", Node: "infra-0", Result: rollout.DrainBlocked,
				Problems: []rollout.Problem{{Message: "PDB shop/cart allows 0"}, {Message: "PDB shop/till allows 0"}}},
		},
	}
	when := at(now)
	want := &v1alpha1.ForecastStatus{CheckedAt: &when, Safe: 7, Blocked: 1, Unknown: 2, Nodes: []v1alpha1.NodeForecast{
		{Pool: "infra", Node: "infra-0", Result: "Blocked", Message: "PDB shop/cart allows 0; PDB shop/till allows 0"},
		{Pool: "worker", Node: "worker-1", Result: "Unknown", Message: "its pull is not proven"},
		{Pool: "worker", Node: "worker-0", Result: "Safe"},
	}}
	first := forecastStatus(nil, withForecast(f))
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
		"looking again writes nothing": {func() rollout.Observed { later := f; later.At = now.Add(time.Hour); return withForecast(later) }(),
			func(s *v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus { return s }},
		"what is new has a new time": {func() rollout.Observed {
			later := f
			later.At, later.Safe = now.Add(time.Hour), 8
			return withForecast(later)
		}(),
			func(s *v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus {
				when := at(now.Add(time.Hour))
				s.Safe, s.CheckedAt = 8, &when
				return s
			}},
		"while a node is updating the last one stays": {func() rollout.Observed {
			o := observation()
			o.Forecast = rollout.Unknown[rollout.Forecast]("node worker-0 is updating")
			return o
		}(),
			func(s *v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus { return s }},
		"after the end there is none": {func() rollout.Observed { o := withForecast(f); o.Record.CompletedGeneration = 1; return o }(),
			func(*v1alpha1.ForecastStatus) *v1alpha1.ForecastStatus { return nil }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want(first.DeepCopy()), forecastStatus(first, c.o)); diff != "" {
				t.Errorf("forecast (-want +got):\n%s", diff)
			}
		})
	}
}

// TestForecastIsBounded: a bad node is never left out for a good one.
func TestForecastIsBounded(t *testing.T) {
	var f rollout.Forecast
	for i := range maxForecastNodes + 5 {
		f.Nodes = append(f.Nodes, rollout.NodeForecast{Node: fmt.Sprint(i), Result: rollout.DrainSafe})
	}
	f.Nodes[maxForecastNodes+4].Result = rollout.DrainBlocked
	got := forecastStatus(nil, withForecast(f)).Nodes
	if len(got) != maxForecastNodes || got[0].Node != fmt.Sprint(maxForecastNodes+4) || got[1].Node != "0" {
		t.Errorf("%d nodes: %v", len(got), got)
	}
}
