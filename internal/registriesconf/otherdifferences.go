package registriesconf

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	mcfgv1 "github.com/openshift/api/machineconfiguration/v1"
)

// OtherDifferences lists everything except registries.conf in which two rendered
// MachineConfigs differ. While a pool is paused its rendered configuration keeps collecting
// changes, and whoever releases a node for the sake of one mirror set releases all of them:
// this is what rides along.
//
// The strings are identifiers, sorted within each group: spec fields by their JSON name
// (osImageURL, kernelArguments, …), files by path (/etc/…, drop-ins of registries.conf.d
// among them), "unit <name>", "passwd", and "ignition <section>" for what the MCO cannot
// change on a running node.
//
// A file counts as different when its Ignition entry does, even if only the encoding of the
// same content changed: the MCD compares entries as well, and acts on the file.
// Source: MCO pkg/daemon/update.go newMachineConfigDiff, CalculateConfigFileDiffs.
func OtherDifferences(oldMC, newMC *mcfgv1.MachineConfig) ([]string, error) {
	before, err := parseSections(oldMC)
	if err != nil {
		return nil, err
	}
	after, err := parseSections(newMC)
	if err != nil {
		return nil, err
	}
	out := specDifferences(oldMC.Spec, newMC.Spec)
	for _, file := range changedKeys(before.files, after.files) {
		if file != RegistriesPath {
			out = append(out, file)
		}
	}
	for _, unit := range changedKeys(before.units, after.units) {
		out = append(out, "unit "+unit)
	}
	return append(out, changedKeys(before.sections, after.sections)...), nil
}

// specDifferences compares what is next to the Ignition configuration. An empty list and an
// absent one are the same, and so are kernelType "default" and none.
func specDifferences(a, b mcfgv1.MachineConfigSpec) []string {
	var out []string
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"osImageURL", a.OSImageURL != b.OSImageURL},
		{"baseOSExtensionsContainerImage", a.BaseOSExtensionsContainerImage != b.BaseOSExtensionsContainerImage},
		{"kernelArguments", !slices.Equal(a.KernelArguments, b.KernelArguments)},
		{"extensions", !slices.Equal(a.Extensions, b.Extensions)},
		{"fips", a.FIPS != b.FIPS},
		{"kernelType", kernelType(a) != kernelType(b)},
	} {
		if field.differs {
			out = append(out, field.name)
		}
	}
	return out
}

// kernelType restates MCO canonicalizeKernelType: all but two known kernels are the default.
func kernelType(spec mcfgv1.MachineConfigSpec) string {
	switch spec.KernelType {
	case "realtime", "64k-pages":
		return spec.KernelType
	}
	return "default"
}

// ignitionSections is an Ignition configuration as plain JSON values, taken apart by what changes
// alone.
type ignitionSections struct {
	files, units, sections map[string]any
}

// parseSections reads the configuration without a schema, so that a section this package has
// never heard of is still compared.
func parseSections(mc *mcfgv1.MachineConfig) (ignitionSections, error) {
	if _, err := parseIgnition(mc); err != nil {
		return ignitionSections{}, err
	}
	root := map[string]any{}
	if len(mc.Spec.Config.Raw) > 0 {
		if err := json.Unmarshal(mc.Spec.Config.Raw, &root); err != nil {
			return ignitionSections{}, fmt.Errorf("MachineConfig/%s spec.config is not an Ignition configuration: %w",
				mc.Name, err)
		}
	}
	out := ignitionSections{sections: map[string]any{}}
	storage, systemd := asObject(root["storage"]), asObject(root["systemd"])
	out.files, out.units = byKey(storage["files"], "path"), byKey(systemd["units"], "name")
	delete(storage, "files")
	delete(systemd, "units")
	delete(root, "ignition") // the header only matters at first boot, and the MCD does not compare it
	for name, section := range root {
		switch name {
		case "passwd":
			out.sections[name] = section
		case "storage", "systemd":
			for sub, value := range asObject(section) {
				out.sections["ignition "+name+"."+sub] = value
			}
		default:
			out.sections["ignition "+name] = section
		}
	}
	return out, nil
}

// changedKeys lists the keys whose values differ.
func changedKeys(a, b map[string]any) []string {
	var out []string
	for _, key := range slices.SortedFunc(maps.Keys(mergeKeys(a, b)), strings.Compare) {
		if !reflect.DeepEqual(prune(a[key]), prune(b[key])) {
			out = append(out, key)
		}
	}
	return out
}

// prune removes what says nothing (null, {} and [] inside of objects), as an encoder may
// write it or leave it out.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			if inner = prune(inner); inner != nil {
				out[key] = inner
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		if len(v) == 0 {
			return nil
		}
		out := make([]any, len(v))
		for i := range v {
			out[i] = prune(v[i])
		}
		return out
	}
	return value
}

func asObject(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}

// byKey turns a list of objects into a map by one of their fields.
func byKey(value any, field string) map[string]any {
	out := map[string]any{}
	items, _ := value.([]any)
	for _, item := range items {
		if key, ok := asObject(item)[field].(string); ok {
			out[key] = item
		}
	}
	return out
}
