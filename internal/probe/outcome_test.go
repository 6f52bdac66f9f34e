package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func TestSum(t *testing.T) {
	proven, stale, failed, unsure, open := probeOf("w0", "m.local/a/x"), probeOf("w0", "m.local/b/x"), probeOf("w0", "m.local/c/x"), probeOf("w0", "m.local/d/x"), probeOf("w0", "m.local/e/x")
	outcomes := []Outcome{
		outcome(proven, Pulled, 3*time.Minute, 0), outcome(stale, Pulled, time.Hour, 0), outcome(failed, Failed, time.Minute, 2),
		outcome(unsure, Unsure, time.Minute, 1), outcome(probeOf("w9", "m.local/z/x"), Failed, time.Minute, 1),
	}
	got := Sum([]Probe{proven, stale, failed, unsure, open}, outcomes, now.Add(-10*time.Minute))
	if got.Wanted != 5 || got.Proven != 1 || got.Failed != 1 || got.Unsure != 1 || got.Open() != 2 || !got.Oldest.Equal(now.Add(-3*time.Minute)) {
		t.Errorf("%+v, %d open", got, got.Open())
	}
	if len(got.Worst) != 1 || len(got.Doubts) != 1 || got.Doubts[0].Reason != "" {
		t.Errorf("worst %v, doubts %v", got.Worst, got.Doubts)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var want []Probe
	var outcomes []Outcome
	for i := range 15 {
		p := probeOf(fmt.Sprintf("w%d", i), "m.local/a/x")
		want, outcomes = append(want, p), append(outcomes, outcome(p, Failed, time.Minute, 1))
	}
	if got := Sum(want, outcomes, now); got.Failed != 15 || len(got.Worst) != 10 {
		t.Errorf("%d failed, %d named", got.Failed, len(got.Worst))
	}
}

// A problem says what to do, in the terms of the class.
func TestProblems(t *testing.T) {
	const unreachable, failing = v1alpha1.ReasonMirrorUnreachable, v1alpha1.ReasonImagesFailed
	cases := map[mirror.ErrorClass]struct{ reason, remedy string }{
		mirror.Denied:      {unreachable, "openshift-config/pull-secret"},
		mirror.TLS:         {unreachable, "additionalTrustedCA"},
		mirror.Refused:     {unreachable, "nodes of pool worker, amd64, zone a reach the mirror: DNS, routes, firewalls"},
		mirror.Timeout:     {unreachable, "proxy"},
		mirror.RateLimited: {unreachable, "it is tried again by itself"},
		mirror.Missing:     {failing, "not what it gives to the operator"},
		mirror.Incomplete:  {failing, "not what it gives to the operator"},
	}
	for class, c := range cases {
		o := outcome(probeOf("w0", "m.local/a/x"), Failed, 0, 1)
		o.Verdict.Class = class
		got := problem(o)
		if got.Reason != c.reason || !strings.Contains(got.Message, "node w0: Failed (pool worker, amd64, zone a); ") || !strings.Contains(got.Message, c.remedy) {
			t.Errorf("%s: %+v, want %v", class, got, c)
		}
		if diff := cmp.Diff("Node w0", got.Kind+" "+got.Name); diff != "" {
			t.Error(diff)
		}
	}
}
