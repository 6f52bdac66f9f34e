package cli

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/safe-mirror/safe-mirror-operator/internal/inventory/payload"
	"github.com/safe-mirror/safe-mirror-operator/internal/mirror"
	"github.com/safe-mirror/safe-mirror-operator/internal/preview"
	"github.com/safe-mirror/safe-mirror-operator/internal/registriesconf"
)

// registryChecker is what --ask-registries needs: a client that reads as a node would.
type registryChecker struct {
	client        *mirror.Client
	currentConfig registriesconf.Config
	// gaps are what the client had to do without.
	gaps []preview.CoverageGap
}

// newRegistryChecker finds the credentials and CAs. Without the cluster's own it goes on
// anonymously, which is a gap.
func (o planOptions) newRegistryChecker(ctx context.Context, s *clusterSource) (*registryChecker, error) {
	out := &registryChecker{}
	sets, err := s.Sets(ctx)
	if err != nil {
		return nil, err
	}
	keychain, err := o.credentials(ctx, s.Reader, out)
	if err != nil {
		return nil, err
	}
	cas, err := preview.TrustedCAs(ctx, s.Reader, sets)
	if err != nil {
		out.gaps = append(out.gaps, preview.CoverageGap{Source: "trusted CAs", Why: err.Error() +
			"; only the system's roots are trusted"})
	}
	text, err := registriesconf.Render(nil, sets)
	if err == nil {
		out.currentConfig, err = registriesconf.Parse(text, nil)
	}
	if err != nil {
		// Without the mirrors of the nodes, the release payload is read from its source.
		out.gaps = append(out.gaps, preview.CoverageGap{Source: "registries configuration", Why: err.Error() +
			"; the release payload is read from its source and not from its mirrors"})
	}
	access := mirror.Access{Keychain: keychain, CAs: cas, Insecure: preview.Insecure(sets)}
	// Nothing is ever pushed: the access that looks at the mirrors for what is missing there is the
	// same as that of a node.
	out.client = mirror.NewClient(mirror.Accesses{Source: access, Push: access, Node: access})
	return out, nil
}

func (o planOptions) credentials(ctx context.Context, r client.Reader, out *registryChecker) (mirror.Keychain, error) {
	if o.authfile != "" {
		doc, err := readAuthfile("--authfile", o.authfile)
		if err != nil {
			return mirror.Keychain{}, err
		}
		return mirror.ParseKeychain(doc)
	}
	doc, err := preview.PullSecret(ctx, r)
	if err != nil {
		out.gaps = append(out.gaps, preview.CoverageGap{Source: "credentials",
			Why: fmt.Sprintf("%v; registries are asked without credentials: give --authfile", err)})
		return mirror.Keychain{}, nil
	}
	return mirror.ParseKeychain(doc)
}

// maxImageReferences bounds the list of a release's images, which has about 150 KB.
const maxImageReferences = 8 << 20

// payloadComponents reads the components of a release payload, from its mirrors where it has some.
func (a *registryChecker) payloadComponents(ctx context.Context, image string) ([]payload.Component, error) {
	return payload.ReadComponents(ctx, func(ctx context.Context, image, path string) ([]byte, error) {
		r, err := a.currentConfig.Resolve(image)
		if err != nil {
			return nil, err
		}
		var refs []string
		for _, e := range r.Usable() {
			refs = append(refs, e.Reference)
		}
		return a.client.ReadFile(ctx, refs, "", path, maxImageReferences)
	}, image)
}

// check asks about every reference whose pull changes.
func (a *registryChecker) check(ctx context.Context, o planOptions, f *preview.Preview) preview.RegistryChecks {
	ctx, cancel := context.WithTimeout(ctx, o.registryTimeout)
	defer cancel()
	f.AddGaps(a.gaps...)
	return preview.CheckRegistries(ctx, a.client, f.Plan, o.workers)
}
