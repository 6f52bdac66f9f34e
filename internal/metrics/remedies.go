package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// collectRemedies counts what is on record. Alert on an empty outcome that lasts.
func collectRemedies(out chan<- prometheus.Metric, name string, list []v1alpha1.RemedyRecord) {
	type labels struct {
		action  v1alpha1.RemedyAction
		outcome string
	}
	counts := map[labels]int{}
	for _, r := range list {
		k := labels{r.Action, string(r.Outcome)}
		if r.State != v1alpha1.RemedyEnded {
			k.outcome = ""
		}
		counts[k]++
	}
	for k, n := range counts {
		gauge(out, remediesDesc, float64(n), name, string(k.action), k.outcome)
	}
}
