package registriesconf

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/BurntSushi/toml"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/openshift/runtime-utils/pkg/registries"
)

// Render returns the text which the MCO writes to /etc/containers/registries.conf in the
// MachineConfig 99-<pool>-generated-registries of every pool. base is the file of the
// MachineConfig 01-<pool>-container-runtime, which that one overrides.
//
// When no object has anything to say the MCO writes no file and base stays in force, so base
// is returned, byte for byte. Sets that the MCO refuses give an *InvalidError.
//
// It calls the same library as the MCO (runtime-utils EditRegistriesConfig, then the TOML
// encoder); only the text around the values may differ between releases of that encoder.
// Compare meanings with EffectiveDifferences, not bytes.
// Source: MCO container_runtime_config_controller.go registriesConfigIgnition, helpers.go
// updateRegistriesConfig.
func Render(base []byte, s Sets) ([]byte, error) {
	if problems := Validate(s); len(problems) > 0 {
		return nil, &InvalidError{problems}
	}
	scopes := s.scopes()
	if scopes.insecure == nil && scopes.blocked == nil && len(s.ICSPs)+len(s.IDMSs)+len(s.ITMSs) == 0 {
		return slices.Clone(base), nil
	}
	var conf sysregistriesv2.V2RegistriesConf
	if _, err := toml.Decode(string(base), &conf); err != nil {
		return nil, fmt.Errorf("base %s is not TOML: %w", RegistriesPath, err)
	}
	if err := registries.EditRegistriesConfig(&conf, scopes.insecure, scopes.blocked, pointers(s.ICSPs),
		pointers(s.IDMSs), pointers(s.ITMSs)); err != nil {
		return nil, fmt.Errorf("merging the mirror sets into %s: %w", RegistriesPath, err)
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(conf); err != nil {
		return nil, fmt.Errorf("encoding %s: %w", RegistriesPath, err)
	}
	return text.Bytes(), nil
}
