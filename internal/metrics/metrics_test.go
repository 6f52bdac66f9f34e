package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func status() v1alpha1.SafeMirrorRolloutStatus {
	return v1alpha1.SafeMirrorRolloutStatus{
		Phase: "Release",
		Conditions: []metav1.Condition{{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "DrainTimedOut"},
			{Type: "Ready", Status: metav1.ConditionUnknown, Reason: "Waiting"}},
		Images:   v1alpha1.ImageCounts{Total: 10, Changed: 4, Verified: 3, BytesCopied: 1 << 20},
		Pools:    []v1alpha1.PoolStatus{{Name: "worker", Total: 3, Updated: 1, Paused: true}},
		Blockers: []v1alpha1.Blocker{{}, {}},
	}
}

func TestCollect(t *testing.T) {
	c := &Collector{}
	c.SetRollout("shop", status())
	c.SetRegistryTotals(func() map[string]mirror.HostStats {
		return map[string]mirror.HostStats{"mirror.local": {Requests: map[string]int64{"PUT": 7}, Sent: 100,
			Received: 5, RateLimited: 1, Waited: 1500 * time.Millisecond}}
	})
	want := `
# HELP safe_mirror_pool_nodes Nodes of the pool by state.
# TYPE safe_mirror_pool_nodes gauge
safe_mirror_pool_nodes{pool="worker",rollout="shop",state="total"} 3
safe_mirror_pool_nodes{pool="worker",rollout="shop",state="updated"} 1
# HELP safe_mirror_pool_paused 1 while the pool is paused.
# TYPE safe_mirror_pool_paused gauge
safe_mirror_pool_paused{pool="worker",rollout="shop"} 1
# HELP safe_mirror_registry_bytes_total Bytes of bodies that went to the registry, or came from it.
# TYPE safe_mirror_registry_bytes_total counter
safe_mirror_registry_bytes_total{direction="received",registry="mirror.local"} 5
safe_mirror_registry_bytes_total{direction="sent",registry="mirror.local"} 100
# HELP safe_mirror_registry_rate_limited_total Answers of the registry that asked for fewer requests.
# TYPE safe_mirror_registry_rate_limited_total counter
safe_mirror_registry_rate_limited_total{registry="mirror.local"} 1
# HELP safe_mirror_registry_requests_total Requests to the registry.
# TYPE safe_mirror_registry_requests_total counter
safe_mirror_registry_requests_total{method="PUT",registry="mirror.local"} 7
# HELP safe_mirror_registry_wait_seconds_total Time for which requests have waited for limits and pauses.
# TYPE safe_mirror_registry_wait_seconds_total counter
safe_mirror_registry_wait_seconds_total{registry="mirror.local"} 1.5
# HELP safe_mirror_rollout_blockers What the rollout waits for, by number.
# TYPE safe_mirror_rollout_blockers gauge
safe_mirror_rollout_blockers{rollout="shop"} 2
# HELP safe_mirror_rollout_condition 1 when the condition is True, 0 when it is False, -1 when it is Unknown.
# TYPE safe_mirror_rollout_condition gauge
safe_mirror_rollout_condition{condition="Ready",reason="Waiting",rollout="shop"} -1
safe_mirror_rollout_condition{condition="Stalled",reason="DrainTimedOut",rollout="shop"} 1
# HELP safe_mirror_rollout_copied_bytes Bytes that were written to mirrors for the rollout.
# TYPE safe_mirror_rollout_copied_bytes gauge
safe_mirror_rollout_copied_bytes{rollout="shop"} 1.048576e+06
# HELP safe_mirror_rollout_phase 1 for the phase of the rollout.
# TYPE safe_mirror_rollout_phase gauge
safe_mirror_rollout_phase{phase="Release",rollout="shop"} 1
`
	all := []string{
		"safe_mirror_pool_nodes", "safe_mirror_pool_paused", "safe_mirror_registry_bytes_total",
		"safe_mirror_registry_rate_limited_total",
		"safe_mirror_registry_requests_total", "safe_mirror_registry_wait_seconds_total",
		"safe_mirror_rollout_blockers",
		"safe_mirror_rollout_condition", "safe_mirror_rollout_copied_bytes", "safe_mirror_rollout_phase",
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), all...); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(c, "safe_mirror_rollout_images"); n != 9 {
		t.Errorf("%d states of images", n)
	}
}

func TestRemovedRolloutIsNotCollected(t *testing.T) {
	c := &Collector{}
	c.SetRollout("shop", status())
	c.RemoveRollout("shop")
	if n := testutil.CollectAndCount(c); n != 0 {
		t.Errorf("%d metrics are left", n)
	}
}

// The names and labels follow the conventions, and two collections do not clash.
func TestMetricsAreWellFormed(t *testing.T) {
	c := &Collector{}
	c.SetRollout("shop", status())
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(c)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
