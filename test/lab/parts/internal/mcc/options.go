// Package mcc runs the machine-config-controller: the MCO's own controllers, wired as its stock
// binary (cmd/machine-config-controller) wires them, with the delays shortened that their
// constructors let one shorten. The stock binary takes no flag for any of them.
//
// What cannot be shortened: the renderer waits 5 s after a change of a MachineConfig (a constant),
// and kubectl's drain retries a refused eviction after 5 s and looks every second whether a pod is
// gone.
package mcc

import (
	"time"

	"github.com/openshift/machine-config-operator/pkg/controller/drain"
	"k8s.io/client-go/rest"
)

// Options configure one controller process.
type Options struct {
	// Config reaches the cluster.
	Config *rest.Config
	// Templates is the directory templates/ of the machine-config-operator's source.
	Templates string
	// Delay is how long the node and the drain controller wait after an event; 5 s in the stock
	// binary.
	Delay time.Duration
	// Scale multiplies the other waits of the drain controller, and divides the limits on API
	// requests.
	Scale float64
	// MetricsAddress serves the controller's metrics; empty serves none.
	MetricsAddress string
	// Namespace holds the leader's Lease; Identity is the holder. A fixed identity lets a
	// controller that was killed go on at once instead of waiting for its own lease to end, 137 s.
	Namespace, Identity string
}

// leastDrainTimeout is how short one attempt to drain may get. Kubectl looks every second whether
// an evicted pod is gone; with less than two, the drain of a healthy node fails each time at first.
const leastDrainTimeout = 2 * time.Second

// drainConfig is the stock configuration in the lab's time: with scale 0.01 an attempt is repeated
// after 0.6 s instead of a minute, and a drain counts as failed after 36 s instead of an hour.
func (o Options) drainConfig() drain.Config {
	c := drain.DefaultConfig()
	c.UpdateDelay = o.Delay
	for _, d := range []*time.Duration{
		&c.WaitUntil, &c.DrainHelperTimeout, &c.DrainRequeueDelay, &c.DrainRequeueFailingThreshold,
		&c.DrainRequeueFailingDelay, &c.DrainTimeoutDuration, &c.CordonOrUncordonBackoff.Duration,
	} {
		*d = time.Duration(float64(*d) * o.Scale)
	}
	c.DrainHelperTimeout = max(c.DrainHelperTimeout, min(leastDrainTimeout, drain.DefaultConfig().DrainHelperTimeout))
	return c
}

// limited gives the clients the stock limits in the lab's time: 5 requests a second become 500 at
// scale 0.01, so that tainting 200 nodes takes as large a part of a rollout as in a real cluster.
func (o Options) limited() *rest.Config {
	c := rest.CopyConfig(o.Config)
	c.QPS = rest.DefaultQPS / float32(o.Scale)
	c.Burst = int(float64(rest.DefaultBurst) / o.Scale)
	return c
}
