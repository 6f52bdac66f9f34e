// Package nodefs names the files of a simulated node. They are the only thing that the two halves
// of a node share at run time: the machine-config daemon writes them, the kubelet and its runtime
// read them, exactly as the real two meet in /etc.
//
// The file system of node "w1" is ROOT/w1, so its registries.conf is
// ROOT/w1/etc/containers/registries.conf.
package nodefs

import "path/filepath"

// Dir is the root of the node's file system.
func Dir(root, node string) string { return filepath.Join(root, node) }

// Registries is the registries.conf of the rendered MachineConfig.
func Registries(root, node string) string { return in(root, node, "etc/containers/registries.conf") }

// RegistriesDir holds the drop-ins of registries.conf; an entry there replaces one of the same
// prefix.
func RegistriesDir(root, node string) string {
	return in(root, node, "etc/containers/registries.conf.d")
}

// LookasideDir is registries.d: where signatures are looked for, per scope.
func LookasideDir(root, node string) string { return in(root, node, "etc/containers/registries.d") }

// Policy is the signature policy.
func Policy(root, node string) string { return in(root, node, "etc/containers/policy.json") }

// AuthFile is the node's pull secret, the only credentials that a mirror on another host ever sees.
func AuthFile(root, node string) string { return in(root, node, "var/lib/kubelet/config.json") }

// CertsDir holds <host[:port]>/ca.crt for registries with a private certificate authority.
func CertsDir(root, node string) string { return in(root, node, "etc/docker/certs.d") }

// LoadedConfig holds the name of the rendered MachineConfig which the runtime has loaded. The
// daemon rewrites it at each reload, after all the other files: until then a pull uses the files of
// the reload before.
func LoadedConfig(root, node string) string { return in(root, node, "run/crio-config") }

// Snapshots is where the runtime keeps the configuration of each reload, in numbered directories.
func Snapshots(root, node string) string { return in(root, node, "run/crio") }

// Images is the runtime's image store: names, digests and sizes, no content.
func Images(root, node string) string { return in(root, node, "var/lib/containers/images.json") }

func in(root, node, path string) string {
	return filepath.Join(Dir(root, node), filepath.FromSlash(path))
}
