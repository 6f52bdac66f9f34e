package inventory

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const (
	oldArchLabel = "beta.kubernetes.io/arch"
	windows      = "windows"
)

// architectures are those that OpenShift runs on, for selectors that exclude some.
var architectures = []string{"amd64", "arm64", "ppc64le", "s390x"}

// platforms are those that the spec binds its pods to, sorted; none means any.
//
// For example, nodeSelector kubernetes.io/arch: arm64 gives linux/arm64, and a required node
// affinity with kubernetes.io/arch NotIn [amd64] gives linux/arm64, linux/ppc64le and linux/s390x.
// A spec that contradicts itself is not bound to anything that could be proven, and counts as not
// bound.
func platforms(spec *corev1.PodSpec) []string {
	var archs []string // nil stands for all
	for _, label := range []string{corev1.LabelArchStable, oldArchLabel} {
		if arch, ok := spec.NodeSelector[label]; ok {
			archs = intersect(archs, []string{arch})
		}
	}
	if to := affinityArchs(spec.Affinity); to != nil {
		archs = intersect(archs, to)
	}
	system := "linux"
	if spec.NodeSelector[corev1.LabelOSStable] == windows || (spec.OS != nil && spec.OS.Name == corev1.Windows) {
		system = windows
		archs = intersect(archs, []string{"amd64"}) // the only one there is for Windows nodes
	}
	out := make([]string, 0, len(archs))
	for _, a := range archs {
		out = append(out, system+"/"+a)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func intersect(a, b []string) []string {
	if a == nil {
		return b
	}
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return !slices.Contains(b, x) })
}

// affinityArchs are the architectures that a required node affinity allows: those of each of its
// terms. Nil stands for all, as one term that says nothing of them allows all.
func affinityArchs(a *corev1.Affinity) []string {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	var out []string
	for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		archs := termArchs(term)
		if archs == nil {
			return nil
		}
		out = append(out, archs...)
	}
	return out
}

// termArchs are those of one term, all of whose expressions hold; nil stands for all.
func termArchs(term corev1.NodeSelectorTerm) []string {
	var out []string
	for _, e := range term.MatchExpressions {
		if e.Key != corev1.LabelArchStable && e.Key != oldArchLabel {
			continue
		}
		switch e.Operator {
		case corev1.NodeSelectorOpIn:
			out = intersect(out, e.Values)
		case corev1.NodeSelectorOpNotIn:
			out = intersect(out, slices.DeleteFunc(slices.Clone(architectures),
				func(a string) bool { return slices.Contains(e.Values, a) }))
		default: // Exists and the like bind to nothing in particular
		}
	}
	return out
}
