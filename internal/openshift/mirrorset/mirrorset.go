// Package mirrorset holds the two objects that a rollout owns, an ImageDigestMirrorSet and an
// ImageTagMirrorSet of its own name: what they must look like, and how what is in the cluster
// compares.
package mirrorset

import (
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	configac "github.com/openshift/client-go/config/applyconfigurations/config/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/safe-mirror/safe-mirror-operator/api/v1alpha1"
	"github.com/safe-mirror/safe-mirror-operator/internal/rollout"
)

// The marks of a mirror set that a rollout owns. There is no owner reference on purpose: a
// foreground deletion of the rollout would take the mirror set away before the finalizer has had
// its say (docs/adr/0005).
const (
	// LabelRollout names the rollout.
	LabelRollout = "safemirror.io/rollout"
	// AnnotationUID is the UID of the rollout that wrote the set last.
	AnnotationUID = "safemirror.io/rollout-uid"
	// AnnotationPrevious names the ControllerRevision with the sets before the rollout, should its
	// record be lost.
	AnnotationPrevious = "safemirror.io/previous-revision"
	// AnnotationAbout tells a person who wrote this and how to change it.
	AnnotationAbout = "safemirror.io/about"
)

const about = "Written by safe-mirror-operator from the SafeMirrorRollout of the same name. Change it there: an edit here reaches every " +
	"node at the Machine Config Operator's own pace, unproven."

// previouslyNone says in AnnotationPrevious that there were no sets before.
const previouslyNone = "none"

// PreviousFrom reads AnnotationPrevious of a set; ok is false when it says nothing, and ref is nil
// when there were no sets before.
func PreviousFrom(annotations map[string]string) (ref *v1alpha1.PreviousMirrorSets, ok bool) {
	switch value := annotations[AnnotationPrevious]; value {
	case "":
		return nil, false
	case previouslyNone:
		return nil, true
	default:
		return referenceTo(value), true
	}
}

// Labels are those of every object that the operator makes for a rollout.
func Labels(rollout string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name": "safe-mirror", "app.kubernetes.io/instance": rollout,
		"app.kubernetes.io/managed-by": "safe-mirror-operator", "app.kubernetes.io/part-of": "safe-mirror",
		LabelRollout: rollout,
	}
}

// IDMS is the ImageDigestMirrorSet that the rollout wants, nil when it wants none.
func IDMS(r *v1alpha1.SafeMirrorRollout) *configv1.ImageDigestMirrorSet {
	if len(r.Spec.ImageDigestMirrors) == 0 {
		return nil
	}
	set := &configv1.ImageDigestMirrorSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: configv1.GroupVersion.String(), Kind: "ImageDigestMirrorSet"},
		ObjectMeta: objectMeta(r),
	}
	for _, m := range r.Spec.ImageDigestMirrors {
		set.Spec.ImageDigestMirrors = append(set.Spec.ImageDigestMirrors, configv1.ImageDigestMirrors{
			Source: m.Source, Mirrors: mirrors(m),
			MirrorSourcePolicy: configv1.MirrorSourcePolicy(m.MirrorSourcePolicy),
		})
	}
	return set
}

// ITMS is the ImageTagMirrorSet that the rollout wants, nil when it wants none.
func ITMS(r *v1alpha1.SafeMirrorRollout) *configv1.ImageTagMirrorSet {
	if len(r.Spec.ImageTagMirrors) == 0 {
		return nil
	}
	set := &configv1.ImageTagMirrorSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: configv1.GroupVersion.String(), Kind: "ImageTagMirrorSet"},
		ObjectMeta: objectMeta(r),
	}
	for _, m := range r.Spec.ImageTagMirrors {
		set.Spec.ImageTagMirrors = append(set.Spec.ImageTagMirrors, configv1.ImageTagMirrors{
			Source: m.Source, Mirrors: mirrors(m),
			MirrorSourcePolicy: configv1.MirrorSourcePolicy(m.MirrorSourcePolicy),
		})
	}
	return set
}

func objectMeta(r *v1alpha1.SafeMirrorRollout) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:        r.Name,
		Labels:      Labels(r.Name),
		Annotations: map[string]string{AnnotationUID: string(r.UID), AnnotationAbout: about},
	}
	if r.Status.Record.AppliedPlanHash != "" { // only then is it known what was there before
		meta.Annotations[AnnotationPrevious] = previouslyNone
		if previous := r.Status.Record.Previous; previous != nil {
			meta.Annotations[AnnotationPrevious] = previous.Name
		}
	}
	return meta
}

func mirrors(m v1alpha1.ImageMirrors) []configv1.ImageMirror {
	out := make([]configv1.ImageMirror, 0, len(m.Mirrors))
	for _, s := range m.Mirrors {
		out = append(out, configv1.ImageMirror(s))
	}
	return out
}

// ApplyIDMS is the server-side apply of the set.
func ApplyIDMS(set *configv1.ImageDigestMirrorSet) *configac.ImageDigestMirrorSetApplyConfiguration {
	spec := configac.ImageDigestMirrorSetSpec()
	for _, m := range set.Spec.ImageDigestMirrors {
		item := configac.ImageDigestMirrors().WithSource(m.Source).WithMirrors(m.Mirrors...)
		if m.MirrorSourcePolicy != "" {
			item = item.WithMirrorSourcePolicy(m.MirrorSourcePolicy)
		}
		spec = spec.WithImageDigestMirrors(item)
	}
	return configac.ImageDigestMirrorSet(set.Name).WithLabels(set.Labels).WithAnnotations(set.Annotations).WithSpec(spec)
}

// ApplyITMS is the server-side apply of the set.
func ApplyITMS(set *configv1.ImageTagMirrorSet) *configac.ImageTagMirrorSetApplyConfiguration {
	spec := configac.ImageTagMirrorSetSpec()
	for _, m := range set.Spec.ImageTagMirrors {
		item := configac.ImageTagMirrors().WithSource(m.Source).WithMirrors(m.Mirrors...)
		if m.MirrorSourcePolicy != "" {
			item = item.WithMirrorSourcePolicy(m.MirrorSourcePolicy)
		}
		spec = spec.WithImageTagMirrors(item)
	}
	return configac.ImageTagMirrorSet(set.Name).WithLabels(set.Labels).WithAnnotations(set.Annotations).WithSpec(spec)
}

// IDMSState compares what is wanted with what is there; nil stands for none.
func IDMSState(want, have *configv1.ImageDigestMirrorSet, rolloutName string) rollout.SetState {
	if have == nil {
		return absentState(want == nil)
	}
	if have.Labels[LabelRollout] != rolloutName {
		return foreignState(want == nil)
	}
	if want == nil {
		return rollout.SetLeftOver
	}
	same := slices.EqualFunc(want.Spec.ImageDigestMirrors, have.Spec.ImageDigestMirrors,
		func(a, b configv1.ImageDigestMirrors) bool {
			return a.Source == b.Source && slices.Equal(a.Mirrors, b.Mirrors) &&
				a.MirrorSourcePolicy == b.MirrorSourcePolicy
		})
	return comparedState(same)
}

// ITMSState compares what is wanted with what is there; nil stands for none.
func ITMSState(want, have *configv1.ImageTagMirrorSet, rolloutName string) rollout.SetState {
	if have == nil {
		return absentState(want == nil)
	}
	if have.Labels[LabelRollout] != rolloutName {
		return foreignState(want == nil)
	}
	if want == nil {
		return rollout.SetLeftOver
	}
	same := slices.EqualFunc(want.Spec.ImageTagMirrors, have.Spec.ImageTagMirrors,
		func(a, b configv1.ImageTagMirrors) bool {
			return a.Source == b.Source && slices.Equal(a.Mirrors, b.Mirrors) &&
				a.MirrorSourcePolicy == b.MirrorSourcePolicy
		})
	return comparedState(same)
}

func absentState(unwanted bool) rollout.SetState {
	if unwanted {
		return rollout.SetNotWanted
	}
	return rollout.SetMissing
}

// foreign: somebody else's set of our name is in the way only of a set that we want.
func foreignState(unwanted bool) rollout.SetState {
	if unwanted {
		return rollout.SetNotWanted
	}
	return rollout.SetForeign
}

func comparedState(same bool) rollout.SetState {
	if same {
		return rollout.SetEqual
	}
	return rollout.SetDiffers
}
