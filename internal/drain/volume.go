package drain

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Volumes are the claims and volumes of a cluster. The zero value knows none.
type Volumes struct {
	// Known is true when both were read.
	Known bool
	// Claims are by namespace/name, Volumes by name.
	Claims  map[string]*corev1.PersistentVolumeClaim
	Volumes map[string]*corev1.PersistentVolume
}

// claimNames are the names of the claims of a pod. An ephemeral volume is claimed anew by each pod,
// wherever that is.
func ClaimNames(p *corev1.Pod) []string {
	var out []string
	for i := range p.Spec.Volumes {
		if c := p.Spec.Volumes[i].PersistentVolumeClaim; c != nil {
			out = append(out, p.Namespace+"/"+c.ClaimName)
		}
	}
	return out
}

// unreachableReason says why the volumes of a pod cannot be used on a node; empty when they can. A
// volume of one zone, or of one node's disk, says so in its node affinity.
func (v *Volumes) UnreachableReason(p *corev1.Pod, n *corev1.Node) string {
	for _, name := range ClaimNames(p) {
		c := v.Claims[name]
		if c == nil || c.Spec.VolumeName == "" {
			continue // it is bound where the pod goes
		}
		pv := v.Volumes[c.Spec.VolumeName]
		if pv == nil || pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
			continue
		}
		ok, err := nodeaffinity.NewLazyErrorNodeSelector(pv.Spec.NodeAffinity.Required).Match(n)
		if err != nil || !ok {
			return "volume " + pv.Name + " is not reachable"
		}
	}
	return ""
}
