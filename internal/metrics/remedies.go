package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

// remediesOf counts what is on record. Alert on an empty outcome that lasts.
func remediesOf(out chan<- prometheus.Metric, name string, list []v1alpha1.RemedyRecord) {
	type kind struct {
		action  v1alpha1.RemedyAction
		outcome string
	}
	counts := map[kind]int{}
	for _, r := range list {
		k := kind{r.Action, string(r.Outcome)}
		if r.State != v1alpha1.RemedyEnded {
			k.outcome = ""
		}
		counts[k]++
	}
	for k, n := range counts {
		gauge(out, remedies, float64(n), name, string(k.action), k.outcome)
	}
}
