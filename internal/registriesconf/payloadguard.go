package registriesconf

import (
	"fmt"
	"slices"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/openshift/runtime-utils/pkg/registries"
)

// scopeLists is what is left of images.config/cluster spec.registrySources once the MCO has
// protected the release payload from it. Nil and empty lists are different things here: a
// list that is present but empty still makes the MCO write the file.
type scopeLists struct {
	insecure []string
	blocked  []string // for registries.conf

	policyBlocked, policyAllowed []string // for policy.json: an error there stops registries.conf as well

	payload          string // repository of the release image, "" when not known
	payloadErr       error  // the release image cannot be parsed
	payloadProtected []int  // indices of blockedRegistries left out to protect the payload
	payloadGuardErr  error  // the guard itself failed: blocked and allowed lists are all dropped
}

// scopes applies the payload guard of the MCO (helpers.go getValidBlockedAndAllowedRegistries).
//
// A cluster that blocks the repository of its own release could never start its own
// components again. So an entry of blockedRegistries that covers that repository is left out
// unless digest mirrors make the payload reachable elsewhere. Tag mirrors do not count, for
// the payload is only ever pulled by digest.
//
// Example: the release is quay.io/openshift-release-dev/ocp-release@sha256:…, and
// blockedRegistries is [quay.io, docker.io]. Without a mirror for the release only docker.io
// is blocked; with an ImageDigestMirrorSet to m.local/release both are.
func (s Sets) scopes() scopeLists {
	if s.Image == nil {
		return scopeLists{}
	}
	spec := s.Image.Spec.RegistrySources
	out := scopeLists{insecure: spec.InsecureRegistries}
	var payload reference.Named
	if s.ReleaseImage != "" {
		payload, out.payloadErr = reference.ParseNamed(s.ReleaseImage)
	}
	if payload != nil {
		out.payload = payload.Name()
	}
	for i, scope := range spec.BlockedRegistries {
		if payload == nil || !registries.ScopeIsNestedInsideScope(out.payload, scope) {
			out.blocked = append(out.blocked, scope)
			out.policyBlocked = append(out.policyBlocked, scope)
			continue
		}
		reachable, err := s.payloadReachable(payload)
		if err != nil {
			// The MCO logs this and goes on with empty lists: nothing is blocked at all.
			return scopeLists{insecure: out.insecure, payload: out.payload, payloadGuardErr: err}
		}
		if !reachable {
			out.payloadProtected = append(out.payloadProtected, i)
			continue
		}
		out.blocked = append(out.blocked, scope)
		if out.payload != scope {
			out.policyBlocked = append(out.policyBlocked, scope)
		}
		out.policyAllowed = append(out.policyAllowed, out.payload)
	}
	out.policyAllowed = append(out.policyAllowed, spec.AllowedRegistries...)
	return out
}

// payloadReachable says whether, with everything blocked that the user wants blocked, some
// pull source of the release is left. As in the MCO, "blocked" is judged here by
// blockedRegistries alone, not by NeverContactSource.
func (s Sets) payloadReachable(payload reference.Named) (bool, error) {
	spec := s.Image.Spec.RegistrySources
	var conf sysregistriesv2.V2RegistriesConf
	if err := registries.EditRegistriesConfig(&conf, spec.InsecureRegistries, spec.BlockedRegistries, pointers(s.ICSPs),
		pointers(s.IDMSs), nil); err != nil {
		return false, fmt.Errorf("protecting the release payload %s: %w", payload, err)
	}
	config, err := newConfig(conf)
	if err != nil {
		return false, fmt.Errorf("protecting the release payload %s: %w", payload, err)
	}
	entry := config.find(payload.Name())
	if entry == nil {
		return false, nil
	}
	sources, err := entry.PullSourcesFromReference(payload)
	if err != nil {
		return false, fmt.Errorf("protecting the release payload %s: %w", payload, err)
	}
	return slices.ContainsFunc(sources, func(source sysregistriesv2.PullSource) bool {
		return !slices.ContainsFunc(spec.BlockedRegistries, func(blocked string) bool {
			return registries.ScopeIsNestedInsideScope(source.Reference.Name(), blocked)
		})
	}), nil
}

// allowsAndBlocks is the error of MCO updatePolicyJSON: an allow list and a block list at the same
// time, unless all that is allowed is the payload repository itself.
func (s scopeLists) allowsAndBlocks() bool {
	onlyPayload := len(s.policyAllowed) == 1 && s.policyAllowed[0] == s.payload
	return len(s.policyAllowed) > 0 && len(s.policyBlocked) > 0 && !onlyPayload
}

// scopeEntry is a scope that becomes an entry of registries.conf without mirrors.
type scopeEntry struct{ scope, field string }

// entries lists the entries in the order in which they are added to the file.
func (s scopeLists) entries() []scopeEntry {
	var out []scopeEntry
	for _, scope := range s.blocked {
		out = append(out, scopeEntry{scope, "blockedRegistries"})
	}
	for _, scope := range s.insecure {
		if !slices.Contains(s.blocked, scope) {
			out = append(out, scopeEntry{scope, "insecureRegistries"})
		}
	}
	return out
}
