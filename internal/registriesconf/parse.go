package registriesconf

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
)

// Parse reads a node's registries configuration: main is registries.conf, dropIns the files
// of registries.conf.d by name. Of those only *.conf count, in lexical order.
//
// A drop-in adds to the main file, but an entry with a prefix that is already there replaces
// it: mirrors are not merged. So a drop-in of an administrator for quay.io/acme makes every
// mirror set for quay.io/acme ineffective, which is why both have to be read.
//
// It accepts and refuses what a node does. An error means that CRI-O keeps its previous
// configuration and only logs it: the node would report the update as done.
// Source: c/image pkg/sysregistriesv2 tryUpdatingCache, loadConfigFile, which read files.
func Parse(main []byte, dropIns map[string][]byte) (Config, error) {
	merged, err := parseFile(main, true)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", RegistriesPath, err)
	}
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		if !strings.HasSuffix(name, ".conf") {
			continue
		}
		dropIn, err := parseFile(dropIns[name], false)
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", path.Join(DropInDir, name), err)
		}
		merged.override(dropIn)
	}
	return merged.config(), nil
}

// fileContent is what one file says, after normalisation. A nil search list means that the
// file does not speak of it, an empty one that it clears the list.
type fileContent struct {
	entries       map[string]sysregistriesv2.Registry // by prefix
	search        []string
	aliases       map[string]string
	shortNameMode string
}

// override lays a drop-in over what was read so far.
func (f *fileContent) override(dropIn fileContent) {
	maps.Copy(f.entries, dropIn.entries)
	maps.Copy(f.aliases, dropIn.aliases)
	if dropIn.search != nil {
		f.search = dropIn.search
	}
	if dropIn.shortNameMode != "" {
		f.shortNameMode = dropIn.shortNameMode
	}
}

// parseFile decodes one file. The main file may still be in version 1 of the format
// ([registries.search] and its siblings), which is translated; a drop-in may not.
func parseFile(text []byte, allowV1 bool) (fileContent, error) {
	var decoded struct {
		sysregistriesv2.V2RegistriesConf
		sysregistriesv2.V1RegistriesConf
	}
	if _, err := toml.Decode(string(text), &decoded); err != nil {
		return fileContent{}, fmt.Errorf("not TOML: %w", err)
	}
	conf := decoded.V2RegistriesConf
	if !reflect.DeepEqual(decoded.V1RegistriesConf, sysregistriesv2.V1RegistriesConf{}) {
		if !allowV1 {
			return fileContent{}, fmt.Errorf("drop-in is in version 1 of the format: rewrite it as [[registry]] tables")
		}
		if !reflect.DeepEqual(conf, sysregistriesv2.V2RegistriesConf{}) {
			return fileContent{}, fmt.Errorf("mixes version 1 ([registries.…]) and version 2 ([[registry]]) of the format: keep one")
		}
		converted, err := decoded.ConvertToV2()
		if err != nil {
			return fileContent{}, err
		}
		conf = *converted
	}
	return normalise(conf)
}

// normalise checks and completes the decoded form of one file.
func normalise(conf sysregistriesv2.V2RegistriesConf) (fileContent, error) {
	entries, err := normaliseEntries(conf.Registries)
	if err != nil {
		return fileContent{}, err
	}
	search, err := normaliseSearch(conf.UnqualifiedSearchRegistries)
	if err != nil {
		return fileContent{}, err
	}
	aliases, err := normaliseAliases(conf.Aliases)
	if err != nil {
		return fileContent{}, err
	}
	switch conf.ShortNameMode {
	case "", "disabled", "enforcing", "permissive":
	default:
		return fileContent{}, fmt.Errorf("short-name-mode %q: use disabled, enforcing or permissive",
			conf.ShortNameMode)
	}
	return fileContent{entries, search, aliases, conf.ShortNameMode}, nil
}
