// Package metrics tells Prometheus how rollouts stand and what goes between the operator and the
// registries.
//
// What is told of a rollout comes from its status, so that a dashboard and `oc get` never differ.
package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

var (
	phaseDesc = prometheus.NewDesc("safe_mirror_rollout_phase", "1 for the phase of the rollout.",
		[]string{"rollout", "phase"}, nil)
	// conditionDesc is the gauge to alert on: Stalled asks for a person, PauseLimitExceeded for
	// haste.
	conditionDesc = prometheus.NewDesc("safe_mirror_rollout_condition",
		"1 when the condition is True, 0 when it is False, -1 when it is Unknown.",
		[]string{"rollout", "condition", "reason"}, nil)
	blockersDesc = prometheus.NewDesc("safe_mirror_rollout_blockers", "What the rollout waits for, by number.",
		[]string{"rollout"}, nil)
	imagesDesc = prometheus.NewDesc("safe_mirror_rollout_images", "References of the rollout by state.",
		[]string{"rollout", "state"}, nil)
	copiedBytesDesc = prometheus.NewDesc("safe_mirror_rollout_copied_bytes",
		"Bytes that were written to mirrors for the rollout.", []string{"rollout"}, nil)
	nodesDesc = prometheus.NewDesc("safe_mirror_pool_nodes", "Nodes of the pool by state.",
		[]string{"rollout", "pool", "state"}, nil)
	remediesDesc = prometheus.NewDesc("safe_mirror_rollout_remedies",
		"Remedies on the record of the rollout, by action and outcome; an empty outcome is one in progress.",
		[]string{"rollout", "action", "outcome"}, nil)
	pausedDesc = prometheus.NewDesc("safe_mirror_pool_paused", "1 while the pool is paused.",
		[]string{"rollout", "pool"}, nil)
	drainBlockedDesc = prometheus.NewDesc("safe_mirror_obstacle",
		"1 for an updating node that makes no progress, by what holds it; 0 when that passes by itself.",
		[]string{"rollout", "pool", "node", "hindrance", "cause"}, nil)
	drainBlockedSinceDesc = prometheus.NewDesc("safe_mirror_obstacle_since_seconds",
		"When that began, in seconds since 1970; absent when the cluster does not tell.",
		[]string{"rollout", "pool", "node"}, nil)

	requestsDesc = prometheus.NewDesc("safe_mirror_registry_requests_total", "Requests to the registry.",
		[]string{"registry", "method"}, nil)
	bytesDesc = prometheus.NewDesc("safe_mirror_registry_bytes_total",
		"Bytes of bodies that went to the registry, or came from it.",
		[]string{"registry", "direction"}, nil)
	rateLimitedDesc = prometheus.NewDesc("safe_mirror_registry_rate_limited_total",
		"Answers of the registry that asked for fewer requests.", []string{"registry"}, nil)
	waitDesc = prometheus.NewDesc("safe_mirror_registry_wait_seconds_total",
		"Time for which requests have waited for limits and pauses.", []string{"registry"}, nil)
)

// Collector is a prometheus.Collector. The zero value tells nothing yet; a nil one takes nothing
// in.
type Collector struct {
	mu       sync.Mutex
	rollouts map[string]v1alpha1.SafeMirrorRolloutStatus
	totals   func() map[string]mirror.HostStats
}

// SetRollout takes over the status of a rollout.
func (c *Collector) SetRollout(name string, s v1alpha1.SafeMirrorRolloutStatus) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rollouts == nil {
		c.rollouts = map[string]v1alpha1.SafeMirrorRolloutStatus{}
	}
	c.rollouts[name] = *s.DeepCopy()
}

// RemoveRollout forgets a rollout.
func (c *Collector) RemoveRollout(name string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rollouts, name)
}

// SetRegistryTotals says where the counts of the registries come from.
func (c *Collector) SetRegistryTotals(totals func() map[string]mirror.HostStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.totals = totals
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{phaseDesc, conditionDesc, blockersDesc, imagesDesc, copiedBytesDesc, nodesDesc,
		remediesDesc, pausedDesc, drainBlockedDesc, drainBlockedSinceDesc, requestsDesc, bytesDesc, rateLimitedDesc,
		waitDesc} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, s := range c.rollouts {
		collectRollout(out, name, s)
	}
	if c.totals == nil {
		return
	}
	for host, t := range c.totals() {
		collectRegistry(out, host, t)
	}
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func counter(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func collectRollout(out chan<- prometheus.Metric, name string, s v1alpha1.SafeMirrorRolloutStatus) {
	if s.Phase != "" {
		gauge(out, phaseDesc, 1, name, string(s.Phase))
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
		v1alpha1.ConditionPauseLimitExceeded} {
		if found := meta.FindStatusCondition(s.Conditions, kind); found != nil {
			gauge(out, conditionDesc, conditionValue(string(found.Status)), name, kind, found.Reason)
		}
	}
	gauge(out, blockersDesc, float64(len(s.Blockers)), name)
	collectRemedies(out, name, s.Record.Remedies)
	for state, n := range map[string]int32{
		"total": s.Images.Total, "changed": s.Images.Changed, "verified": s.Images.Verified, "copied": s.Images.Copied,
		"failed": s.Images.Failed,
		"lost":   s.Images.Lost, "accepted": s.Images.Accepted, "no_worse": s.Images.NoWorse,
		"drifted": s.Images.Drifted,
	} {
		gauge(out, imagesDesc, float64(n), name, state)
	}
	gauge(out, copiedBytesDesc, float64(s.Images.BytesCopied), name)
	for _, p := range s.Pools {
		gauge(out, nodesDesc, float64(p.Total), name, p.Name, "total")
		gauge(out, nodesDesc, float64(p.Updated), name, p.Name, "updated")
		held := 0.0
		if p.Paused {
			held = 1
		}
		gauge(out, pausedDesc, held, name, p.Name)
	}
	for _, o := range s.BlockedDrains {
		blocked := 1.0
		if o.Transient {
			blocked = 0
		}
		gauge(out, drainBlockedDesc, blocked, name, o.Pool, o.Node, string(o.Reason), string(o.PullFailure))
		if !o.Since.IsZero() {
			gauge(out, drainBlockedSinceDesc, float64(o.Since.Unix()), name, o.Pool, o.Node)
		}
	}
}

func conditionValue(status string) float64 {
	switch status {
	case "True":
		return 1
	case "False":
		return 0
	default:
		return -1
	}
}

func collectRegistry(out chan<- prometheus.Metric, host string, t mirror.HostStats) {
	for method, n := range t.Requests {
		counter(out, requestsDesc, float64(n), host, method)
	}
	counter(out, bytesDesc, float64(t.Sent), host, "sent")
	counter(out, bytesDesc, float64(t.Received), host, "received")
	counter(out, rateLimitedDesc, float64(t.RateLimited), host)
	counter(out, waitDesc, t.Waited.Seconds(), host)
}
