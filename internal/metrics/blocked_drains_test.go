package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
)

func TestBlockedDrains(t *testing.T) {
	c := &Collector{}
	c.SetRollout("shop", v1alpha1.SafeMirrorRolloutStatus{BlockedDrains: []v1alpha1.BlockedDrain{
		{Pool: "worker", Node: "worker-1", Reason: "Pull", PullFailure: "Missing",
			Since: metav1.NewTime(time.Unix(1700000000, 0))},
		{Pool: "worker", Node: "worker-2", Reason: "Terminating", Transient: true},
	}})
	want := `
# HELP safe_mirror_obstacle 1 for an updating node that makes no progress, by what holds it; 0 when that passes by itself.
# TYPE safe_mirror_obstacle gauge
safe_mirror_obstacle{cause="Missing",hindrance="Pull",node="worker-1",pool="worker",rollout="shop"} 1
safe_mirror_obstacle{cause="",hindrance="Terminating",node="worker-2",pool="worker",rollout="shop"} 0
# HELP safe_mirror_obstacle_since_seconds When that began, in seconds since 1970; absent when the cluster does not tell.
# TYPE safe_mirror_obstacle_since_seconds gauge
safe_mirror_obstacle_since_seconds{node="worker-1",pool="worker",rollout="shop"} 1.7e+09
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "safe_mirror_obstacle",
		"safe_mirror_obstacle_since_seconds"); err != nil {
		t.Error(err)
	}
}
