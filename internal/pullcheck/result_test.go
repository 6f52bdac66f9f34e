package pullcheck

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
)

func TestSummarize(t *testing.T) {
	proven, stale, failed, unsure, open := checkOf("w0", "m.local/a/x"), checkOf("w0", "m.local/b/x"),
		checkOf("w0", "m.local/c/x"), checkOf("w0", "m.local/d/x"), checkOf("w0", "m.local/e/x")
	results := []CheckResult{
		outcome(proven, Pulled, 3*time.Minute, 0), outcome(stale, Pulled, time.Hour, 0),
		outcome(failed, Failed, time.Minute, 2),
		outcome(unsure, Inconclusive, time.Minute, 1), outcome(checkOf("w9", "m.local/z/x"), Failed, time.Minute, 1),
	}
	got := Summarize([]Check{proven, stale, failed, unsure, open}, results, now.Add(-10*time.Minute))
	if got.Wanted != 5 || got.Proven != 1 || got.Failed != 1 || got.Inconclusive != 1 || got.Open() != 2 ||
		!got.Oldest.Equal(now.Add(-3*time.Minute)) {
		t.Errorf("%+v, %d open", got, got.Open())
	}
	if len(got.Problems) != 1 || len(got.InconclusiveProblems) != 1 || got.InconclusiveProblems[0].Reason != "" {
		t.Errorf("worst %v, doubts %v", got.Problems, got.InconclusiveProblems)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var want []Check
	var results []CheckResult
	for i := range 15 {
		p := checkOf(fmt.Sprintf("w%d", i), "m.local/a/x")
		want, results = append(want, p), append(results, outcome(p, Failed, time.Minute, 1))
	}
	if got := Summarize(want, results, now); got.Failed != 15 || len(got.Problems) != 10 {
		t.Errorf("%d failed, %d named", got.Failed, len(got.Problems))
	}
}

// A problem says what to do, in the terms of the class.
func TestProblems(t *testing.T) {
	const unreachable, failing = v1alpha1.ReasonMirrorUnreachable, v1alpha1.ReasonImagesFailed
	cases := map[mirror.ErrorClass]struct {
		reason v1alpha1.ConditionReason
		remedy string
	}{
		mirror.Denied: {unreachable, "openshift-config/pull-secret"},
		mirror.TLS:    {unreachable, "additionalTrustedCA"},
		mirror.Refused: {unreachable,
			"nodes of pool worker, amd64, zone a reach the mirror: DNS, routes, firewalls"},
		mirror.Timeout:     {unreachable, "proxy"},
		mirror.RateLimited: {unreachable, "it is tried again by itself"},
		mirror.Missing:     {failing, "not what it gives to the operator"},
		mirror.Incomplete:  {failing, "not what it gives to the operator"},
	}
	for class, c := range cases {
		o := outcome(checkOf("w0", "m.local/a/x"), Failed, 0, 1)
		o.Pull.Class = class
		got := problem(o)
		if got.Reason != c.reason || !strings.Contains(got.Message, "node w0: Failed (pool worker, amd64, zone a); ") ||
			!strings.Contains(got.Message, c.remedy) {
			t.Errorf("%s: %+v, want %v", class, got, c)
		}
		if diff := cmp.Diff("Node w0", got.Kind+" "+got.Name); diff != "" {
			t.Error(diff)
		}
	}
}
