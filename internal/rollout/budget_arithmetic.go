package rollout

import (
	"strconv"
	"strings"
)

// maxExtraReplicas bounds how many replicas a workload is given on top.
const maxExtraReplicas = 4

// extraReplicas is the least number of replicas on top with which the budget allows an eviction, by
// the disruption controller's own arithmetic, if the new ones become ready: allowed = healthy -
// desired, and percentages are rounded up. For a router of 3 replicas of which one is broken (25 %
// may be missing, which is 1):
//
//	3 replicas: 2 healthy, 2 wanted: 0 allowed
//	4 replicas: 3 healthy, 3 wanted: 0 allowed
//	5 replicas: 4 healthy, 3 wanted (25 % of 5 is 2): 1 allowed
//
// A budget of a whole number of missing pods never gains by it. That of an IngressController
// follows its replicas: 25 % from 3 on.
func extraReplicas(b DisruptionBudget, ingress bool) (extra int, helps bool) {
	for extra := 1; extra <= maxExtraReplicas; extra++ {
		desired, ok := desiredHealthy(b, b.ExpectedPods+extra, ingress)
		if ok && b.CurrentHealthy+extra > desired {
			return extra, true
		}
	}
	return 0, false
}

// desiredHealthy is how many of so many expected pods the budget wants; it fails on a value that is
// neither a number nor a percentage.
func desiredHealthy(b DisruptionBudget, expected int, ingress bool) (int, bool) {
	if ingress && expected >= 3 && b.MaxUnavailable != "" {
		b.MaxUnavailable = "25%"
	}
	if b.MaxUnavailable != "" {
		missing, ok := scaledValue(b.MaxUnavailable, expected)
		return max(0, expected-missing), ok
	}
	return scaledValue(b.MinAvailable, expected)
}

// scaledValue is the number, or the percentage of the total rounded up.
func scaledValue(value string, total int) (int, bool) {
	percent, isPercent := strings.CutSuffix(value, "%")
	n, err := strconv.Atoi(percent)
	if err != nil || n < 0 {
		return 0, false
	}
	if isPercent {
		n = (n*total + 99) / 100
	}
	return n, true
}
