package cli

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/registries"
	"github.com/safe-mirror/safe-mirror-operator/internal/release"
	"github.com/safe-mirror/safe-mirror-operator/internal/whatif"
)

// asking is what --ask-registries needs: a client that reads as a node would.
type asking struct {
	client *mirror.Client
	now    registries.Config
	// gaps are what the client had to do without.
	gaps []whatif.Gap
}

// prepare finds the credentials and CAs. Without the cluster's own it goes on anonymously, which is a gap.
func (o planOptions) prepare(ctx context.Context, s *clusterSource) (*asking, error) {
	out := &asking{}
	sets, err := s.Sets(ctx)
	if err != nil {
		return nil, err
	}
	keychain, err := o.credentials(ctx, s.Reader, out)
	if err != nil {
		return nil, err
	}
	cas, err := whatif.TrustedCAs(ctx, s.Reader, sets)
	if err != nil {
		out.gaps = append(out.gaps, whatif.Gap{Source: "trusted CAs", Why: err.Error() + "; only the system's roots are trusted"})
	}
	if text, err := registries.Render(nil, sets); err == nil {
		if out.now, err = registries.Parse(text, nil); err != nil {
			return nil, err
		}
	}
	access := mirror.Access{Keychain: keychain, CAs: cas, Insecure: whatif.Insecure(sets)}
	// Nothing is ever pushed: the access that looks at the mirrors for what is missing there is the same as that of a node.
	out.client = mirror.NewClient(mirror.Accesses{Source: access, Push: access, Node: access})
	return out, nil
}

func (o planOptions) credentials(ctx context.Context, r client.Reader, out *asking) (mirror.Keychain, error) {
	if o.authfile != "" {
		doc, err := readAuthfile("--authfile", o.authfile)
		if err != nil {
			return mirror.Keychain{}, err
		}
		return mirror.ParseKeychain(doc)
	}
	doc, err := whatif.PullSecret(ctx, r)
	if err != nil {
		out.gaps = append(out.gaps, whatif.Gap{Source: "credentials", Why: fmt.Sprintf("%v; registries are asked without credentials: give --authfile", err)})
		return mirror.Keychain{}, nil
	}
	return mirror.ParseKeychain(doc)
}

// releaseFile bounds the list of a release's images, which has about 150 KB.
const releaseFile = 8 << 20

// release reads the components of a release payload, from its mirrors where it has some.
func (a *asking) release(ctx context.Context, image string) ([]release.Component, error) {
	return release.References(ctx, func(ctx context.Context, image, path string) ([]byte, error) {
		r, err := a.now.Resolve(image)
		if err != nil {
			return nil, err
		}
		var refs []string
		for _, e := range r.Usable() {
			refs = append(refs, e.Reference)
		}
		return a.client.ReadFile(ctx, refs, "", path, releaseFile)
	}, image)
}

// ask asks about every reference whose pull changes.
func (a *asking) ask(ctx context.Context, o planOptions, f *whatif.Foresight) whatif.Answers {
	ctx, cancel := context.WithTimeout(ctx, o.registries)
	defer cancel()
	f.Note(a.gaps...)
	return whatif.Ask(ctx, a.client, f.Plan, o.workers)
}
