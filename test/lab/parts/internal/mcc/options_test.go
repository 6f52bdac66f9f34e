package mcc

import (
	"testing"
	"time"

	"github.com/openshift/machine-config-operator/pkg/controller/drain"
	"k8s.io/client-go/rest"
)

// Scale 1 with the stock delay must be the stock controller, so that a result can be checked
// against it.
func TestScaleOneIsStock(t *testing.T) {
	o := Options{Config: &rest.Config{}, Delay: 5 * time.Second, Scale: 1}
	if got, want := o.drainConfig(), drain.DefaultConfig(); got != want {
		t.Errorf("drain configuration is %+v, want %+v", got, want)
	}
	if c := o.limited(); c.QPS != rest.DefaultQPS || c.Burst != rest.DefaultBurst {
		t.Errorf("limits are %v and %v", c.QPS, c.Burst)
	}
}

func TestScaled(t *testing.T) {
	o := Options{Config: &rest.Config{}, Delay: 100 * time.Millisecond, Scale: 0.01}
	c := o.drainConfig()
	for name, d := range map[string]struct{ got, want time.Duration }{
		"update delay":      {c.UpdateDelay, 100 * time.Millisecond},
		"requeue delay":     {c.DrainRequeueDelay, 600 * time.Millisecond},
		"failing threshold": {c.DrainRequeueFailingThreshold, 6 * time.Second},
		"failing delay":     {c.DrainRequeueFailingDelay, 3 * time.Second},
		"timeout":           {c.DrainTimeoutDuration, 36 * time.Second},
		"one attempt":       {c.DrainHelperTimeout, leastDrainTimeout},
		"cordon backoff":    {c.CordonOrUncordonBackoff.Duration, 100 * time.Millisecond},
	} {
		if d.got != d.want {
			t.Errorf("%s is %v, want %v", name, d.got, d.want)
		}
	}
	if l := o.limited(); l.QPS != 500 || l.Burst != 1000 {
		t.Errorf("limits are %v and %v", l.QPS, l.Burst)
	}
}
