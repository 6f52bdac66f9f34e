package kubelet

import (
	"time"

	"k8s.io/klog/v2"

	"github.com/safe-mirror/safe-mirror-operator/test/lab/parts/internal/pull"
)

// preload pulls the images of the cache annotation, each once: what is present by name is
// left alone, and a failed pull is repeated until it works.
func (k *kubelet) preload() {
	poll(k.ctx, pollPeriod, k.booted)
	poll(k.ctx, pollPeriod, func() bool {
		node := k.Cluster.Node(k.NodeName)
		if node == nil {
			return false
		}
		for _, name := range cachedImages(node) {
			if k.preloaded[name] {
				continue
			}
			k.preloaded[name] = true
			k.running.Add(1)
			go func() {
				defer k.running.Done()
				k.preloadOne(name)
			}()
		}
		return false
	})
}

func (k *kubelet) preloadOne(name string) {
	period := max(scaled(syncPeriod, k.Scale), time.Millisecond)
	poll(k.ctx, period, func() bool {
		if _, present, err := k.runtime.Present(name); err != nil || present {
			return err == nil
		}
		_, err := k.runtime.Pull(k.ctx, pull.Request{Reference: name, Policy: "Preload"})
		if err != nil {
			klog.Warningf("node %s: preloading %s: %v", k.NodeName, name, err)
		}
		return err == nil
	})
}
