// Package inventory finds the image references that a cluster's nodes pull or may pull, with who
// needs each of them, what could not be seen, and who switches to the mirrors without waiting for
// any node.
//
// One file holds one kind of source, and the table in sources.go lists them all. A source that is
// read says what it found; what a reference means for a rollout (does its pull change, must it be
// proven, was it broken before) is decided elsewhere.
//
// Three things are left out on purpose. PackageManifests repeat the related images of catalog heads
// through an aggregated API that builds the answer anew for each call; what is installed is read
// from ClusterServiceVersions. Custom resources of unknown operators are not searched for fields
// that look like images: the pods that those operators start are seen, and what they might start is
// theirs to name in RELATED_IMAGE_ variables. Steps of an InstallPlan (status.plan) hold whole
// manifests as strings; the ClusterServiceVersions that come of them are read instead.
package inventory
