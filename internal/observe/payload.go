package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory/payload"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
)

// payloadCache reads release payloads in the background and remembers them: one by digest never
// changes, and a look does not wait for a registry.
type payloadCache struct {
	mu      sync.Mutex
	entries map[string]*cachedPayload
}

type cachedPayload struct {
	components []payload.Component
	err        error
	at         time.Time // when reading ended; zero while it goes on
}

const (
	// payloadTimeout is how long reading a payload may take, payloadRetryAfter how long a failure
	// stands.
	payloadTimeout    = 5 * time.Minute
	payloadRetryAfter = 5 * time.Minute
	// maxPayload bounds release-manifests/image-references, in bytes; it has some 100 KB.
	maxPayload = 16 << 20
)

// ReadPayload reads the component images of the release payload at the first of the places that
// serves it.
func ReadPayload(ctx context.Context, c *mirror.Client, endpoints []string, image string) ([]payload.Component, error) {
	return payload.ReadComponents(ctx, func(ctx context.Context, _, path string) ([]byte, error) {
		return c.ReadFile(ctx, endpoints, "", path, maxPayload)
	}, image)
}

// payloadComponents gives the component images of a payload as far as they are known, and starts
// reading the others.
func (observer *Observer) payloadComponents(obs *Observation) func(context.Context, string) ([]payload.Component,
	error) {
	registryClient := obs.Registry
	if registryClient == nil || observer.Payload == nil {
		return nil
	}
	return func(_ context.Context, image string) ([]payload.Component, error) {
		observer.mu.Lock()
		endpoints := pullEndpoints(observer.predictedConfigs, image)
		observer.mu.Unlock()
		return observer.payloads.get(image, observer.Now(), func(ctx context.Context) ([]payload.Component, error) {
			return observer.Payload(ctx, registryClient, endpoints, image)
		})
	}
}

// pullEndpoints are those from which the first pool's nodes would pull the image.
func pullEndpoints(pools []plan.PoolConfig, image string) []string {
	for _, p := range pools {
		resolved, err := p.Before.Resolve(image)
		if err != nil {
			continue
		}
		var out []string
		for _, e := range resolved.Usable() {
			out = append(out, e.Reference)
		}
		if len(out) > 0 {
			return out
		}
	}
	return []string{image}
}

// get returns what is known of the payload; when nothing is, or only a failure of long ago, reading
// begins.
func (p *payloadCache) get(image string, now time.Time,
	read func(context.Context) ([]payload.Component, error)) ([]payload.Component, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	entry := p.entries[image]
	if entry == nil || (entry.err != nil && !entry.at.IsZero() && now.Sub(entry.at) > payloadRetryAfter) {
		entry = &cachedPayload{err: fmt.Errorf("the release payload %s is being read", image)}
		if p.entries == nil || len(p.entries) > 8 {
			p.entries = map[string]*cachedPayload{}
		}
		p.entries[image] = entry
		go p.load(entry, now, read)
	}
	return entry.components, entry.err
}

func (p *payloadCache) load(entry *cachedPayload, now time.Time,
	read func(context.Context) ([]payload.Component, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), payloadTimeout)
	defer cancel()
	components, err := read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	entry.components, entry.err, entry.at = components, err, now
}
