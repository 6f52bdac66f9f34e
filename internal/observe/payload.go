package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/plan"
	"github.com/safe-mirror/safe-mirror-operator/internal/release"
)

// payloads reads release payloads in the background and remembers them: one by digest never changes, and a look does not wait for a
// registry.
type payloads struct {
	mu   sync.Mutex
	read map[string]*payload
}

type payload struct {
	components []release.Component
	err        error
	at         time.Time // when reading ended; zero while it goes on
}

const (
	// payloadPatience is how long reading a payload may take, payloadRetry how long a failure stands.
	payloadPatience = 5 * time.Minute
	payloadRetry    = 5 * time.Minute
	// maxPayload bounds release-manifests/image-references, in bytes; it has some 100 KB.
	maxPayload = 16 << 20
)

// ReadPayload reads the component images of the release payload at the first of the places that serves it.
func ReadPayload(ctx context.Context, c *mirror.Client, places []string, image string) ([]release.Component, error) {
	return release.References(ctx, func(ctx context.Context, _, path string) ([]byte, error) {
		return c.ReadFile(ctx, places, "", path, maxPayload)
	}, image)
}

// release gives the component images of a payload as far as they are known, and starts reading the others.
func (l *Live) release(w *World) func(context.Context, string) ([]release.Component, error) {
	registry := w.Registry
	if registry == nil || l.Payload == nil {
		return nil
	}
	return func(_ context.Context, image string) ([]release.Component, error) {
		l.mu.Lock()
		places := placesOf(l.predicted, image)
		l.mu.Unlock()
		return l.payloads.get(image, l.Now(), func(ctx context.Context) ([]release.Component, error) {
			return l.Payload(ctx, registry, places, image)
		})
	}
}

// placesOf are those from which the first pool's nodes would pull the image.
func placesOf(pools []plan.Pool, image string) []string {
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

// get returns what is known of the payload; when nothing is, or only a failure of long ago, reading begins.
func (p *payloads) get(image string, now time.Time, read func(context.Context) ([]release.Component, error)) ([]release.Component, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.read[image]
	if have == nil || (have.err != nil && !have.at.IsZero() && now.Sub(have.at) > payloadRetry) {
		have = &payload{err: fmt.Errorf("the release payload %s is being read", image)}
		if p.read == nil || len(p.read) > 8 {
			p.read = map[string]*payload{}
		}
		p.read[image] = have
		go p.fill(have, now, read)
	}
	return have.components, have.err
}

func (p *payloads) fill(into *payload, now time.Time, read func(context.Context) ([]release.Component, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), payloadPatience)
	defer cancel()
	components, err := read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	into.components, into.err, into.at = components, err, now
}
