// Package registriesconf answers two questions without touching a cluster: what will
// /etc/containers/registries.conf say once a set of mirror objects exists, and where
// will each image reference then be pulled from, compared with today?
//
// The road through the package follows the road of a change through OpenShift:
//
//	Sets ──Validate, Traps──▶ problems a user can fix before anything is applied
//	  │
//	  └─Render──▶ text of registries.conf, as the machine-config-operator writes it
//	                │
//	                └─Parse──▶ Config ──Resolve──▶ Resolution ──Compare──▶ Change
//
// FromMachineConfig and OtherDifferences read the same text back from a rendered
// MachineConfig; Disruption says what the change of it costs a node.
//
// Everything here is pure: no files, no clock, no network, no cluster. Rules of the
// platform are called from its own libraries where those export them (runtime-utils for
// rendering, containers/image for rewriting a reference) and restated, with their source
// named, where they do not. The restated ones are tested against the originals.
//
// Short names for the sources of rules, used in comments:
//
//	MCO            github.com/openshift/machine-config-operator
//	runtime-utils  github.com/openshift/runtime-utils/pkg/registries
//	c/image        github.com/containers/image/v5
//	MCD            the machine-config-daemon, the part of the MCO that runs on a node
package registriesconf
