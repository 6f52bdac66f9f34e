package preview

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/safe-mirror/safe-mirror-operator/internal/drain/forecast"
	"github.com/safe-mirror/safe-mirror-operator/internal/drain/snapshot"
)

// readDrains reads what the forecast of drains is made from. It does not read through the tolerant
// reader: what may not be read is no reason to call a drain safe.
func (f *Preview) readDrains(ctx context.Context, s Source, pods []*corev1.Pod) {
	if pods == nil {
		pods = []*corev1.Pod{}
	}
	f.seen = snapshot.Read(ctx, s.Reader, snapshot.Options{Pods: pods, Mirrors: snapshot.MirrorLocations(f.Plan),
		Partial: s.Partial})
	f.change = snapshot.Change{Now: s.Now, Spec: f.Spec, Prediction: f.Prediction, Plan: f.Plan, Reloads: f.reloads}
}

// DrainForecast is the forecast of every node's drain, as a rollout would have it now: by the same
// code, and by what the registries have said.
func (f *Preview) DrainForecast(a RegistryChecks) forecast.Report {
	c := f.change
	c.Results = a.Results
	return forecast.ForecastAll(snapshot.Assemble(f.seen, c))
}
