// Package pull is the container runtime of a simulated node, as far as images go: it resolves,
// downloads, verifies and remembers them, and throws the content away.
//
// What is real. The pull is copy.Image of containers/image, the call that CRI-O 1.33 makes, with
// the same SystemContext. So all of this is decided by the library and not by the lab: which entry
// of registries.conf matches, the order of mirrors, the fall-through from one endpoint to the next
// while the top manifest is fetched and the absence of any fall-through after that, tag-only and
// digest-only mirrors, blocked endpoints, the node's credentials, certificates and proxy, retries
// after 429, the choice of the child for linux/amd64, the digest of every blob, the signature
// policy, and the text of every error. After a failed pull the reference is opened a second time,
// as CRI-O does to see whether it is an OCI artifact: a mirror that fails is asked twice, and both
// errors are in the message:
//
//	unable to pull image or OCI artifact: pull image err: initializing source docker://quay.io/a/b:v1:
//	(Mirrors also failed: [m.example/a/b:v1: reading manifest v1 in m.example/a/b: manifest unknown]):
//	quay.io/a/b:v1: registry quay.io is blocked in …; artifact err: get manifest: build image source: …
//
// A registries.conf counts from the reload on, not from the moment it is written: each reload takes
// a snapshot, and pulls read the newest one. The auth file, the certificates, policy.json and
// registries.d are read at each pull, as CRI-O reads them.
//
// What is not real:
//   - nothing is unpacked: a layer that is no tar archive is accepted, and disks are never full;
//   - a layer counts as present when a stored image has it; the layers of a failed pull are
//     forgotten;
//   - an OCI artifact is stored like an image instead of in the artifact store;
//   - signatures are fetched where the policy asks for them, not merely because registries.d allows
//     it;
//   - images are never garbage collected and nothing is pinned.
package pull
