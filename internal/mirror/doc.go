// Package mirror copies images to mirrors and proves that a node could pull them from there.
//
// A worked example. quay.io/acme/app:v1 gets the mirror mirror.example.com/acme, so a node will try
// two endpoints:
//
//	mirror.example.com/acme/app:v1    answers the top manifest -> everything else must come from here
//	quay.io/acme/app:v1               only tried when the mirror does not answer the top manifest
//
// [Client.Copy] fills the mirror: the whole index, every child, config and layer, children before
// parents, so that the mirror never shows a top manifest whose parts are still missing.
// [Client.Verify] walks the endpoints as a node does and returns a [Proof], or an [Error] that
// names the endpoint, the part and what the registry answered. [Engine] does both for a changing
// set of images in the background; a reconcile only states what it wants and reads a snapshot.
// [Client.DryRun] tells beforehand what would move.
//
// Three accesses are kept apart because three parties look at a registry: the source is read with
// the credentials that may read the source, the mirror is written with the push secret, and the
// proof is taken with what a node has (its global pull secret and trusted CAs). A mirror that the
// push secret can read and a node cannot is not proven.
//
// # What crosses the wire
//
// Each distinct blob once. What several images share is uploaded for the first of them and mounted
// for the others (ledger); images that need it at the same moment wait for one upload (flights); a
// process that goes on after another was killed finds what that one had brought (resumption). Over
// all images the largest blobs go first, and small ones have slots of their own (schedule).
// Manifests of a source are read once, and a blob at a mirror is looked at once in a pass (checks).
// Nothing of this is kept on disk, and none of it is believed against a registry that says
// otherwise.
//
// For one image of n own and m shared blobs, new at the mirror, that is about 7 + 3n + m requests,
// its proof included.
//
// No error and no printed value of this package carries a credential.
package mirror
