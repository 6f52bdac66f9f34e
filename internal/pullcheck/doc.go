// Package pullcheck proves on real nodes, before any mirror set exists, that the mirrors can be
// pulled from. A probe is a short pod whose image is the mirror reference by digest. The node pulls
// it with its own credentials, CAs, DNS, proxy and network, none of which another pod can see. The
// image need not run: once the node has pulled it the proof stands and the pod is deleted.
//
// Targets, Choose, Judge and Next are pure: which node, which images, what a pod has proven, what
// to do now. Package runner does what Next says on the cluster. It goes gently: one node at a time,
// one pod at a time on it, few bytes, and never on a node of whose disk too little is known.
//
// What a probe does not prove, because a pod that names the mirror is not quite a pull that the
// mirror serves:
//
//   - signature and registry policies (policy.json): a node applies those of the name that the pod
//     spells, here the mirror's. A probe that such a policy refuses is Unsure, not Failed.
//   - credentials on a cloud's own registry: the kubelet hands its cloud identity to pods that name
//     such a registry, and not to pulls that are redirected there. Choose reports this as a Gap.
//   - layers that the node has already: they are not downloaded again. Choose prefers images that
//     the node does not have.
package pullcheck
